//! Workers and queues: what they do, and what an operator wants of them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mb_api::fleet::{Cleared, Ending, QueuesStatus, Stats, WorkersHealth, WorkersStatus};
use mb_api::{Code, Page, Problem, Queue, Worker};
use mb_core::id::WorkerId;
use mb_core::queue::Flow;
use mb_core::task::QueueClass;

use crate::auth::{FleetOperate, Principal, RunsRead};
use crate::extract::Place;
use crate::fleet;
use crate::problem::{Answer, Refusal};
use crate::state::AppState;

/// The workers, with the age of their last sign of life.
#[utoipa::path(get, path = "/api/v1/workers", tag = "fleet", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "all workers seen within a day", body = Page<Worker>),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn workers(_: RunsRead, State(state): State<AppState>) -> Answer<Json<Page<Worker>>> {
    Ok(Json(Page { items: fleet::workers(state.engine()).await?, next: None }))
}

/// The workers by class, and each.
#[utoipa::path(get, path = "/api/v1/workers/status", tag = "fleet", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "all workers seen within a day", body = WorkersStatus),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn workers_status(_: RunsRead, State(state): State<AppState>) -> Answer<Json<WorkersStatus>> {
    Ok(Json(fleet::workers_status(state.engine()).await?))
}

/// Whether the workers are as they should be: heartbeats, versions, classes nobody serves.
#[utoipa::path(get, path = "/api/v1/workers/health", tag = "fleet", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "healthy, degraded or down, and why", body = WorkersHealth),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn workers_health(_: RunsRead, State(state): State<AppState>) -> Answer<Json<WorkersHealth>> {
    Ok(Json(fleet::workers_health(state.engine()).await?))
}

/// Asks all workers on all nodes to finish what they do and end. Started again, they work again.
#[utoipa::path(post, path = "/api/v1/workers/shutdown", tag = "fleet", security(("bearer" = ["fleet:operate"])), responses(
    (status = 202, description = "asked; they hear it at their next heartbeat", body = Ending),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn shutdown(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
) -> Answer<(StatusCode, Json<Ending>)> {
    Ok((StatusCode::ACCEPTED, Json(end_all(&state, &who).await?)))
}

/// Asks one worker to finish what it does and end.
#[utoipa::path(post, path = "/api/v1/workers/{id}/drain", tag = "fleet", params(("id" = String, Path)), security(("bearer" = ["fleet:operate"])), responses(
    (status = 202, description = "asked; it hears it at its next heartbeat", body = Ending),
    (status = 404, description = "no such worker", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn drain_worker(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<(StatusCode, Json<Ending>)> {
    Ok((StatusCode::ACCEPTED, Json(end_one(&state, &who, &id).await?)))
}

/// The queues, one per class of work.
#[utoipa::path(get, path = "/api/v1/queues", tag = "fleet", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "all queues", body = Page<Queue>),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn queues(_: RunsRead, State(state): State<AppState>) -> Answer<Json<Page<Queue>>> {
    Ok(Json(Page { items: fleet::queues(state.engine()).await?, next: None }))
}

/// The queues by class and by priority, in a few numbers each.
#[utoipa::path(get, path = "/api/v1/queues/status", tag = "fleet", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "all queues", body = QueuesStatus),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn queues_status(_: RunsRead, State(state): State<AppState>) -> Answer<Json<QueuesStatus>> {
    Ok(Json(fleet::queues_status(state.engine()).await?))
}

