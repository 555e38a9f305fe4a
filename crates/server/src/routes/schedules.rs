//! Schedules: make, change, pause, look ahead and back.
#![allow(unused_qualifications, reason = "utoipa writes the paths of parameters out")]

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mb_api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use mb_api::{Fire, Moment, NewSchedule, Page, Pause, Problem, Schedule};
use serde::Deserialize;
use utoipa::IntoParams;

use super::runs::limit;
use super::workflows::registry;
use crate::auth::{RunsRead, WorkflowsWrite};
use crate::extract::{Body, Params, Place};
use crate::problem::Answer;
use crate::registry::NEXT_MAX;
use crate::state::AppState;

/// Times shown ahead unless a number is asked for.
const NEXT_DEFAULT: u32 = 5;

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Count {
    /// At most this many, from 1.
    pub(super) limit: Option<u32>,
}

/// A page that holds everything.
pub(super) fn whole<T>(items: Vec<T>) -> Json<Page<T>> {
    Json(Page { items, next: None })
}

/// All schedules (at most 1,000), by name.
#[utoipa::path(get, path = "/api/v1/schedules", tag = "schedules", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "all schedules", body = Page<Schedule>),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(RunsRead(who): RunsRead, State(state): State<AppState>) -> Answer<Json<Page<Schedule>>> {
    Ok(whole(registry(&state, &who).schedules().await?))
}

/// Makes a schedule. It counts from now: no time before is its.
#[utoipa::path(post, path = "/api/v1/schedules", tag = "schedules", request_body = NewSchedule, security(("bearer" = ["workflows:write"])), responses(
    (status = 201, description = "the schedule", body = Schedule),
    (status = 404, description = "no such workflow", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "the name is taken, or there are too many", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the schedule or its inputs are not valid", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn add(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Body(wish): Body<NewSchedule>,
) -> Answer<(StatusCode, Json<Schedule>)> {
    Ok((StatusCode::CREATED, Json(registry(&state, &who).add_schedule(&wish).await?)))
}

/// A schedule by its name or id.
#[utoipa::path(get, path = "/api/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path)), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the schedule", body = Schedule),
    (status = 404, description = "no such schedule", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(name): Place<String>,
) -> Answer<Json<Schedule>> {
    Ok(Json(registry(&state, &who).schedule(&name).await?))
}

/// Replaces what a schedule does and when. It keeps its name, and counts from now.
#[utoipa::path(put, path = "/api/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path)), request_body = NewSchedule, security(("bearer" = ["workflows:write"])), responses(
    (status = 200, description = "the schedule", body = Schedule),
    (status = 404, description = "no such schedule or workflow", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "somebody else has changed it", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the schedule or its inputs are not valid", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn change(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Body(wish): Body<NewSchedule>,
) -> Answer<Json<Schedule>> {
    Ok(Json(registry(&state, &who).change_schedule(&name, &wish).await?))
}

/// Removes a schedule. Its runs stay.
#[utoipa::path(delete, path = "/api/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path)), security(("bearer" = ["workflows:write"])), responses(
    (status = 204, description = "it is removed"),
    (status = 404, description = "no such schedule", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
) -> Answer<StatusCode> {
    registry(&state, &who).remove_schedule(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses a schedule. Times during the pause are never made up for.
#[utoipa::path(post, path = "/api/v1/schedules/{name}/pause", tag = "schedules", params(("name" = String, Path)), request_body = Pause, security(("bearer" = ["workflows:write"])), responses(
    (status = 200, description = "the schedule", body = Schedule),
    (status = 404, description = "no such schedule", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn pause(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Body(wish): Body<Pause>,
) -> Answer<Json<Schedule>> {
    Ok(Json(registry(&state, &who).pause_schedule(&name, &wish.reason).await?))
}

/// Lets a paused schedule go on from now.
#[utoipa::path(post, path = "/api/v1/schedules/{name}/resume", tag = "schedules", params(("name" = String, Path)), security(("bearer" = ["workflows:write"])), responses(
    (status = 200, description = "the schedule", body = Schedule),
    (status = 404, description = "no such schedule", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn resume(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
) -> Answer<Json<Schedule>> {
    Ok(Json(registry(&state, &who).resume_schedule(&name).await?))
}

/// The next times of a schedule, 5 unless more (at most 100) are asked for; jitter is not in them.
#[utoipa::path(get, path = "/api/v1/schedules/{name}/next", tag = "schedules", params(("name" = String, Path), Count), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the times", body = Page<Moment>),
    (status = 404, description = "no such schedule", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn next(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Params(count): Params<Count>,
) -> Answer<Json<Page<Moment>>> {
    let limit = limit(count.limit, NEXT_DEFAULT, NEXT_MAX)?;
    Ok(whole(registry(&state, &who).next(&name, limit).await?))
}

/// What a schedule started last, newest first, and which times were left out and why. Kept for 30 days.
#[utoipa::path(get, path = "/api/v1/schedules/{name}/fires", tag = "schedules", params(("name" = String, Path), Count), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the starts", body = Page<Fire>),
    (status = 404, description = "no such schedule", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn fires(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Params(count): Params<Count>,
) -> Answer<Json<Page<Fire>>> {
    let limit = limit(count.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    Ok(whole(registry(&state, &who).schedule_fires(&name, limit).await?))
}
