//! The addresses of the version 4 runbook that are true already, in the shapes it expects.

use axum::Json;
use axum::extract::State;
use mb_api::repair::Repair;
use mb_api::run::Step;
use mb_api::{Event, Problem, Run};
use mb_core::id::RunId;
use serde::Serialize;
use utoipa::ToSchema;

use super::runs::load;
use crate::auth::RunsRead;
use crate::extract::Place;
use crate::problem::Answer;
use crate::state::AppState;

/// Events one answer holds; a run has far fewer, and `/api/v1` pages through more.
const EVENTS_MAX: u32 = 1_000;

/// A run's timeline.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Timeline {
    /// The run.
    #[schema(value_type = String)]
    run_id: RunId,
    /// Its first 1,000 events, oldest first.
    timeline: Vec<Event>,
}

/// How the repair of a run stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RepairStatus {
    /// The run.
    #[schema(value_type = String)]
    run_id: RunId,
    /// `pending`, `running`, `succeeded`, `failed` or `canceled`.
    status: String,
    /// `retry` or `patch` while one is under way; absent otherwise.
    current_phase: Option<&'static str>,
    /// Tries at commands.
    attempt_count: usize,
    /// Repairs tried.
    repair_phase_count: usize,
    /// Money spent, in US dollars.
    current_cost: f64,
    /// Wall time used, in seconds.
    current_time: f64,
    /// Its steps.
    steps: Vec<StepStatus>,
    /// Every repair tried.
    repair_history: Vec<History>,
}

/// A step in a repair status.
#[derive(Debug, Serialize, ToSchema)]
struct StepStatus {
    /// Its name.
    name: String,
    /// Where it stands.
    status: String,
    /// Tries at its command.
    attempts: usize,
    /// What is wrong with it.
    failure_class: Option<String>,
}

/// A repair in a repair status.
#[derive(Debug, Serialize, ToSchema)]
struct History {
    /// The step.
    step: String,
    /// The repair.
    #[serde(flatten)]
    repair: Repair,
}

/// A run's timeline, in the form of the version 4 runbook.
#[utoipa::path(get, path = "/api/meta/v4/runs/{id}/timeline", tag = "meta v4", params(("id" = String, Path)), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the timeline", body = Timeline),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn timeline(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<Json<Timeline>> {
    let run = load(&state, &who, &id).await?;
    let events = state.store().events(who.tenant, Some(run.id), 0, EVENTS_MAX).await?;
    Ok(Json(Timeline { run_id: run.id, timeline: events.iter().map(Event::from_domain).collect() }))
}

/// How the repair of a run stands, in the form of the version 4 runbook.
#[utoipa::path(get, path = "/api/meta/v4/runs/{id}/repair-status", tag = "meta v4", params(("id" = String, Path)), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the status", body = RepairStatus),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn repair_status(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<Json<RepairStatus>> {
    let run = load(&state, &who, &id).await?;
    Ok(Json(status(Run::from_domain(state.now(), &run))))
}

fn status(run: Run) -> RepairStatus {
    let current_phase = run.steps.iter().find_map(phase);
    let step = |step: &Step| StepStatus {
        name: step.name.clone(),
        status: step.state.clone(),
        attempts: step.attempts.len(),
        failure_class: step.failure.as_ref().map(|failure| failure.class.to_string()),
    };
    RepairStatus {
        run_id: run.summary.id,
        status: run.summary.state,
        current_phase,
        attempt_count: run.steps.iter().map(|step| step.attempts.len()).sum(),
        repair_phase_count: run.steps.iter().map(|step| step.repairs.len()).sum(),
        current_cost: run.spend.cost_microusd as f64 / 1e6,
        current_time: run.spend.time_ms as f64 / 1e3,
        steps: run.steps.iter().map(step).collect(),
        repair_history: run
            .steps
            .into_iter()
            .flat_map(|step| {
                let name = step.name;
                step.repairs.into_iter().map(move |repair| History { step: name.clone(), repair })
            })
            .collect(),
    }
}

fn phase(step: &Step) -> Option<&'static str> {
    if step.repairs.last().is_some_and(|repair| repair.state != "finished") {
        return Some("patch");
    }
    let last = step.attempts.last()?;
    (last.state != "finished" && last.purpose == mb_core::attempt::Purpose::Rerun).then_some("retry")
}
