//! What an operator does to queues and workers of all nodes: one door for the API, the console and the command line.
//!
//! Everything that changes something is written down with who did it, under the target `audit`. Deliberately absent:
//! events of the timeline (an event belongs to a run) and who may do what (the callers' affair).

use std::time::Duration;

use mb_core::id::{TaskId, TenantId, WorkerId};
use mb_core::queue::{Bounds, Enqueued, Flow, NewTask, TaskCancel};
use mb_core::task::QueueClass;
use mb_store::{FinishedTask, StoreError};

use crate::Engine;

/// Dead letters enqueued again by one call at most; what is left is for the next.
pub const REQUEUE_MAX: usize = 10_000;
/// Dead letters read at once.
const PAGE: usize = 1_000;

/// What an operator may set for a whole installation.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Most tasks that may wait.
    pub bounds: Bounds,
    /// How long records of tasks that ended are kept, and idempotency keys.
    pub task_retention: Duration,
}

impl Default for EngineOptions {
    /// The usual bounds, records for a week.
    fn default() -> Self {
        Self { bounds: Bounds::usual(), task_retention: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

impl Engine {
    /// Most tasks that may wait.
    pub fn bounds(&self) -> &Bounds {
        &self.options().bounds
    }

    /// Puts tasks on the queue within the bounds, all of them or none.
    ///
    /// # Errors
    /// [`StoreError::Refused`] says which task is not valid or which bound is reached.
    pub async fn enqueue(&self, tasks: &[NewTask]) -> Result<Vec<Enqueued>, StoreError> {
        self.store().enqueue(self.env().now(), tasks, self.bounds()).await
    }

    /// Pauses, drains or restarts classes, on all nodes.
    ///
    /// # Errors
    /// When the store does not answer; classes before it are changed then.
    pub async fn set_flow(&self, actor: &str, classes: &[QueueClass], flow: Flow) -> Result<(), StoreError> {
        for &class in classes {
            self.store().set_flow(class, flow).await?;
            tracing::info!(target: "audit", actor, queue = %class, %flow, "queue set");
        }
        Ok(())
    }

    /// Takes back tasks whose leases have run out, and gives how many. Live leases are not touched.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn clear_stuck(&self, actor: &str) -> Result<usize, StoreError> {
        let cleared = self.store().clear_stuck(self.env().now()).await?.len();
        tracing::info!(target: "audit", actor, cleared, "stuck tasks cleared");
        Ok(cleared)
    }

    /// Cancels a task that belongs to no run.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn cancel_task(&self, actor: &str, tenant: TenantId, id: TaskId) -> Result<TaskCancel, StoreError> {
        let canceled = self.store().cancel_task(self.env().now(), tenant, id).await?;
        tracing::info!(target: "audit", actor, task = %id, answer = ?canceled, "task canceled");
        Ok(canceled)
    }

    /// Dead letters of a tenant, latest end first, at most [`REQUEUE_MAX`].
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn all_dead_letters(&self, tenant: TenantId) -> Result<Vec<FinishedTask>, StoreError> {
        let mut all: Vec<FinishedTask> = Vec::new();
        loop {
            let after = all.last().map(|last| (last.finished_at, last.id));
            let page = self.store().dead_letters(tenant, after, u32::try_from(PAGE).unwrap_or(u32::MAX)).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last || all.len() >= REQUEUE_MAX {
                all.truncate(REQUEUE_MAX);
                return Ok(all);
            }
        }
    }

    /// Enqueues dead letters again and names those it did. What is no dead letter of the tenant is left out. An operator
    /// asks for it, so the bounds do not hold.
    ///
    /// # Errors
    /// When the store does not answer; what was enqueued before stays so.
    pub async fn requeue(&self, actor: &str, tenant: TenantId, tasks: &[TaskId]) -> Result<Vec<TaskId>, StoreError> {
        let mut again = Vec::new();
        for some in tasks.chunks(PAGE) {
            again.extend(self.store().requeue(self.env().now(), tenant, some).await?);
        }
        tracing::info!(target: "audit", actor, asked = tasks.len(), requeued = again.len(), "dead letters enqueued again");
        Ok(again)
    }

    /// Asks one worker or all of them, on any node, to finish what they do and end; gives how many were asked.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end_workers(&self, actor: &str, only: Option<WorkerId>) -> Result<u64, StoreError> {
        let asked = self.store().end_workers(self.env().now(), only).await?;
        tracing::info!(target: "audit", actor, worker = only.map(tracing::field::display), asked, "workers asked to end");
        Ok(asked)
    }
}
