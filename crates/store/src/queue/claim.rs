//! Granting tasks, renewing leases, and taking back what was not renewed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mb_core::id::{TaskId, WorkerId};
use mb_core::queue::{self, Beat, CLAIM_MAX, Claim, Ending, Fate, Settled, Task, Waiting};
use mb_core::run::Run;
use mb_core::task::{Fence, Lease, QueueClass, TaskKey};
use mb_core::time::Timestamp;

use crate::db::{Row, Session, Value};
use crate::error::StoreError;
use crate::queue::enqueue::Fair;
use crate::queue::row::{Back, From, Held, TAKE_BACK_MAX, TAKE_BACK_ROUNDS_MAX, put_back, record};
use crate::queue::{limits, of_run, row};
use crate::sql;
use crate::store::{Store, transaction};

/// Looks at the queue one claim makes for a class while limits send back what it found.
const ROUNDS_MAX: u32 = 5;

/// A task that was granted.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The right to work on it.
    pub lease: Lease,
    /// The task.
    pub task: Task,
    /// Its run after the claim, if it is a run's.
    pub run: Option<Box<Run>>,
}

impl Store {
    /// Grants ready tasks in the order of their ranks.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn claim(&self, now: Timestamp, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        let fair = &self.inner.fair;
        transaction!(self, Later, |tx| grant(tx, now, claim, fair).await)
    }

    /// Renews leases, all in one statement; the answers are in the order of `leases`.
    ///
    /// # Errors
    /// [`StoreError`]; no lease was renewed then.
    pub async fn heartbeat(&self, now: Timestamp, leases: &[Lease], lease: Duration) -> Result<Vec<Beat>, StoreError> {
        let until = now + lease;
        let mut kept = BTreeMap::<(TaskId, Fence, WorkerId), bool>::new();
        let workers: BTreeSet<WorkerId> = leases.iter().map(|lease| lease.worker).collect();
        for worker in workers {
            let own = leases.iter().filter(|lease| lease.worker == worker);
            let values = [Value::id(worker), Value::time(until), held_by(own)];
            let rows = transaction!(self, Later, |tx| tx.rows(sql::LEASES_BEAT, &values).await)?;
            for row in &rows {
                kept.insert((row.parse("id")?, Fence(row.count("fence")?), worker), row.int("interrupt")? != 0);
            }
        }
        let beat = |lease: &Lease| match kept.get(&(lease.task, lease.fence, lease.worker)) {
            Some(true) => Beat::Interrupt,
            Some(false) => Beat::Kept(until),
            None => Beat::Lost,
        };
        Ok(leases.iter().map(beat).collect())
    }

    /// The tasks a worker holds that nobody wants any more.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn interrupted(&self, worker: WorkerId) -> Result<Vec<TaskId>, StoreError> {
        self.read(sql::LEASES_INTERRUPTED, &[Value::id(worker)]).await?.iter().map(|row| row.parse("id")).collect()
    }

    /// Takes tasks from workers whose leases have run out, at most `limit` (and 500), oldest first, and wakes what waits
    /// for a limit that has room.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn reap(&self, now: Timestamp, limit: u32) -> Result<Vec<Lease>, StoreError> {
        let values = [Value::time(now), Value::int(limit.min(TAKE_BACK_MAX))];
        let fair = &self.inner.fair;
        transaction!(self, Later, |tx| {
            let rows = tx.rows(sql::LEASES_EXPIRED, &values).await?;
            let lost = lose(tx, now, &rows, fair).await?;
            limits::unblock_stuck(tx).await?;
            Ok(lost)
        })
    }

    /// Takes tasks from all other workers that registered under this node's name: it was started again, and what ran
    /// before is gone.
    ///
    /// # Errors
    /// [`StoreError`]; tasks taken before it stay taken.
    pub async fn release_node(&self, now: Timestamp, node: &str, keep: WorkerId) -> Result<Vec<Lease>, StoreError> {
        let values = [Value::text(node), Value::id(keep), Value::int(TAKE_BACK_MAX)];
        let (fair, mut lost) = (&self.inner.fair, Vec::new());
        for _ in 0..TAKE_BACK_ROUNDS_MAX {
            let round = transaction!(self, Later, |tx| {
                let rows = tx.rows(sql::LEASES_OF_NODE, &values).await?;
                lose(tx, now, &rows, fair).await
            });
            let round = round?;
            if round.is_empty() {
                break;
            }
            lost.extend(round);
        }
        Ok(lost)
    }

    /// When the next waiting task of that affinity is or was ready; none when none waits.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn next_ready_at(&self, affinity: Option<&str>) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.read(sql::QUEUE_NEXT_READY, &[Value::text(affinity.unwrap_or(""))]).await?;
        rows.first().map_or(Ok(None), |row| row.opt_time("at"))
    }
}

