//! Queues, workers and tasks through the API and the console.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use mb_core::id::WorkerId;
use mb_core::queue::{Claim, Outcome};
use mb_core::scope::Scope;
use mb_core::task::QueueClass;
use mb_store::WorkerRow;
use serde_json::json;

use crate::support::{SOON, Server};

const EMPTY: serde_json::Value = serde_json::Value::Null;

fn io_of(status: &serde_json::Value) -> serde_json::Value {
    status["queues"].as_array().expect("queues").iter().find(|q| q["class"] == "io").expect("io").clone()
}

#[tokio::test]
async fn a_task_is_put_on_the_queue_once_and_found_again() {
    let server = Server::new().await;
    let wish = json!({"kind": "noop", "payload": {"a": 1}, "idempotency_key": "k"});
    let first = server.post("/api/v1/tasks", &wish).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    let again = server.post("/api/v1/tasks", &wish).await;
    assert_eq!((again.status, &again.json()["id"]), (StatusCode::OK, &first.json()["id"]));
    let path = format!("/api/v1/tasks/{}", first.json()["id"].as_str().expect("an id"));
    let shown = server.get(&path).await.json();
    assert_eq!(
        (&shown["state"], &shown["payload"], &shown["class"]),
        (&json!("ready"), &json!({"a": 1}), &json!("io"))
    );

    let many = json!({"tasks": [{"kind": "noop"}, {"kind": "noop", "class": "cpu", "priority": "low"}]});
    let send = async || {
        let request = server.request(Method::POST, "/api/v1/tasks").header("content-type", "application/json");
        let request = request.header("idempotency-key", "batch");
        server.send(request.body(Body::from(many.to_string())).expect("a request")).await
    };
    let (one, two) = (send().await, send().await);
    assert_eq!((one.status, two.status), (StatusCode::CREATED, StatusCode::OK));
    let ids = |reply: &crate::support::Reply| {
        reply.json()["tasks"].as_array().expect("tasks").iter().map(|t| t["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((ids(&one).len(), ids(&one)), (2, ids(&two)));

    assert_eq!(server.post(&format!("{path}/cancel"), &EMPTY).await.json()["state"], "canceled");
    let over = server.post(&format!("{path}/cancel"), &EMPTY).await;
    assert_eq!((over.status, over.json()["code"].as_str()), (StatusCode::CONFLICT, Some("E0404")));
    for (body, status) in [
        (json!({"kind": "a b"}), StatusCode::BAD_REQUEST),
        (json!({"kind": "noop", "clas": "io"}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"tasks": [{"kind": "noop"}, {"kind": ""}]}), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(server.post("/api/v1/tasks", &body).await.status, status, "{body}");
    }
    assert_eq!(server.get("/api/v1/tasks/tsk_x").await.json()["code"], "E0305");
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_when_to_come_back() {
    let server = Server::new().await;
    let llm = json!({"kind": "noop", "class": "llm", "priority": "low"});
    let tasks: Vec<_> = (0..50).map(|_| llm.clone()).collect();
    assert_eq!(server.post("/api/v1/tasks", &json!({ "tasks": tasks })).await.status, StatusCode::CREATED);
    let full = server.post("/api/v1/tasks", &llm).await;
    assert_eq!((full.status, full.json()["code"].as_str()), (StatusCode::TOO_MANY_REQUESTS, Some("E0604")));
    assert_eq!((full.header("retry-after"), &full.json()["retry_after_s"]), ("1", &json!(1)));
    let status = server.get("/api/meta/v4/queues/status").await.json();
    let queue = status["queues"].as_array().expect("queues").iter().find(|q| q["class"] == "llm").expect("llm");
    assert_eq!((&queue["depth"], &queue["capacity"], &queue["in_flight"]), (&json!(50), &json!(50), &json!(0)));
    let low = status["priorities"].as_array().expect("priorities").iter().find(|p| p["priority"] == "low");
    assert_eq!(low.expect("low")["depth"], 50);
}

#[tokio::test]
async fn a_full_cpu_queue_takes_no_new_run() {
    let server = Server::new().await;
    let project = tempfile::tempdir().expect("a folder");
    std::fs::write(project.path().join("meta-builder.toml"), "[steps.a]\nrun = \"true\"\n").expect("written");
    let tasks: Vec<_> = (0..100).map(|_| json!({"kind": "noop", "class": "cpu", "priority": "low"})).collect();
    assert_eq!(server.post("/api/v1/tasks", &json!({ "tasks": tasks })).await.status, StatusCode::CREATED);
    let wish = json!({"root": project.path()});
    let full = server.post("/api/v1/runs", &wish).await;
    assert_eq!(
        (full.status, full.json()["code"].as_str()),
        (StatusCode::TOO_MANY_REQUESTS, Some("E0604")),
        "{}",
        full.body
    );
    assert_eq!(full.header("retry-after"), "1");
    assert_eq!(server.get("/api/v1/runs").await.json()["items"], json!([]), "nothing was stored");
}

#[tokio::test]
async fn a_class_is_paused_drained_and_restarted() {
    let server = Server::new().await;
    let noop = json!({"kind": "noop"});
    server.post("/api/v1/tasks", &noop).await;
    let claim = async || {
        let claim = Claim {
            worker: WorkerId::from_bytes([3; 16]),
            slots: [(QueueClass::Io, 1)].into(),
            affinity: None,
            lease: SOON,
        };
        server.engine().store().claim(server.engine().env().now(), &claim).await.expect("claimed")
    };
    assert_eq!(server.post("/api/v1/queues/io/pause", &EMPTY).await.json()["state"], "paused");
    assert!(claim().await.is_empty(), "a paused class gives nothing out");
    assert_eq!(server.post("/api/v1/tasks", &noop).await.status, StatusCode::CREATED, "and takes in");
    assert_eq!(server.post("/api/v1/queues/io/resume", &EMPTY).await.json()["state"], "running");

    let drained = server.post("/api/meta/v4/queues/drain", &EMPTY).await.json();
    assert_eq!((&io_of(&drained)["draining"], &io_of(&drained)["depth"]), (&json!(true), &json!(2)));
    let refused = server.post("/api/v1/tasks", &noop).await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "30"));
    assert_eq!(refused.json()["code"], "E0605");
    let held = claim().await;
    assert_eq!(held.len(), 1, "a draining class gives out what it has");
    assert_eq!(io_of(&server.post("/api/meta/v4/queues/restart", &EMPTY).await.json())["draining"], false);
    assert_eq!(server.post("/api/v1/tasks", &noop).await.status, StatusCode::CREATED);

    assert_eq!(server.post("/api/v1/queues/clear-stuck", &EMPTY).await.json()["cleared"], 0, "the lease holds");
    server.engine().env().advance(SOON + SOON);
    assert_eq!(server.post("/api/meta/v4/queues/clear-stuck", &EMPTY).await.json()["cleared"], 1);
    assert_eq!(server.post("/api/v1/queues/none/pause", &EMPTY).await.status, StatusCode::NOT_FOUND);
}

/// A task that has failed for good.
async fn dead(server: &Server) -> String {
    let made = server.post("/api/v1/tasks", &json!({"kind": "bad<b>", "attempts_max": 1})).await;
    assert_eq!(made.status, StatusCode::BAD_REQUEST);
    let made = server.post("/api/v1/tasks", &json!({"kind": "bad", "attempts_max": 1})).await.json();
    let now = server.engine().env().now();
    let slots = [(QueueClass::Io, 1)].into();
    let claim = Claim { worker: WorkerId::from_bytes([3; 16]), slots, affinity: None, lease: SOON };
    let held = server.engine().store().claim(now, &claim).await.expect("claimed").remove(0);
    let failed = Outcome::Failed { error: "<script>no</script>".into(), is_permanent: false, retry_after: None };
    server.engine().store().complete(now, &[(held.lease, failed)]).await.expect("reported");
    made["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_dead_letter_is_shown_and_tried_again() {
    let server = Server::new().await;
    let (one, two) = (dead(&server).await, dead(&server).await);
    let page = server.get("/api/v1/dead-letters?limit=1").await.json();
    let next = page["next"].as_str().expect("there is another");
    let rest = server.get(&format!("/api/v1/dead-letters?limit=1&after={next}")).await.json();
    let id_of = |page: &serde_json::Value| page["items"][0]["id"].as_str().expect("an id").to_owned();
    let found = std::collections::BTreeSet::from([id_of(&page), id_of(&rest)]);
    assert_eq!(found, std::collections::BTreeSet::from([one.clone(), two.clone()]));
    let html = server.get_as("/dead-letters", "text/html").await.body;
    assert!(html.contains(&one) && html.contains("&lt;script&gt;no") && !html.contains("<script>no"));

    let path = "/api/v1/dead-letters/requeue";
    let dry = server.post(path, &json!({"all": true, "dry_run": true})).await.json();
    assert_eq!((&dry["count"], &dry["ids"]), (&json!(2), &json!([])));
    assert_eq!(server.get(&format!("/api/v1/tasks/{one}")).await.json()["state"], "failed", "nothing was done");
    let named = json!({"ids": [one], "dry_run": true});
    assert_eq!(server.post(path, &named).await.json()["count"], 1);
    assert_eq!(server.post(path, &json!({"ids": [one]})).await.json()["ids"], json!([one]));
    assert_eq!(server.get(&format!("/api/v1/tasks/{one}")).await.json()["state"], "ready");
    assert_eq!(server.post(path, &json!({"ids": [one]})).await.json()["count"], 0, "it is no dead letter any more");
    for body in [json!({}), json!({"all": true, "ids": [two]})] {
        assert_eq!(server.post(path, &body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let request = server.request(Method::POST, "/dead-letters/requeue-all").body(Body::empty()).expect("a request");
    assert_eq!(server.send(request).await.status, StatusCode::SEE_OTHER);
    assert_eq!(server.get(&format!("/api/v1/tasks/{two}")).await.json()["state"], "ready");
}

fn worker(n: u8, version: &str) -> WorkerRow {
    WorkerRow {
        id: WorkerId::from_bytes([n; 16]),
        node: format!("node-{n}<b>"),
        pid: 1,
        version: version.into(),
        roles: ["worker".to_owned()].into(),
        slots: [(QueueClass::Cpu, 10)].into(),
        affinity: None,
        started_at: crate::fixture::START,
        state: "active".into(),
    }
}

#[tokio::test]
async fn workers_are_told_apart_by_health_and_version_and_asked_to_end() {
    let server = Server::new().await;
    let down = server.get("/api/v1/workers/health").await.json();
    assert_eq!(down["status"], "down");
    let (engine, version) = (server.engine(), mb_engine::Engine::version().version);
    let now = engine.env().now();
    for (row, age_s) in
        [(worker(1, version), 0), (worker(2, "0.0.1"), 0), (worker(3, version), 8), (worker(4, version), 301)]
    {
        engine.store().worker_seen(now - std::time::Duration::from_secs(age_s), &row).await.expect("seen");
    }
    let status = server.get("/api/meta/v4/workers/status").await.json();
    let words: Vec<_> = status["workers"].as_array().expect("workers").iter().map(|w| w["health"].clone()).collect();
    assert_eq!(words, ["healthy", "healthy", "unhealthy", "stale"]);
    assert_eq!((&status["active"], &status["workers"][0]["pool"]), (&json!(2), &json!("cpu")));
    assert!(status["workers"][0]["last_heartbeat"].is_string());
    let health = server.get("/api/meta/v4/workers/health").await.json();
    assert_eq!((&health["status"], &health["pools"]["cpu"]["healthy"]), (&json!("degraded"), &json!(2)));
    assert_eq!(
        (&health["pools"]["cpu"]["expected"], health["problems"].as_array().map(Vec::len)),
        (&json!(4), Some(3))
    );
    let stats = server.get("/api/meta/v4/stats").await.json();
    assert_eq!(
        (&stats["queues"]["cpu"]["slots"], &stats["queues"]["cpu"]["utilization_percent"]),
        (&json!(20), &json!(0))
    );

    let html = server.get_as("/workers", "text/html").await.body;
    assert!(html.contains("node-1&lt;b&gt;") && html.contains("not this server's") && html.contains("unhealthy"));
    let one = worker(1, version).id;
    let drained = server.post(&format!("/api/v1/workers/{one}/drain"), &EMPTY).await;
    assert_eq!((drained.status, &drained.json()["asked"]), (StatusCode::ACCEPTED, &json!(1)));
    assert!(engine.store().worker_seen(now, &worker(1, version)).await.expect("seen"), "it hears it");
    let missing = server.post(&format!("/api/v1/workers/{}/drain", WorkerId::from_bytes([9; 16])), &EMPTY).await;
    assert_eq!(missing.json()["code"], "E0306");
    assert_eq!(server.post("/api/meta/v4/workers/shutdown", &EMPTY).await.json()["asked"], 3);
}

#[tokio::test]
async fn the_consoles_switches_say_what_they_do_and_need_the_right() {
    let server = Server::new().await;
    server.post("/api/v1/tasks", &json!({"kind": "noop"})).await;
    let page = server.get_as("/queues", "text/html").await.body;
    for part in
        ["action=\"/queues/io/pause\"", "action=\"/queues/io/drain\"", "1 of 200", "mb queue pause io", "Queues"]
    {
        assert!(page.contains(part), "{part}");
    }
    let post = async |path: &str, token: &str| {
        let request = axum::http::Request::builder().method(Method::POST).uri(path);
        let request = request.header("authorization", format!("Bearer {token}"));
        server.send(request.body(Body::empty()).expect("a request")).await.status
    };
    let weak = server.token(&[Scope::RunsRead, Scope::RunsOperate]).await;
    let fitting = server.token(&[Scope::FleetOperate]).await;
    for path in ["/queues/io/pause", "/queues/clear-stuck", "/workers/shutdown", "/dead-letters/requeue-all"] {
        assert_eq!(post(path, &weak).await, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(post(path, &fitting).await, StatusCode::SEE_OTHER, "{path}");
    }
    let paused = server.get_as("/queues", "text/html").await.body;
    assert!(paused.contains("action=\"/queues/io/resume\"") && !paused.contains("action=\"/queues/io/pause\""));
    assert_eq!(post("/queues/io/explode", &fitting).await, StatusCode::NOT_FOUND);
    assert!(server.get_as("/queues", "text/markdown").await.body.contains("- io (paused): 1 waiting (of 200)"));
}
