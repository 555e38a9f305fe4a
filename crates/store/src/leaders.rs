//! Leadership: what only one node may do, and the epoch that makes a former leader harmless.
//!
//! A leader holds its row for a while and renews it. Clocks of nodes may differ, and a process may be stopped for
//! longer than its row lasts: two nodes can believe that they lead. So every verb a leader calls names its epoch, and
//! the transaction does nothing when another holder has come since.

use std::time::Duration;

use mb_core::id::WorkerId;
use mb_core::time::Timestamp;

use crate::db::{Row, Session, Value};
use crate::error::StoreError;
use crate::sql;
use crate::store::{Store, transaction};

/// Under which number somebody leads. It rises with every change of holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub i64);

/// Somebody who leads, as every verb of a leader names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead {
    /// What they lead.
    pub name: &'static str,
    /// Under which number.
    pub epoch: Epoch,
}

/// A row of leadership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderRow {
    /// What is led.
    pub name: String,
    /// By whom.
    pub worker: WorkerId,
    /// Under which number.
    pub epoch: Epoch,
    /// Until when, unless it is renewed.
    pub until: Timestamp,
    /// Up to which event they have read.
    pub position: i64,
}

/// What came of a leader's verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Led<T> {
    /// It was done.
    Done(T),
    /// Somebody else leads by now: nothing was changed.
    Deposed,
}

impl Store {
    /// Takes the lead, or renews it, until `ttl` from now. None when somebody else holds it.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn lead(
        &self,
        now: Timestamp,
        name: &'static str,
        worker: WorkerId,
        ttl: Duration,
    ) -> Result<Option<Lead>, StoreError> {
        let values = [Value::id(name), Value::id(worker), Value::time(now), Value::time(now + ttl)];
        transaction!(self, Later, |tx| {
            let row = tx.row(sql::LEADERS_LEAD, &values).await?;
            row.map(|row| Ok(Lead { name, epoch: Epoch(row.int("epoch")?) })).transpose()
        })
    }

    /// Lets go of the lead, so that another node need not wait for its end. Says whether it was still held.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn resign(&self, now: Timestamp, lead: Lead) -> Result<bool, StoreError> {
        let values = [Value::id(lead.name), Value::int(lead.epoch.0), Value::time(now)];
        transaction!(self, Later, |tx| Ok(tx.execute(sql::LEADERS_RESIGN, &values).await? == 1))
    }

    /// Ends what earlier processes of a node led. To be called by the holder of the node's lock, which proves them dead.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn resign_node(&self, now: Timestamp, node: &str, except: WorkerId) -> Result<u64, StoreError> {
        let values = [Value::text(node), Value::id(except), Value::time(now)];
        transaction!(self, Later, |tx| tx.execute(sql::LEADERS_RESIGN_NODE, &values).await)
    }

    /// Every row of leadership, by name, those that have run out included.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn leaders(&self) -> Result<Vec<LeaderRow>, StoreError> {
        self.read(sql::LEADERS_LIST, &[]).await?.iter().map(leader).collect()
    }
}

/// Locks the row of leadership until the commit: nobody can take over in between. Gives the position, or none when
/// another holder has come.
pub(crate) async fn hold(tx: &mut Session, lead: Lead) -> Result<Option<i64>, StoreError> {
    let row = tx.row(sql::LEADERS_LOCK, &[Value::id(lead.name), Value::int(lead.epoch.0)]).await?;
    row.map(|row| row.int("position")).transpose()
}

fn leader(row: &Row) -> Result<LeaderRow, StoreError> {
    Ok(LeaderRow {
        name: row.text("name")?,
        worker: row.parse("worker")?,
        epoch: Epoch(row.int("epoch")?),
        until: row.time("until")?,
        position: row.int("position")?,
    })
}
