//! Queues, workers and tasks: the same questions to a server and to a data folder.

use mb_api::fleet::{Queue, Worker};
use mb_api::task::{Added, NewTask, NewTasks, Requeue, Requeued, Task};
use mb_api::{Code, Page};
use mb_core::id::{TaskId, TenantId, WorkerId};
use mb_core::queue::{Flow, Refused, TaskCancel};
use mb_core::task::QueueClass;
use mb_server::fleet;
use mb_store::StoreError;

use super::{Access, remote};
use crate::exit::{Exit, Failure};

/// Who did it, in the log.
const ACTOR: &str = "command line";
const TENANT: TenantId = TenantId::DEFAULT;

impl Access {
    pub(crate) async fn workers(&self) -> Result<Vec<Worker>, Failure> {
        match self {
            Access::Remote(client) => Ok(client.workers().await.map_err(remote)?.items),
            Access::Local(engine) => fleet::workers(engine).await.map_err(stored),
        }
    }

    /// Asks one worker or all of them to end; gives how many.
    pub(crate) async fn end_workers(&self, only: Option<WorkerId>) -> Result<u64, Failure> {
        match self {
            Access::Remote(client) => Ok(client.end_workers(only).await.map_err(remote)?.asked),
            Access::Local(engine) => engine.end_workers(ACTOR, only).await.map_err(stored),
        }
    }

    pub(crate) async fn queues(&self) -> Result<Vec<Queue>, Failure> {
        match self {
            Access::Remote(client) => Ok(client.queues().await.map_err(remote)?.items),
            Access::Local(engine) => fleet::queues(engine).await.map_err(stored),
        }
    }

    pub(crate) async fn set_flow(&self, classes: &[QueueClass], verb: &str, flow: Flow) -> Result<(), Failure> {
        match self {
            Access::Remote(client) => {
                for &class in classes {
                    client.set_flow(class, verb).await.map_err(remote)?;
                }
                Ok(())
            }
            Access::Local(engine) => engine.set_flow(ACTOR, classes, flow).await.map_err(stored),
        }
    }

    pub(crate) async fn clear_stuck(&self) -> Result<u64, Failure> {
        match self {
            Access::Remote(client) => Ok(client.clear_stuck().await.map_err(remote)?.cleared),
            Access::Local(engine) => Ok(engine.clear_stuck(ACTOR).await.map_err(stored)? as u64),
        }
    }

    pub(crate) async fn enqueue(&self, wish: NewTask) -> Result<Added, Failure> {
        let added = match self {
            Access::Remote(client) => client.enqueue(&NewTasks { tasks: vec![wish] }).await.map_err(remote)?.tasks,
            Access::Local(engine) => fleet::enqueue(engine, TENANT, vec![wish]).await.map_err(stored)?,
        };
        added.into_iter().next().ok_or_else(|| anyhow::anyhow!("the answer names no task").into())
    }

    pub(crate) async fn task(&self, id: TaskId) -> Result<Task, Failure> {
        match self {
            Access::Remote(client) => client.task(id).await.map_err(remote),
            Access::Local(engine) => fleet::task(engine, TENANT, id).await.map_err(stored)?.ok_or_else(|| missing(id)),
        }
    }

    pub(crate) async fn cancel_task(&self, id: TaskId) -> Result<(), Failure> {
        match self {
            Access::Remote(client) => client.cancel_task(id).await.map(|_| ()).map_err(remote),
            Access::Local(engine) => match engine.cancel_task(ACTOR, TENANT, id).await.map_err(stored)? {
                TaskCancel::Canceled | TaskCancel::Interrupted => Ok(()),
                TaskCancel::Over => Err(Failure::new(Exit::Conflict, anyhow::anyhow!("{id} is already over"))
                    .mend(format!("mb task show {id}"))),
                TaskCancel::Unknown => Err(missing(id)),
            },
        }
    }

    pub(crate) async fn dead_letters(&self, limit: u32, after: Option<&str>) -> Result<Page<Task>, Failure> {
        match self {
            Access::Remote(client) => client.dead_letters(limit, after).await.map_err(remote),
            Access::Local(engine) => fleet::dead_letters(engine, TENANT, limit, after).await.map_err(stored),
        }
    }

    pub(crate) async fn requeue(&self, ids: &[TaskId], all: bool, dry_run: bool) -> Result<Requeued, Failure> {
        let wish = Requeue { ids: ids.to_vec(), all, dry_run };
        match self {
            Access::Remote(client) => client.requeue(&wish).await.map_err(remote),
            Access::Local(engine) => fleet::requeue(engine, ACTOR, TENANT, &wish).await.map_err(stored),
        }
    }
}

fn missing(id: TaskId) -> Failure {
    Failure::new(Exit::NotFound, anyhow::anyhow!("there is no task {id} here, or it is a run's")).mend("mb task dead")
}

/// What the store said, with the exit code and the mend the server would give.
fn stored(error: StoreError) -> Failure {
    let (exit, mend) = match &error {
        StoreError::Refused(Refused::Full { .. }) => (Exit::Degraded, Code::QueueFull.entry().hint.to_owned()),
        StoreError::Refused(Refused::Draining(class)) => (Exit::Unreachable, format!("mb queue restart {class}")),
        StoreError::Refused(_) | StoreError::Invalid { .. } => (Exit::Usage, "mb task add --help".to_owned()),
        _ => (Exit::Unreachable, "mb doctor".to_owned()),
    };
    Failure::new(exit, error).mend(mend)
}
