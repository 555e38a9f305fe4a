//! The queue: tasks are claimed with a fence, kept by heartbeats, and finished, given back or lost exactly once.
//!
//! Delivery is at least once: a worker that vanishes has its task handed to another. The fence makes the effect
//! happen once: it rises with each claim, and a report with an older one changes nothing. Deliberately absent:
//! priorities (tasks are taken in the order they became ready) and dead letters (the run machine gives a task up).

use std::collections::BTreeMap;
use std::time::Duration;

use mb_core::advance::{Illegal, RunEvent};
use mb_core::attempt::AttemptOutcome;
use mb_core::event::EventKind;
use mb_core::id::{RunId, WorkerId};
use mb_core::repair::RepairOutcome;
use mb_core::run::{Published, Run};
use mb_core::task::{Fence, Lease, QueueClass, TaskKey, Work};
use mb_core::time::Timestamp;
use serde_json::json;

use crate::db::{Row, Session, Value};
use crate::error::StoreError;
use crate::machine::{self, Turn};
use crate::patches::{self, StoredPatch};
use crate::sql;
use crate::store::{Store, transaction};

/// Tasks of one class taken by one claim at most.
const CLAIM_MAX: usize = 100;
/// Tasks lost in one transaction at most.
pub(crate) const REAP_MAX: u32 = 500;
/// Transactions one call of [`Store::release_node`] makes at most.
const RELEASE_ROUNDS_MAX: u32 = 20;

/// What a worker wants.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who.
    pub worker: WorkerId,
    /// Free slots per class; at most 100 of a class are used.
    pub slots: BTreeMap<QueueClass, usize>,
    /// Only tasks of runs with this affinity; none means only those of runs without one.
    pub affinity: Option<String>,
    /// How long the leases last.
    pub lease: Duration,
}

/// A task that was granted.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The right to work on it.
    pub lease: Lease,
    /// Its run, after the claim.
    pub run: Run,
    /// The slots it takes.
    pub class: QueueClass,
}

/// What a heartbeat says about one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// It lasts until then.
    Kept(Timestamp),
    /// It is kept, but the work is no longer wanted: stop and report.
    Interrupt,
    /// It was lost: stop, and report nothing.
    Lost,
}

/// What a worker says about a task it holds.
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

/// One class of the queue at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStats {
    /// The class.
    pub class: QueueClass,
    /// Tasks that could be claimed.
    pub ready: u64,
    /// Tasks that wait for their time.
    pub delayed: u64,
    /// Tasks that are held.
    pub leased: u64,
    /// How long the oldest ready task has been ready; none when nothing is.
    pub oldest_ready_age: Option<Duration>,
}

