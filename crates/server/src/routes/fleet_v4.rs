//! Queues and workers under the addresses of the version 4 runbook. The work is done in [`super::fleet`].

use axum::Json;
use axum::extract::State;
use mb_api::Problem;
use mb_api::fleet::{Cleared, Ending, QueuesStatus, Stats, Worker, WorkersHealth};
use mb_core::queue::Flow;
use mb_core::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::fleet::{clear, end_all, set_all};
use crate::auth::{FleetOperate, RunsRead};
use crate::fleet;
use crate::problem::Answer;
use crate::state::AppState;

/// Every worker.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkerLines {
    /// Healthy workers that were not asked to end.
    active: u64,
    /// The workers, one line each.
    workers: Vec<WorkerLine>,
}

/// A worker with the names the runbook uses.
#[derive(Debug, Serialize, ToSchema)]
struct WorkerLine {
    /// Its classes, separated by commas.
    pool: String,
    /// Its last heartbeat.
    #[schema(value_type = String, format = DateTime)]
    last_heartbeat: Timestamp,
    /// The worker.
    #[serde(flatten)]
    worker: Worker,
}

/// All queues, in the form of the version 4 runbook.
#[utoipa::path(get, path = "/api/meta/v4/queues/status", tag = "meta v4", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "all queues", body = QueuesStatus),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn queues_status(_: RunsRead, State(state): State<AppState>) -> Answer<Json<QueuesStatus>> {
    Ok(Json(fleet::queues_status(state.engine()).await?))
}

/// Takes no new tasks of any class in.
#[utoipa::path(post, path = "/api/meta/v4/queues/drain", tag = "meta v4", security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "the queues as they are now", body = QueuesStatus),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn drain(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
) -> Answer<Json<QueuesStatus>> {
    set_all(&state, &who, Flow::Draining).await
}

/// Ends pauses and drains of all classes.
#[utoipa::path(post, path = "/api/meta/v4/queues/restart", tag = "meta v4", security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "the queues as they are now", body = QueuesStatus),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn restart(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
) -> Answer<Json<QueuesStatus>> {
    set_all(&state, &who, Flow::Running).await
}

/// Takes back tasks of workers that vanished.
#[utoipa::path(post, path = "/api/meta/v4/queues/clear-stuck", tag = "meta v4", security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "how many", body = Cleared),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn clear_stuck(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
) -> Answer<Json<Cleared>> {
    clear(&state, &who).await.map(Json)
}

/// Every worker, in the form of the version 4 runbook.
#[utoipa::path(get, path = "/api/meta/v4/workers/status", tag = "meta v4", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "all workers seen within a day", body = WorkerLines),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn workers_status(_: RunsRead, State(state): State<AppState>) -> Answer<Json<WorkerLines>> {
    let status = fleet::workers_status(state.engine()).await?;
    let line = |worker: Worker| WorkerLine {
        pool: worker.slots.keys().cloned().collect::<Vec<_>>().join(","),
        last_heartbeat: worker.seen_at,
        worker,
    };
    Ok(Json(WorkerLines { active: status.active, workers: status.workers.into_iter().map(line).collect() }))
}

/// Whether the workers are as they should be.
#[utoipa::path(get, path = "/api/meta/v4/workers/health", tag = "meta v4", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "healthy, degraded or down, and why", body = WorkersHealth),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn workers_health(_: RunsRead, State(state): State<AppState>) -> Answer<Json<WorkersHealth>> {
    Ok(Json(fleet::workers_health(state.engine()).await?))
}

/// Asks all workers on all nodes to finish what they do and end.
#[utoipa::path(post, path = "/api/meta/v4/workers/shutdown", tag = "meta v4", security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "asked; they hear it at their next heartbeat", body = Ending),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn shutdown(FleetOperate(who): FleetOperate, State(state): State<AppState>) -> Answer<Json<Ending>> {
    end_all(&state, &who).await.map(Json)
}

/// Queues, workers and runs on one page.
#[utoipa::path(get, path = "/api/meta/v4/stats", tag = "meta v4", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the numbers", body = Stats),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn stats(RunsRead(who): RunsRead, State(state): State<AppState>) -> Answer<Json<Stats>> {
    Ok(Json(fleet::stats(state.engine(), who.tenant).await?))
}
