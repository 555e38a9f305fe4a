//! Schedules: kept by people, moved on by the leader.
//!
//! A person's change raises the revision. The leader decides about a revision it has read; when there is a newer one
//! by the time it writes, nothing is written, and it decides again. Deliberately absent: when a schedule fires
//! (`mb_core::schedule`).

use mb_core::id::{RunId, ScheduleId, TenantId};
use mb_core::schedule::{Schedule, Standing};
use mb_core::time::Timestamp;
use serde_json::Value as Json;

use crate::db::{Row, Value};
use crate::error::StoreError;
use crate::fires::{self, FireRow};
use crate::leaders::{self, Lead, Led};
use crate::sql;
use crate::store::{Store, transaction};

/// Schedules of one tenant at most.
pub const SCHEDULES_MAX: u32 = 1_000;
/// Schedules one look finds at most; the rest is found by the next.
const DUE_MAX: i64 = 100;

/// A schedule as people make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSchedule {
    /// Its id.
    pub id: ScheduleId,
    /// Whose.
    pub tenant: TenantId,
    /// Its name, unique for the tenant.
    pub name: String,
    /// What is started.
    pub workflow: String,
    /// Which version of it; the current one at each start when there is none.
    pub version: Option<u32>,
    /// With which inputs.
    pub inputs: Json,
    /// When.
    pub schedule: Schedule,
    /// Who made it.
    pub actor: String,
}

/// A schedule as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// What people set.
    pub set: NewSchedule,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a person last changed it.
    pub updated_at: Timestamp,
    /// Rises with every change by a person.
    pub revision: i64,
    /// Who paused it and why, while it is paused.
    pub paused: Option<String>,
    /// Up to where its times are decided.
    pub after: Timestamp,
    /// A time that waits for the open run to end.
    pub waiting: Option<Timestamp>,
    /// When its next start is.
    pub next: Option<Timestamp>,
}

impl ScheduleRow {
    /// Where it stands, when it is known whether a run of it is open.
    pub fn standing(&self, is_running: bool) -> Standing {
        Standing { after: self.after, waiting: self.waiting, is_running }
    }
}

/// What came of [`Store::schedule_add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is there.
    Added,
    /// The tenant has one of that name.
    NameTaken,
    /// The tenant has as many as are allowed.
    Full,
}

/// A decision of the leader about one schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleDecision {
    /// About which.
    pub id: ScheduleId,
    /// About which revision of it.
    pub revision: i64,
    /// Starts, and times that were left out.
    pub fires: Vec<FireRow>,
    /// The new [`ScheduleRow::after`].
    pub after: Timestamp,
    /// The new [`ScheduleRow::waiting`].
    pub waiting: Option<Timestamp>,
    /// The new [`ScheduleRow::next`].
    pub next: Option<Timestamp>,
}

impl Store {
    /// Stores a new schedule. Times up to now are not its.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its id is taken.
    pub async fn schedule_add(&self, now: Timestamp, new: &NewSchedule) -> Result<Added, StoreError> {
        let values = [
            Value::id(new.id),
            Value::id(new.tenant),
            Value::text(&new.name),
            Value::text(&new.workflow),
            Value::Int(new.version.map(i64::from)),
            Value::json(&new.inputs)?,
            Value::json(&new.schedule)?,
            Value::text(&new.actor),
            Value::time(now),
            Value::opt_time(first(now, new.id, &new.schedule)),
            Value::int(SCHEDULES_MAX),
        ];
        let name = [Value::id(new.tenant), Value::text(&new.name)];
        transaction!(self, |tx| {
            if tx.execute(sql::SCHEDULES_ADD, &values).await? == 1 {
                return Ok(Added::Added);
            }
            let taken = tx.row(sql::SCHEDULES_GET, &name).await?.is_some();
            Ok(if taken { Added::NameTaken } else { Added::Full })
        })
    }

