//! Tasks of runs: the same queue, with the run machine deciding what follows.
//!
//! Deliberately absent: records of their ends and their retries. A run keeps its attempts itself.

use std::collections::BTreeMap;

use mb_core::advance::{Illegal, RunEvent};
use mb_core::attempt::AttemptOutcome;
use mb_core::event::EventKind;
use mb_core::id::{RunId, WorkerId};
use mb_core::queue::Waiting;
use mb_core::repair::RepairOutcome;
use mb_core::run::{Published, Run};
use mb_core::task::{Lease, TaskKey, Work};
use mb_core::time::Timestamp;

use crate::db::Session;
use crate::error::StoreError;
use crate::machine::{self, Turn};
use crate::patches::{self, StoredPatch};
use crate::queue::claim::name;
use crate::queue::enqueue::Fair;
use crate::queue::row::{Back, Held, ids, put_back};
use crate::sql;
use crate::store::{Store, transaction};

/// What a worker says about a run's task it holds.
#[derive(Debug, Clone)]
pub enum Report {
    /// The attempt ended.
    Attempted(AttemptOutcome),
    /// The repair ended.
    Repaired {
        /// How.
        outcome: RepairOutcome,
        /// The texts of its differences.
        patches: Vec<StoredPatch>,
    },
    /// The result was written.
    Published(Published),
    /// The worker cannot go on (it shuts down); somebody else should.
    GaveBack,
}

/// What came of [`Store::finish`].
#[derive(Debug, Clone)]
pub enum Finished {
    /// The run moved.
    Applied {
        /// It, as it is now.
        run: Box<Run>,
        /// What was written down about it.
        events: Vec<EventKind>,
    },
    /// The lease was lost before. Nothing was changed.
    StaleFence,
    /// The run has no use for the report (it is over). Only the task was removed.
    Refused(Illegal),
}

impl Store {
    /// Ends a run's task: the task goes, the run moves, events and follow-on tasks appear, all or nothing.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the task is no run's or the report is of another kind than it. After
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] it may have happened: report again, and
    /// [`Finished::StaleFence`] then says it did.
    pub async fn finish(&self, now: Timestamp, lease: &Lease, report: Report) -> Result<Finished, StoreError> {
        let key = lease.key.as_ref().ok_or_else(|| StoreError::invalid(format!("{} is no run's", lease.task)))?;
        let Some(event) = event_of(&key.work, &report) else {
            return Err(StoreError::invalid(format!("the report is not one about {key}")));
        };
        let fair = &self.inner.fair;
        transaction!(self, |tx| end(tx, now, lease, key, event.clone(), &report, fair).await)
    }
}

/// Tells the runs of granted tasks that they were claimed. Tasks whose run has no use for them are removed.
pub(crate) async fn begin(
    tx: &mut Session,
    now: Timestamp,
    worker: WorkerId,
    granted: &mut Vec<Held>,
    fair: &Fair,
) -> Result<BTreeMap<RunId, Turn>, StoreError> {
    let runs: Vec<RunId> = granted.iter().filter_map(|held| held.key.as_ref()).map(|key| key.run).collect();
    if runs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut turns = machine::hold(tx, now, runs).await?;
    let mut useless = Vec::new();
    for held in granted.iter() {
        let Some(key) = &held.key else { continue };
        let claimed = RunEvent::Claimed { work: key.work.clone(), worker };
        if let Err(illegal) = turn_of(&mut turns, key)?.apply(claimed) {
            useless.push((held, illegal));
        }
    }
    drop_tasks(tx, &useless).await?;
    let useless: Vec<_> = useless.into_iter().map(|(held, _)| held.id()).collect();
    granted.retain(|held| !useless.contains(&held.id()));
    machine::save(tx, fair, turns.values()).await?;
    Ok(turns)
}

