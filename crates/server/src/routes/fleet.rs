//! Workers and queues.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use mb_api::{Page, Problem, Queue, Worker};
use mb_core::time::Timestamp;
use mb_store::{QueueStats, SeenWorker};

use crate::auth::RunsRead;
use crate::problem::Answer;
use crate::state::AppState;

/// A worker not heard of for this long is not counted on.
const STALE: Duration = Duration::from_secs(60);

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
    Ok(state.store().workers(now).await?.into_iter().map(|seen| worker(now, seen)).collect())
}

pub(crate) async fn all_queues(state: &AppState) -> Answer<Vec<Queue>> {
    Ok(state.store().queue_stats(state.now()).await?.into_iter().map(queue).collect())
}

fn worker(now: Timestamp, seen: SeenWorker) -> Worker {
    let (row, age) = (seen.worker, now.since(seen.seen_at));
    Worker {
        id: row.id,
        node: row.node,
        pid: row.pid,
        version: row.version,
        state: row.state,
        slots: row.slots.iter().map(|(class, n)| (class.to_string(), *n as u64)).collect(),
        started_at: row.started_at,
        seen_at: seen.seen_at,
        seen_age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        stale: age > STALE,
    }
}

fn queue(stats: QueueStats) -> Queue {
    let age_ms = stats.oldest_ready_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    Queue {
        class: stats.class,
        ready: stats.ready,
        delayed: stats.delayed,
        leased: stats.leased,
        oldest_ready_age_ms: age_ms,
    }
}
