//! What people and other systems say to a run: signals, decisions, and the wish to do it again.

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mb_api::{Code, Created, NewDecision, NewSignal, Problem, RetryRun, Run};
use mb_core::run::Signal;
use mb_store::{Decision, Told};

use super::runs::load;
use crate::auth::{Principal, RunsApprove, RunsOperate};
use crate::extract::{Body, Place};
use crate::problem::{Answer, Refusal};
use crate::state::AppState;

/// Longest name of a signal, and longest reason, in characters.
const NAME_MAX: usize = 100;
const REASON_MAX: usize = 1_000;

/// Sends a run a signal: a step that waits for its name goes on, else it is kept.
#[utoipa::path(post, path = "/api/v1/runs/{id}/signals/{name}", tag = "runs", params(("id" = String, Path), ("name" = String, Path)),
    request_body = NewSignal, security(("bearer" = ["runs:operate"])), responses(
    (status = 200, description = "the run as it is now", body = Run),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "the run cannot take it", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn signal(
    RunsOperate(who): RunsOperate,
    State(state): State<AppState>,
    Place((id, name)): Place<(String, String)>,
    Body(wish): Body<NewSignal>,
) -> Answer<Json<Run>> {
    if name.is_empty() || name.chars().count() > NAME_MAX {
        return Err(Refusal::new(Code::BadRequest, format!("a signal's name has 1 to {NAME_MAX} characters")));
    }
    let run = load(&state, &who, &id).await?;
    let signal = Signal { name, payload: wish.payload, by: who.actor };
    let told = state.store().signal_run(state.now(), who.tenant, run.id, signal).await?;
    answer(&state, told)
}

/// Approves a step that waits for approval.
#[utoipa::path(post, path = "/api/v1/runs/{id}/steps/{step}/approve", tag = "runs", params(("id" = String, Path), ("step" = String, Path)),
    request_body = NewDecision, security(("bearer" = ["runs:approve"])), responses(
    (status = 200, description = "the run as it is now", body = Run),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "the step does not wait for approval, or not for yours", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn approve(
    RunsApprove(who): RunsApprove,
    State(state): State<AppState>,
    Place((id, step)): Place<(String, String)>,
    Body(wish): Body<NewDecision>,
) -> Answer<Json<Run>> {
    let told = decide(&state, &who, &id, step, true, wish.reason).await?;
    answer(&state, told)
}

/// Rejects a step that waits for approval: the step fails.
#[utoipa::path(post, path = "/api/v1/runs/{id}/steps/{step}/reject", tag = "runs", params(("id" = String, Path), ("step" = String, Path)),
    request_body = NewDecision, security(("bearer" = ["runs:approve"])), responses(
    (status = 200, description = "the run as it is now", body = Run),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "the step does not wait for approval, or not for yours", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn reject(
    RunsApprove(who): RunsApprove,
    State(state): State<AppState>,
    Place((id, step)): Place<(String, String)>,
    Body(wish): Body<NewDecision>,
) -> Answer<Json<Run>> {
    let told = decide(&state, &who, &id, step, false, wish.reason).await?;
    answer(&state, told)
}

/// Decides about a step, for whoever asks.
pub(crate) async fn decide(
    state: &AppState,
    who: &Principal,
    id: &str,
    step: String,
    approved: bool,
    reason: String,
) -> Answer<Told> {
    if reason.chars().count() > REASON_MAX {
        return Err(Refusal::new(Code::BadRequest, format!("a reason has at most {REASON_MAX} characters")));
    }
    let run = load(state, who, id).await?;
    let decision = Decision { step, approved, by: who.actor.clone(), reason };
    Ok(state.store().decide(state.now(), who.tenant, run.id, decision).await?)
}

/// What came of it, or why nothing did.
pub(crate) fn applied(told: Told) -> Answer<Box<mb_core::run::Run>> {
    match told {
        Told::Applied(run) => Ok(run),
        Told::Refused(illegal) => Err(Refusal::new(Code::DoesNotFit, illegal.why)),
        Told::NotFound => Err(Refusal::new(Code::RunNotFound, "it is gone")),
    }
}

fn answer(state: &AppState, told: Told) -> Answer<Json<Run>> {
    applied(told).map(|run| Json(Run::from_domain(state.now(), &run)))
}

/// Does a run again, as a new run that keeps what had succeeded and its outputs.
#[utoipa::path(post, path = "/api/v1/runs/{id}/retry", tag = "runs", request_body = RetryRun, security(("bearer" = ["runs:operate"])),
    params(("id" = String, Path), ("idempotency-key" = Option<String>, Header, description = "1 to 255 bytes; kept with the run")), responses(
    (status = 201, description = "the new run", body = Created),
    (status = 200, description = "this key had made it", body = Created),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "it is not over, or nothing of it failed", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn retry(
    RunsOperate(who): RunsOperate,
    State(state): State<AppState>,
    headers: HeaderMap,
    Place(id): Place<String>,
    Body(wish): Body<RetryRun>,
) -> Answer<Response> {
    if state.engine().is_draining() {
        return Err(Refusal::new(Code::ShuttingDown, "no new runs are taken in"));
    }
    let old = load(&state, &who, &id).await?;
    let key = headers.get("idempotency-key").map(|value| value.to_str().map(str::to_owned)).transpose();
    let idempotency_key = key.map_err(|_| Refusal::new(Code::BadRequest, "the Idempotency-Key is not plain text"))?;
    let (tenant, actor) = (who.tenant, who.actor);
    let known = match &idempotency_key {
        Some(key) => state.store().run_by_key(tenant, key).await?,
        None => None,
    };
    let ask = mb_engine::RetryRun { tenant, run: old.id, from: wish.from, actor, idempotency_key, affinity: None };
    let run = state.engine().retry(ask).await?;
    let run = run.ok_or_else(|| Refusal::new(Code::RunNotFound, format!("no run {} of yours", old.id)))?;
    let existed = known.is_some_and(|known| known.id == run.id);
    let status = if existed { StatusCode::OK } else { StatusCode::CREATED };
    let answer = Json(Created { id: run.id, existed });
    Ok((status, [(LOCATION, format!("/api/v1/runs/{}", run.id))], answer).into_response())
}
