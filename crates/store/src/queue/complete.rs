//! Hearing how tasks ended, many at once.

use std::collections::BTreeMap;

use mb_core::id::{TaskId, TenantId, WorkerId};
use mb_core::queue::{self, Completion, Ending, Fate, Outcome, Settled};
use mb_core::task::{Fence, Lease};
use mb_core::time::Timestamp;

use crate::db::{Session, Value};
use crate::error::StoreError;
use crate::queue::claim::{canceled, freed_by, held_by, settle};
use crate::queue::limits;
use crate::queue::row::{From, Held, ids, options_of, put_back, record};
use crate::sql;
use crate::store::{Store, transaction};

impl Store {
    /// Ends tasks that belong to no run, or lets them wait again, as `mb_core::queue::settle` says; the answers are in the
    /// order of `reports`. What was acknowledged is on the disk.
    ///
    /// # Errors
    /// [`StoreError`]. After [`StoreError::Unavailable`] or [`StoreError::Timeout`] it may have happened: report again, and
    /// [`Completion::StaleFence`] then says it did.
    pub async fn complete(&self, now: Timestamp, reports: &[(Lease, Outcome)]) -> Result<Vec<Completion>, StoreError> {
        if reports.is_empty() {
            return Ok(Vec::new());
        }
        transaction!(self, |tx| complete(tx, now, reports).await)
    }
}

async fn complete(
    tx: &mut Session,
    now: Timestamp,
    reports: &[(Lease, Outcome)],
) -> Result<Vec<Completion>, StoreError> {
    let (good, other): (Vec<_>, Vec<_>) = reports.iter().partition(|(_, outcome)| *outcome == Outcome::Succeeded);
    let mut settled = succeed(tx, now, &good).await?;
    settled.extend(otherwise(tx, now, &other).await?);
    // A report that is there twice is heard once.
    let answer = |(lease, _): &(Lease, Outcome)| {
        settled.remove(&name_of(lease)).map_or(Completion::StaleFence, Completion::Settled)
    };
    Ok(reports.iter().map(answer).collect())
}

type Name = (TaskId, Fence, WorkerId);

fn name_of(lease: &Lease) -> Name {
    (lease.task, lease.fence, lease.worker)
}

/// The usual end, in one statement on PostgreSQL: nothing has to be read to decide about it.
async fn succeed(
    tx: &mut Session,
    now: Timestamp,
    reports: &[&(Lease, Outcome)],
) -> Result<BTreeMap<Name, Settled>, StoreError> {
    let mut by_worker = BTreeMap::<WorkerId, Vec<&Lease>>::new();
    reports.iter().for_each(|(lease, _)| by_worker.entry(lease.worker).or_default().push(lease));
    let mut settled = BTreeMap::new();
    for (worker, mut leases) in by_worker {
        leases.sort_by_key(|lease| name_of(lease));
        leases.dedup_by_key(|lease| name_of(lease));
        let values = [Value::id(worker), Value::time(now), held_by(leases.iter().copied())];
        let rows = tx.rows(sql::LEASES_SUCCEED, &values).await?;
        let mut done = BTreeMap::<TaskId, Ending>::new();
        let (mut freed, mut has_keys) = (Vec::<(TenantId, String)>::new(), false);
        for row in &rows {
            let (failures, losses) = (row.count("failures")?, row.count("losses")?);
            let ending = Ending { fate: Fate::Succeeded, error: None, failures, losses };
            done.insert(row.parse("id")?, ending.clone());
            settled.insert((row.parse("id")?, Fence(row.count("fence")?), worker), Settled::Finished(ending));
            if let Some(gate) = row.opt_text("gate")? {
                freed.push((row.parse("tenant")?, gate));
            }
            has_keys |= row.opt_text("options")?.is_some() && options_of(row)?.unique.is_some();
        }
        if tx.is_sqlite() {
            let endings: Vec<(TaskId, Ending)> = done.iter().map(|(id, ending)| (*id, ending.clone())).collect();
            record(tx, now, From::Leases, &endings).await?;
        } else if has_keys {
            tx.execute(sql::TASK_KEYS_FREE, &[ids(done.keys())]).await?;
        }
        limits::unblock(tx, freed).await?;
    }
    Ok(settled)
}

async fn otherwise(
    tx: &mut Session,
    now: Timestamp,
    reports: &[&(Lease, Outcome)],
) -> Result<BTreeMap<Name, Settled>, StoreError> {
    if reports.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = tx.rows(sql::LEASES_HOLD, &[ids(reports.iter().map(|(lease, _)| &lease.task))]).await?;
    let held = rows.iter().map(Held::of).collect::<Result<Vec<Held>, _>>()?;
    let outcomes: BTreeMap<Name, &Outcome> = reports.iter().map(|(lease, outcome)| (name_of(lease), outcome)).collect();
    let (mut settled, mut back, mut over, mut freed) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
    for held in held.iter().filter(|held| held.key.is_none()) {
        let name = (held.id(), held.fence, held.worker);
        let Some(outcome) = outcomes.get(&name) else { continue };
        let what = if held.is_interrupted { canceled(held) } else { queue::settle(now, &held.task, outcome) };
        settle(now, held, what.clone(), &mut back, &mut over);
        freed.extend(freed_by(held));
        settled.insert(name, what);
    }
    put_back(tx, &back).await?;
    record(tx, now, From::Leases, &over).await?;
    limits::unblock(tx, freed).await?;
    Ok(settled)
}
