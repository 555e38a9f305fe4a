//! Streams live events to whoever listens.
//!
//! The id of each is its number in the stream; `Last-Event-ID` resumes after it.

#![allow(unused_qualifications, reason = "utoipa writes the paths of parameters out")]

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use mb_api::Problem;
use serde::Deserialize;
use utoipa::IntoParams;

use super::runs::load;
use crate::auth::RunsRead;
use crate::extract::{Params, Place};
use crate::problem::Answer;
use crate::state::AppState;
use crate::stream;

/// Where to resume, for clients that cannot send a header.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResumeQuery {
    /// Events after this number; the header `Last-Event-ID` wins.
    after: Option<i64>,
}

/// Live events of a run, from its first; the stream ends with the run. A `reset` message says that events were left
/// out and the state must be read again.
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", tag = "runs", params(("id" = String, Path), ResumeQuery,
    ("last-event-id" = Option<i64>, Header, description = "the number of the last event seen")), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "a stream of events", body = mb_api::Event, content_type = "text/event-stream"),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn of_run(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    headers: HeaderMap,
    Place(id): Place<String>,
    Params(query): Params<ResumeQuery>,
) -> Answer<Response> {
    let run = load(&state, &who, &id).await?;
    let after = stream::last_event_id(&headers).or(query.after);
    stream::events(&state, who.tenant, Some(run.id), after).await
}

/// Live events of all runs, from now unless resumed.
#[utoipa::path(get, path = "/api/v1/events", tag = "runs", params(ResumeQuery,
    ("last-event-id" = Option<i64>, Header, description = "the number of the last event seen")), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "a stream of events", body = mb_api::Event, content_type = "text/event-stream"),
    (status = 503, description = "too many streams", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn of_all(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    headers: HeaderMap,
    Params(query): Params<ResumeQuery>,
) -> Answer<Response> {
    let after = stream::last_event_id(&headers).or(query.after);
    stream::events(&state, who.tenant, None, after).await
}
