//! Workers: which processes there are, what they offer, and when they were last seen.
//!
//! Deliberately absent: which tasks they hold (that is in the queue) and what "last seen" means for their health
//! (the engine decides).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mb_core::id::WorkerId;
use mb_core::task::{Lease, QueueClass};
use mb_core::time::Timestamp;

use crate::db::{Row, Value};
use crate::error::StoreError;
use crate::queue::{self, TAKE_BACK_MAX};
use crate::sql;
use crate::store::{Store, transaction};

/// How long a worker that is not seen any more is still known.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// A process that claims tasks, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// Its id, new at each start.
    pub id: WorkerId,
    /// The name of the place it runs in, the same after a restart.
    pub node: String,
    /// Its process id there.
    pub pid: u32,
    /// The version it runs.
    pub version: String,
    /// What else the process does (`api`, `worker`).
    pub roles: BTreeSet<String>,
    /// Slots per class.
    pub slots: BTreeMap<QueueClass, usize>,
    /// The affinity it claims with, if it serves only its own runs.
    pub affinity: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// The word of its state, as the engine names it.
    pub state: String,
}

/// Tasks of one class that one worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// How many.
    pub count: u64,
    /// Since when it has held the first of them.
    pub since: Timestamp,
}

/// A worker, and when it last said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenWorker {
    /// The worker.
    pub worker: WorkerRow,
    /// When it last called [`Store::worker_seen`].
    pub seen_at: Timestamp,
    /// What it holds, by class; tasks that wait in it for a slot included.
    pub held: BTreeMap<QueueClass, Holding>,
    /// Whether it was asked to end.
    pub is_asked_to_end: bool,
}

impl Store {
    /// Registers a worker, or says that it is still there with these roles, slots and state. Says whether it is to end
    /// ([`Store::end_workers`]).
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn worker_seen(&self, now: Timestamp, worker: &WorkerRow) -> Result<bool, StoreError> {
        let values = [
            Value::id(worker.id),
            Value::text(&worker.node),
            Value::int(worker.pid),
            Value::text(&worker.version),
            Value::json(&worker.roles)?,
            Value::json(&worker.slots)?,
            Value::text(worker.affinity.as_deref().unwrap_or("")),
            Value::time(worker.started_at),
            Value::time(now),
            Value::text(&worker.state),
        ];
        transaction!(self, Later, |tx| {
            let row = tx.row(sql::WORKERS_SEEN, &values).await?;
            row.map_or(Ok(false), |row| is_asked_to_end(&row))
        })
    }

    /// Asks workers of any node to end: the named one, or all that were seen within a day and do not carry just one
    /// embedded run. They hear it at their next heartbeat. Gives how many were asked.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn end_workers(&self, now: Timestamp, only: Option<WorkerId>) -> Result<u64, StoreError> {
        transaction!(self, |tx| match only {
            Some(id) => tx.execute(sql::WORKERS_END, &[Value::id(id)]).await,
            None => tx.execute(sql::WORKERS_END_ALL, &[Value::time(now - REMEMBERED)]).await,
        })
    }

    /// The workers seen within a day, by node and start.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn workers(&self, now: Timestamp) -> Result<Vec<SeenWorker>, StoreError> {
        let mut held = BTreeMap::<WorkerId, BTreeMap<QueueClass, Holding>>::new();
        for row in &self.read(sql::LEASES_BY_WORKER, &[]).await? {
            let class = row.word("class", QueueClass::from_word)?;
            held.entry(row.parse("worker")?)
                .or_default()
                .insert(class, Holding { count: row.count("held")?, since: row.time("since")? });
        }
        let rows = self.read(sql::WORKERS_LIST, &[Value::time(now - REMEMBERED)]).await?;
        rows.iter().map(|row| seen(row, &mut held)).collect()
    }

    /// Forgets a worker that ends. Tasks it still holds (at most 500) are taken from it and named.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn worker_gone(&self, now: Timestamp, id: WorkerId) -> Result<Vec<Lease>, StoreError> {
        transaction!(self, Later, |tx| {
            let rows = tx.rows(sql::LEASES_OF_WORKER, &[Value::id(id), Value::int(TAKE_BACK_MAX)]).await?;
            let lost = queue::lose(tx, now, &rows, &self.inner.fair).await?;
            tx.execute(sql::WORKERS_GONE, &[Value::id(id)]).await?;
            Ok(lost)
        })
    }
}

fn is_asked_to_end(row: &Row) -> Result<bool, StoreError> {
    Ok(row.text("wish")? == "end")
}

fn seen(row: &Row, held: &mut BTreeMap<WorkerId, BTreeMap<QueueClass, Holding>>) -> Result<SeenWorker, StoreError> {
    let worker = WorkerRow {
        id: row.parse("id")?,
        node: row.text("node")?,
        pid: row.count("pid")?,
        version: row.text("version")?,
        roles: row.json("roles")?,
        slots: row.json("slots")?,
        affinity: Some(row.text("affinity")?).filter(|affinity| !affinity.is_empty()),
        started_at: row.time("started_at")?,
        state: row.text("state")?,
    };
    let held = held.remove(&worker.id).unwrap_or_default();
    Ok(SeenWorker { worker, seen_at: row.time("seen_at")?, held, is_asked_to_end: is_asked_to_end(row)? })
}
