//! The probe registry: each probe asked in parallel under a deadline, the answers folded and kept for a second.

use std::time::Duration;

use mb_core::error::chain;
use mb_core::probe::{ProbeReport, ProbeResult, ProbeStatus};
use mb_core::time::{Timestamp, human, millis};
use mb_store::SchemaState;
use tokio::sync::Mutex;

use crate::Engine;

/// How long one probe may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long an answer is given again.
const FRESH: Duration = Duration::from_secs(1);
/// Age of the oldest ready task above which the queue is looked at.
const OLDEST_READY_WARN: Duration = Duration::from_secs(300);

/// The last answers. Askers queue behind the one that asks, so a storm of requests is one round of probes.
#[derive(Default)]
pub(crate) struct Probes {
    last: Mutex<Option<(Timestamp, Vec<ProbeResult>)>>,
}

/// What a probe says: status and, unless ok, why.
type Finding = (ProbeStatus, String);

impl Probes {
    pub(crate) async fn report(&self, engine: &Engine) -> ProbeReport {
        let mut last = self.last.lock().await;
        let now = engine.env().now();
        if let Some((at, results)) = &*last
            && now.since(*at) < FRESH
        {
            return ProbeReport::fold(results.clone(), now.since(*at));
        }
        let results = ask_all(engine).await;
        *last = Some((engine.env().now(), results.clone()));
        ProbeReport::fold(results, Duration::ZERO)
    }
}

async fn ask_all(engine: &Engine) -> Vec<ProbeResult> {
    let (db, migrations, queue, workers) = tokio::join!(
        ask(engine, "db", true, db(engine)),
        ask(engine, "migrations", true, migrations(engine)),
        ask(engine, "queue", true, queue(engine)),
        ask(engine, "workers", false, workers(engine)),
    );
    let draining = ProbeResult {
        name: "lifecycle".into(),
        critical: true,
        status: if engine.is_draining() { ProbeStatus::Fail } else { ProbeStatus::Ok },
        reason: if engine.is_draining() { "shutting down".into() } else { String::new() },
        latency_ms: 0,
    };
    vec![db, migrations, queue, workers, draining]
}

async fn ask(engine: &Engine, name: &str, critical: bool, probe: impl Future<Output = Finding>) -> ProbeResult {
    let begin = engine.env().now();
    let (status, reason) = tokio::time::timeout(DEADLINE, probe)
        .await
        .unwrap_or_else(|_| (ProbeStatus::Fail, format!("no answer within {}", human(DEADLINE))));
    let latency_ms = millis(engine.env().now().since(begin));
    ProbeResult { name: name.into(), critical, status, reason, latency_ms }
}

const fn ok() -> Finding {
    (ProbeStatus::Ok, String::new())
}

/// Really writes: a database that only reads is no database to us.
async fn db(engine: &Engine) -> Finding {
    match engine.store().check_write(engine.env().now()).await {
        Ok(()) => ok(),
        Err(error) => (ProbeStatus::Fail, chain(&error)),
    }
}

async fn migrations(engine: &Engine) -> Finding {
    match engine.store().schema().await {
        Ok(SchemaState::Current) => ok(),
        Ok(SchemaState::Pending(names)) => {
            (ProbeStatus::Fail, format!("migrations pending: {}; run mb migrate", names.join(", ")))
        }
        Ok(SchemaState::Ahead(_)) => {
            (ProbeStatus::Fail, "the schema is newer than this binary; install the newer release".into())
        }
        Err(error) => (ProbeStatus::Fail, chain(&error)),
    }
}

async fn queue(engine: &Engine) -> Finding {
    match engine.store().queue_stats(engine.env().now()).await {
        Ok(stats) => {
            let late = stats.iter().find(|s| s.oldest_ready_age.is_some_and(|age| age > OLDEST_READY_WARN));
            late.map_or_else(ok, |s| {
                let age = human(s.oldest_ready_age.unwrap_or_default());
                (ProbeStatus::Warn, format!("the oldest {} task has waited {age}; see mb queue ls", s.class))
            })
        }
        Err(error) => (ProbeStatus::Fail, chain(&error)),
    }
}

async fn workers(engine: &Engine) -> Finding {
    let now = engine.env().now();
    match engine.store().workers(now).await {
        Ok(workers) if workers.iter().any(|w| now.since(w.seen_at) < Duration::from_secs(60)) => ok(),
        Ok(_) => (ProbeStatus::Warn, "no worker was seen in the last minute; start one with mb up".into()),
        Err(error) => (ProbeStatus::Fail, chain(&error)),
    }
}
