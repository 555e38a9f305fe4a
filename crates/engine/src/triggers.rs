//! What triggers start: when an event comes in from outside, and when runs have ended.
//!
//! Both only decide; the scheduler's next pass makes the starts. How far one thing may lead to another is bounded by
//! [`DEPTH_MAX`], how many starts one thing may lead to by the number of triggers the store gives for it.

use mb_core::error::chain;
use mb_core::expression::{self, Scope};
use mb_core::id::{RunId, TenantId};
use mb_core::name::Name;
use mb_core::run::TriggerKind;
use mb_core::time::Timestamp;
use mb_core::trigger::DEPTH_MAX;
use mb_store::{FinishedRun, FireRow, FireState, Lead, Led, StoreError, TriggerRow};
use serde_json::{Map, Value, json};

use crate::Engine;

/// Largest data of an event, as JSON, in bytes.
const EVENT_BYTES_MAX: usize = 256 << 10;
/// Longest id somebody may give an event, in bytes.
const EVENT_ID_BYTES_MAX: usize = 200;

/// An event from outside.
#[derive(Debug, Clone)]
pub struct SendEvent {
    /// Whose triggers it sets off.
    pub tenant: TenantId,
    /// Its name.
    pub name: Name,
    /// The same id again starts nothing again; one is made when there is none.
    pub id: Option<String>,
    /// What it carries.
    pub data: Value,
    /// The run that sends it, so that a circle of runs and events ends.
    pub cause: Option<RunId>,
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub id: String,
    /// How many triggers wait for it.
    pub triggers: usize,
    /// How many starts it led to; fewer when it came before.
    pub fires: u64,
}

/// Why an event was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It is too large.
    #[error("the data have {bytes} bytes of JSON; at most {EVENT_BYTES_MAX} are allowed")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Its id cannot be used.
    #[error("an event's id has 1 to {EVENT_ID_BYTES_MAX} bytes")]
    Id,
    /// The run that sends it does not exist.
    #[error("there is no run {run}")]
    Cause {
        /// The run.
        run: RunId,
    },
    /// The store did not take it.
    #[error("the event could not be stored")]
    Store(#[source] StoreError),
}

/// Something that may set triggers off.
struct Happening {
    kind: TriggerKind,
    /// What names it.
    occasion: String,
    at: Timestamp,
    /// How many triggers led to it.
    depth: u32,
    scope: Scope,
}

impl Engine {
    /// Takes an event in. When this returns, what it leads to is decided and durable.
    ///
    /// # Errors
    /// [`SendError`]; nothing was stored then.
    pub async fn send_event(&self, ask: SendEvent) -> Result<Sent, SendError> {
        let bytes = ask.data.to_string().len();
        if bytes > EVENT_BYTES_MAX {
            return Err(SendError::TooLarge { bytes });
        }
        let id = ask.id.clone().unwrap_or_else(|| self.env().event_id().to_string());
        if !(1..=EVENT_ID_BYTES_MAX).contains(&id.len()) {
            return Err(SendError::Id);
        }
        let now = self.env().now();
        let depth = self.depth_of(&ask).await?;
        let data = json!({ "name": ask.name, "id": id, "at": now, "data": ask.data });
        let scope = Scope::new(Map::from_iter([("event".to_owned(), data)]));
        let happening = Happening { kind: TriggerKind::Event, occasion: id.clone(), at: now, depth, scope };
        let triggers =
            self.store().triggers_on(ask.tenant, "event", ask.name.as_str()).await.map_err(SendError::Store)?;
        let rows: Vec<FireRow> = triggers.iter().map(|row| fire(now, row, &happening)).collect();
        let fires = self.store().fire_on_event(&rows).await.map_err(SendError::Store)?;
        Ok(Sent { id, triggers: rows.len(), fires })
    }

    async fn depth_of(&self, ask: &SendEvent) -> Result<u32, SendError> {
        let Some(run) = ask.cause else { return Ok(0) };
        let cause = self.store().run(ask.tenant, run).await.map_err(SendError::Store)?;
        let cause = cause.ok_or(SendError::Cause { run })?;
        Ok(cause.trigger.map_or(0, |trigger| trigger.depth))
    }

    /// Decides what the runs that have ended since the last look lead to.
    pub(crate) async fn look_at_finished(&self, lead: Lead) -> Result<(), StoreError> {
        let rows = self.store().leaders().await?;
        let Some(from) = rows.iter().find(|row| row.name == lead.name).map(|row| row.position) else { return Ok(()) };
        let (runs, to) = self.store().finished_after(from).await?;
        if to == from {
            return Ok(());
        }
        let mut fires = Vec::new();
        for run in &runs {
            fires.extend(self.fires_of(run).await?);
        }
        if let Led::Deposed = self.store().fire_on_runs(lead, from, to, &fires).await? {
            self.deposed();
        }
        Ok(())
    }

    async fn fires_of(&self, ended: &FinishedRun) -> Result<Vec<FireRow>, StoreError> {
        let mut triggers = self.store().triggers_on(ended.tenant, "run_finished", &ended.workflow).await?;
        // What ended before a trigger was made is none of its business.
        triggers.retain(|row| row.created_at <= ended.at && row.trigger.on.fits_run(&ended.workflow, ended.outcome));
        if triggers.is_empty() {
            return Ok(Vec::new());
        }
        let Some(run) = self.store().run(ended.tenant, ended.run).await? else { return Ok(Vec::new()) };
        let data = json!({
            "id": run.id, "workflow": ended.workflow, "outcome": ended.outcome, "project": ended.project,
            "inputs": run.inputs, "outputs": run.outputs,
        });
        let happening = Happening {
            kind: TriggerKind::Run,
            occasion: ended.run.to_string(),
            at: ended.at,
            depth: ended.depth,
            scope: Scope::new(Map::from_iter([("run".to_owned(), data)])),
        };
        let now = self.env().now();
        Ok(triggers.iter().map(|row| fire(now, row, &happening)).collect())
    }
}

/// What one trigger makes of something that happened.
fn fire(now: Timestamp, row: &TriggerRow, happening: &Happening) -> FireRow {
    let depth = happening.depth + 1;
    let mut inputs = Value::Object(row.trigger.inputs.clone().into_iter().collect());
    let state = if depth > DEPTH_MAX {
        FireState::Skipped(format!("{DEPTH_MAX} triggers have followed from one another; this may be a circle"))
    } else {
        match expression::fill(&inputs, &happening.scope) {
            Ok(filled) => {
                inputs = filled;
                FireState::Pending
            }
            Err(error) => FireState::Failed(chain(&error)),
        }
    };
    FireRow {
        source: row.id.to_string(),
        occasion: happening.occasion.clone(),
        kind: happening.kind,
        name: row.name.clone(),
        tenant: row.tenant,
        workflow: row.workflow.clone(),
        version: row.version,
        inputs,
        depth,
        cancels: false,
        at: happening.at,
        decided_at: now,
        state,
    }
}
