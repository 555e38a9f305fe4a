//! Tasks that belong to no run: put on the queue, looked at, cancelled, tried again.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mb_api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use mb_api::task::{Added, AddedTasks, NewTask, NewTasks, Requeue, Requeued, Task};
use mb_api::{Code, Page, Problem};
use mb_core::id::TaskId;
use mb_core::queue::TaskCancel;
use serde::Deserialize;

use super::runs::limit;
use crate::auth::{FleetOperate, Principal, RunsOperate, RunsRead};
use crate::extract::{Body, Params, Place};
use crate::fleet;
use crate::problem::{Answer, Refusal};
use crate::state::AppState;

/// Puts one task on the queue, or many (`{"tasks": […]}`), all of them or none. With an `Idempotency-Key` the same
/// request again finds the same tasks.
#[utoipa::path(post, path = "/api/v1/tasks", tag = "tasks", request_body(content = inline(Wish)), security(("bearer" = ["runs:operate"])),
    params(("idempotency-key" = Option<String>, Header, description = "1 to 180 bytes; kept as long as records of tasks")), responses(
    (status = 201, description = "on the queue; one task is answered by itself", body = AddedTasks),
    (status = 200, description = "all of them were there already", body = AddedTasks),
    (status = 422, description = "the body is not valid", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "the queue is full; see Retry-After", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the queue is draining", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn add(
    RunsOperate(who): RunsOperate,
    State(state): State<AppState>,
    headers: HeaderMap,
    Body(body): Body<serde_json::Value>,
) -> Answer<Response> {
    let (mut wishes, is_one) = wishes(body)?;
    if let Some(key) = headers.get("idempotency-key") {
        let key = key.to_str().map_err(|_| Refusal::new(Code::BadRequest, "the Idempotency-Key is not plain text"))?;
        for (n, wish) in wishes.iter_mut().enumerate() {
            wish.idempotency_key.get_or_insert(if is_one { key.to_owned() } else { format!("{key}#{n}") });
        }
    }
    let added = fleet::enqueue(state.engine(), who.tenant, wishes).await?;
    let status = if added.iter().all(|task| task.existed) { StatusCode::OK } else { StatusCode::CREATED };
    match added.first() {
        Some(first) if is_one => Ok((status, Json::<Added>(first.clone())).into_response()),
        _ => Ok((status, Json(AddedTasks { tasks: added })).into_response()),
    }
}

/// One task, or many.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used: a refusal must say what is wrong with which task")]
enum Wish {
    One(Box<NewTask>),
    Many(NewTasks),
}

fn wishes(body: serde_json::Value) -> Answer<(Vec<NewTask>, bool)> {
    let bad = |error: serde_json::Error| Refusal::new(Code::BadBody, error.to_string());
    if body.get("tasks").is_some() {
        let many: NewTasks = serde_json::from_value(body).map_err(bad)?;
        return Ok((many.tasks, false));
    }
    Ok((vec![serde_json::from_value(body).map_err(bad)?], true))
}

fn unknown(id: &str) -> Refusal {
    Refusal::new(Code::TaskNotFound, format!("no task {:?} of yours", id.chars().take(60).collect::<String>()))
}

async fn load(state: &AppState, who: &Principal, id: &str) -> Answer<Task> {
    let parsed: TaskId = id.parse().map_err(|_| unknown(id))?;
    fleet::task(state.engine(), who.tenant, parsed).await?.ok_or_else(|| unknown(id))
}

/// A task, wherever it is.
#[utoipa::path(get, path = "/api/v1/tasks/{id}", tag = "tasks", params(("id" = String, Path)), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the task", body = Task),
    (status = 404, description = "no such task", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<Json<Task>> {
    load(&state, &who, &id).await.map(Json)
}

/// Cancels a task: one that waits is over, one that runs is told to stop.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/cancel", tag = "tasks", params(("id" = String, Path)), security(("bearer" = ["runs:operate"])), responses(
    (status = 202, description = "the task as it is now", body = Task),
    (status = 404, description = "no such task, or it is a run's", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "it is over", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn cancel(
    RunsOperate(who): RunsOperate,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<(StatusCode, Json<Task>)> {
    let parsed: TaskId = id.parse().map_err(|_| unknown(&id))?;
    match state.engine().cancel_task(&who.actor, who.tenant, parsed).await? {
        TaskCancel::Canceled | TaskCancel::Interrupted => {
            Ok((StatusCode::ACCEPTED, Json(load(&state, &who, &id).await?)))
        }
        TaskCancel::Over => Err(Refusal::new(Code::TaskOver, format!("{parsed} had ended before"))),
        TaskCancel::Unknown => Err(unknown(&id)),
    }
}

/// Where to go on in a list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeadQuery {
    /// The `next` of the page before.
    pub(crate) after: Option<String>,
    /// At most this many, 1 to 200; 50 unless given.
    pub(crate) limit: Option<u32>,
}

/// Tasks that failed for good, expired or cost too many workers, latest first.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "tasks", params(DeadQuery), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "a page", body = Page<Task>),
    (status = 400, description = "the cursor is not valid", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn dead_letters(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Params(query): Params<DeadQuery>,
) -> Answer<Json<Page<Task>>> {
    dead_page(&state, &who, &query).await.map(Json)
}

/// A page of dead letters for a query.
pub(crate) async fn dead_page(state: &AppState, who: &Principal, query: &DeadQuery) -> Answer<Page<Task>> {
    let limit = limit(query.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    Ok(fleet::dead_letters(state.engine(), who.tenant, limit, query.after.as_deref()).await?)
}

/// Puts tasks that failed for good on the queue again, under their ids; a dry run says how many.
#[utoipa::path(post, path = "/api/v1/dead-letters/requeue", tag = "tasks", request_body = Requeue, security(("bearer" = ["fleet:operate"])), responses(
    (status = 200, description = "which", body = Requeued),
    (status = 400, description = "ids or all, one of the two", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn requeue(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
    Body(wish): Body<Requeue>,
) -> Answer<Json<Requeued>> {
    Ok(Json(fleet::requeue(state.engine(), &who.actor, who.tenant, &wish).await?))
}
