//! Tasks of runs: they wait in the same queue, and the run machine says what follows from what happens to them.
//!
//! Every event that moved a run is kept ([`Model::changes`]), so that a test can play a run again from its beginning
//! and must find the same run.

use std::collections::BTreeMap;

use mb_core::advance::{self, Effect, Illegal, RunEvent};
use mb_core::attempt::AttemptOutcome;
use mb_core::id::{RunId, TaskId, TenantId};
use mb_core::queue::{Claim, FlowKey, Head, Priority, Rank, Task, TaskOptions, Waiting};
use mb_core::repair::RepairOutcome;
use mb_core::run::{Published, Run};
use mb_core::task::{Fence, Lease, QueueClass, TaskKey, TaskSpec, Work};
use mb_core::time::Timestamp;

use super::enqueue::waiting;
use super::{Entry, Granted, Model, Place};

/// What is to be done for runs that were moved, in the order in which it is done.
type Effects = BTreeMap<RunId, Vec<Effect>>;

/// A run to be made.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// As [`Run::new`] gave it.
    pub run: Run,
    /// The one process that may claim its tasks.
    pub affinity: Option<String>,
}

/// What a worker says about a run's task.
#[derive(Debug, Clone)]
pub enum Report {
    /// The attempt ended.
    Attempted(AttemptOutcome),
    /// The repair ended.
    Repaired(RepairOutcome),
    /// The result was written.
    Published(Published),
    /// The worker cannot go on; somebody else should.
    GaveBack,
}

/// What came of [`Model::report`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// The run moved.
    Applied,
    /// The lease was lost before. Nothing was changed.
    StaleFence,
    /// The run has no use for the report (it is over). Only the task was removed.
    Refused(Illegal),
}

/// What came of [`Model::cancel_run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelRun {
    /// It is cancelled, or will be as soon as what runs has stopped.
    Requested,
    /// It had ended before.
    AlreadyOver,
    /// The tenant has no such run.
    NotFound,
}

/// An event that moved a run.
#[derive(Debug, Clone)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Which run.
    pub run: RunId,
    /// What happened.
    pub event: RunEvent,
}

impl Model {
    /// Makes a run and enqueues what can start at once; says whether it is new.
    pub fn create_run(&mut self, now: Timestamp, new: NewRun) -> bool {
        let id = new.run.id;
        if self.runs.contains_key(&id) {
            return false;
        }
        self.runs.insert(id, new.run);
        self.affinities.extend(new.affinity.map(|affinity| (id, affinity)));
        if let Ok(effects) = self.advance(now, id, RunEvent::Created) {
            self.carry_out(now, Effects::from([(id, effects)]));
        }
        true
    }

    /// Asks a run to stop: waiting tasks leave the queue, whoever holds one is told at the next heartbeat.
    pub fn cancel_run(&mut self, now: Timestamp, tenant: TenantId, id: RunId, by: &str) -> CancelRun {
        if self.runs.get(&id).is_none_or(|run| run.tenant != tenant) {
            return CancelRun::NotFound;
        }
        match self.advance(now, id, RunEvent::Cancel { by: by.to_owned() }) {
            Ok(effects) => {
                self.carry_out(now, Effects::from([(id, effects)]));
                CancelRun::Requested
            }
            Err(_) => CancelRun::AlreadyOver,
        }
    }

    /// Ends a run's task: the task goes, the run moves, follow-on tasks appear. None when the report is not one about
    /// the lease's work.
    pub fn report(&mut self, now: Timestamp, lease: &Lease, report: Report) -> Option<Finish> {
        let key = lease.key.as_ref()?;
        let event = event_of(&key.work, report)?;
        if self.held(lease).is_none() {
            return Some(Finish::StaleFence);
        }
        let mut effects = Effects::new();
        Some(match self.free(now, key, event, &mut effects) {
            Ok(()) => {
                self.carry_out(now, effects);
                Finish::Applied
            }
            Err(illegal) => Finish::Refused(illegal),
        })
    }

    /// Tells the runs of granted tasks that they were claimed. A task whose run has no use for it (it is over) goes.
    pub(super) fn begin(&mut self, now: Timestamp, claim: &Claim, granted: &mut Vec<Granted>) {
        let mut effects = Effects::new();
        granted.retain(|Granted { lease, .. }| {
            let Some(TaskKey { run, work }) = lease.key.clone() else { return true };
            let claimed = self.advance(now, run, RunEvent::Claimed { work, worker: claim.worker });
            if claimed.is_err() {
                self.tasks.take(lease.task);
            }
            claimed.map(|more| effects.entry(run).or_default().extend(more)).is_ok()
        });
        self.carry_out(now, effects);
    }

