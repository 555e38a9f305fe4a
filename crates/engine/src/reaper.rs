//! Taking back what its holder let go of: expired leases, runs whose process died, starts nobody asks about any more.
//!
//! The loop takes no input and keeps no state: the same pass runs at start, after a crash and every interval. Only the
//! leader does it, so that many nodes ask the database no more often than one. Taking back is safe without the epoch:
//! it looks at each lease again inside its transaction.

use std::time::Duration;

use mb_core::error::chain;
use mb_store::{Lead, Led};
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// Leases taken back in one pass.
const REAP_MAX: u32 = 500;
/// How long it is kept what started a run.
const FIRES_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Tasks named in the log by one pass; the others are counted.
const NAMED_MAX: usize = 10;

/// The reaper's loop.
pub struct Reaper {
    engine: Engine,
    interval: Duration,
    stale: Duration,
}

impl Reaper {
    /// A reaper that looks every `interval` and adopts embedded runs whose process was not seen for `stale`.
    pub fn new(engine: Engine, interval: Duration, stale: Duration) -> Reaper {
        Reaper { engine, interval, stale }
    }

    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Some(lead) = self.engine.lead().await {
                self.pass(lead).await;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }

    /// One pass. What fails is logged and tried again by the next.
    async fn pass(&self, lead: Lead) {
        let store = self.engine.store();
        let now = self.engine.env().now();
        match store.reap(now, REAP_MAX).await {
            Ok(lost) => {
                lost.iter()
                    .take(NAMED_MAX)
                    .for_each(|lease| tracing::warn!(task = %lease, "lease expired; task taken back"));
                if lost.len() > NAMED_MAX {
                    tracing::warn!(more = lost.len() - NAMED_MAX, "leases of more tasks expired; taken back");
                }
            }
            Err(error) => tracing::error!(error = %chain(&error), "expired leases could not be taken back"),
        }
        match store.adopt(now, self.stale).await {
            Ok(runs) => runs.iter().for_each(|run| tracing::warn!(%run, "its process is gone; run adopted")),
            Err(error) => tracing::error!(error = %chain(&error), "orphaned runs could not be adopted"),
        }
        match store.fires_sweep(now, lead, FIRES_KEPT).await {
            Ok(Led::Done(_)) => {}
            Ok(Led::Deposed) => self.engine.deposed(),
            Err(error) => tracing::error!(error = %chain(&error), "old starts could not be forgotten"),
        }
    }
}
