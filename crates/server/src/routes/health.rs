//! Health, readiness, metrics, version: views of one probe registry.
//!
//! Public and without a token: liveness (touches nothing) and `/health` (one word). Readiness in full and metrics need
//! `meta:read` on a public listener and nothing on the operations listener.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mb_api::Problem;
use mb_api::probe::{Health, Readiness, Version};
use mb_core::probe::Readiness as Fold;
use mb_engine::Engine;

use crate::auth::MetaRead;
use crate::state::AppState;

/// What a scraper of metrics is told it gets.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The document of the API, and nothing more.
pub(super) fn document(json: &'static str) -> Router<AppState> {
    Router::new().route("/openapi.json", get(move || async move { ([(CONTENT_TYPE, "application/json")], json) }))
}

/// The same without a token.
pub(super) fn free() -> Router<AppState> {
    let readiness = || get(|State(state): State<AppState>| async move { readiness(&state).await });
    Router::new()
        .route("/health", get(health))
        .route("/livez", get(livez))
        .route("/healthz", get(livez))
        .route("/health/live", get(live))
        .route("/readyz", readiness())
        .route("/health/ready", readiness())
        .route("/metrics", get(|State(state): State<AppState>| async move { text(&state).await }))
        .route("/version", get(version))
}

const fn status(state: Fold) -> StatusCode {
    match state {
        Fold::Ready | Fold::Degraded => StatusCode::OK,
        Fold::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn readiness(state: &AppState) -> Response {
    let report = state.engine().probe().await;
    (status(report.state), Json(Readiness::from_domain(&report))).into_response()
}

async fn text(state: &AppState) -> Response {
    let engine = state.engine().encode_metrics().await;
    ([(CONTENT_TYPE, OPENMETRICS)], state.metrics().append_to(&engine)).into_response()
}

/// One word: ready, degraded or not ready.
#[utoipa::path(get, path = "/health", tag = "health", responses(
    (status = 200, description = "ready or degraded", body = Health),
    (status = 503, description = "not ready", body = Health)))]
pub(super) async fn health(State(state): State<AppState>) -> Response {
    let report = state.engine().probe().await;
    (status(report.state), Json(Health { status: report.state.to_string() })).into_response()
}

/// Whether the process answers at all. Touches nothing.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, description = "alive", body = Health)))]
pub(super) async fn livez() -> Json<Health> {
    Json(Health { status: "alive".into() })
}

/// The same as `/livez`.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, description = "alive", body = Health)))]
pub(super) async fn live() -> Json<Health> {
    livez().await
}

/// Every probe.
#[utoipa::path(get, path = "/readyz", tag = "health", security(("bearer" = ["meta:read"])), responses(
    (status = 200, description = "ready or degraded", body = Readiness),
    (status = 503, description = "not ready", body = Readiness),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn readyz(_: MetaRead, State(state): State<AppState>) -> Response {
    readiness(&state).await
}

/// The same as `/readyz`.
#[utoipa::path(get, path = "/health/ready", tag = "health", security(("bearer" = ["meta:read"])), responses(
    (status = 200, description = "ready or degraded", body = Readiness),
    (status = 503, description = "not ready", body = Readiness),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn ready(_: MetaRead, State(state): State<AppState>) -> Response {
    readiness(&state).await
}

/// Counters and gauges in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "health", security(("bearer" = ["meta:read"])), responses(
    (status = 200, description = "metrics", body = String, content_type = "application/openmetrics-text"),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn metrics(_: MetaRead, State(state): State<AppState>) -> Response {
    text(&state).await
}

/// What is running.
#[utoipa::path(get, path = "/version", tag = "health", responses((status = 200, description = "version", body = Version)))]
pub(super) async fn version(State(state): State<AppState>) -> Json<Version> {
    let version = Engine::version();
    Json(Version {
        version: version.version.into(),
        commit: version.commit.into(),
        started_at: state.engine().started_at(),
    })
}
