//! Queues, workers and tasks as everybody asks about them: the API, the console, and the command line on a data folder.
//!
//! Reads give wire types; what is changed goes through [`Engine`], which writes down who did it. Deliberately absent: who
//! may do what (routes) and what follows from a change (the store).

use std::collections::BTreeMap;
use std::time::Duration;

use mb_api::Page;
use mb_api::fleet::{Pool, PriorityStatus, Queue, QueuesStatus, Stats, Worker, WorkersHealth, WorkersStatus};
use mb_api::task::{Added, NewTask, Requeue, Requeued, Task};
use mb_core::id::{TaskId, TenantId};
use mb_core::queue::{self, Backoff, Enqueued, TaskOptions};
use mb_core::task::QueueClass;
use mb_core::time::{Timestamp, millis};
use mb_engine::Engine;
use mb_store::{FinishedTask, QueueStats, SeenWorker, StoreError, TaskView};

/// Three heartbeats, which come at least every 2.5 s.
pub const UNHEALTHY: Duration = Duration::from_millis(7_500);
/// A worker not heard of for this long is not expected back.
pub const STALE: Duration = Duration::from_secs(300);

/// Every worker heard of within a day.
///
/// # Errors
/// When the store does not answer, as for all of these.
pub async fn workers(engine: &Engine) -> Result<Vec<Worker>, StoreError> {
    let now = engine.env().now();
    Ok(engine.store().workers(now).await?.iter().map(|seen| worker(now, seen)).collect())
}

/// A worker as it is at `now`.
pub fn worker(now: Timestamp, seen: &SeenWorker) -> Worker {
    let (row, age) = (&seen.worker, now.since(seen.seen_at));
    let health = match age {
        age if age > STALE => "stale",
        age if age > UNHEALTHY => "unhealthy",
        _ => "healthy",
    };
    Worker {
        id: row.id,
        node: row.node.clone(),
        pid: row.pid,
        version: row.version.clone(),
        version_skew: row.version != Engine::version().version,
        roles: row.roles.clone(),
        state: row.state.clone(),
        health: health.to_owned(),
        asked_to_end: seen.is_asked_to_end,
        slots: row.slots.iter().map(|(class, n)| (class.to_string(), *n as u64)).collect(),
        held: seen.held.iter().map(|(class, held)| (class.to_string(), held.count)).collect(),
        started_at: row.started_at,
        seen_at: seen.seen_at,
        seen_age_ms: millis(age),
        stale: age > STALE,
    }
}

/// The workers of each class together.
pub fn pools(workers: &[Worker]) -> BTreeMap<String, Pool> {
    let mut pools: BTreeMap<String, Pool> = BTreeMap::new();
    for worker in workers.iter().filter(|worker| !worker.asked_to_end && worker.state == "active") {
        for (class, slots) in &worker.slots {
            let pool = pools.entry(class.clone()).or_default();
            pool.expected += 1;
            if worker.health == "healthy" {
                pool.healthy += 1;
                pool.slots += slots;
                pool.held += worker.held.get(class).copied().unwrap_or(0);
            }
        }
    }
    pools
}

/// Every class of the queue.
///
/// # Errors
/// When the store does not answer.
pub async fn queues(engine: &Engine) -> Result<Vec<Queue>, StoreError> {
    let pools = pools(&workers(engine).await?);
    let stats = engine.store().queue_stats(engine.env().now()).await?;
    let slots = |class: QueueClass| pools.get(class.as_str()).map_or(0, |pool| pool.slots);
    Ok(stats.iter().map(|stats| queue(engine, stats, slots(stats.class))).collect())
}

fn queue(engine: &Engine, stats: &QueueStats, slots: u64) -> Queue {
    Queue {
        class: stats.class,
        state: stats.flow,
        ready: stats.ready,
        delayed: stats.delayed,
        blocked: stats.blocked,
        leased: stats.leased,
        capacity: engine.bounds().class.get(&stats.class).copied(),
        slots,
        oldest_ready_age_ms: stats.oldest_ready_age.map(millis),
    }
}

/// All queues in a few numbers.
///
/// # Errors
/// When the store does not answer.
pub async fn queues_status(engine: &Engine) -> Result<QueuesStatus, StoreError> {
    let mut priorities = Vec::new();
    for (&priority, &capacity) in &engine.bounds().priority {
        let depth = engine.store().waiting_of_priority(priority, capacity).await?;
        priorities.push(PriorityStatus { priority, depth, capacity });
    }
    let queues = queues(engine).await?.iter().map(Queue::status).collect();
    Ok(QueuesStatus { at: engine.env().now(), queues, priorities })
}

/// All workers.
///
/// # Errors
/// When the store does not answer.
pub async fn workers_status(engine: &Engine) -> Result<WorkersStatus, StoreError> {
    let workers = workers(engine).await?;
    let is_active = |worker: &&Worker| worker.health == "healthy" && !worker.asked_to_end;
    let active = workers.iter().filter(is_active).count() as u64;
    Ok(WorkersStatus { at: engine.env().now(), active, pools: pools(&workers), workers })
}

