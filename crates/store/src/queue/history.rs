//! What is over: records, dead letters, and how long they are kept.

use mb_core::id::{TaskId, TenantId, WorkerId};
use mb_core::queue::{Fate, Priority, Task, TaskOptions, Waiting};
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;

use crate::db::{Row, Value};
use crate::error::StoreError;
use crate::queue::row::{Held, options_of, task_of};
use crate::sql;
use crate::store::{Store, transaction};

/// Records removed by one transaction at most.
const PURGE_MAX: i64 = 10_000;
/// Transactions one call of [`Store::purge_tasks`] makes at most.
const PURGE_ROUNDS_MAX: u32 = 100;

/// The record of a task that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedTask {
    /// Its id.
    pub id: TaskId,
    /// Whose it was.
    pub tenant: TenantId,
    /// Which handler did it.
    pub kind: String,
    /// Which slots it took.
    pub class: QueueClass,
    /// How soon it was to be done.
    pub priority: Priority,
    /// Failed tries.
    pub failures: u32,
    /// Workers it cost.
    pub losses: u32,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// When its last try began; none when it never did.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Who did its last try.
    pub worker: Option<WorkerId>,
    /// How it ended.
    pub fate: Fate,
    /// Why, if it did not succeed.
    pub error: Option<String>,
    /// What it was about; kept for dead letters only.
    pub payload: Option<String>,
    /// What it asked for; kept for dead letters only, and only when it was not the usual.
    pub options: Option<TaskOptions>,
}

impl FinishedTask {
    pub(crate) fn of(row: &Row) -> Result<FinishedTask, StoreError> {
        let worker = row.opt_text("worker")?.map(|_| row.parse("worker")).transpose()?;
        let options = row.opt_text("options")?.map(|_| options_of(row)).transpose()?;
        Ok(FinishedTask {
            id: row.parse("id")?,
            tenant: row.parse("tenant")?,
            kind: row.text("kind")?,
            class: row.word("class", QueueClass::from_word)?,
            priority: row.word("priority", Priority::from_word)?,
            failures: row.count("failures")?,
            losses: row.count("losses")?,
            enqueued_at: row.time("enqueued_at")?,
            started_at: row.opt_time("started_at")?,
            finished_at: row.time("finished_at")?,
            worker,
            fate: row.word("fate", Fate::from_word)?,
            error: row.opt_text("error")?,
            payload: row.opt_text("payload")?,
            options,
        })
    }
}

/// Where a task is, and what is known of it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskView {
    /// It waits.
    Waiting {
        /// It.
        task: Task,
        /// For what.
        state: Waiting,
        /// Not before.
        ready_at: Timestamp,
    },
    /// A worker has it.
    Leased {
        /// It.
        task: Task,
        /// Who.
        worker: WorkerId,
        /// Since when.
        started_at: Timestamp,
        /// Whether it was asked to stop.
        is_interrupted: bool,
    },
    /// It is over.
    Finished(FinishedTask),
}

/// What [`Store::purge_tasks`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Records of tasks that ended before are removed.
    pub finished_before: Timestamp,
    /// Idempotency keys made before are forgotten.
    pub keys_before: Timestamp,
}

impl Store {
    /// A task, wherever it is.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn task(&self, tenant: TenantId, id: TaskId) -> Result<Option<TaskView>, StoreError> {
        // Twice, because it may move to where was looked already between two looks.
        for _ in 0..2 {
            if let Some(view) = self.look_for(tenant, id).await? {
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    async fn look_for(&self, tenant: TenantId, id: TaskId) -> Result<Option<TaskView>, StoreError> {
        if let Some(row) = self.read(sql::QUEUE_GET, &[Value::id(tenant), Value::id(id)]).await?.first() {
            let state = row.word("state", Waiting::from_word)?;
            return Ok(Some(TaskView::Waiting { task: task_of(row)?, state, ready_at: row.time("ready_at")? }));
        }
        if let Some(row) = self.read(sql::LEASES_GET, &[Value::id(tenant), Value::id(id)]).await?.first() {
            let (held, started_at) = (Held::of(row)?, row.time("started_at")?);
            let (worker, is_interrupted) = (held.worker, held.is_interrupted);
            return Ok(Some(TaskView::Leased { task: held.task, worker, started_at, is_interrupted }));
        }
        let rows = self.read(sql::FINISHED_GET, &[Value::id(tenant), Value::id(id)]).await?;
        Ok(rows.first().map(FinishedTask::of).transpose()?.map(TaskView::Finished))
    }

    /// Dead letters of a tenant, latest end first; `after` is the last one of the page before.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn dead_letters(
        &self,
        tenant: TenantId,
        after: Option<(Timestamp, TaskId)>,
        limit: u32,
    ) -> Result<Vec<FinishedTask>, StoreError> {
        let (at, id) = after.map_or((i64::MAX, "~".to_owned()), |(at, id)| (at.as_micros(), id.to_string()));
        let values = [Value::id(tenant), Value::int(at), Value::text(id), Value::int(limit.min(1_000))];
        self.read(sql::FINISHED_DEAD, &values).await?.iter().map(FinishedTask::of).collect()
    }

    /// Removes records and keys that are older than they are to be kept; gives the number of records. In transactions of
    /// 10,000, at most a hundred of them: what is left is for the next pass.
    ///
    /// # Errors
    /// [`StoreError`]; what was removed before stays removed.
    pub async fn purge_tasks(&self, retention: &Retention) -> Result<u64, StoreError> {
        let values = [Value::time(retention.finished_before), Value::int(PURGE_MAX)];
        let mut purged = self.drop_partitions(retention.finished_before).await?;
        for _ in 0..PURGE_ROUNDS_MAX {
            let round = transaction!(self, |tx| tx.execute(sql::FINISHED_PURGE, &values).await)?;
            purged += round;
            if round == 0 {
                break;
            }
        }
        let keys = [Value::time(retention.keys_before)];
        transaction!(self, |tx| {
            tx.execute(sql::TASK_KEYS_FORGET, &keys).await?;
            tx.execute(sql::LIMITS_FORGET, &keys).await.map(|_| ())
        })?;
        Ok(purged)
    }
}
