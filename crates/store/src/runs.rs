//! Runs: made once per key, read whole, cancelled. How they are listed is in `list`.

use mb_core::advance::RunEvent;
use mb_core::affinity;
use mb_core::id::{RunId, TenantId};
use mb_core::queue::Bounds;
use mb_core::run::Run;
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;
use std::time::Duration;

use crate::db::{Session, Value};
use crate::error::StoreError;
use crate::machine::{self, Turn};
use crate::queue::Fair;
use crate::sql;
use crate::store::{Store, transaction};
use crate::{list, queue, workers};

/// Runs that lose their affinity in one turn at most.
const ADOPT_MAX: i64 = 200;
/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// A run to be made.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// As [`Run::new`] gave it.
    pub run: Run,
    /// The same key of the same tenant again finds the first run, whatever it asked for. 1 to 255 bytes.
    pub idempotency_key: Option<String>,
    /// The one process that may claim its tasks (see [`Store::adopt`]). Empty is the same as none.
    pub affinity: Option<String>,
    /// Who asked for it, as it is shown.
    pub actor: String,
}

/// What came of [`Store::create_run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// The run of that key.
    pub id: RunId,
    /// Whether it was there already; then nothing was written.
    pub existed: bool,
}

/// What came of [`Store::cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It is cancelled, or will be as soon as what runs has stopped.
    Requested,
    /// It had ended before.
    AlreadyOver,
    /// The tenant has no such run.
    NotFound,
}

impl Store {
    /// Makes a run and enqueues what can start at once.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its id is taken, [`StoreError::Invalid`] when it is not new.
    pub async fn create_run(&self, now: Timestamp, new: NewRun) -> Result<Created, StoreError> {
        self.create_run_within(now, new, &Bounds::default()).await
    }

    /// Makes a run, unless as much work of its class waits as may or the class drains. What runs enqueue for themselves
    /// afterwards is never refused. A key that is known finds its run all the same.
    ///
    /// # Errors
    /// [`StoreError::Refused`], and as [`Store::create_run`].
    pub async fn create_run_within(&self, now: Timestamp, new: NewRun, bounds: &Bounds) -> Result<Created, StoreError> {
        if new.idempotency_key.as_ref().is_some_and(|key| !(1..=KEY_BYTES_MAX).contains(&key.len())) {
            return Err(StoreError::invalid(format!("an idempotency key has 1 to {KEY_BYTES_MAX} bytes")));
        }
        let fair = &self.inner.fair;
        transaction!(self, |tx| create(tx, now, &new, bounds, fair).await)
    }

    /// A run, whole.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn run(&self, tenant: TenantId, id: RunId) -> Result<Option<Run>, StoreError> {
        let rows = self.read(sql::RUNS_LOAD, &[Value::Texts(vec![id.to_string()])]).await?;
        let run = rows.first().map(machine::decode).transpose()?;
        Ok(run.filter(|run| run.tenant == tenant))
    }

    /// The run that was made under a key, whole.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn run_by_key(&self, tenant: TenantId, key: &str) -> Result<Option<Run>, StoreError> {
        let rows = self.read(sql::RUNS_BY_KEY, &[Value::id(tenant), Value::text(key)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        self.run(tenant, row.parse("run")?).await
    }

    /// Asks a run to stop: queued tasks leave the queue, whoever holds one is told at the next heartbeat.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn cancel(&self, now: Timestamp, tenant: TenantId, id: RunId, by: &str) -> Result<Cancel, StoreError> {
        transaction!(self, |tx| {
            lock_tasks(tx, &[id]).await?;
            let Some(mut turn) = machine::hold(tx, now, vec![id]).await?.remove(&id) else {
                return Ok(Cancel::NotFound);
            };
            if turn.run.tenant != tenant {
                return Ok(Cancel::NotFound);
            }
            if turn.apply(RunEvent::Cancel { by: by.to_owned() }).is_err() {
                return Ok(Cancel::AlreadyOver);
            }
            machine::save(tx, &self.inner.fair, [&turn]).await?;
            Ok(Cancel::Requested)
        })
    }

    /// Sets which process alone may claim the run's tasks; none lets every worker. Says whether there is such a run.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn set_affinity(&self, id: RunId, affinity: Option<&str>) -> Result<bool, StoreError> {
        transaction!(self, Later, |tx| {
            lock_tasks(tx, &[id]).await?;
            keep_for(tx, id, affinity.unwrap_or("")).await
        })
    }

    /// Frees open runs whose process is gone, so that any worker of its node may go on with them: those whose affinity no
    /// worker carries that was seen within `stale`, unless the run itself is younger. At most 200 at a time, oldest first.
    /// Also forgets workers not seen for a day.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn adopt(&self, now: Timestamp, stale: Duration) -> Result<Vec<RunId>, StoreError> {
        transaction!(self, Later, |tx| {
            let forgotten = now - stale.max(workers::REMEMBERED);
            tx.execute(sql::WORKERS_FORGET, &[Value::time(forgotten)]).await?;
            let rows = tx.rows(sql::RUNS_OWNERLESS, &[Value::time(now - stale), Value::int(ADOPT_MAX)]).await?;
            let ids = rows.iter().map(|row| row.parse("id")).collect::<Result<Vec<RunId>, _>>()?;
            if !ids.is_empty() {
                lock_tasks(tx, &ids).await?;
            }
            for (row, &id) in rows.iter().zip(&ids) {
                keep_for(tx, id, &affinity::after_loss(&row.text("affinity")?).unwrap_or_default()).await?;
            }
            Ok(ids)
        })
    }
}

