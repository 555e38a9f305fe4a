//! One step of a script, on the model and on a store, with what it says as text.

use mb_core::error::chain;
use mb_core::id::{RunId, TaskId, TenantId, WorkerId};
use mb_core::queue::{Bounds, Claim, Enqueued, Flow, NewTask, Outcome, Refused, Waiting};
use mb_core::run::Run;
use mb_core::task::{Lease, QueueClass};
use mb_core::time::Timestamp;
use mb_sim::model::{CancelRun, Entry, Finish, Finished, Model, NewRun, Place, Report};
use mb_store::{Cancel, Retention, Store, StoreError, TaskView};

use crate::support::LEASE;

/// A verb with its arguments.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Enqueue(Vec<NewTask>, Bounds),
    Claim(Claim),
    Heartbeat(Vec<Lease>),
    Complete(Vec<(Lease, Outcome)>),
    Finish(Lease, Box<Report>),
    Reap(u32),
    WorkerGone(WorkerId),
    Cancel(TenantId, TaskId),
    SetFlow(QueueClass, Flow),
    Requeue(TenantId, Vec<TaskId>),
    Purge(Timestamp),
    CreateRun(Box<Run>, Option<String>),
    CancelRun(TenantId, RunId),
}

impl Step {
    pub(super) fn on_model(&self, model: &mut Model, now: Timestamp) -> String {
        match self {
            Step::Enqueue(tasks, bounds) => enqueued(model.enqueue(now, tasks, bounds)),
            Step::Claim(claim) => {
                let granted = model.claim(now, claim);
                lines(granted.iter().map(|granted| format!("{:?} {:?}", granted.lease, granted.task)))
            }
            Step::Heartbeat(leases) => format!("{:?}", model.heartbeat(now, leases, LEASE)),
            Step::Complete(reports) => format!("{:?}", model.complete(now, reports)),
            Step::Finish(lease, report) => match model.report(now, lease, Report::clone(report)) {
                Some(Finish::Applied) => "applied".to_owned(),
                Some(Finish::StaleFence) => "stale".to_owned(),
                Some(Finish::Refused(illegal)) => illegal.to_string(),
                None => "invalid".to_owned(),
            },
            Step::Reap(limit) => lines(model.reap(now, *limit).iter().map(ToString::to_string)),
            Step::WorkerGone(worker) => lines(model.release(now, *worker).iter().map(ToString::to_string)),
            Step::Cancel(tenant, id) => format!("{:?}", model.cancel_task(now, *tenant, *id)),
            Step::SetFlow(class, flow) => {
                model.set_flow(*class, *flow);
                String::new()
            }
            Step::Requeue(tenant, ids) => format!("{:?}", model.requeue(now, *tenant, ids)),
            Step::Purge(before) => model.purge(*before).to_string(),
            Step::CreateRun(run, affinity) => {
                let new = NewRun { run: Run::clone(run), affinity: affinity.clone() };
                model.create_run(now, new).to_string()
            }
            Step::CancelRun(tenant, id) => canceled(model.cancel_run(now, *tenant, *id, "ann")),
        }
    }

