//! Reports of tasks that belong to no run, stored many at once: while one batch is being written the next one gathers,
//! so a batch is as large as the database is slow, and a lone report waits for nothing.

use std::sync::Arc;
use std::time::Duration;

use mb_core::error::chain;
use mb_core::queue::{Completion, Outcome, Settled};
use mb_core::task::{Lease, QueueClass};
use mb_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::desk::Desk;
use crate::Engine;

/// Reports stored by one transaction at most.
const BATCH_MAX: usize = 1_000;
/// Batches being stored at once, at most.
const AT_ONCE: usize = 3;
/// Reports that may wait; runners wait when there are more.
const WAITING_MAX: usize = 4_000;
/// Wait before a batch is stored again: first, and at most.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How a task ended.
pub(super) struct Ended {
    pub(super) lease: Lease,
    pub(super) class: QueueClass,
    pub(super) kind: String,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    /// Told when the report is stored, or will not be.
    pub(super) heard: Option<oneshot::Sender<()>>,
}

/// Starts the completer; it ends when every sender is gone and everything is stored.
pub(super) fn start(engine: Engine, desk: Arc<Desk>, lease: Duration) -> (mpsc::Sender<Ended>, JoinHandle<()>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (sender, tokio::spawn(complete_all(engine, desk, lease, receiver)))
}

async fn complete_all(engine: Engine, desk: Arc<Desk>, lease: Duration, mut receiver: mpsc::Receiver<Ended>) {
    // One writer on SQLite. On PostgreSQL one batch is written to disk while another is being looked up.
    let at_once = if engine.store().kind() == "sqlite" { 1 } else { AT_ONCE };
    let (mut batch, mut writing) = (Vec::with_capacity(BATCH_MAX), JoinSet::new());
    while receiver.recv_many(&mut batch, BATCH_MAX).await > 0 {
        // From here on nobody renews them: a renewal and a report of the same lease would wait for each other.
        desk.let_go(batch.iter().map(|ended| (ended.lease.task, ended.lease.fence)));
        writing.spawn(complete(engine.clone(), lease, std::mem::take(&mut batch)));
        if writing.len() >= at_once {
            writing.join_next().await;
        }
    }
    while writing.join_next().await.is_some() {}
}

async fn complete(engine: Engine, lease: Duration, batch: Vec<Ended>) {
    let reports: Vec<(Lease, Outcome)> =
        batch.iter().map(|ended| (ended.lease.clone(), ended.outcome.clone())).collect();
    let deadline = engine.env().now() + lease;
    if let Some(answers) = store(&engine, &reports, deadline).await {
        batch.iter().zip(answers).for_each(|(ended, answer)| heard(&engine, ended, &answer));
    }
    for waiting in batch.into_iter().filter_map(|ended| ended.heard) {
        // A runner that is gone waits for nothing.
        let _ = waiting.send(());
    }
}

/// Stores a batch, again and again while its leases may still hold.
async fn store(engine: &Engine, reports: &[(Lease, Outcome)], deadline: Timestamp) -> Option<Vec<Completion>> {
    let mut wait = RETRY_WAIT.0;
    loop {
        let now = engine.env().now();
        match engine.store().complete(now, reports).await {
            Ok(answers) => return Some(answers),
            Err(error) if error.is_transient() && now < deadline => {
                tracing::warn!(tasks = reports.len(), error = %chain(&error), "reports could not be stored; trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_WAIT.1);
            }
            Err(error) => {
                tracing::error!(tasks = reports.len(), error = %chain(&error), "reports could not be stored; the tasks will be done again");
                return None;
            }
        }
    }
}

fn heard(engine: &Engine, ended: &Ended, answer: &Completion) {
    let task = ended.lease.task;
    match answer {
        Completion::Settled(settled) => {
            engine.metrics().task_ended(ended.class, settled, ended.took);
            match settled {
                Settled::Again { ready_at, failures, .. } if matches!(ended.outcome, Outcome::Failed { .. }) => {
                    tracing::warn!(%task, kind = ended.kind, failures, again_at = %ready_at, why = why(ended), "job_failed_retrying");
                }
                Settled::Finished(ending) if ending.fate.is_dead_letter() => {
                    tracing::error!(%task, kind = ended.kind, fate = %ending.fate, why = why(ended), "job_failed_permanently");
                }
                Settled::Again { .. } | Settled::Finished(_) => {}
            }
        }
        // Also the answer when the first try was stored and its acknowledgement lost.
        Completion::StaleFence => {
            tracing::info!(%task, kind = ended.kind, "a report changed nothing: the lease had ended");
        }
    }
}

fn why(ended: &Ended) -> &str {
    match &ended.outcome {
        Outcome::Failed { error, .. } => error,
        Outcome::Succeeded | Outcome::Snoozed { .. } | Outcome::Canceled | Outcome::GaveBack => "",
    }
}
