//! What must hold, whatever happens: an account kept beside the store, from calls and answers alone, and compared with
//! the store after every event.
//!
//! The ledger knows nothing of how the store decides. It knows who was granted what, what was promised to whom, and
//! which numbers may never be passed.
//!
//! Deliberately absent: the order in which tasks are granted; the suite of the store compares it step by step.

mod claims;
mod promises;
mod runs;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use mb_core::id::{RunId, TaskId, TenantId, WorkerId};
use mb_core::queue::limit::Rate;
use mb_core::queue::{Bounds, Completion, Enqueued, Flow, NewTask, Outcome, Settled, Task, TaskCancel, TaskOptions};
use mb_core::run::Run;
use mb_core::task::{Fence, Lease, QueueClass, TaskKey};
use mb_core::time::Timestamp;

use crate::call::{Answer, Call};
use crate::model::{Entry, Finish, Gate, Model};
use crate::plan::Plan;
use crate::process::Promise;

/// Ends the check with what is wrong unless the condition holds.
macro_rules! hold {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}
use hold;

/// What is wrong, in words.
pub(crate) type Check = Result<(), String>;

/// The account.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    live: BTreeMap<TaskId, Live>,
    over: BTreeMap<TaskId, Timestamp>,
    /// Every fence under which a task was ever granted.
    fences: BTreeMap<TaskId, BTreeSet<Fence>>,
    /// Tasks whose records were forgotten.
    purged: BTreeSet<TaskId>,
    idempotency: BTreeMap<Gate, (TaskId, Timestamp)>,
    flows: BTreeMap<QueueClass, Flow>,
    /// When tasks with a rate key began, in the order in which they were granted.
    begins: BTreeMap<Gate, Vec<Timestamp>>,
    promises: BTreeSet<Promise>,
    finishes: BTreeSet<(TaskId, Fence)>,
    /// Runs as they were made, and as they were last seen.
    runs: BTreeMap<RunId, (Run, Run)>,
    changes_seen: usize,
    /// Whether every caller has the same clock and no call is carried out late.
    is_exact: bool,
    /// The furthest moment any caller's clock has shown: a task that is due by one clock is due.
    latest: Timestamp,
    /// What happened how often: a simulation that reaches nothing proves nothing.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// A task that is not over.
#[derive(Debug, Clone)]
struct Live {
    tenant: TenantId,
    options: TaskOptions,
    key: Option<TaskKey>,
    /// The last grant of this life.
    fence: Fence,
    holder: Option<Held>,
    failures: u32,
    losses: u32,
    /// Not to be granted before.
    not_before: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    worker: WorkerId,
    until: Timestamp,
}

impl Ledger {
    /// An empty account of a history with those faults.
    pub(crate) fn new(plan: &Plan) -> Ledger {
        let is_exact = !plan.is_skewed && plan.delay == 0 && plan.duplicate == 0;
        Ledger { is_exact, ..Ledger::default() }
    }

