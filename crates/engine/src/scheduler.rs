//! Starting what schedules and triggers ask for.
//!
//! A pass of the leader: which schedules are due (`core::schedule::due` decides), which runs have ended (triggers), and
//! then every start that is decided and not made yet. Between any two of these the process may die: what was decided
//! is in the store, and a start that is made again finds the run it made. The loop takes no input.

use std::time::Duration;

use mb_core::error::chain;
use mb_core::expression::{self, Scope};
use mb_core::run::{Trigger, TriggerKind};
use mb_core::schedule::{self, Due, Passed};
use mb_core::time::Timestamp;
use mb_store::{Cancel, FireRow, FireState, Lead, Led, ScheduleDecision, ScheduleRow, StoreError};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::start::RunNamed;
use crate::{Engine, StartError};

/// Starts made in one pass.
const STARTS_MAX: u32 = 100;

/// The scheduler's loop.
pub struct Scheduler {
    engine: Engine,
    interval: Duration,
}

impl Scheduler {
    /// A scheduler that looks every `interval`: no start is later than that for lack of looking.
    pub fn new(engine: Engine, interval: Duration) -> Scheduler {
        Scheduler { engine, interval }
    }

    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.engine.schedule_once().await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }
}

impl Engine {
    /// One pass, if this process leads. What fails is logged and tried again by the next.
    pub async fn schedule_once(&self) {
        let Some(lead) = self.lead().await else { return };
        if let Err(error) = self.pass(lead).await {
            tracing::error!(error = %chain(&error), "schedules and triggers could not be looked at");
        }
    }

    async fn pass(&self, lead: Lead) -> Result<(), StoreError> {
        for (row, is_running) in self.store().schedules_due(self.env().now()).await? {
            self.decide(lead, &row, is_running).await?;
        }
        self.look_at_finished(lead).await?;
        self.make(lead).await
    }

    /// Decides what one schedule starts now, and writes it down.
    async fn decide(&self, lead: Lead, row: &ScheduleRow, is_running: bool) -> Result<(), StoreError> {
        let now = self.env().now();
        let due = schedule::due(now, row.set.id, &row.set.schedule, &row.standing(is_running));
        // One that waits is looked at in every pass, and mostly waits on.
        if due.fires.is_empty() && due.passed.is_empty() && due.next == row.next && due.waiting == row.waiting {
            return Ok(());
        }
        let decision = decision(now, row, &due);
        match self.store().schedule_decide(lead, &decision).await? {
            Led::Done(true) => {
                for passed in &due.passed {
                    let outcome = if passed.is_overlap { "overlap" } else { "missed" };
                    self.metrics().fired(outcome, passed.count);
                }
            }
            Led::Done(false) => {
                tracing::debug!(schedule = %row.set.id, "changed meanwhile; decided again by the next pass");
            }
            Led::Deposed => self.deposed(),
        }
        Ok(())
    }

    /// Makes every start that is decided.
    async fn make(&self, lead: Lead) -> Result<(), StoreError> {
        for fire in self.store().fires_pending(STARTS_MAX).await? {
            let state = match self.start_fire(&fire).await {
                Ok(state) => state,
                // The store may answer again soon; the start stays decided.
                Err(StartError::Store(error)) if error.is_transient() || matches!(error, StoreError::Full { .. }) => {
                    return Err(error);
                }
                Err(error) => FireState::Failed(chain(&error)),
            };
            match self.store().fire_settle(lead, &fire, &state).await? {
                Led::Done(true) => self.tell(&fire, &state),
                Led::Done(false) => {}
                Led::Deposed => {
                    self.deposed();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn start_fire(&self, fire: &FireRow) -> Result<FireState, StartError> {
        let actor = format!("{} {}", fire.kind, fire.name);
        if fire.cancels {
            self.cancel_before(fire, &actor).await.map_err(StartError::Store)?;
        }
        let due_at = (fire.kind == TriggerKind::Schedule).then_some(fire.at);
        let ask = RunNamed {
            tenant: fire.tenant,
            workflow: fire.workflow.clone(),
            version: fire.version,
            inputs: fire.inputs.clone(),
            actor,
            idempotency_key: Some(fire.key()),
            affinity: None,
            trigger: Some(Trigger { kind: fire.kind, name: fire.name.clone(), depth: fire.depth, due_at }),
        };
        Ok(FireState::Started(self.start_named(ask).await?.id))
    }

    /// Cancels the open runs of a schedule, for the one that takes their place.
    async fn cancel_before(&self, fire: &FireRow, actor: &str) -> Result<(), StoreError> {
        let now = self.env().now();
        for run in self.store().schedule_open_runs(&fire.source, fire.at).await? {
            if self.store().cancel(now, fire.tenant, run, actor).await? == Cancel::Requested {
                tracing::info!(%run, schedule = %fire.name, "canceled for the next run of its schedule");
            }
        }
        Ok(())
    }

    fn tell(&self, fire: &FireRow, state: &FireState) {
        match state {
            FireState::Started(run) => {
                self.metrics().fired("started", 1);
                self.metrics().lag(self.env().now().since(fire.at));
                tracing::info!(%run, source = %fire.source, occasion = %fire.occasion, "started");
            }
            FireState::Failed(why) => {
                self.metrics().fired("failed", 1);
                tracing::error!(source = %fire.source, occasion = %fire.occasion, %why, "could not be started");
            }
            FireState::Pending | FireState::Skipped(_) => {}
        }
    }
}

fn decision(now: Timestamp, row: &ScheduleRow, due: &Due) -> ScheduleDecision {
    let starts = due.fires.iter().map(|fire| FireRow { cancels: fire.cancels, ..start(now, row, fire.at) });
    let passed = due.passed.iter().map(|passed| {
        let state = FireState::Skipped(why(row, passed));
        FireRow { state, ..fire_row(now, row, passed.first, row.set.inputs.clone()) }
    });
    ScheduleDecision {
        id: row.set.id,
        revision: row.revision,
        fires: passed.chain(starts).collect(),
        after: due.after,
        waiting: due.waiting,
        next: due.next,
    }
}

/// A start with its inputs filled in, or failed when they cannot be.
fn start(now: Timestamp, row: &ScheduleRow, at: Timestamp) -> FireRow {
    let data = json!({ "name": row.set.name, "at": at });
    let scope = Scope::new(Map::from_iter([("schedule".to_owned(), data)]));
    match expression::fill(&row.set.inputs, &scope) {
        Ok(inputs) => fire_row(now, row, at, inputs),
        Err(error) => {
            let state = FireState::Failed(chain(&error));
            FireRow { state, ..fire_row(now, row, at, row.set.inputs.clone()) }
        }
    }
}

fn fire_row(now: Timestamp, row: &ScheduleRow, at: Timestamp, inputs: Value) -> FireRow {
    FireRow {
        source: row.set.id.to_string(),
        occasion: at.to_string(),
        kind: TriggerKind::Schedule,
        name: row.set.name.clone(),
        tenant: row.set.tenant,
        workflow: row.set.workflow.clone(),
        version: row.set.version,
        inputs,
        depth: 0,
        cancels: false,
        at,
        decided_at: now,
        state: FireState::Pending,
    }
}

/// Why times were left out, as it is shown.
fn why(row: &ScheduleRow, passed: &Passed) -> String {
    let times = match passed.count {
        1 => String::new(),
        count => format!("{count} times until {}: ", row.set.schedule.timing.show(passed.last)),
    };
    let what =
        if passed.is_overlap { "a run of this schedule was open" } else { "nobody was there to start it in time" };
    format!("{times}{what}")
}
