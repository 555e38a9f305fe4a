//! PostgreSQL's partitions of the history, one a day (UTC): made ahead, dropped whole when their day is past keeping.
//!
//! A day without a partition loses nothing: its records go to `finished_rest`, from which they are purged row by row.
//! SQLite has one table.

use std::time::Duration;

use mb_core::time::Timestamp;

use crate::db::Session;
use crate::error::StoreError;
use crate::sql;
use crate::store::{Store, transaction};

const DAY: Duration = Duration::from_secs(86_400);
/// Days made ahead, today included.
const AHEAD_DAYS: i64 = 3;
/// Partitions dropped by one call at most.
const DROP_MAX: usize = 100;

/// Days since the epoch.
fn day_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(micros(DAY))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Store {
    /// Makes the partitions of today and the next days, where they are missing. Does nothing on SQLite.
    ///
    /// # Errors
    /// [`StoreError`]; history is then kept in one table until the next pass.
    pub async fn prepare_history(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.kind() == "sqlite" {
            return Ok(());
        }
        let missing: Vec<i64> = {
            let there = self.partitions().await?;
            (day_of(now)..day_of(now) + AHEAD_DAYS).filter(|day| !there.contains(day)).collect()
        };
        for day in missing {
            let made = transaction!(self, Later, |tx| make(tx, day).await);
            // Another node made it, or records of that day are in the rest already: both are well.
            if let Err(error @ (StoreError::Conflict { .. } | StoreError::Schema { .. })) = made {
                tracing::debug!(day, error = %mb_core::error::chain(&error), "a day of history has no partition of its own");
            } else {
                made?;
            }
        }
        Ok(())
    }

    /// Drops the partitions of days that ended before; gives the number of records they had, as the planner knew it.
    pub(crate) async fn drop_partitions(&self, before: Timestamp) -> Result<u64, StoreError> {
        if self.kind() == "sqlite" {
            return Ok(0);
        }
        let past = |day: &i64| *day < day_of(before);
        let mut dropped = 0;
        for day in self.partitions().await?.into_iter().filter(past).take(DROP_MAX) {
            dropped += transaction!(self, |tx| tx.drop_partition(day).await)?;
        }
        Ok(dropped)
    }

    async fn partitions(&self) -> Result<Vec<i64>, StoreError> {
        let rows = self.read(sql::FINISHED_PARTITIONS, &[]).await?;
        rows.iter().map(|row| row.int("day")).collect()
    }
}

async fn make(tx: &mut Session, day: i64) -> Result<(), StoreError> {
    tx.make_partition(day, (day * micros(DAY), (day + 1) * micros(DAY))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_of_utc() {
        let day = |seconds: i64| day_of(Timestamp::from_micros(seconds * 1_000_000));
        assert_eq!((day(0), day(86_399), day(86_400), day(-1)), (0, 0, 1, -1));
    }
}