    /// Checks a call that was carried out, and then the whole store.
    pub(crate) fn observe(
        &mut self,
        now: Timestamp,
        call: &Call,
        answer: &Answer,
        model: &Model,
        bounds: &Bounds,
    ) -> Check {
        self.latest = self.latest.max(now);
        match (call, answer) {
            (Call::Enqueue(tasks), Answer::Enqueued(Ok(answers))) => {
                self.enqueued(now, tasks, answers, model, bounds)?;
            }
            (Call::Enqueue(_), Answer::Enqueued(Err(_))) => self.count("refused"),
            (Call::Claim(claim), Answer::Granted(granted)) => self.claimed(now, claim, granted, model)?,
            (Call::Heartbeat(leases, lease), Answer::Beats(beats)) => self.beaten(now + *lease, leases, beats)?,
            (Call::Complete(reports), Answer::Completed(completions)) => self.completed(now, reports, completions)?,
            (Call::Report(lease, _), Answer::Reported(Some(finish))) => self.reported(lease, finish)?,
            (Call::Reap(_), Answer::Taken(ids)) => self.taken(now, ids, model, |held| held.until < now)?,
            (Call::Release(worker), Answer::Taken(ids)) => {
                self.taken(now, ids, model, |held| held.worker == *worker)?;
            }
            (Call::CancelTask(_, id), Answer::Canceled(TaskCancel::Canceled)) => {
                hold!(
                    self.live.get(id).is_some_and(|live| live.holder.is_none()),
                    "{id} was cancelled under its worker"
                );
                self.end(now, *id);
            }
            (Call::SetFlow(class, flow), _) => {
                self.flows.insert(*class, *flow);
            }
            (Call::Requeue(tenant, _), Answer::Taken(ids)) => self.requeued(*tenant, ids, model)?,
            (Call::Purge(before), _) => self.forget(*before),
            (Call::CreateRun(new), Answer::Created(true)) => {
                self.runs.insert(new.run.id, (new.run.clone(), new.run.clone()));
            }
            _ => {}
        }
        self.expire(now, call, model);
        self.compare(model)
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn enqueued(
        &mut self,
        now: Timestamp,
        tasks: &[NewTask],
        answers: &[Enqueued],
        model: &Model,
        bounds: &Bounds,
    ) -> Check {
        let mut new = Vec::new();
        for (task, answer) in tasks.iter().zip(answers) {
            let id = answer.id();
            let is_known = self.live.contains_key(&id) || self.over.contains_key(&id);
            if let Enqueued::Duplicate(_) = answer {
                // A key may outlive the record of its task: they were written by different clocks.
                hold!(is_known || self.purged.contains(&id), "{id} is named as a duplicate and is nowhere");
                self.count("duplicate");
                continue;
            }
            hold!(!is_known, "{id} was enqueued twice");
            hold!(self.flows.get(&task.class) != Some(&Flow::Draining), "{id} was let into a class that drains");
            if let Some(key) = &task.idempotency {
                let before = self.idempotency.insert((task.tenant, key.clone()), (id, now));
                hold!(before.is_none(), "{id} has the idempotency key of {before:?}");
            }
            self.live.insert(id, Live::of(task));
            self.count("enqueued");
            new.push(task);
        }
        within(bounds, &new, model)
    }

    fn completed(&mut self, now: Timestamp, reports: &[(Lease, Outcome)], completions: &[Completion]) -> Check {
        for ((lease, outcome), completion) in reports.iter().zip(completions) {
            let id = lease.task;
            let is_held = self.is_held(lease);
            let Completion::Settled(settled) = completion else {
                hold!(!is_held, "{id}: its holder was not heard");
                self.count("stale report");
                continue;
            };
            hold!(
                is_held,
                "{id}: a report under fence {} of {} was accepted and that is not who holds it",
                lease.fence.0,
                lease.worker
            );
            let Some(live) = self.live.get_mut(&id) else { return Err(format!("{id} ended twice")) };
            live.holder = None;
            match settled {
                Settled::Finished(ending) => {
                    self.finishes.insert((id, lease.fence));
                    self.count(ending.fate.as_str());
                    self.end(now, id);
                }
                Settled::Again { ready_at, failures, losses } => {
                    let more = u32::from(matches!(outcome, Outcome::Failed { .. }));
                    hold!(*failures == live.failures + more, "{id}: {failures} failures are counted");
                    hold!(*failures < live.options.attempts_max, "{id} is tried more often than it asked for");
                    hold!(*losses == live.losses, "{id}: a report counted as a loss");
                    (live.failures, live.not_before) = (*failures, Some(*ready_at));
                    self.count("again");
                }
            }
        }
        Ok(())
    }

    fn reported(&mut self, lease: &Lease, finish: &Finish) -> Check {
        let is_held = self.is_held(lease);
        if *finish == Finish::StaleFence {
            hold!(!is_held, "{}: its holder was not heard", lease.task);
            self.count("stale report");
            return Ok(());
        }
        hold!(is_held, "{}: a report of {} was accepted and that is not who holds it", lease.task, lease.worker);
        if let Some(live) = self.live.get_mut(&lease.task) {
            live.holder = None;
        }
        self.count("run task");
        Ok(())
    }

    fn requeued(&mut self, tenant: TenantId, ids: &[TaskId], model: &Model) -> Check {
        for id in ids {
            hold!(self.over.remove(id).is_some(), "{id} is said to be back and was not over");
            let Some(entry) = model.task(*id) else { return Err(format!("{id} is said to be back and is not")) };
            hold!(entry.task.tenant == tenant, "{id} came back for somebody else");
            let live = Live { options: entry.task.options.clone(), fence: entry.fence, ..Live::new(tenant) };
            self.live.insert(*id, live);
            self.count("requeued");
        }
        Ok(())
    }

    fn forget(&mut self, before: Timestamp) {
        let gone: Vec<TaskId> = self.over.iter().filter(|(_, at)| **at < before).map(|(id, _)| *id).collect();
        for id in gone {
            self.over.remove(&id);
            self.fences.remove(&id);
            self.purged.insert(id);
            self.count("purged");
        }
        self.idempotency.retain(|_, (_, made_at)| *made_at >= before);
    }

    /// The task is over.
    fn end(&mut self, now: Timestamp, id: TaskId) {
        self.live.remove(&id);
        self.over.insert(id, now);
    }

    fn is_held(&self, lease: &Lease) -> bool {
        let live = self.live.get(&lease.task).filter(|live| live.fence == lease.fence);
        live.and_then(|live| live.holder).is_some_and(|held| held.worker == lease.worker)
    }
}

impl Live {
    fn new(tenant: TenantId) -> Live {
        let options = TaskOptions::default();
        let (fence, holder, not_before) = (Fence(0), None, None);
        Live { tenant, options, key: None, fence, holder, failures: 0, losses: 0, not_before }
    }

    fn of(task: &NewTask) -> Live {
        let (options, not_before) = (task.options.clone(), task.not_before);
        Live { options, not_before, ..Live::new(task.tenant) }
    }

    fn rate(&self) -> Option<(&Rate, Gate)> {
        self.options.rate.as_ref().map(|rate| (rate, (self.tenant, rate.key.clone())))
    }
}

/// No bound is passed by what was just let in.
fn within(bounds: &Bounds, new: &[&NewTask], model: &Model) -> Check {
    for task in new {
        let waiting = |of: &dyn Fn(&Task) -> bool| -> u64 {
            let waits = |entry: &&Entry| entry.holder().is_none() && entry.affinity.is_none() && of(&entry.task);
            model.tasks().filter(waits).count() as u64
        };
        if let Some(bound) = bounds.class.get(&task.class) {
            let waiting = waiting(&|other| other.class == task.class);
            hold!(waiting <= *bound, "{waiting} tasks of class {} wait and {bound} may", task.class);
        }
        if let Some(bound) = bounds.priority.get(&task.priority) {
            let waiting = waiting(&|other| other.priority == task.priority);
            hold!(waiting <= *bound, "{waiting} tasks of priority {} wait and {bound} may", task.priority);
        }
    }
    Ok(())
}
