//! Triggers, and the events from outside that set them off.
#![allow(unused_qualifications, reason = "utoipa writes the paths of parameters out")]

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mb_api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use mb_api::{Code, EventSent, Fire, NewEvent, NewTrigger, Page, Pause, Problem, Trigger};

use super::runs::limit;
use super::schedules::{Count, whole};
use super::workflows::registry;
use crate::auth::{EventsSend, RunsRead, WorkflowsWrite};
use crate::extract::{Body, Params, Place};
use crate::problem::{Answer, Refusal};
use crate::state::AppState;

/// All triggers (at most 1,000), by name.
#[utoipa::path(get, path = "/api/v1/triggers", tag = "triggers", security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "all triggers", body = Page<Trigger>),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(RunsRead(who): RunsRead, State(state): State<AppState>) -> Answer<Json<Page<Trigger>>> {
    Ok(whole(registry(&state, &who).triggers().await?))
}

/// Makes a trigger. What happened before is none of its business.
#[utoipa::path(post, path = "/api/v1/triggers", tag = "triggers", request_body = NewTrigger, security(("bearer" = ["workflows:write"])), responses(
    (status = 201, description = "the trigger", body = Trigger),
    (status = 404, description = "no such workflow", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "the name is taken, or there are too many", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the trigger or its inputs are not valid", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn add(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Body(wish): Body<NewTrigger>,
) -> Answer<(StatusCode, Json<Trigger>)> {
    Ok((StatusCode::CREATED, Json(registry(&state, &who).add_trigger(&wish).await?)))
}

/// A trigger by its name or id.
#[utoipa::path(get, path = "/api/v1/triggers/{name}", tag = "triggers", params(("name" = String, Path)), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the trigger", body = Trigger),
    (status = 404, description = "no such trigger", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(name): Place<String>,
) -> Answer<Json<Trigger>> {
    Ok(Json(registry(&state, &who).trigger(&name).await?))
}

/// Removes a trigger. Its runs stay.
#[utoipa::path(delete, path = "/api/v1/triggers/{name}", tag = "triggers", params(("name" = String, Path)), security(("bearer" = ["workflows:write"])), responses(
    (status = 204, description = "it is removed"),
    (status = 404, description = "no such trigger", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
) -> Answer<StatusCode> {
    registry(&state, &who).remove_trigger(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses a trigger: what happens meanwhile sets nothing off, then or later.
#[utoipa::path(post, path = "/api/v1/triggers/{name}/pause", tag = "triggers", params(("name" = String, Path)), request_body = Pause, security(("bearer" = ["workflows:write"])), responses(
    (status = 200, description = "the trigger", body = Trigger),
    (status = 404, description = "no such trigger", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn pause(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Body(wish): Body<Pause>,
) -> Answer<Json<Trigger>> {
    Ok(Json(registry(&state, &who).pause_trigger(&name, Some(&wish.reason)).await?))
}

/// Lets a paused trigger go on.
#[utoipa::path(post, path = "/api/v1/triggers/{name}/resume", tag = "triggers", params(("name" = String, Path)), security(("bearer" = ["workflows:write"])), responses(
    (status = 200, description = "the trigger", body = Trigger),
    (status = 404, description = "no such trigger", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn resume(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
) -> Answer<Json<Trigger>> {
    Ok(Json(registry(&state, &who).pause_trigger(&name, None).await?))
}

/// What a trigger started last, newest first. Kept for 30 days.
#[utoipa::path(get, path = "/api/v1/triggers/{name}/fires", tag = "triggers", params(("name" = String, Path), Count), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the starts", body = Page<Fire>),
    (status = 404, description = "no such trigger", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn fires(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Params(count): Params<Count>,
) -> Answer<Json<Page<Fire>>> {
    let limit = limit(count.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    Ok(whole(registry(&state, &who).trigger_fires(&name, limit).await?))
}

/// Takes an event in. When this answers, what it leads to is decided and durable. The same id again starts nothing again.
#[utoipa::path(post, path = "/api/v1/events/{name}", tag = "triggers", params(("name" = String, Path)), request_body = NewEvent, security(("bearer" = ["events:send"])), responses(
    (status = 202, description = "it was taken in", body = EventSent),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "the data are too large", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the event is not valid", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn send(
    EventsSend(who): EventsSend,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Body(event): Body<NewEvent>,
) -> Answer<(StatusCode, Json<EventSent>)> {
    if state.engine().is_draining() {
        return Err(Refusal::new(Code::ShuttingDown, "no new events are taken in"));
    }
    Ok((StatusCode::ACCEPTED, Json(registry(&state, &who).send(&name, event).await?)))
}