async fn create(
    tx: &mut Session,
    now: Timestamp,
    new: &NewRun,
    bounds: &Bounds,
    fair: &Fair,
) -> Result<Created, StoreError> {
    let run = &new.run;
    if let Some(existing) = take_key(tx, now, new).await? {
        return Ok(Created { id: existing, existed: true });
    }
    if *bounds != Bounds::default() {
        queue::admit_run(tx, QueueClass::Cpu, bounds).await?;
    }
    let mut turn = Turn::of_new_run(now, run.clone());
    turn.apply(RunEvent::Created).map_err(|illegal| StoreError::Invalid {
        what: format!("run {} is not new", run.id),
        source: Some(illegal.into()),
    })?;
    let affinity = affinity(tx, new).await?;
    let (tenant, digest) = (Value::id(run.tenant), run.workflow.digest());
    tx.execute(sql::RUNS_INSERT_WORKFLOW, &[Value::id(&digest), tenant, Value::json(&run.workflow)?]).await?;
    let values = [
        Value::id(run.id),
        Value::id(run.tenant),
        Value::id(digest),
        Value::text(&run.workflow.name),
        Value::text(list::project(run)),
        Value::opt_text(run.source.as_ref().and_then(|source| source.commit.as_deref())),
        Value::text(&new.actor),
        Value::text(&affinity),
        Value::time(run.created_at),
        Value::json(&run.source)?,
        Value::Json(machine::head(run)?),
        Value::Json(list::cells(run)?),
        Value::Json(machine::origin(run)?),
    ];
    tx.execute(sql::RUNS_INSERT, &values).await?;
    machine::save(tx, fair, [&turn]).await?;
    Ok(Created { id: run.id, existed: false })
}

/// Which process alone may run it: a child without a wish of its own stays with its parent's.
async fn affinity(tx: &mut Session, new: &NewRun) -> Result<String, StoreError> {
    match (&new.affinity, &new.run.parent) {
        (Some(affinity), _) => Ok(affinity.clone()),
        (None, None) => Ok(String::new()),
        (None, Some(parent)) => {
            let row = tx.row(sql::RUNS_AFFINITY, &[Value::id(parent.run), Value::id(new.run.tenant)]).await?;
            let gone = || StoreError::invalid(format!("the tenant has no run {}", parent.run));
            row.ok_or_else(gone)?.text("affinity")
        }
    }
}

/// Takes the key for this run, or finds the run that has it.
async fn take_key(tx: &mut Session, now: Timestamp, new: &NewRun) -> Result<Option<RunId>, StoreError> {
    let Some(key) = &new.idempotency_key else { return Ok(None) };
    let (tenant, key) = (new.run.tenant, key.as_str());
    let values = [Value::id(tenant), Value::text(key), Value::id(new.run.id), Value::time(now)];
    if tx.execute(sql::RUNS_INSERT_KEY, &values).await? == 1 {
        return Ok(None);
    }
    let row = tx.row(sql::RUNS_BY_KEY, &[Value::id(tenant), Value::text(key)]).await?;
    row.ok_or_else(|| StoreError::corrupt("idempotency", "a key was taken and is not there"))?.parse("run").map(Some)
}

/// Task rows are locked before run rows, everywhere.
pub(crate) async fn lock_tasks(tx: &mut Session, runs: &[RunId]) -> Result<(), StoreError> {
    let runs = [Value::Texts(runs.iter().map(ToString::to_string).collect())];
    tx.rows(sql::QUEUE_LOCK_RUNS, &runs).await?;
    tx.rows(sql::LEASES_LOCK_RUNS, &runs).await.map(|_| ())
}

/// The tasks carry a copy, so that a claim needs only their index.
async fn keep_for(tx: &mut Session, id: RunId, affinity: &str) -> Result<bool, StoreError> {
    let values = [Value::id(id), Value::text(affinity)];
    let found = tx.execute(sql::RUNS_SET_AFFINITY, &values).await? == 1;
    tx.is_change |= tx.execute(sql::QUEUE_SET_AFFINITY, &values).await? > 0;
    tx.execute(sql::LEASES_SET_AFFINITY, &values).await?;
    Ok(found)
}
