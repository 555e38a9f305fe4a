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

/// A worker, and when it last said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenWorker {
    /// The worker.
    pub worker: WorkerRow,
    /// When it last called [`Store::worker_seen`].
    pub seen_at: Timestamp,
}

impl Store {
    /// Registers a worker, or says that it is still there with these roles, slots and state.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn worker_seen(&self, now: Timestamp, worker: &WorkerRow) -> Result<(), StoreError> {
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
        transaction!(self, Later, |tx| tx.execute(sql::WORKERS_SEEN, &values).await.map(|_| ()))
    }

    /// The workers seen within a day, by node and start.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn workers(&self, now: Timestamp) -> Result<Vec<SeenWorker>, StoreError> {
        self.read(sql::WORKERS_LIST, &[Value::time(now - REMEMBERED)]).await?.iter().map(seen).collect()
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

fn seen(row: &Row) -> Result<SeenWorker, StoreError> {
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
    Ok(SeenWorker { worker, seen_at: row.time("seen_at")? })
}
