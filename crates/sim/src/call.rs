//! The store's verbs as messages: what is asked, and what is answered.
//!
//! The caller's clock goes with the call, as it does over SQL: a call that was held up is carried out with the time at
//! which it was sent.

use std::fmt;

use mb_core::id::{RunId, TaskId, TenantId, WorkerId};
use mb_core::queue::{Beat, Bounds, Claim, Completion, Enqueued, Flow, NewTask, Outcome, Refused, Settled, TaskCancel};
use mb_core::task::{Lease, QueueClass};
use mb_core::time::Timestamp;
use std::time::Duration;

use crate::model::{CancelRun, Finish, Granted, Model, NewRun, Report};

/// What somebody asks of the store.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    /// Put tasks on the queue.
    Enqueue(Vec<NewTask>),
    /// Take tasks.
    Claim(Claim),
    /// Keep leases.
    Heartbeat(Vec<Lease>, Duration),
    /// Say how tasks ended.
    Complete(Vec<(Lease, Outcome)>),
    /// Say how a run's task ended.
    Report(Lease, Box<Report>),
    /// Take tasks from workers that vanished.
    Reap(u32),
    /// Take tasks from a worker that is known to be gone.
    Release(WorkerId),
    /// Cancel a task.
    CancelTask(TenantId, TaskId),
    /// Pause, drain, restart.
    SetFlow(QueueClass, Flow),
    /// Dead letters back on the queue.
    Requeue(TenantId, Vec<TaskId>),
    /// Forget what ended before.
    Purge(Timestamp),
    /// Make a run.
    CreateRun(Box<NewRun>),
    /// Cancel a run.
    CancelRun(TenantId, RunId),
}

/// What the store answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// To [`Call::Enqueue`].
    Enqueued(Result<Vec<Enqueued>, Refused>),
    /// To [`Call::Claim`].
    Granted(Vec<Granted>),
    /// To [`Call::Heartbeat`].
    Beats(Vec<Beat>),
    /// To [`Call::Complete`].
    Completed(Vec<Completion>),
    /// To [`Call::Report`].
    Reported(Option<Finish>),
    /// To [`Call::Reap`], [`Call::Release`] and [`Call::Requeue`].
    Taken(Vec<TaskId>),
    /// To [`Call::CancelTask`].
    Canceled(TaskCancel),
    /// To [`Call::SetFlow`].
    Done,
    /// To [`Call::Purge`].
    Count(usize),
    /// To [`Call::CreateRun`]: whether it is new.
    Created(bool),
    /// To [`Call::CancelRun`].
    RunCanceled(CancelRun),
}

impl Call {
    /// Carries the call out.
    pub(crate) fn apply(&self, model: &mut Model, now: Timestamp, bounds: &Bounds) -> Answer {
        match self {
            Call::Enqueue(tasks) => Answer::Enqueued(model.enqueue(now, tasks, bounds)),
            Call::Claim(claim) => Answer::Granted(model.claim(now, claim)),
            Call::Heartbeat(leases, lease) => Answer::Beats(model.heartbeat(now, leases, *lease)),
            Call::Complete(reports) => Answer::Completed(model.complete(now, reports)),
            Call::Report(lease, report) => Answer::Reported(model.report(now, lease, Report::clone(report))),
            Call::Reap(limit) => Answer::Taken(model.reap(now, *limit)),
            Call::Release(worker) => Answer::Taken(model.release(now, *worker)),
            Call::CancelTask(tenant, id) => Answer::Canceled(model.cancel_task(now, *tenant, *id)),
            Call::SetFlow(class, flow) => {
                model.set_flow(*class, *flow);
                Answer::Done
            }
            Call::Requeue(tenant, ids) => Answer::Taken(model.requeue(now, *tenant, ids)),
            Call::Purge(before) => Answer::Count(model.purge(*before)),
            Call::CreateRun(new) => Answer::Created(model.create_run(now, NewRun::clone(new))),
            Call::CancelRun(tenant, id) => Answer::RunCanceled(model.cancel_run(now, *tenant, *id, "somebody")),
        }
    }
}

/// The end of an id, which is what differs between those of one simulation.
fn short(text: impl fmt::Display) -> String {
    let text = text.to_string();
    text[text.len().saturating_sub(6)..].to_owned()
}

fn lease(lease: &Lease) -> String {
    format!("{}@{}", short(lease.task), lease.fence.0 % 1_000_000_000)
}

fn list<T>(items: &[T], one: impl Fn(&T) -> String) -> String {
    items.iter().map(one).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Enqueue(tasks) => {
                let one = |task: &NewTask| {
                    format!(
                        "{} {} {} {:?} {:?}",
                        short(task.id),
                        task.class,
                        task.priority,
                        task.idempotency,
                        task.options
                    )
                };
                write!(f, "enqueue {}", list(tasks, one))
            }
            Call::Claim(claim) => write!(f, "claim {} {:?}", short(claim.worker), claim.slots),
            Call::Heartbeat(leases, _) => write!(f, "heartbeat {}", list(leases, lease)),
            Call::Complete(reports) => {
                write!(f, "complete {}", list(reports, |(held, outcome)| format!("{} {outcome:?}", lease(held))))
            }
            Call::Report(held, report) => {
                let how = match &**report {
                    Report::Attempted(outcome) if outcome.success() => "succeeded",
                    Report::Attempted(_) => "failed",
                    Report::Repaired(outcome) => outcome.verdict.word(),
                    Report::Published(_) => "published",
                    Report::GaveBack => "gave back",
                };
                write!(f, "report {} {how}", lease(held))
            }
            Call::Reap(limit) => write!(f, "reap {limit}"),
            Call::Release(worker) => write!(f, "release {}", short(worker)),
            Call::CancelTask(_, id) => write!(f, "cancel {}", short(id)),
            Call::SetFlow(class, flow) => write!(f, "flow {class} {flow}"),
            Call::Requeue(_, ids) => write!(f, "requeue {}", list(ids, |id| short(id))),
            Call::Purge(before) => write!(f, "purge {before}"),
            Call::CreateRun(new) => write!(f, "run {}", short(new.run.id)),
            Call::CancelRun(_, id) => write!(f, "cancel run {}", short(id)),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Enqueued(Ok(answers)) => {
                let one = |answer: &Enqueued| match answer {
                    Enqueued::New(id) => short(id),
                    Enqueued::Duplicate(id) => format!("={}", short(id)),
                };
                f.write_str(&list(answers, one))
            }
            Answer::Enqueued(Err(refused)) => write!(f, "{refused}"),
            Answer::Granted(granted) => f.write_str(&list(granted, |granted| lease(&granted.lease))),
            Answer::Beats(beats) => f.write_str(&list(beats, |beat| format!("{beat:?}"))),
            Answer::Completed(completions) => {
                let one = |completion: &Completion| match completion {
                    Completion::Settled(Settled::Finished(ending)) => ending.fate.to_string(),
                    Completion::Settled(Settled::Again { ready_at, .. }) => format!("again {ready_at}"),
                    Completion::StaleFence => "stale".to_owned(),
                };
                f.write_str(&list(completions, one))
            }
            Answer::Reported(finish) => write!(f, "{finish:?}"),
            Answer::Taken(ids) => f.write_str(&list(ids, |id| short(id))),
            Answer::Canceled(canceled) => write!(f, "{canceled:?}"),
            Answer::Done => f.write_str("done"),
            Answer::Count(count) => write!(f, "{count}"),
            Answer::Created(is_new) => write!(f, "new: {is_new}"),
            Answer::RunCanceled(canceled) => write!(f, "{canceled:?}"),
        }
    }
}
