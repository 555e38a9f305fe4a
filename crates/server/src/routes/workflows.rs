//! Named workflows: publish, look at versions, go back, start a run.
#![allow(unused_qualifications, reason = "utoipa writes the paths of parameters out")]

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mb_api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use mb_api::{Applied, Choose, Code, Created, Execution, NamedWorkflow, Page, Problem, StartNamed, WorkflowVersion};
use mb_core::run::Run;
use mb_core::workflow::Workflow;
use serde::Deserialize;
use utoipa::IntoParams;

use super::runs::limit;
use crate::auth::{Principal, RunsOperate, RunsRead, WorkflowsWrite};
use crate::extract::{Body, Params, Place};
use crate::problem::{Answer, Refusal};
use crate::registry::Registry;
use crate::state::AppState;

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// At most this many, 1 to 200; 50 unless given.
    limit: Option<u32>,
    /// The `next` of the page before.
    #[serde(default)]
    after: String,
}

/// Which version.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VersionQuery {
    /// Its number; the current one unless given.
    version: Option<u32>,
}

pub(super) fn registry<'a>(state: &'a AppState, who: &'a Principal) -> Registry<'a> {
    Registry { engine: state.engine(), tenant: who.tenant, actor: &who.actor }
}

/// Lists the workflows by name, each with its current version.
#[utoipa::path(get, path = "/api/v1/workflows", tag = "workflows", params(ListQuery), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "a page", body = Page<WorkflowVersion>),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Params(query): Params<ListQuery>,
) -> Answer<Json<Page<WorkflowVersion>>> {
    let limit = limit(query.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    Ok(Json(registry(&state, &who).workflows(&query.after, limit).await?))
}

/// A workflow with its document.
#[utoipa::path(get, path = "/api/v1/workflows/{name}", tag = "workflows", params(("name" = String, Path), VersionQuery), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the version", body = NamedWorkflow),
    (status = 404, description = "no such workflow or version", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Params(query): Params<VersionQuery>,
) -> Answer<Json<NamedWorkflow>> {
    Ok(Json(registry(&state, &who).workflow(&name, query.version).await?))
}

/// Makes a document the current version of a workflow. A document the workflow has already keeps its version.
#[utoipa::path(put, path = "/api/v1/workflows/{name}", tag = "workflows", params(("name" = String, Path)),
    request_body(content = Object, description = "the workflow's document, as docs/reference/workflow-file.md describes it"),
    security(("bearer" = ["workflows:write"])), responses(
    (status = 200, description = "the version it is", body = Applied),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the document is not valid", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn apply(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Body(document): Body<Workflow>,
) -> Answer<Json<Applied>> {
    if document.name != name {
        let detail = format!("the document is called {:?} and the address {name:?}", document.name);
        return Err(Refusal::new(Code::BadWorkflow, detail));
    }
    Ok(Json(registry(&state, &who).apply(document).await?))
}

/// The versions of a workflow, newest first. `after` is the last version of the page before.
#[utoipa::path(get, path = "/api/v1/workflows/{name}/versions", tag = "workflows", params(("name" = String, Path), ListQuery), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "a page", body = Page<WorkflowVersion>),
    (status = 404, description = "no such workflow", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn versions(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Params(query): Params<ListQuery>,
) -> Answer<Json<Page<WorkflowVersion>>> {
    let limit = limit(query.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let before = match query.after.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| Refusal::new(Code::BadRequest, "after is a version's number"))?),
    };
    Ok(Json(registry(&state, &who).versions(&name, before, limit).await?))
}

/// Makes another version the current one. Runs and schedules that name a version keep it.
#[utoipa::path(post, path = "/api/v1/workflows/{name}/rollback", tag = "workflows", params(("name" = String, Path)), request_body = Choose, security(("bearer" = ["workflows:write"])), responses(
    (status = 200, description = "the version that runs from now on", body = WorkflowVersion),
    (status = 404, description = "no such workflow or version", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn rollback(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Body(wish): Body<Choose>,
) -> Answer<Json<WorkflowVersion>> {
    Ok(Json(registry(&state, &who).choose(&name, wish.version).await?))
}

/// Starts a run of a workflow. The same `Idempotency-Key` again gives the same run.
#[utoipa::path(post, path = "/api/v1/workflows/{name}/runs", tag = "workflows", request_body = StartNamed, security(("bearer" = ["runs:operate"])),
    params(("name" = String, Path), ("idempotency-key" = Option<String>, Header, description = "1 to 255 bytes; kept with the run")), responses(
    (status = 201, description = "the run was made", body = Created),
    (status = 200, description = "this key had made it", body = Created),
    (status = 404, description = "no such workflow or version", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the inputs do not fit", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn start(
    RunsOperate(who): RunsOperate,
    State(state): State<AppState>,
    headers: HeaderMap,
    Place(name): Place<String>,
    Body(wish): Body<StartNamed>,
) -> Answer<Response> {
    let asked_at = state.now();
    let run = begin(&state, &who, &headers, &name, wish).await?;
    // A run that is older than this request was there before it.
    let existed = run.created_at < asked_at;
    let status = if existed { StatusCode::OK } else { StatusCode::CREATED };
    let location = [(LOCATION, format!("/api/v1/runs/{}", run.id))];
    Ok((status, location, Json(Created { id: run.id, existed })).into_response())
}

/// Starts a run of a workflow, in the form of the operations runbook. The body, with inputs, may be left out.
#[utoipa::path(post, path = "/api/workflows/{id}/execute", tag = "workflows", request_body = Option<StartNamed>, security(("bearer" = ["runs:operate"])),
    params(("id" = String, Path, description = "the workflow's name"), ("idempotency-key" = Option<String>, Header, description = "1 to 255 bytes; kept with the run")), responses(
    (status = 202, description = "the run was taken in", body = Execution),
    (status = 404, description = "no such workflow or version", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the inputs do not fit", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn execute(
    RunsOperate(who): RunsOperate,
    State(state): State<AppState>,
    headers: HeaderMap,
    Place(name): Place<String>,
    body: Bytes,
) -> Answer<Response> {
    let wish = match body.trim_ascii() {
        [] => StartNamed::default(),
        body => serde_json::from_slice(body).map_err(|error| Refusal::new(Code::BadBody, error.to_string()))?,
    };
    let run = begin(&state, &who, &headers, &name, wish).await?;
    let answer = Execution { execution_id: run.id, status: run.state.word().to_owned() };
    Ok((StatusCode::ACCEPTED, [(LOCATION, format!("/api/v1/runs/{}", run.id))], Json(answer)).into_response())
}

async fn begin(state: &AppState, who: &Principal, headers: &HeaderMap, name: &str, wish: StartNamed) -> Answer<Run> {
    if state.engine().is_draining() {
        return Err(Refusal::new(Code::ShuttingDown, "no new runs are taken in"));
    }
    let key = headers.get("idempotency-key").map(|value| value.to_str().map(str::to_owned)).transpose();
    let key = key.map_err(|_| Refusal::new(Code::BadRequest, "the Idempotency-Key is not plain text"))?;
    Ok(registry(state, who).start(name, wish, key, None).await?)
}
