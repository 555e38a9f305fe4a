//! Fires: each start that a schedule or a trigger decided on, and what came of it.
//!
//! A start is decided, then made, then noted: three transactions, so that a leader may die between any two. Deciding
//! is what happens once, by the key (source, occasion); making it carries the same key, so that making it again finds
//! the same run.

use std::time::Duration;

use mb_core::id::{RunId, TenantId};
use mb_core::run::{RunOutcome, TriggerKind};
use mb_core::time::Timestamp;
use serde_json::Value as Json;

use crate::db::{Row, Session, Value};
use crate::error::StoreError;
use crate::leaders::{self, Lead, Led};
use crate::sql;
use crate::store::{Store, transaction};

/// Rows of one answer at most.
const ROWS_MAX: u32 = 200;
/// Rows one sweep removes at most.
const SWEEP_MAX: i64 = 1_000;
/// Events one look at finished runs passes at most.
const EVENTS_MAX: i64 = 2_000;

/// Where a fire stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FireState {
    /// Decided, not made yet.
    Pending,
    /// It started this run.
    Started(RunId),
    /// It was decided not to start it, for this reason.
    Skipped(String),
    /// It could not be started, for this reason.
    Failed(String),
}

/// A start that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FireRow {
    /// The schedule or trigger, as text.
    pub source: String,
    /// What names it beside that: the schedule's time, the run that ended, the event.
    pub occasion: String,
    /// What kind of thing the source waits for.
    pub kind: TriggerKind,
    /// The source's name.
    pub name: String,
    /// Whose.
    pub tenant: TenantId,
    /// Which workflow.
    pub workflow: String,
    /// Which version of it; the current one when there is none.
    pub version: Option<u32>,
    /// With which inputs.
    pub inputs: Json,
    /// How many triggers have followed from one another.
    pub depth: u32,
    /// Whether open runs of the source are cancelled first.
    pub cancels: bool,
    /// When it should have happened.
    pub at: Timestamp,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Where it stands.
    pub state: FireState,
}

impl FireRow {
    /// The key that makes its run one run, however often it is started.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.kind, self.source, self.occasion)
    }
}

/// A run that has ended, as triggers look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedRun {
    /// The number of the event that says so.
    pub seq: i64,
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub run: RunId,
    /// When it ended.
    pub at: Timestamp,
    /// Its workflow's name.
    pub workflow: String,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Its project's name.
    pub project: String,
    /// How many triggers led to it.
    pub depth: u32,
}

impl Store {
    /// Decided starts that nobody has made yet, oldest first.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn fires_pending(&self, limit: u32) -> Result<Vec<FireRow>, StoreError> {
        let limit = Value::int(limit.clamp(1, ROWS_MAX));
        self.read(sql::FIRES_PENDING, &[limit]).await?.iter().map(fire).collect()
    }

    /// Notes what came of a decided start. Says whether it was still open.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn fire_settle(&self, lead: Lead, fire: &FireRow, state: &FireState) -> Result<Led<bool>, StoreError> {
        let (run, detail) = parts(state);
        let values = [
            Value::text(&fire.source),
            Value::text(&fire.occasion),
            Value::text(word(state)),
            Value::Text(run.map(|run| run.to_string())),
            Value::opt_text(detail),
        ];
        transaction!(self, |tx| {
            if leaders::hold(tx, lead).await?.is_none() {
                return Ok(Led::Deposed);
            }
            Ok(Led::Done(tx.execute(sql::FIRES_SETTLE, &values).await? == 1))
        })
    }

    /// The last starts of a schedule or trigger, newest first.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn fires(&self, tenant: TenantId, source: &str, limit: u32) -> Result<Vec<FireRow>, StoreError> {
        let values = [Value::id(tenant), Value::text(source), Value::int(limit.clamp(1, ROWS_MAX))];
        self.read(sql::FIRES_OF, &values).await?.iter().map(fire).collect()
    }

    /// What started a run; none when a person did.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn fire_of(&self, run: RunId) -> Result<Option<FireRow>, StoreError> {
        self.read(sql::FIRES_OF_RUN, &[Value::id(run)]).await?.first().map(fire).transpose()
    }

    /// Forgets starts that were decided longer ago than `age`, at most 1,000; says how many. Their runs stay.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn fires_sweep(&self, now: Timestamp, lead: Lead, age: Duration) -> Result<Led<u64>, StoreError> {
        transaction!(self, Later, |tx| {
            if leaders::hold(tx, lead).await?.is_none() {
                return Ok(Led::Deposed);
            }
            Ok(Led::Done(tx.execute(sql::FIRES_SWEEP, &[Value::time(now - age), Value::int(SWEEP_MAX)]).await?))
        })
    }

    /// The runs that ended after event `position`, and up to which event that looked (at most 2,000 further).
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn finished_after(&self, position: i64) -> Result<(Vec<FinishedRun>, i64), StoreError> {
        let upto = self.last_seq().await?.min(position + EVENTS_MAX);
        if upto <= position {
            return Ok((Vec::new(), position));
        }
        let rows = self.read(sql::FIRES_FINISHED_RUNS, &[Value::int(position), Value::int(upto)]).await?;
        Ok((rows.iter().map(finished).collect::<Result<_, _>>()?, upto))
    }

    /// Writes down the starts that finished runs led to, and that events up to `to` are looked at. When somebody has
    /// moved the position since, nothing is changed and 0 is the answer; else how many starts are new.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn fire_on_runs(
        &self,
        lead: Lead,
        from: i64,
        to: i64,
        fires: &[FireRow],
    ) -> Result<Led<u64>, StoreError> {
        transaction!(self, |tx| {
            if leaders::hold(tx, lead).await?.is_none() {
                return Ok(Led::Deposed);
            }
            if tx.execute(sql::LEADERS_MOVE, &[Value::id(lead.name), Value::int(from), Value::int(to)]).await? == 0 {
                return Ok(Led::Done(0));
            }
            Ok(Led::Done(add(tx, fires).await?))
        })
    }

    /// Writes down the starts that an event led to; says how many are new. The same event again starts nothing again.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn fire_on_event(&self, fires: &[FireRow]) -> Result<u64, StoreError> {
        transaction!(self, |tx| add(tx, fires).await)
    }
}