    pub(super) fn lose_of_runs<'a>(&mut self, now: Timestamp, keys: impl Iterator<Item = &'a TaskKey>) {
        let mut effects = Effects::new();
        for key in keys {
            // A run that is over has no use for the task; it is gone either way.
            let _ = self.free(now, key, RunEvent::Lost { work: key.work.clone() }, &mut effects);
        }
        self.carry_out(now, effects);
    }

    /// Moves the run by an event about a task that was leased. The task goes unless the run wants it again.
    fn free(&mut self, now: Timestamp, key: &TaskKey, event: RunEvent, effects: &mut Effects) -> Result<(), Illegal> {
        let id = key.id();
        let more = self.advance(now, key.run, event).inspect_err(|_| {
            self.tasks.take(id);
        })?;
        let all = effects.entry(key.run).or_default();
        all.extend(more);
        if all.iter().any(|effect| matches!(effect, Effect::Enqueue(spec) if spec.work == key.work)) {
            self.tasks.change(id, |entry| (entry.ready_at, entry.place) = (now, Place::Waiting(Waiting::Ready)));
        } else {
            self.tasks.take(id);
        }
        Ok(())
    }

    /// Moves a run by one event; leaves it as it is when the event does not fit.
    fn advance(&mut self, now: Timestamp, id: RunId, event: RunEvent) -> Result<Vec<Effect>, Illegal> {
        let unknown = || Illegal { event: "any", why: format!("there is no run {id}") };
        let run = self.runs.get(&id).cloned().ok_or_else(unknown)?;
        let advance = advance::apply(now, run, event.clone())?;
        self.runs.insert(id, advance.next);
        self.changes.push(Change { at: now, run: id, event });
        Ok(advance.effects)
    }

    /// Whoever holds a task that is withdrawn is told to stop instead; what is enqueued comes last.
    fn carry_out(&mut self, now: Timestamp, effects: Effects) {
        let mut enqueued = Vec::new();
        for (run, effects) in effects {
            let task_of = |work: Work| TaskKey { run, work }.id();
            for effect in effects {
                match effect {
                    Effect::Enqueue(spec) => enqueued.push((run, spec)),
                    Effect::Interrupt(work) => self.interrupt(task_of(work)),
                    Effect::Withdraw(work) => self.withdraw(task_of(work)),
                }
            }
        }
        self.enqueue_for_runs(now, enqueued);
    }

    fn withdraw(&mut self, id: TaskId) {
        if self.tasks.get(id).is_some_and(|entry| entry.holder().is_none()) {
            self.tasks.take(id);
        } else {
            self.interrupt(id);
        }
    }

    fn enqueue_for_runs(&mut self, now: Timestamp, specs: Vec<(RunId, TaskSpec)>) {
        let mut heads: BTreeMap<QueueClass, Option<Head>> =
            specs.iter().map(|(_, spec)| (spec.class, self.head(spec.class))).collect();
        for (run, spec) in specs {
            let Some(tenant) = self.runs.get(&run).map(|run| run.tenant) else { continue };
            let flow = FlowKey { tenant, class: spec.class, priority: Priority::Normal };
            let head = heads.entry(spec.class).or_default();
            let rank = self.ranks.next(now, *head, flow, 1);
            head.get_or_insert((rank, Priority::Normal));
            self.enqueue_for_run(now, (tenant, run), spec, rank);
        }
    }

    /// A task that is there already was lost: it waits for its new time and keeps its rank and its fence.
    fn enqueue_for_run(&mut self, now: Timestamp, (tenant, run): (TenantId, RunId), spec: TaskSpec, rank: Rank) {
        let (class, ready_at) = (spec.class, spec.ready_at);
        let key = TaskKey { run, work: spec.work };
        let place = Place::Waiting(waiting(now, ready_at));
        if self.tasks.get(key.id()).is_some() {
            return self.tasks.change(key.id(), |entry| (entry.ready_at, entry.place) = (ready_at, place));
        }
        let task = Task {
            id: key.id(),
            tenant,
            kind: key.work.word().to_owned(),
            class,
            priority: Priority::Normal,
            payload: "{}".to_owned(),
            failures: 0,
            losses: 0,
            enqueued_at: now,
            rank,
            options: TaskOptions::default(),
        };
        let affinity = self.affinities.get(&run).cloned();
        self.tasks.put(Entry { task, fence: Fence(0), affinity, ready_at, is_reserved: false, key: Some(key), place });
    }

    /// Every event that moved a run, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}

/// The event a report is, if it is one about this work.
fn event_of(work: &Work, report: Report) -> Option<RunEvent> {
    Some(match (work, report) {
        (_, Report::GaveBack) => RunEvent::GaveBack { work: work.clone() },
        (Work::Attempt { step, number }, Report::Attempted(outcome)) => {
            RunEvent::Attempted { step: step.clone(), number: *number, outcome }
        }
        (Work::Repair { step, number }, Report::Repaired(outcome)) => {
            RunEvent::Repaired { step: step.clone(), number: *number, outcome }
        }
        (Work::Publish, Report::Published(published)) => RunEvent::Published(published),
        (
            Work::Attempt { .. } | Work::Repair { .. } | Work::Publish,
            Report::Attempted(_) | Report::Repaired(_) | Report::Published(_),
        ) => return None,
    })
}