    /// Replaces what people set (not the name), if nobody has changed it since `revision`. It counts from now.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn schedule_update(&self, now: Timestamp, revision: i64, set: &NewSchedule) -> Result<bool, StoreError> {
        let values = [
            Value::id(set.tenant),
            Value::id(set.id),
            Value::int(revision),
            Value::text(&set.workflow),
            Value::Int(set.version.map(i64::from)),
            Value::json(&set.inputs)?,
            Value::json(&set.schedule)?,
            Value::text(&set.actor),
            Value::time(now),
            Value::opt_time(first(now, set.id, &set.schedule)),
        ];
        transaction!(self, |tx| Ok(tx.execute(sql::SCHEDULES_UPDATE, &values).await? == 1))
    }

    /// Pauses a schedule; says whether it was there and was not paused. A time that waited is dropped.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn schedule_pause(
        &self,
        now: Timestamp,
        tenant: TenantId,
        id: ScheduleId,
        why: &str,
    ) -> Result<bool, StoreError> {
        let values = [Value::id(tenant), Value::id(id), Value::text(why), Value::time(now)];
        transaction!(self, |tx| Ok(tx.execute(sql::SCHEDULES_PAUSE, &values).await? == 1))
    }

    /// Lets a paused schedule go on from now: times during the pause are nobody's. Says whether it was paused.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn schedule_resume(&self, now: Timestamp, tenant: TenantId, id: ScheduleId) -> Result<bool, StoreError> {
        transaction!(self, |tx| {
            let Some(row) = tx.row(sql::SCHEDULES_GET, &[Value::id(tenant), Value::id(id)]).await? else {
                return Ok(false);
            };
            let next = first(now, id, &schedule(&row)?.set.schedule);
            let values = [Value::id(tenant), Value::id(id), Value::time(now), Value::opt_time(next)];
            Ok(tx.execute(sql::SCHEDULES_RESUME, &values).await? == 1)
        })
    }

    /// Removes a schedule; says whether it was there. Starts that are decided are still made.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn schedule_remove(&self, tenant: TenantId, id: ScheduleId) -> Result<bool, StoreError> {
        let values = [Value::id(tenant), Value::id(id)];
        transaction!(self, |tx| Ok(tx.execute(sql::SCHEDULES_REMOVE, &values).await? == 1))
    }

    /// A schedule by its id or name.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn schedule(&self, tenant: TenantId, named: &str) -> Result<Option<ScheduleRow>, StoreError> {
        let rows = self.read(sql::SCHEDULES_GET, &[Value::id(tenant), Value::text(named)]).await?;
        rows.first().map(schedule).transpose()
    }

    /// All schedules of a tenant (at most 1,000), by name.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn schedules(&self, tenant: TenantId) -> Result<Vec<ScheduleRow>, StoreError> {
        self.read(sql::SCHEDULES_LIST, &[Value::id(tenant)]).await?.iter().map(schedule).collect()
    }

    /// Schedules that have something to decide now, the longest waiting first, and whether a run of each is open. At
    /// most 100.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn schedules_due(&self, now: Timestamp) -> Result<Vec<(ScheduleRow, bool)>, StoreError> {
        let rows = self.read(sql::SCHEDULES_DUE, &[Value::time(now), Value::int(DUE_MAX)]).await?;
        rows.iter().map(|row| Ok((schedule(row)?, row.int("is_running")? == 1))).collect()
    }

    /// The open runs of a schedule whose times were before one.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn schedule_open_runs(&self, source: &str, before: Timestamp) -> Result<Vec<RunId>, StoreError> {
        let values = [Value::text(source), Value::time(before)];
        self.read(sql::SCHEDULES_OPEN_RUNS, &values).await?.iter().map(|row| row.parse("run")).collect()
    }

    /// Writes a decision down: its starts, and where the schedule stands then. Says whether it was written; not when
    /// a person has changed, paused or removed the schedule since.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn schedule_decide(&self, lead: Lead, decision: &ScheduleDecision) -> Result<Led<bool>, StoreError> {
        let values = [
            Value::id(decision.id),
            Value::int(decision.revision),
            Value::time(decision.after),
            Value::opt_time(decision.waiting),
            Value::opt_time(decision.next),
        ];
        transaction!(self, |tx| {
            if leaders::hold(tx, lead).await?.is_none() {
                return Ok(Led::Deposed);
            }
            if tx.execute(sql::SCHEDULES_DECIDE, &values).await? == 0 {
                return Ok(Led::Done(false));
            }
            fires::add(tx, &decision.fires).await?;
            Ok(Led::Done(true))
        })
    }
}

/// The first start of a schedule that counts from now.
fn first(now: Timestamp, id: ScheduleId, schedule: &Schedule) -> Option<Timestamp> {
    schedule.timing.next(now).map(|at| schedule.start_of(id, at))
}

fn schedule(row: &Row) -> Result<ScheduleRow, StoreError> {
    let version = row.opt_int("version")?.map(u32::try_from).transpose();
    Ok(ScheduleRow {
        set: NewSchedule {
            id: row.parse("id")?,
            tenant: row.parse("tenant")?,
            name: row.text("name")?,
            workflow: row.text("workflow")?,
            version: version.map_err(|source| StoreError::corrupt("version", source))?,
            inputs: row.json("inputs")?,
            schedule: row.json("doc")?,
            actor: row.text("actor")?,
        },
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        revision: row.int("revision")?,
        paused: row.opt_text("paused")?,
        after: row.time("after_at")?,
        waiting: row.opt_time("waiting_at")?,
        next: row.opt_time("next_at")?,
    })
}
