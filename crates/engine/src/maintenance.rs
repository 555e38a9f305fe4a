//! Chores that nobody asks for: partitions of the history made ahead, old records removed, worktrees that were still in
//! use when this process began cleared away.
//!
//! Every pass may run on every node at once: each is a statement that finds nothing to do the second time. Deliberately
//! absent: runs and their logs, which are not removed yet.

use std::time::Duration;

use mb_core::error::chain;
use mb_store::Retention;
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// How often it is looked after.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The loop.
pub struct Maintenance {
    engine: Engine,
}

impl Maintenance {
    /// A loop over this engine.
    pub fn new(engine: Engine) -> Maintenance {
        Maintenance { engine }
    }

    /// Runs until `stop`: one pass now, and one every hour.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.pass().await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// One pass. What fails is logged and tried again by the next.
    async fn pass(&self) {
        self.engine.sweep().await;
        let (store, now) = (self.engine.store(), self.engine.env().now());
        if let Err(error) = store.prepare_history(now).await {
            tracing::warn!(error = %chain(&error), "history of the next days is kept in one table for now");
        }
        let before = now - self.engine.options().task_retention;
        match store.purge_tasks(&Retention { finished_before: before, keys_before: before }).await {
            Ok(0) => {}
            Ok(purged) => tracing::info!(purged, "records of old tasks removed"),
            Err(error) => tracing::error!(error = %chain(&error), "records of old tasks could not be removed"),
        }
    }
}