impl Store {
    /// Grants ready tasks, those ready longest first.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn claim(&self, now: Timestamp, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        transaction!(self, Later, |tx| grant(tx, now, claim).await)
    }

    /// Renews leases, all in one statement; the answers are in the order of `leases`.
    ///
    /// # Errors
    /// [`StoreError`]; no lease was renewed then.
    pub async fn heartbeat(&self, now: Timestamp, leases: &[Lease], lease: Duration) -> Result<Vec<Beat>, StoreError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let until = now + lease;
        let asked = leases
            .iter()
            .map(|lease| json!({ "run": lease.key.run, "work": lease.key.work.to_string(), "fence": lease.fence.0 }));
        let asked = [Value::array(asked.collect()), Value::time(until)];
        let kept = transaction!(self, Later, |tx| {
            let rows = tx.rows(sql::TASKS_BEAT, &asked).await?;
            rows.iter()
                .map(|row| Ok(((key_of(row)?, Fence(row.count("fence")?)), row.int("interrupt")? != 0)))
                .collect::<Result<_, StoreError>>()
        });
        let kept: BTreeMap<(TaskKey, Fence), bool> = kept?;
        let beat = |lease: &Lease| match kept.get(&(lease.key.clone(), lease.fence)) {
            Some(true) => Beat::Interrupt,
            Some(false) => Beat::Kept(until),
            None => Beat::Lost,
        };
        Ok(leases.iter().map(beat).collect())
    }

    /// Ends a task: the task goes, the run moves, events and follow-on tasks appear, all or nothing.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the report is of another kind than the task. After [`StoreError::Unavailable`] or
    /// [`StoreError::Timeout`] it may have happened: report again, and [`Finished::StaleFence`] then says it did.
    pub async fn finish(&self, now: Timestamp, lease: &Lease, report: Report) -> Result<Finished, StoreError> {
        let Some(event) = event_of(&lease.key.work, &report) else {
            return Err(StoreError::invalid(format!("the report is not one about {}", lease.key)));
        };
        transaction!(self, |tx| end(tx, now, lease, event.clone(), &report).await)
    }

    /// Takes tasks from workers whose leases have run out, at most `limit` (and 500), oldest first.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn reap(&self, now: Timestamp, limit: u32) -> Result<Vec<TaskKey>, StoreError> {
        let values = [Value::time(now), Value::int(limit.min(REAP_MAX))];
        transaction!(self, Later, |tx| {
            let rows = tx.rows(sql::TASKS_EXPIRED, &values).await?;
            lose(tx, now, &rows).await
        })
    }

    /// Takes tasks from all other workers that registered under this node's name: it was started again, and what ran
    /// before is gone.
    ///
    /// # Errors
    /// [`StoreError`]; tasks taken before it stay taken.
    pub async fn release_node(&self, now: Timestamp, node: &str, keep: WorkerId) -> Result<Vec<TaskKey>, StoreError> {
        let values = [Value::text(node), Value::id(keep), Value::int(REAP_MAX)];
        let mut lost = Vec::new();
        for _ in 0..RELEASE_ROUNDS_MAX {
            let round = transaction!(self, Later, |tx| {
                let rows = tx.rows(sql::TASKS_OF_NODE, &values).await?;
                lose(tx, now, &rows).await
            });
            let round = round?;
            if round.is_empty() {
                break;
            }
            lost.extend(round);
        }
        Ok(lost)
    }

    /// When the next free task of that affinity is or was ready; none when there is no free task.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn next_ready_at(&self, affinity: Option<&str>) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.read(sql::TASKS_NEXT_READY, &[Value::text(affinity.unwrap_or(""))]).await?;
        rows.first().map_or(Ok(None), |row| row.opt_time("at"))
    }

    /// Every class of the queue, of all tenants.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn queue_stats(&self, now: Timestamp) -> Result<Vec<QueueStats>, StoreError> {
        let rows = self.read(sql::TASKS_STATS, &[Value::time(now)]).await?;
        let mut stats = BTreeMap::new();
        for row in &rows {
            let class = row.word("class", QueueClass::from_word)?;
            let oldest_ready_age = row.opt_time("oldest")?.map(|oldest| now.since(oldest));
            let (ready, delayed, leased) = (row.count("ready")?, row.count("delayed")?, row.count("leased")?);
            stats.insert(class, QueueStats { class, ready, delayed, leased, oldest_ready_age });
        }
        let empty = |class| QueueStats { class, ready: 0, delayed: 0, leased: 0, oldest_ready_age: None };
        Ok(QueueClass::ALL.iter().map(|&class| stats.remove(&class).unwrap_or_else(|| empty(class))).collect())
    }
}

struct Candidate {
    key: TaskKey,
    class: QueueClass,
    fence: Fence,
}

async fn grant(tx: &mut Session, now: Timestamp, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
    let candidates = claimable(tx, now, claim).await?;
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let mut turns = machine::hold(tx, now, candidates.iter().map(|task| task.key.run).collect()).await?;
    let (mut granted, mut useless) = (Vec::new(), Vec::new());
    for task in candidates {
        let turn = turn_of(&mut turns, &task.key)?;
        match turn.apply(RunEvent::Claimed { work: task.key.work.clone(), worker: claim.worker }) {
            Ok(()) => granted.push(task),
            Err(illegal) => useless.push((task.key, illegal)),
        }
    }
    let until = now + claim.lease;
    if !granted.is_empty() {
        let names = granted.iter().map(|task| machine::name_of(task.key.run, &task.key.work)).collect();
        let values = [Value::array(names), Value::id(claim.worker), Value::time(until)];
        tx.execute(sql::TASKS_GRANT, &values).await?;
    }
    drop_tasks(tx, &useless).await?;
    machine::save(tx, turns.values()).await?;
    let claimed = granted.into_iter().map(|Candidate { key, class, fence }| {
        let run = turn_of(&mut turns, &key)?.run.clone();
        Ok(Claimed { lease: Lease { key, fence, until }, run, class })
    });
    claimed.collect()
}

async fn claimable(tx: &mut Session, now: Timestamp, claim: &Claim) -> Result<Vec<Candidate>, StoreError> {
    let mut candidates = Vec::new();
    for (&class, &slots) in claim.slots.iter().filter(|&(_, &slots)| slots > 0) {
        let values = [
            Value::text(claim.affinity.as_deref().unwrap_or("")),
            Value::id(class),
            Value::time(now),
            Value::int(slots.min(CLAIM_MAX) as u32),
        ];
        for row in tx.rows(sql::TASKS_CLAIMABLE, &values).await? {
            let fence = Fence(row.count::<u64>("fence")? + 1);
            candidates.push(Candidate { key: key_of(&row)?, class, fence });
        }
    }
    Ok(candidates)
}

