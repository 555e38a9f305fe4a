//! A server over a fresh store, and requests to it.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use mb_api::NewToken;
use mb_core::advance::RunEvent;
use mb_core::id::TenantId;
use mb_core::queue::Claim;
use mb_core::scope::Scope;
use mb_core::task::{Lease, QueueClass, Work};
use mb_engine::{DataDir, Engine, Env, Sandbox};
use mb_server::AppState;
use mb_store::{NewRun, Report, Store, StoreOptions, StoreUrl, StoredPatch};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::fixture::{self, Story, WORKER};

/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A server and what it stands on.
pub(crate) struct Server {
    pub(crate) state: AppState,
    pub(crate) app: Router,
    pub(crate) admin: String,
    _dir: TempDir,
}

/// An answer, read to its end.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

impl Server {
    pub(crate) async fn new() -> Server {
        let dir = TempDir::new().expect("a temporary folder");
        let data = DataDir::open(dir.path()).expect("a data folder");
        let store = Store::open(&StoreUrl::Sqlite(data.database()), StoreOptions::default()).await.expect("a store");
        let env = Env::manual(fixture::START + Duration::from_secs(86_400), 1);
        store.migrate(env.now()).await.expect("migrations");
        let engine = Engine::new(env, store, data, Sandbox::detect());
        let state = AppState::new(engine);
        let app = mb_server::router(state.clone());
        let mut server = Server { state, app, admin: String::new(), _dir: dir };
        server.admin = server.token(&[Scope::Admin]).await;
        server
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.state.engine()
    }

    /// The secret of a fresh token with these rights.
    pub(crate) async fn token(&self, scopes: &[Scope]) -> String {
        let wish = NewToken { name: "test".into(), scopes: scopes.iter().copied().collect(), expires_in_s: None };
        let made = mb_server::tokens::create(self.engine(), TenantId::DEFAULT, &wish).await.expect("a token");
        made.secret
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.app.clone().oneshot(request).await.expect("the router never fails");
        let (parts, body) = response.into_parts();
        let bytes = tokio::time::timeout(SOON, to_bytes(body, 1 << 24)).await.expect("in time").expect("a body");
        let body = String::from_utf8(bytes.to_vec()).expect("text");
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// A request of the administrator.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Reply {
        self.send(self.request(Method::GET, path).header("accept", accept).body(Body::empty()).expect("a request"))
            .await
    }

    pub(crate) async fn post(&self, path: &str, json: &serde_json::Value) -> Reply {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        self.send(request.body(Body::from(json.to_string())).expect("a request")).await
    }

    /// A page of the console, as a browser asks for it.
    pub(crate) async fn page(&self, path: &str) -> String {
        let request = self.request(Method::GET, path).header("accept", "text/html");
        let reply = self.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.body
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        Request::builder().method(method).uri(path).header("authorization", format!("Bearer {}", self.admin))
    }

    /// Plays a story into the store, through the verbs a worker uses. Gives the leases that are still held.
    pub(crate) async fn play(&self, story: &Story) -> BTreeMap<Work, Lease> {
        let store = self.engine().store();
        let key = story.first.id.to_string();
        let new = NewRun {
            run: story.first.clone(),
            idempotency_key: None,
            affinity: Some(key.clone()),
            actor: "test".into(),
        };
        let mut leases: BTreeMap<Work, Lease> = BTreeMap::new();
        store.create_run(story.first.created_at, new).await.expect("created");
        for (at, event) in &story.script {
            let (work, report) = match event {
                RunEvent::Created | RunEvent::Lost { .. } | RunEvent::GaveBack { .. } => continue,
                RunEvent::Claimed { .. } => {
                    let slots = BTreeMap::from([(QueueClass::Cpu, 9), (QueueClass::Io, 9)]);
                    let claim = Claim { worker: WORKER, slots, affinity: Some(key.clone()), lease: SOON };
                    let claimed = store.claim(*at + SOON, &claim).await.expect("claimed");
                    leases.extend(
                        claimed.into_iter().map(|c| (c.lease.key.as_ref().expect("a run's").work.clone(), c.lease)),
                    );
                    continue;
                }
                RunEvent::Cancel { by } => {
                    store.cancel(*at, TenantId::DEFAULT, story.first.id, by).await.expect("cancelled");
                    continue;
                }
                RunEvent::Signal(signal) => {
                    let signal = signal.clone();
                    store.signal_run(*at, TenantId::DEFAULT, story.first.id, signal).await.expect("signaled");
                    continue;
                }
                RunEvent::Decided { step, approved, by, reason } => {
                    let (step, by, reason) = (step.clone(), by.clone(), reason.clone());
                    let decision = mb_store::Decision { step, approved: *approved, by, reason };
                    store.decide(*at, TenantId::DEFAULT, story.first.id, decision).await.expect("decided");
                    continue;
                }
                RunEvent::Attempted { step, number, outcome } => {
                    (Work::Attempt { step: step.clone(), number: *number }, Report::Attempted(outcome.clone()))
                }
                RunEvent::Repaired { step, number, outcome } => {
                    let diff = |digest: &String| StoredPatch { digest: digest.clone(), diff: fixture::DIFF.into() };
                    let patches = outcome.patch.iter().map(|patch| diff(&patch.digest)).collect();
                    let work = Work::Repair { step: step.clone(), number: *number };
                    (work, Report::Repaired { outcome: outcome.clone(), patches })
                }
                RunEvent::Published(published) => (Work::Publish, Report::Published(published.clone())),
            };
            let lease = leases.remove(&work).unwrap_or_else(|| panic!("{work} was not claimed"));
            let finished = store.finish(*at, &lease, report).await.expect("finished");
            assert!(matches!(finished, mb_store::Finished::Applied { .. }), "{work}: {finished:?}");
        }
        leases
    }

    /// Writes a log where the engine looks for it, in the form the runner writes.
    pub(crate) fn write_log(&self, story: &Story, work: &str, lines: &[&str]) {
        let text: String = lines.iter().map(|line| format!("o {line}\n")).collect();
        let path = self.engine().data().log(story.run.id, work);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }
}