/// Ids and fences, as statements take them.
pub(crate) fn held_by<'a>(leases: impl Iterator<Item = &'a Lease>) -> Value {
    let fence = |lease: &Lease| i64::try_from(lease.fence.0).unwrap_or(i64::MAX);
    Value::Fences(leases.map(|lease| (lease.task.to_string(), fence(lease))).collect())
}

async fn grant(tx: &mut Session, now: Timestamp, claim: &Claim, fair: &Fair) -> Result<Vec<Claimed>, StoreError> {
    tx.execute(sql::QUEUE_PROMOTE, &[Value::time(now)]).await?;
    let mut granted = Vec::new();
    for (&class, &slots) in claim.slots.iter().filter(|&(_, &slots)| slots > 0) {
        let mut free = slots.min(CLAIM_MAX);
        for _ in 0..ROUNDS_MAX {
            let mut taken = take(tx, now, claim, class, free).await?;
            let was_sifted = limits::sift(tx, now, &mut taken).await?;
            fair.taken(now, class, taken.len());
            free -= taken.len();
            granted.append(&mut taken);
            if !was_sifted || free == 0 {
                break;
            }
        }
    }
    let mut runs = of_run::begin(tx, now, claim.worker, &mut granted, fair).await?;
    let until = now + claim.lease;
    let claimed = granted.into_iter().map(|held| {
        let run = held.key.as_ref().and_then(|key| runs.get_mut(&key.run)).map(|turn| Box::new(turn.run.clone()));
        let lease = Lease { task: held.id(), key: held.key, worker: claim.worker, fence: held.fence, until };
        Claimed { lease, task: held.task, run }
    });
    Ok(claimed.collect())
}

async fn take(
    tx: &mut Session,
    now: Timestamp,
    claim: &Claim,
    class: QueueClass,
    free: usize,
) -> Result<Vec<Held>, StoreError> {
    let values = [
        Value::id(class),
        Value::text(claim.affinity.as_deref().unwrap_or("")),
        Value::int(u32::try_from(free).unwrap_or(u32::MAX)),
        Value::id(claim.worker),
        Value::time(now + claim.lease),
        Value::time(now),
    ];
    let rows = tx.rows(sql::QUEUE_TAKE, &values).await?;
    let mut taken = rows.iter().map(Held::of).collect::<Result<Vec<Held>, _>>()?;
    if tx.is_sqlite() && !taken.is_empty() {
        let ids: Vec<TaskId> = taken.iter().map(Held::id).collect();
        tx.execute(sql::QUEUE_REMOVE, &[row::ids(&ids)]).await?;
    }
    // The statement gives them in any order.
    taken.sort_by_key(|held| (held.task.rank, held.id()));
    Ok(taken)
}

/// Takes the tasks of these rows, which this transaction holds, from their workers.
pub(crate) async fn lose(
    tx: &mut Session,
    now: Timestamp,
    rows: &[Row],
    fair: &Fair,
) -> Result<Vec<Lease>, StoreError> {
    let lost = rows.iter().map(Held::of).collect::<Result<Vec<Held>, _>>()?;
    let (of_runs, others): (Vec<&Held>, Vec<&Held>) = lost.iter().partition(|held| held.key.is_some());
    let (mut back, mut over) = (Vec::new(), Vec::new());
    for held in &others {
        let settled = if held.is_interrupted { canceled(held) } else { queue::lost(now, &held.task) };
        settle(now, held, settled, &mut back, &mut over);
    }
    put_back(tx, &back).await?;
    record(tx, now, From::Leases, &over).await?;
    limits::unblock(tx, others.iter().filter_map(|held| freed_by(held))).await?;
    of_run::lose(tx, now, &of_runs, fair).await?;
    let lease =
        |held: Held| Lease { task: held.id(), key: held.key, worker: held.worker, fence: held.fence, until: now };
    Ok(lost.into_iter().map(lease).collect())
}

/// The place in a limit that a task leaves.
pub(crate) fn freed_by(held: &Held) -> Option<(mb_core::id::TenantId, String)> {
    held.task.options.concurrency.as_ref().map(|limit| (held.task.tenant, limit.key.clone()))
}

pub(crate) fn canceled(held: &Held) -> Settled {
    Settled::Finished(Ending::of(&held.task, Fate::Canceled, None))
}

/// Sorts what follows for a task into what waits again and what is over.
pub(crate) fn settle(
    now: Timestamp,
    held: &Held,
    settled: Settled,
    back: &mut Vec<Back>,
    over: &mut Vec<(TaskId, Ending)>,
) {
    match settled {
        Settled::Finished(ending) => over.push((held.id(), ending)),
        Settled::Again { ready_at, failures, losses } => {
            let state = if ready_at <= now { Waiting::Ready } else { Waiting::Delayed };
            back.push(Back { id: held.id(), state, ready_at, failures, losses, is_reserved: false });
        }
    }
}

/// Names a task as people know it.
pub(crate) fn name(task: TaskId, key: Option<&TaskKey>) -> String {
    key.map_or_else(|| task.to_string(), ToString::to_string)
}