/// Whether the workers are as they should be.
///
/// # Errors
/// When the store does not answer.
pub async fn workers_health(engine: &Engine) -> Result<WorkersHealth, StoreError> {
    let status = workers_status(engine).await?;
    let mut problems: Vec<String> = status.workers.iter().filter_map(problem).collect();
    for queue in queues(engine).await?.iter().filter(|queue| queue.ready > 0 && queue.slots == 0) {
        problems.push(format!("{} tasks of class {} wait and no healthy worker serves it", queue.ready, queue.class));
    }
    let word = match (status.active, problems.is_empty()) {
        (0, _) => "down",
        (_, true) => "healthy",
        (_, false) => "degraded",
    };
    Ok(WorkersHealth { status: word.to_owned(), pools: status.pools, problems })
}

fn problem(worker: &Worker) -> Option<String> {
    let name = format!("worker {} on {}", worker.id, worker.node);
    if worker.health != "healthy" && worker.state == "active" {
        let age = mb_core::time::human(Duration::from_millis(worker.seen_age_ms));
        return Some(format!("{name} is {}: last heard of {age} ago", worker.health));
    }
    worker.version_skew.then(|| format!("{name} runs version {}, this server another", worker.version))
}

/// Queues, workers and runs on one page.
///
/// # Errors
/// When the store does not answer.
pub async fn stats(engine: &Engine, tenant: TenantId) -> Result<Stats, StoreError> {
    let at = engine.env().now();
    let mut longest: BTreeMap<String, u64> = BTreeMap::new();
    for held in engine.store().workers(at).await?.iter().flat_map(|seen| &seen.held) {
        let longest = longest.entry(held.0.to_string()).or_default();
        *longest = (*longest).max(millis(at.since(held.1.since)));
    }
    let queues = queues(engine).await?;
    Ok(Stats {
        at,
        queues: queues.iter().map(|queue| (queue.class.to_string(), queue.status())).collect(),
        workers: pools(&workers(engine).await?),
        longest_held_ms: longest,
        runs: engine.store().run_counts(tenant).await?,
    })
}

/// Puts tasks on the queue, all of them or none.
///
/// # Errors
/// [`StoreError::Refused`] says which task is not valid or which bound is reached.
pub async fn enqueue(engine: &Engine, tenant: TenantId, wishes: Vec<NewTask>) -> Result<Vec<Added>, StoreError> {
    let tasks: Vec<queue::NewTask> = wishes.into_iter().map(|wish| new_task(engine, tenant, wish)).collect();
    let added = engine.enqueue(&tasks).await?;
    let one = |added: &Enqueued| Added { id: added.id(), existed: matches!(added, Enqueued::Duplicate(_)) };
    Ok(added.iter().map(one).collect())
}

fn new_task(engine: &Engine, tenant: TenantId, wish: NewTask) -> queue::NewTask {
    let usual = TaskOptions::default();
    queue::NewTask {
        id: engine.env().task_id(),
        tenant,
        kind: wish.kind,
        class: wish.class,
        priority: wish.priority,
        payload: wish.payload.to_string(),
        not_before: wish.not_before,
        idempotency: wish.idempotency_key,
        options: TaskOptions {
            attempts_max: wish.attempts_max.unwrap_or(usual.attempts_max),
            backoff: wish.backoff.map_or(usual.backoff, Backoff::from),
            timeout_ms: wish.timeout_ms,
            deadline: wish.deadline,
            unique: wish.unique,
            concurrency: wish.concurrency.map(Into::into),
            rate: wish.rate.map(Into::into),
        },
    }
}

/// A task, wherever it is.
///
/// # Errors
/// When the store does not answer.
pub async fn task(engine: &Engine, tenant: TenantId, id: TaskId) -> Result<Option<Task>, StoreError> {
    Ok(engine.store().task(tenant, id).await?.map(|view| match view {
        TaskView::Waiting { task, state, ready_at } => {
            Task { state: state.to_string(), ready_at: Some(ready_at), ..living(task) }
        }
        TaskView::Leased { task, worker, started_at, is_interrupted } => Task {
            state: "leased".into(),
            canceling: is_interrupted,
            started_at: Some(started_at),
            worker: Some(worker),
            ..living(task)
        },
        TaskView::Finished(task) => finished(task),
    }))
}

fn living(task: queue::Task) -> Task {
    Task {
        id: task.id,
        kind: task.kind,
        class: task.class,
        priority: task.priority,
        state: String::new(),
        canceling: false,
        failures: task.failures,
        losses: task.losses,
        enqueued_at: task.enqueued_at,
        ready_at: None,
        started_at: None,
        finished_at: None,
        worker: None,
        error: None,
        payload: serde_json::from_str(&task.payload).ok(),
    }
}

