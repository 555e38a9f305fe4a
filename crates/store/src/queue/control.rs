//! What operators do to the queue: pause, drain, cancel, take back, try dead letters again.

use std::collections::BTreeMap;

use mb_core::id::{TaskId, TenantId};
use mb_core::queue::{Ending, Fate, Flow, FlowKey, TaskCancel, TaskOptions};
use mb_core::task::{Lease, QueueClass};
use mb_core::time::Timestamp;

use crate::db::{Column, Row, Session, Value};
use crate::error::StoreError;
use crate::queue::enqueue::{Fair, flows, head};
use crate::queue::history::FinishedTask;
use crate::queue::limits;
use crate::queue::row::{From, Held, TAKE_BACK_ROUNDS_MAX, ids, options_of, options_text, record, task_of};
use crate::sql;
use crate::store::{Store, transaction};

/// Dead letters enqueued again by one call.
pub(crate) const REQUEUE_MAX: usize = 1_000;

impl Store {
    /// What each class does; those that are not named run.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn flows(&self) -> Result<BTreeMap<QueueClass, Flow>, StoreError> {
        self.deadline(async { flows(&mut self.inner.backend.read().await?).await }).await
    }

    /// Pauses, drains or restarts a class, for all nodes from their next claim on. Leases are not touched.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn set_flow(&self, class: QueueClass, flow: Flow) -> Result<(), StoreError> {
        transaction!(self, |tx| {
            tx.execute(sql::FLOWS_SET, &[Value::id(class), Value::id(flow)]).await?;
            tx.is_change = true;
            Ok(())
        })
    }

    /// Cancels a task that belongs to no run: one that waits is over, one that is leased is told to stop.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn cancel_task(&self, now: Timestamp, tenant: TenantId, id: TaskId) -> Result<TaskCancel, StoreError> {
        transaction!(self, |tx| cancel(tx, now, tenant, id).await)
    }

    /// Takes back what expired leases hold, however many (at most 500 a transaction, 20 transactions). Live leases are
    /// not touched.
    ///
    /// # Errors
    /// [`StoreError`]; what was taken back before stays so.
    pub async fn clear_stuck(&self, now: Timestamp) -> Result<Vec<Lease>, StoreError> {
        let mut taken_back = Vec::new();
        for _ in 0..TAKE_BACK_ROUNDS_MAX {
            let round = self.reap(now, super::TAKE_BACK_MAX).await?;
            if round.is_empty() {
                break;
            }
            taken_back.extend(round);
        }
        Ok(taken_back)
    }

    /// Enqueues dead letters again, as if they were new but under their ids; names those it did. One whose unique key is
    /// taken stays where it is. At most 1,000 at a time.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn requeue(&self, now: Timestamp, tenant: TenantId, tasks: &[TaskId]) -> Result<Vec<TaskId>, StoreError> {
        if tasks.len() > REQUEUE_MAX {
            return Err(StoreError::invalid(format!("at most {REQUEUE_MAX} tasks can be enqueued again at a time")));
        }
        let fair = &self.inner.fair;
        transaction!(self, |tx| requeue(tx, now, tenant, tasks, fair).await)
    }
}

async fn cancel(tx: &mut Session, now: Timestamp, tenant: TenantId, id: TaskId) -> Result<TaskCancel, StoreError> {
    let is_own = |row: &Row| Ok::<_, StoreError>(task_of(row)?.tenant == tenant && row.opt_text("run")?.is_none());
    if let Some(row) = tx.row(sql::QUEUE_HOLD, &[ids([&id])]).await? {
        if !is_own(&row)? {
            return Ok(TaskCancel::Unknown);
        }
        let ending = Ending::of(&task_of(&row)?, Fate::Canceled, None);
        record(tx, now, From::Queue, &[(id, ending)]).await?;
        // It may have been the one that was to have the free place.
        let freed = options_of(&row)?.concurrency.map(|limit| (tenant, limit.key));
        limits::unblock(tx, freed).await?;
        return Ok(TaskCancel::Canceled);
    }
    if let Some(row) = tx.row(sql::LEASES_HOLD, &[ids([&id])]).await? {
        let held = Held::of(&row)?;
        if held.task.tenant != tenant || held.key.is_some() {
            return Ok(TaskCancel::Unknown);
        }
        tx.execute(sql::LEASES_INTERRUPT_TASK, &[Value::id(id)]).await?;
        return Ok(TaskCancel::Interrupted);
    }
    let over = tx.row(sql::FINISHED_GET, &[Value::id(tenant), Value::id(id)]).await?;
    Ok(if over.is_some() { TaskCancel::Over } else { TaskCancel::Unknown })
}

async fn requeue(
    tx: &mut Session,
    now: Timestamp,
    tenant: TenantId,
    tasks: &[TaskId],
    fair: &Fair,
) -> Result<Vec<TaskId>, StoreError> {
    let rows = tx.rows(sql::FINISHED_HOLD, &[Value::id(tenant), ids(tasks)]).await?;
    let mut again = Vec::new();
    for dead in rows.iter().map(FinishedTask::of).collect::<Result<Vec<_>, _>>()? {
        if take_unique(tx, now, &dead).await? {
            again.push(dead);
        }
    }
    if again.is_empty() {
        return Ok(Vec::new());
    }
    let mut ranks = Vec::with_capacity(again.len());
    for dead in &again {
        let flow = FlowKey { tenant, class: dead.class, priority: dead.priority };
        ranks.extend(fair.next(now, head(tx, dead.class).await?, flow, 1).into_iter().map(|rank| rank.0));
    }
    let options = again.iter().map(|dead| options_again(dead.options.as_ref())).collect::<Result<_, _>>()?;
    let gate = |dead: &FinishedTask| dead.options.as_ref()?.concurrency.as_ref().map(|limit| limit.key.clone());
    let columns = vec![
        Column::Texts(again.iter().map(|dead| dead.id.to_string()).collect()),
        Column::Ints(ranks),
        Column::OptTexts(again.iter().map(gate).collect()),
        Column::OptTexts(options),
    ];
    tx.execute(sql::FINISHED_BACK, &[Value::time(now), Value::Columns(columns)]).await?;
    let again: Vec<TaskId> = again.into_iter().map(|dead| dead.id).collect();
    tx.execute(sql::FINISHED_REMOVE, &[ids(&again)]).await?;
    tx.is_change = true;
    Ok(again)
}

/// What the task asks for the second time: the same, but a deadline that passed would end it at once.
fn options_again(options: Option<&TaskOptions>) -> Result<Option<String>, StoreError> {
    options.map_or(Ok(None), |options| options_text(&TaskOptions { deadline: None, ..options.clone() }))
}

async fn take_unique(tx: &mut Session, now: Timestamp, dead: &FinishedTask) -> Result<bool, StoreError> {
    let Some(key) = dead.options.as_ref().and_then(|options| options.unique.as_ref()) else { return Ok(true) };
    let columns = vec![
        Column::Texts(vec![dead.tenant.to_string()]),
        Column::Texts(vec![key.clone()]),
        Column::Texts(vec![dead.id.to_string()]),
    ];
    let values = [Value::text("unique"), Value::time(now), Value::Columns(columns)];
    Ok(!tx.rows(sql::TASK_KEYS_ADD, &values).await?.is_empty())
}