    pub(super) async fn on_store(&self, store: &Store, now: Timestamp) -> String {
        match self {
            Step::Enqueue(tasks, bounds) => match store.enqueue(now, tasks, bounds).await {
                Ok(answers) => enqueued(Ok(answers)),
                Err(StoreError::Refused(refused)) => enqueued(Err(refused)),
                Err(error) => chain(&error),
            },
            Step::Claim(claim) => {
                let granted = store.claim(now, claim).await.unwrap();
                lines(granted.iter().map(|granted| format!("{:?} {:?}", granted.lease, granted.task)))
            }
            Step::Heartbeat(leases) => format!("{:?}", store.heartbeat(now, leases, LEASE).await.unwrap()),
            Step::Complete(reports) => format!("{:?}", store.complete(now, reports).await.unwrap()),
            Step::Finish(lease, report) => match store.finish(now, lease, report_of(report)).await {
                Ok(mb_store::Finished::Applied { .. }) => "applied".to_owned(),
                Ok(mb_store::Finished::StaleFence) => "stale".to_owned(),
                Ok(mb_store::Finished::Refused(illegal)) => illegal.to_string(),
                Err(StoreError::Invalid { .. }) => "invalid".to_owned(),
                Err(error) => chain(&error),
            },
            Step::Reap(limit) => taken(&store.reap(now, *limit).await.unwrap()),
            Step::WorkerGone(worker) => taken(&store.worker_gone(now, *worker).await.unwrap()),
            Step::Cancel(tenant, id) => format!("{:?}", store.cancel_task(now, *tenant, *id).await.unwrap()),
            Step::SetFlow(class, flow) => {
                store.set_flow(*class, *flow).await.unwrap();
                String::new()
            }
            Step::Requeue(tenant, ids) => format!("{:?}", store.requeue(now, *tenant, ids).await.unwrap()),
            Step::Purge(before) => {
                let retention = Retention { finished_before: *before, keys_before: *before };
                store.purge_tasks(&retention).await.unwrap().to_string()
            }
            Step::CreateRun(run, affinity) => {
                let (run, affinity) = (Run::clone(run), affinity.clone());
                let new = mb_store::NewRun { run, idempotency_key: None, affinity, actor: "ann".into() };
                (!store.create_run(now, new).await.unwrap().existed).to_string()
            }
            Step::CancelRun(tenant, id) => canceled(match store.cancel(now, *tenant, *id, "ann").await.unwrap() {
                Cancel::Requested => CancelRun::Requested,
                Cancel::AlreadyOver => CancelRun::AlreadyOver,
                Cancel::NotFound => CancelRun::NotFound,
            }),
        }
    }
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn taken(leases: &[Lease]) -> String {
    lines(leases.iter().map(|lease| lease.task.to_string()))
}

fn canceled(canceled: CancelRun) -> String {
    format!("{canceled:?}")
}

fn enqueued(answer: Result<Vec<Enqueued>, Refused>) -> String {
    match answer {
        Ok(answers) => format!("{answers:?}"),
        // How many wait beyond the bound is not counted by a database.
        Err(Refused::Full { queue, bound, retry_after, .. }) => format!("{queue} is full at {bound}: {retry_after:?}"),
        Err(refused) => chain(&refused),
    }
}

fn report_of(report: &Report) -> mb_store::Report {
    match report.clone() {
        Report::Attempted(outcome) => mb_store::Report::Attempted(outcome),
        Report::Repaired(outcome) => mb_store::Report::Repaired { outcome, patches: Vec::new() },
        Report::Published(published) => mb_store::Report::Published(published),
        Report::GaveBack => mb_store::Report::GaveBack,
    }
}

/// Everything there is to see: each task, each class, each run.
pub(super) fn left_in_model(model: &Model, now: Timestamp, tasks: &[(TenantId, TaskId)]) -> String {
    let place = |(_, id): &(TenantId, TaskId)| {
        let entry = model.task(*id).map(view_of);
        let view = entry.or_else(|| model.finished().get(id).map(|record| TaskView::Finished(record_of(record))));
        format!("{id} {view:?}")
    };
    let stats = model.stats(now).into_iter().map(|class| {
        let flow = model.flow(class.class);
        let (ready, delayed, blocked, leased) = (class.ready, class.delayed, class.blocked, class.leased);
        format!("{} {flow} {ready} {delayed} {blocked} {leased} {:?}", class.class, class.oldest_ready_age)
    });
    let runs = model.runs().values().map(|run| format!("{run:?}"));
    lines(tasks.iter().map(place).chain(stats).chain(runs))
}

/// The tasks of runs that are not over.
pub(super) fn of_runs(model: &Model) -> Vec<(TenantId, TaskId)> {
    let of_runs = model.tasks().filter(|entry| entry.key.is_some());
    of_runs.map(|entry| (entry.task.tenant, entry.task.id)).collect()
}

/// The same of a store; `model` only says which runs there are.
pub(super) async fn left_in_store(
    store: &Store,
    now: Timestamp,
    tasks: &[(TenantId, TaskId)],
    model: &Model,
) -> String {
    let mut found = Vec::new();
    for (tenant, id) in tasks {
        found.push(format!("{id} {:?}", store.task(*tenant, *id).await.unwrap()));
    }
    for class in store.queue_stats(now).await.unwrap() {
        let (ready, delayed, blocked, leased) = (class.ready, class.delayed, class.blocked, class.leased);
        let age = class.oldest_ready_age;
        found.push(format!("{} {} {ready} {delayed} {blocked} {leased} {age:?}", class.class, class.flow));
    }
    for run in model.runs().values() {
        if let Some(run) = store.run(run.tenant, run.id).await.unwrap() {
            found.push(format!("{run:?}"));
        }
    }
    lines(found.into_iter())
}

fn view_of(entry: &Entry) -> TaskView {
    let task = entry.task.clone();
    match &entry.place {
        Place::Waiting(state) => {
            let state: Waiting = *state;
            TaskView::Waiting { task, state, ready_at: entry.ready_at }
        }
        Place::Leased(holder) => TaskView::Leased {
            task,
            worker: holder.worker,
            started_at: holder.since,
            is_interrupted: holder.is_interrupted,
        },
    }
}

fn record_of(record: &Finished) -> mb_store::FinishedTask {
    let letter = record.letter.clone();
    let usual = mb_core::queue::TaskOptions::default();
    mb_store::FinishedTask {
        id: record.id,
        tenant: record.tenant,
        kind: record.kind.clone(),
        class: record.class,
        priority: record.priority,
        failures: record.failures,
        losses: record.losses,
        enqueued_at: record.enqueued_at,
        started_at: record.started_at,
        finished_at: record.finished_at,
        worker: record.worker,
        fate: record.fate,
        error: record.error.clone(),
        payload: letter.as_ref().map(|letter| letter.payload.clone()),
        options: letter.map(|letter| letter.options).filter(|options| *options != usual),
    }
}