fn finished(task: FinishedTask) -> Task {
    Task {
        id: task.id,
        kind: task.kind,
        class: task.class,
        priority: task.priority,
        state: task.fate.to_string(),
        canceling: false,
        failures: task.failures,
        losses: task.losses,
        enqueued_at: task.enqueued_at,
        ready_at: None,
        started_at: task.started_at,
        finished_at: Some(task.finished_at),
        worker: task.worker,
        error: task.error,
        payload: task.payload.and_then(|payload| serde_json::from_str(&payload).ok()),
    }
}

/// Tasks that failed for good, latest first, after the one a page before ended with.
///
/// # Errors
/// [`StoreError::Invalid`] when the cursor is none of ours.
pub async fn dead_letters(
    engine: &Engine,
    tenant: TenantId,
    limit: u32,
    after: Option<&str>,
) -> Result<Page<Task>, StoreError> {
    let after = after.map(cursor).transpose()?;
    let dead = engine.store().dead_letters(tenant, after, limit).await?;
    let is_full = dead.len() >= limit as usize;
    let next = dead.last().filter(|_| is_full).map(|last| format!("{}.{}", last.finished_at.as_micros(), last.id));
    Ok(Page { items: dead.into_iter().map(finished).collect(), next })
}

fn cursor(text: &str) -> Result<(Timestamp, TaskId), StoreError> {
    let parts = text.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    let unknown = || StoreError::Invalid { what: "after is not the cursor a list ended with".into(), source: None };
    parts.map(|(at, id)| (Timestamp::from_micros(at), id)).ok_or_else(unknown)
}

/// Puts tasks that failed for good on the queue again, or says how many it would be.
///
/// # Errors
/// [`StoreError::Invalid`] when too many are named, or none.
pub async fn requeue(engine: &Engine, actor: &str, tenant: TenantId, wish: &Requeue) -> Result<Requeued, StoreError> {
    let invalid = |what: String| StoreError::Invalid { what, source: None };
    if wish.all != wish.ids.is_empty() {
        return Err(invalid("name ids, or say all: one of the two".into()));
    }
    if wish.ids.len() > mb_engine::REQUEUE_MAX {
        return Err(invalid(format!("at most {} ids at a time", mb_engine::REQUEUE_MAX)));
    }
    let dead: Vec<TaskId> = match wish.all {
        true => engine.all_dead_letters(tenant).await?.iter().map(|task| task.id).collect(),
        false => wish.ids.clone(),
    };
    if !wish.dry_run {
        let ids = engine.requeue(actor, tenant, &dead).await?;
        return Ok(Requeued { count: ids.len() as u64, ids, dry_run: false });
    }
    let mut count = 0;
    for id in &dead {
        let view = if wish.all { None } else { engine.store().task(tenant, *id).await? };
        let is_dead = |view| matches!(view, TaskView::Finished(task) if task.fate.is_dead_letter());
        count += u64::from(wish.all || view.is_some_and(is_dead));
    }
    Ok(Requeued { count, ids: Vec::new(), dry_run: true })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mb_core::id::WorkerId;
    use mb_store::WorkerRow;

    use super::*;

    fn seen(age: Duration, version: &str) -> Worker {
        let at = Timestamp::from_micros(1_000_000_000_000);
        let row = WorkerRow {
            id: WorkerId::from_bytes([1; 16]),
            node: "n".into(),
            pid: 1,
            version: version.into(),
            roles: ["worker".to_owned()].into(),
            slots: [(QueueClass::Cpu, 4)].into(),
            affinity: None,
            started_at: at,
            state: "active".into(),
        };
        worker(at + age, &SeenWorker { worker: row, seen_at: at, held: BTreeMap::new(), is_asked_to_end: false })
    }

    #[test]
    fn a_worker_is_unhealthy_after_three_beats_and_stale_after_five_minutes() {
        let health = |ms| seen(Duration::from_millis(ms), "x").health;
        assert_eq!([health(0), health(7_500), health(7_501)], ["healthy", "healthy", "unhealthy"]);
        assert_eq!([health(300_000), health(300_001)], ["unhealthy", "stale"]);
        assert!(seen(Duration::ZERO, "0.0.0-other").version_skew);
        assert!(!seen(Duration::ZERO, Engine::version().version).version_skew);
    }

    #[test]
    fn only_healthy_workers_count() {
        let mut asked = seen(Duration::ZERO, "x");
        asked.asked_to_end = true;
        let pools = pools(&[seen(Duration::ZERO, "x"), seen(STALE, "x"), asked]);
        assert_eq!(pools, BTreeMap::from([("cpu".to_owned(), Pool { expected: 2, healthy: 1, slots: 4, held: 0 })]));
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let id = TaskId::from_bytes([3; 16]);
        assert_eq!(cursor(&format!("17.{id}")).expect("ours"), (Timestamp::from_micros(17), id));
        for bad in ["", "17", "x.tsk_1", "17.run_x"] {
            assert!(cursor(bad).is_err(), "{bad}");
        }
    }
}