async fn end(
    tx: &mut Session,
    now: Timestamp,
    lease: &Lease,
    event: RunEvent,
    report: &Report,
) -> Result<Finished, StoreError> {
    let TaskKey { run: id, work } = &lease.key;
    let held = tx.row(sql::TASKS_LOCK, &[Value::id(id), Value::id(work)]).await?;
    let is_held = match held {
        Some(row) => row.opt_text("worker")?.is_some() && row.count::<u64>("fence")? == lease.fence.0,
        None => false,
    };
    if !is_held {
        return Ok(Finished::StaleFence);
    }
    let mut turns = machine::hold(tx, now, vec![*id]).await?;
    let turn = turn_of(&mut turns, &lease.key)?;
    if let Err(illegal) = turn.apply(event) {
        drop_tasks(tx, &[(lease.key.clone(), illegal.clone())]).await?;
        return Ok(Finished::Refused(illegal));
    }
    if !turn.enqueues(work) {
        tx.execute(sql::TASKS_DELETE, &[Value::array(vec![machine::name_of(*id, work)])]).await?;
    }
    if let Report::Repaired { patches, .. } = report {
        patches::put(tx, now, turn.run.tenant, patches).await?;
    }
    machine::save(tx, [&*turn]).await?;
    Ok(Finished::Applied { run: Box::new(turn.run.clone()), events: turn.events.clone() })
}

/// Takes the tasks of these rows, which this transaction holds, from their workers.
pub(crate) async fn lose(tx: &mut Session, now: Timestamp, rows: &[Row]) -> Result<Vec<TaskKey>, StoreError> {
    let keys = rows.iter().map(key_of).collect::<Result<Vec<TaskKey>, _>>()?;
    if keys.is_empty() {
        return Ok(keys);
    }
    let mut turns = machine::hold(tx, now, keys.iter().map(|key| key.run).collect()).await?;
    let (mut gone, mut useless) = (Vec::new(), Vec::new());
    for key in &keys {
        let turn = turn_of(&mut turns, key)?;
        match turn.apply(RunEvent::Lost { work: key.work.clone() }) {
            Ok(()) if turn.enqueues(&key.work) => {}
            Ok(()) => gone.push(machine::name_of(key.run, &key.work)),
            Err(illegal) => useless.push((key.clone(), illegal)),
        }
    }
    if !gone.is_empty() {
        tx.execute(sql::TASKS_DELETE, &[Value::array(gone)]).await?;
    }
    drop_tasks(tx, &useless).await?;
    machine::save(tx, turns.values()).await?;
    Ok(keys)
}

/// Removes tasks their runs have no use for. That is normal for a run that ended while they were held.
async fn drop_tasks(tx: &mut Session, useless: &[(TaskKey, Illegal)]) -> Result<(), StoreError> {
    if useless.is_empty() {
        return Ok(());
    }
    for (key, illegal) in useless {
        tracing::info!(task = %key, reason = %illegal, "a late task was removed");
    }
    let names = useless.iter().map(|(key, _)| machine::name_of(key.run, &key.work)).collect();
    tx.execute(sql::TASKS_DELETE, &[Value::array(names)]).await.map(|_| ())
}

fn turn_of<'a>(turns: &'a mut BTreeMap<RunId, Turn>, key: &TaskKey) -> Result<&'a mut Turn, StoreError> {
    turns.get_mut(&key.run).ok_or_else(|| StoreError::corrupt("tasks", format!("the run of {key} is missing")))
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

fn key_of(row: &Row) -> Result<TaskKey, StoreError> {
    let work = row.text("work")?;
    let parsed = parse_work(&work).ok_or_else(|| StoreError::corrupt("work", format!("{work:?} names no work")))?;
    Ok(TaskKey { run: row.parse("run")?, work: parsed })
}

/// The text form of [`Work`] back. No step's name holds `#` or `!`.
fn parse_work(text: &str) -> Option<Work> {
    if text == "publish" {
        return Some(Work::Publish);
    }
    let at = text.rfind(['#', '!'])?;
    let (step, number) = (text[..at].to_owned(), text[at + 1..].parse().ok()?);
    Some(if text[at..].starts_with('#') { Work::Attempt { step, number } } else { Work::Repair { step, number } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_read_back_from_its_text() {
        let step = "web:lint/a.b-c_d".to_owned();
        for work in [
            Work::Attempt { step: step.clone(), number: 1 },
            Work::Attempt { step: "publish".into(), number: 12 },
            Work::Repair { step, number: u32::MAX },
            Work::Publish,
        ] {
            assert_eq!(parse_work(&work.to_string()), Some(work));
        }
        for text in ["", "a", "a#", "a#x", "#", "a!-1"] {
            assert_eq!(parse_work(text), None, "{text}");
        }
    }
}
