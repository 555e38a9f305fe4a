//! Counts, at a cost that does not grow with the queue.

use std::time::Duration;

use mb_core::queue::{Flow, Priority};
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;

use crate::db::Value;
use crate::error::StoreError;
use crate::sql;
use crate::store::Store;

/// Where counting ends.
const COUNT_MAX: i64 = 100_000;

/// One class of the queue at a moment. A count of 100,000 means that many or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStats {
    /// The class.
    pub class: QueueClass,
    /// What it does.
    pub flow: Flow,
    /// Tasks that could be claimed.
    pub ready: u64,
    /// Tasks that wait for their time.
    pub delayed: u64,
    /// Tasks that wait for others with their concurrency key.
    pub blocked: u64,
    /// Tasks that are held.
    pub leased: u64,
    /// How long the oldest of the next thousand ready tasks has been ready; none when nothing is.
    pub oldest_ready_age: Option<Duration>,
}

impl QueueStats {
    /// Tasks that wait, for whatever reason.
    pub const fn waiting(&self) -> u64 {
        self.ready + self.delayed + self.blocked
    }
}

impl Store {
    /// Tasks of a priority that wait, over all classes and tenants, as far as its bound counts them; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn waiting_of_priority(&self, priority: Priority, limit: u64) -> Result<u64, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.read(sql::QUEUE_WAITING_OF_PRIORITY, &[Value::id(priority), Value::int(limit)]).await?;
        rows.first().map_or(Ok(0), |row| row.count("waiting"))
    }

    /// Every class of the queue, of all tenants.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn queue_stats(&self, now: Timestamp) -> Result<Vec<QueueStats>, StoreError> {
        let flows = self.flows().await?;
        let mut stats = Vec::with_capacity(QueueClass::ALL.len());
        for &class in QueueClass::ALL {
            let rows =
                self.read(sql::QUEUE_STATS, &[Value::id(class), Value::time(now), Value::int(COUNT_MAX)]).await?;
            let row = rows.first().ok_or_else(|| StoreError::corrupt("queue", "a count gave no row"))?;
            stats.push(QueueStats {
                class,
                flow: flows.get(&class).copied().unwrap_or(Flow::Running),
                ready: row.count("ready")?,
                delayed: row.count("delayed")?,
                blocked: row.count("blocked")?,
                leased: row.count("leased")?,
                oldest_ready_age: row.opt_time("oldest")?.map(|oldest| now.since(oldest)),
            });
        }
        Ok(stats)
    }
}
