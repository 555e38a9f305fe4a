//! All routes, and what every request passes before it reaches one.

mod events;
pub(crate) mod fleet;
mod fleet_v4;
mod health;
mod meta_v4;
pub(crate) mod runs;
mod schedules;
pub(crate) mod signals;
pub(crate) mod tasks;
mod tokens;
mod triggers;
mod workflows;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa::Modify;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::console;
use crate::console_fleet;
use crate::guard;
use crate::state::AppState;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Meta-Builder",
        description = "Durable runs of builds and workflows, repaired within a budget. Errors are RFC 9457 problems \
                       with a `code`; lists are paged by cursor; live streams resume by `Last-Event-ID`.",
        version = "1",
        license(name = "MIT OR Apache-2.0")
    ),
    modifiers(&Bearer),
    tags(
        (name = "runs", description = "Start, watch and stop runs"),
        (name = "workflows", description = "Named workflows and their versions"),
        (name = "schedules", description = "Runs at certain times"),
        (name = "triggers", description = "Runs because something happened"),
        (name = "fleet", description = "Workers and queues"),
        (name = "tasks", description = "Tasks that belong to no run"),
        (name = "tokens", description = "Who may do what"),
        (name = "health", description = "Whether this instance should get traffic"),
        (name = "meta v4", description = "The addresses the version 4 runbook uses")
    ),
    components(schemas(mb_api::Problem))
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(runs::list, runs::start))
        .routes(routes!(runs::show))
        .routes(routes!(runs::timeline))
        .routes(routes!(runs::logs))
        .routes(routes!(runs::report))
        .routes(routes!(runs::diff))
        .routes(routes!(runs::cancel))
        .routes(routes!(signals::retry))
        .routes(routes!(signals::signal))
        .routes(routes!(signals::approve))
        .routes(routes!(signals::reject))
        .routes(routes!(events::of_run))
        .routes(routes!(events::of_all))
        .merge(workflows())
        .merge(queues())
        .routes(routes!(tokens::list, tokens::add))
        .routes(routes!(tokens::revoke))
        .routes(routes!(meta_v4::timeline))
        .routes(routes!(meta_v4::repair_status))
        .routes(routes!(health::health))
        .routes(routes!(health::livez))
        .routes(routes!(health::live))
        .routes(routes!(health::readyz))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(health::version))
}

/// Named workflows and what sets them off.
fn workflows() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(workflows::list))
        .routes(routes!(workflows::show, workflows::apply))
        .routes(routes!(workflows::versions))
        .routes(routes!(workflows::rollback))
        .routes(routes!(workflows::start))
        .routes(routes!(workflows::execute))
        .routes(routes!(schedules::list, schedules::add))
        .routes(routes!(schedules::show, schedules::change, schedules::remove))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(schedules::next))
        .routes(routes!(schedules::fires))
        .routes(routes!(triggers::list, triggers::add))
        .routes(routes!(triggers::show, triggers::remove))
        .routes(routes!(triggers::pause))
        .routes(routes!(triggers::resume))
        .routes(routes!(triggers::fires))
        .routes(routes!(triggers::send))
}

/// Queues, tasks and workers.
fn queues() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(fleet::workers))
        .routes(routes!(fleet::queues))
        .routes(routes!(fleet::workers_status))
        .routes(routes!(fleet::workers_health))
        .routes(routes!(fleet::shutdown))
        .routes(routes!(fleet::drain_worker))
        .routes(routes!(fleet::queues_status))
        .routes(routes!(fleet::pause))
        .routes(routes!(fleet::resume))
        .routes(routes!(fleet::drain))
        .routes(routes!(fleet::restart))
        .routes(routes!(fleet::drain_all))
        .routes(routes!(fleet::restart_all))
        .routes(routes!(fleet::clear_stuck))
        .routes(routes!(fleet::stats))
        .routes(routes!(tasks::add))
        .routes(routes!(tasks::show))
        .routes(routes!(tasks::cancel))
        .routes(routes!(tasks::dead_letters))
        .routes(routes!(tasks::requeue))
        .routes(routes!(fleet_v4::queues_status))
        .routes(routes!(fleet_v4::drain))
        .routes(routes!(fleet_v4::restart))
        .routes(routes!(fleet_v4::clear_stuck))
        .routes(routes!(fleet_v4::workers_status))
        .routes(routes!(fleet_v4::workers_health))
        .routes(routes!(fleet_v4::shutdown))
        .routes(routes!(fleet_v4::stats))
}

/// The OpenAPI document of every API route.
pub fn openapi() -> utoipa::openapi::OpenApi {
    api().into_openapi()
}

/// The same as JSON.
///
/// # Errors
/// Never in practice: the document is plain data.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    openapi().to_pretty_json()
}

/// The router of the public listeners.
pub fn router(state: AppState) -> Router {
    let (routes, document) = api().split_for_parts();
    // Written once; it never changes while the process lives.
    let document: &'static str = Box::leak(document.to_json().unwrap_or_default().into_boxed_str());
    let routes = routes.merge(console::routes()).merge(console_fleet::routes()).merge(health::document(document));
    guarded(routes, state)
}

/// The router of the operations listener: health and metrics without a token, for an address nobody else reaches.
pub fn ops_router(state: AppState) -> Router {
    guarded(health::free(), state)
}

fn guarded(routes: Router<AppState>, state: AppState) -> Router {
    let panicking = state.clone();
    routes
        .fallback(guard::not_found)
        .method_not_allowed_fallback(guard::method_not_allowed)
        .layer(DefaultBodyLimit::max(guard::BODY_BYTES_MAX))
        .layer(from_fn(guard::deadline))
        .layer(CatchPanicLayer::custom(move |panic: Box<dyn std::any::Any + Send>| {
            guard::panicked(&panicking, &*panic)
        }))
        .layer(from_fn(guard::problems))
        .layer(CompressionLayer::new())
        .layer(from_fn(guard::headers))
        .layer(from_fn_with_state(state.clone(), guard::observe))
        .with_state(state)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use axum::routing::get;
    use mb_core::time::Timestamp;
    use mb_engine::{DataDir, Engine, Env, Sandbox};
    use mb_store::{Store, StoreOptions, StoreUrl};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_and_is_counted() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(dir.path()).expect("a data folder");
        let store = Store::open(&StoreUrl::Sqlite(data.database()), StoreOptions::default()).await.expect("a store");
        let state =
            AppState::new(Engine::new(Env::manual(Timestamp::from_micros(1), 1), store, data, Sandbox::detect()));
        let boom = || async { assert!(std::env::args().count() > 1_000, "the secret cause") };
        let app = guarded(Router::new().route("/boom", get(boom)), state.clone());
        let response = app.oneshot(Request::get("/boom").body(Body::empty()).expect("a request")).await;
        let response = response.expect("the router never fails");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body(), 1 << 16).await.expect("a body");
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.contains("E0901") && text.contains("request_id") && !text.contains("secret cause"), "{text}");
        assert_eq!(state.metrics().panics.get(), 1);
    }
}