/// Writes decided starts; says how many are new.
pub(crate) async fn add(tx: &mut Session, fires: &[FireRow]) -> Result<u64, StoreError> {
    let mut added = 0;
    for fire in fires {
        let (_, detail) = parts(&fire.state);
        let values = [
            Value::text(&fire.source),
            Value::text(&fire.occasion),
            Value::id(fire.kind),
            Value::text(&fire.name),
            Value::id(fire.tenant),
            Value::text(&fire.workflow),
            Value::Int(fire.version.map(i64::from)),
            Value::json(&fire.inputs)?,
            Value::int(fire.depth),
            Value::int(fire.cancels),
            Value::time(fire.at),
            Value::time(fire.decided_at),
            Value::text(word(&fire.state)),
            Value::opt_text(detail),
        ];
        added += tx.execute(sql::FIRES_ADD, &values).await?;
    }
    tx.is_change |= added > 0;
    Ok(added)
}

const fn word(state: &FireState) -> &'static str {
    match state {
        FireState::Pending => "pending",
        FireState::Started(_) => "started",
        FireState::Skipped(_) => "skipped",
        FireState::Failed(_) => "failed",
    }
}

fn parts(state: &FireState) -> (Option<RunId>, Option<&str>) {
    match state {
        FireState::Pending => (None, None),
        FireState::Started(run) => (Some(*run), None),
        FireState::Skipped(why) | FireState::Failed(why) => (None, Some(why)),
    }
}

fn fire(row: &Row) -> Result<FireRow, StoreError> {
    let detail = row.opt_text("detail")?.unwrap_or_default();
    let state = match row.text("state")?.as_str() {
        "pending" => FireState::Pending,
        "started" => FireState::Started(row.parse("run")?),
        "skipped" => FireState::Skipped(detail),
        "failed" => FireState::Failed(detail),
        other => return Err(StoreError::corrupt("state", format!("unknown word {other:?}"))),
    };
    Ok(FireRow {
        source: row.text("source")?,
        occasion: row.text("occasion")?,
        kind: row.word("kind", TriggerKind::from_word)?,
        name: row.text("name")?,
        tenant: row.parse("tenant")?,
        workflow: row.text("workflow")?,
        version: row
            .opt_int("version")?
            .map(u32::try_from)
            .transpose()
            .map_err(|e| StoreError::corrupt("version", e))?,
        inputs: row.json("inputs")?,
        depth: row.count("depth")?,
        cancels: row.int("cancels")? == 1,
        at: row.time("at")?,
        decided_at: row.time("decided_at")?,
        state,
    })
}

fn finished(row: &Row) -> Result<FinishedRun, StoreError> {
    Ok(FinishedRun {
        seq: row.int("seq")?,
        tenant: row.parse("tenant")?,
        run: row.parse("run")?,
        at: row.time("at")?,
        workflow: row.text("workflow")?,
        outcome: row.word("outcome", RunOutcome::from_word)?,
        project: row.text("project")?,
        depth: row.count("depth")?,
    })
}
