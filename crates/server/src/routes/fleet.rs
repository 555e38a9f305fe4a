//! Workers and queues.

use axum::Json;
use axum::extract::State;
use mb_api::{Page, Problem, Queue, Worker};

use crate::auth::RunsRead;
use crate::problem::Answer;
use crate::state::AppState;
use crate::wire;

/// The workers, with the age of their last sign of life.
#[utoipa::path(get, path = "/api/v1/workers", tag = "fleet", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "all workers seen within a day", body = Page<Worker>),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn workers(_: RunsRead, State(state): State<AppState>) -> Answer<Json<Page<Worker>>> {
    Ok(Json(Page { items: all_workers(&state).await?, next: None }))
}

/// The queues, one per class of work.
#[utoipa::path(get, path = "/api/v1/queues", tag = "fleet", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "all queues", body = Page<Queue>),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn queues(_: RunsRead, State(state): State<AppState>) -> Answer<Json<Page<Queue>>> {
    Ok(Json(Page { items: all_queues(&state).await?, next: None }))
}

pub(crate) async fn all_workers(state: &AppState) -> Answer<Vec<Worker>> {
    let now = state.now();
    Ok(state.store().workers(now).await?.iter().map(|seen| wire::worker(now, seen)).collect())
}

pub(crate) async fn all_queues(state: &AppState) -> Answer<Vec<Queue>> {
    Ok(state.store().queue_stats(state.now()).await?.iter().map(wire::queue).collect())
}