async fn end(
    tx: &mut Session,
    now: Timestamp,
    lease: &Lease,
    key: &TaskKey,
    event: RunEvent,
    report: &Report,
    fair: &Fair,
) -> Result<Finished, StoreError> {
    let row = tx.row(sql::LEASES_HOLD, &[ids([&lease.task])]).await?;
    let held = row.as_ref().map(Held::of).transpose()?;
    let Some(held) = held.filter(|held| held.fence == lease.fence && held.worker == lease.worker) else {
        return Ok(Finished::StaleFence);
    };
    let mut turns = machine::hold(tx, now, vec![key.run]).await?;
    let turn = turn_of(&mut turns, key)?;
    if let Err(illegal) = turn.apply(event) {
        drop_tasks(tx, &[(&held, illegal.clone())]).await?;
        return Ok(Finished::Refused(illegal));
    }
    if turn.enqueues(&key.work) {
        put_back(tx, &[again(now, &held)]).await?;
    } else {
        tx.execute(sql::LEASES_REMOVE, &[ids([&lease.task])]).await?;
    }
    if let Report::Repaired { patches, .. } = report {
        patches::put(tx, now, turn.run.tenant, patches).await?;
    }
    machine::save(tx, fair, [&*turn]).await?;
    Ok(Finished::Applied { run: Box::new(turn.run.clone()), events: turn.events.clone() })
}

/// Takes these tasks, whose rows this transaction holds, from their workers.
pub(crate) async fn lose(tx: &mut Session, now: Timestamp, lost: &[&Held], fair: &Fair) -> Result<(), StoreError> {
    if lost.is_empty() {
        return Ok(());
    }
    let runs = lost.iter().filter_map(|held| held.key.as_ref()).map(|key| key.run).collect();
    let mut turns = machine::hold(tx, now, runs).await?;
    let (mut back, mut gone, mut useless) = (Vec::new(), Vec::new(), Vec::new());
    for held in lost {
        let Some(key) = &held.key else { continue };
        let turn = turn_of(&mut turns, key)?;
        match turn.apply(RunEvent::Lost { work: key.work.clone() }) {
            Ok(()) if turn.enqueues(&key.work) => back.push(again(now, held)),
            Ok(()) => gone.push(held.id()),
            Err(illegal) => useless.push((*held, illegal)),
        }
    }
    put_back(tx, &back).await?;
    if !gone.is_empty() {
        tx.execute(sql::LEASES_REMOVE, &[ids(&gone)]).await?;
    }
    drop_tasks(tx, &useless).await?;
    machine::save(tx, fair, turns.values()).await
}

/// Back on the queue with its fence; when it is ready is for the run machine to say.
fn again(now: Timestamp, held: &Held) -> Back {
    Back { id: held.id(), state: Waiting::Ready, ready_at: now, failures: 0, losses: 0, is_reserved: false }
}

/// Removes leased tasks their runs have no use for. That is normal for a run that ended while they were held.
async fn drop_tasks(tx: &mut Session, useless: &[(&Held, Illegal)]) -> Result<(), StoreError> {
    if useless.is_empty() {
        return Ok(());
    }
    for (held, illegal) in useless {
        tracing::info!(task = name(held.id(), held.key.as_ref()), reason = %illegal, "a late task was removed");
    }
    let gone: Vec<_> = useless.iter().map(|(held, _)| held.id()).collect();
    tx.execute(sql::LEASES_REMOVE, &[ids(&gone)]).await.map(|_| ())
}

fn turn_of<'a>(turns: &'a mut BTreeMap<RunId, Turn>, key: &TaskKey) -> Result<&'a mut Turn, StoreError> {
    turns.get_mut(&key.run).ok_or_else(|| StoreError::corrupt("queue", format!("the run of {key} is missing")))
}

/// The event a report is, if it is one about this work.
fn event_of(work: &Work, report: &Report) -> Option<RunEvent> {
    Some(match (work, report) {
        (_, Report::GaveBack) => RunEvent::GaveBack { work: work.clone() },
        (Work::Attempt { step, number }, Report::Attempted(outcome)) => {
            RunEvent::Attempted { step: step.clone(), number: *number, outcome: outcome.clone() }
        }
        (Work::Repair { step, number }, Report::Repaired { outcome, .. }) => {
            RunEvent::Repaired { step: step.clone(), number: *number, outcome: outcome.clone() }
        }
        (Work::Publish, Report::Published(published)) => RunEvent::Published(published.clone()),
        (
            Work::Attempt { .. } | Work::Repair { .. } | Work::Publish,
            Report::Attempted(_) | Report::Repaired { .. } | Report::Published(_),
        ) => return None,
    })
}