/// Gives nothing out of a class any more, on any node. It takes tasks in; leased ones go on.
#[utoipa::path(post, path = "/api/v1/queues/{class}/pause", tag = "fleet", params(("class" = String, Path)), security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "the queue as it is now", body = Queue),
    (status = 404, description = "no such class", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn pause(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
    Place(class): Place<String>,
) -> Answer<Json<Queue>> {
    set_one(&state, &who, &class, Flow::Paused).await
}

/// Gives tasks of a class out again.
#[utoipa::path(post, path = "/api/v1/queues/{class}/resume", tag = "fleet", params(("class" = String, Path)), security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "the queue as it is now", body = Queue),
    (status = 404, description = "no such class", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn resume(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
    Place(class): Place<String>,
) -> Answer<Json<Queue>> {
    set_one(&state, &who, &class, Flow::Running).await
}

/// Takes no new tasks of a class in. What is there is done; what runs enqueue for themselves still enters.
#[utoipa::path(post, path = "/api/v1/queues/{class}/drain", tag = "fleet", params(("class" = String, Path)), security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "the queue as it is now", body = Queue),
    (status = 404, description = "no such class", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn drain(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
    Place(class): Place<String>,
) -> Answer<Json<Queue>> {
    set_one(&state, &who, &class, Flow::Draining).await
}

/// Ends a pause or a drain of a class.
#[utoipa::path(post, path = "/api/v1/queues/{class}/restart", tag = "fleet", params(("class" = String, Path)), security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "the queue as it is now", body = Queue),
    (status = 404, description = "no such class", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn restart(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
    Place(class): Place<String>,
) -> Answer<Json<Queue>> {
    set_one(&state, &who, &class, Flow::Running).await
}

/// Takes no new tasks of any class in.
#[utoipa::path(post, path = "/api/v1/queues/drain", tag = "fleet", security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "the queues as they are now", body = QueuesStatus),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn drain_all(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
) -> Answer<Json<QueuesStatus>> {
    set_all(&state, &who, Flow::Draining).await
}

/// Ends pauses and drains of all classes.
#[utoipa::path(post, path = "/api/v1/queues/restart", tag = "fleet", security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "the queues as they are now", body = QueuesStatus),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn restart_all(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
) -> Answer<Json<QueuesStatus>> {
    set_all(&state, &who, Flow::Running).await
}

/// Takes back tasks of workers that vanished, without waiting for the next pass that would. Live leases are not touched.
#[utoipa::path(post, path = "/api/v1/queues/clear-stuck", tag = "fleet", security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "how many", body = Cleared),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn clear_stuck(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
) -> Answer<Json<Cleared>> {
    Ok(Json(clear(&state, &who).await?))
}

/// Queues, workers and runs on one page: depth, processing times, utilization.
#[utoipa::path(get, path = "/api/v1/stats", tag = "fleet", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the numbers", body = Stats),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn stats(RunsRead(who): RunsRead, State(state): State<AppState>) -> Answer<Json<Stats>> {
    Ok(Json(fleet::stats(state.engine(), who.tenant).await?))
}

/// A class by its word.
pub(crate) fn class_of(word: &str) -> Answer<QueueClass> {
    let short: String = word.chars().take(60).collect();
    QueueClass::from_word(word)
        .ok_or_else(|| Refusal::new(Code::NotFound, format!("no class {short:?}: cpu, io, llm, custom")))
}

async fn set_one(state: &AppState, who: &Principal, class: &str, flow: Flow) -> Answer<Json<Queue>> {
    let class = class_of(class)?;
    state.engine().set_flow(&who.actor, &[class], flow).await?;
    let found = fleet::queues(state.engine()).await?.into_iter().find(|queue| queue.class == class);
    found.map(Json).ok_or_else(|| Refusal::new(Code::Internal, "a class has no queue"))
}

pub(super) async fn set_all(state: &AppState, who: &Principal, flow: Flow) -> Answer<Json<QueuesStatus>> {
    state.engine().set_flow(&who.actor, QueueClass::ALL, flow).await?;
    Ok(Json(fleet::queues_status(state.engine()).await?))
}

pub(super) async fn clear(state: &AppState, who: &Principal) -> Answer<Cleared> {
    Ok(Cleared { cleared: state.engine().clear_stuck(&who.actor).await? as u64 })
}

pub(super) async fn end_all(state: &AppState, who: &Principal) -> Answer<Ending> {
    Ok(Ending { asked: state.engine().end_workers(&who.actor, None).await? })
}

/// Asks one worker to end, if there is such a one.
pub(crate) async fn end_one(state: &AppState, who: &Principal, id: &str) -> Answer<Ending> {
    let short: String = id.chars().take(60).collect();
    let unknown = || Refusal::new(Code::WorkerNotFound, format!("no worker {short:?}"));
    let id: WorkerId = id.parse().map_err(|_| unknown())?;
    match state.engine().end_workers(&who.actor, Some(id)).await? {
        0 => Err(unknown()),
        asked => Ok(Ending { asked }),
    }
}
