//! Workflows, schedules, triggers and events over HTTP and in the console: what is answered, and what is refused.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use mb_core::id::TenantId;
use serde_json::{Value, json};

use crate::support::{Reply, Server};

/// A workflow that is over as soon as it is asked for.
fn greet(text: &str) -> Value {
    json!({
        "name": "greet",
        "inputs": {
            "who": { "type": "string", "default": "world", "description": "<b>whom</b> to greet" },
            "times": { "type": "number" },
            "loud": { "type": "boolean", "default": false },
        },
        "steps": [{ "name": "say", "kind": "transform", "value": format!("{text} {{{{ inputs.who }}}}") }],
        "outputs": { "text": "{{ steps.say.output }}" },
    })
}

async fn call(server: &Server, method: Method, path: &str, body: Value) -> Reply {
    let request = server.request(method, path).header("content-type", "application/json");
    server.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

/// A form as a browser sends it from our own page.
async fn form(server: &Server, path: &str, body: &str) -> Reply {
    let request = server.request(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
    server.send(request.body(Body::from(body.to_owned())).expect("a request")).await
}

async fn with_workflow() -> Server {
    let server = Server::new().await;
    let applied = call(&server, Method::PUT, "/api/v1/workflows/greet", greet("hello")).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.body);
    server
}

fn code(reply: &Reply) -> (u16, String) {
    (reply.status.as_u16(), reply.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_workflow_is_published_by_content_and_goes_back() {
    let server = with_workflow().await;
    let again = call(&server, Method::PUT, "/api/v1/workflows/greet", greet("hello")).await.json();
    assert_eq!((&again["version"], &again["existed"], &again["changed"]), (&json!(1), &json!(true), &json!(false)));
    let next = call(&server, Method::PUT, "/api/v1/workflows/greet", greet("hi")).await.json();
    assert_eq!((&next["version"], &next["existed"], &next["changed"]), (&json!(2), &json!(false), &json!(true)));
    let back = server.post("/api/v1/workflows/greet/rollback", &json!({ "version": 1 })).await.json();
    assert_eq!((&back["version"], &back["current"]), (&json!(1), &json!(true)));
    let shown = server.get("/api/v1/workflows/greet").await.json();
    assert_eq!(
        (&shown["version"], &shown["document"]["steps"][0]["value"]),
        (&json!(1), &json!("hello {{ inputs.who }}"))
    );
    let second = server.get("/api/v1/workflows/greet?version=2").await.json();
    assert_eq!((&second["version"], &second["current"]), (&json!(2), &json!(false)));
    let versions = server.get("/api/v1/workflows/greet/versions?limit=1").await.json();
    assert_eq!((&versions["items"][0]["version"], &versions["next"]), (&json!(2), &json!("2")));
    let rest = server.get("/api/v1/workflows/greet/versions?after=2").await.json();
    assert_eq!((&rest["items"][0]["version"], &rest["next"]), (&json!(1), &Value::Null));
    let list = server.get("/api/v1/workflows").await.json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_is_wrong_with_a_workflow_is_named() {
    let server = with_workflow().await;
    let put = async |name: &str, body: Value| {
        let reply = call(&server, Method::PUT, &format!("/api/v1/workflows/{name}"), body).await;
        (code(&reply), reply.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    let ((status, code_of), detail) = put("other", greet("x")).await;
    assert_eq!((status, code_of.as_str()), (422, "E0511"), "{detail}");
    let mut circle = greet("x");
    circle["steps"] =
        json!([{ "name": "a", "command": "true", "needs": ["b"] }, { "name": "b", "command": "true", "needs": ["a"] }]);
    let ((status, code_of), detail) = put("greet", circle).await;
    assert_eq!((status, code_of.as_str()), (422, "E0511"), "{detail}");
    assert!(detail.contains("circle"), "{detail}");
    let mut unknown = greet("x");
    unknown["steps"][0]["colour"] = json!("red");
    let ((status, code_of), detail) = put("greet", unknown).await;
    assert_eq!((status, code_of.as_str()), (422, "E0102"), "{detail}");
    assert!(detail.contains("say") && detail.contains("colour"), "{detail}");
    let mut unnamed = greet("x");
    unnamed["name"] = json!("-rf");
    assert_eq!(put("-rf", unnamed).await.0, (422, "E0102".into()));
    for (path, body) in [
        ("/api/v1/workflows/nobody/runs", json!({})),
        ("/api/v1/workflows/greet/runs", json!({ "version": 9 })),
        ("/api/v1/workflows/greet/rollback", json!({ "version": 9 })),
        ("/api/workflows/nobody/execute", json!({})),
    ] {
        assert_eq!(code(&server.post(path, &body).await), (404, "E0311".into()), "{path}");
    }
    let bad = server.post("/api/v1/workflows/greet/runs", &json!({ "inputs": { "times": "x" } })).await;
    assert_eq!(code(&bad), (422, "E0512".into()), "{}", bad.body);
}

#[tokio::test]
async fn a_run_of_a_workflow_is_made_once_per_key() {
    let server = with_workflow().await;
    let ask = async |key: &str| {
        let request = server.request(Method::POST, "/api/v1/workflows/greet/runs").header("idempotency-key", key);
        let body = Body::from(r#"{"inputs":{"who":"ada","times":2}}"#);
        let reply = server.send(request.header("content-type", "application/json").body(body).expect("ok")).await;
        server.engine().env().advance(std::time::Duration::from_secs(1));
        (reply.status, reply.json()["id"].as_str().expect("an id").to_owned())
    };
    let (first, id) = ask("k").await;
    assert_eq!(first, StatusCode::CREATED);
    assert_eq!(ask("k").await, (StatusCode::OK, id.clone()));
    assert_ne!(ask("other").await.1, id);

    // The operations runbook's form; the body may be left out.
    for body in ["", "{}", r#"{"inputs":{"who":"bob"}}"#] {
        let request = server.request(Method::POST, "/api/workflows/greet/execute");
        let reply = server.send(request.body(Body::from(body)).expect("a request")).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.body);
        assert!(reply.json()["execution_id"].as_str().is_some_and(|id| id.starts_with("run_")), "{}", reply.body);
        assert!(reply.json()["status"].is_string());
    }
    let request = server.request(Method::POST, "/api/workflows/greet/execute");
    let reply = server.send(request.body(Body::from("{nonsense")).expect("a request")).await;
    assert_eq!(code(&reply), (422, "E0102".into()));
    server.engine().drain();
    let reply = server.post("/api/v1/workflows/greet/runs", &json!({})).await;
    assert_eq!(code(&reply), (503, "E0602".into()), "a server that leaves takes nothing in");
}

#[tokio::test]
async fn a_schedule_is_made_changed_paused_and_removed() {
    let server = with_workflow().await;
    let wish = json!({
        "name": "nightly", "workflow": "greet", "cron": "30 2 * * *", "zone": "europe/oslo",
        "inputs": { "who": "{{ schedule.at }}" }, "jitter_s": 60,
    });
    let made = server.post("/api/v1/schedules", &wish).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let made = made.json();
    assert_eq!(
        (&made["timing"], &made["overlap"], &made["catch_up"]),
        (&json!("30 2 * * * in Europe/Oslo"), &json!("skip"), &json!("last"))
    );
    assert!(made["next_at"].is_string());
    let next = server.get("/api/v1/schedules/nightly/next").await.json();
    assert_eq!(next["items"].as_array().map(Vec::len), Some(5));
    assert!(next["items"][0]["local"].as_str().is_some_and(|text| text.contains("02:30 CE")), "{next}");
    assert_eq!(code(&server.post("/api/v1/schedules", &wish).await), (409, "E0411".into()));

    let mut change = wish.clone();
    change["cron"] = json!("0 4 * * *");
    change["revision"] = json!(1);
    let changed = call(&server, Method::PUT, "/api/v1/schedules/nightly", change.clone()).await.json();
    assert_eq!((&changed["cron"], &changed["revision"]), (&json!("0 4 * * *"), &json!(2)));
    let late = call(&server, Method::PUT, "/api/v1/schedules/nightly", change).await;
    assert_eq!(code(&late), (409, "E0402".into()), "somebody was faster");

    let paused = server.post("/api/v1/schedules/nightly/pause", &json!({ "reason": "release" })).await.json();
    assert_eq!((&paused["paused"], &paused["next_at"]), (&json!("token test: release"), &Value::Null));
    let resumed = server.post("/api/v1/schedules/nightly/resume", &json!({})).await.json();
    assert!(resumed["paused"].is_null() && resumed["next_at"].is_string());
    let long = server.post("/api/v1/schedules/nightly/pause", &json!({ "reason": "x".repeat(501) })).await;
    assert_eq!(code(&long), (422, "E0102".into()));
    assert_eq!(server.get("/api/v1/schedules/nightly/fires").await.json()["items"], json!([]));
    let gone = call(&server, Method::DELETE, "/api/v1/schedules/nightly", json!({})).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(code(&server.get("/api/v1/schedules/nightly").await), (404, "E0312".into()));
}

#[tokio::test]
async fn what_is_wrong_with_a_schedule_is_named() {
    let server = with_workflow().await;
    let check = async |change: Value, status: u16, code_of: &str, part: &str| {
        let mut wish = json!({ "name": "a", "workflow": "greet", "every_s": 60 });
        for (key, value) in change.as_object().expect("changes") {
            wish[key] = value.clone();
        }
        let reply = server.post("/api/v1/schedules", &wish).await;
        assert_eq!(code(&reply), (status, code_of.to_owned()), "{change}: {}", reply.body);
        let detail = reply.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains(part), "{change}: {detail}");
    };
    check(json!({ "name": "a b" }), 422, "E0102", "\"a b\"").await;
    check(json!({ "workflow": "nobody" }), 404, "E0311", "nobody").await;
    check(json!({ "version": 7 }), 404, "E0311", "version 7").await;
    check(json!({ "cron": "@daily" }), 422, "E0513", "either").await;
    check(json!({ "every_s": 0 }), 422, "E0513", "every_s is 0").await;
    check(json!({ "jitter_s": 61 }), 422, "E0513", "jitter_s is 61").await;
    check(json!({ "every_s": null, "cron": "0 0 30 2 *" }), 422, "E0513", "never comes").await;
    check(json!({ "every_s": null, "cron": "@daily", "zone": "Mars" }), 422, "E0513", "Mars").await;
    check(json!({ "overlap": "maybe" }), 422, "E0102", "maybe").await;
    check(json!({ "inputs": { "nobody": 1 } }), 422, "E0512", "nobody").await;
    check(json!({ "inputs": { "who": "{{ event.id }}" } }), 422, "E0512", "event").await;
    check(json!({ "inputs": { "times": "x" } }), 422, "E0512", "times").await;
}

#[tokio::test]
async fn an_event_sets_off_the_triggers_that_wait_for_it() {
    let server = with_workflow().await;
    let wish = json!({
        "name": "deployed", "workflow": "greet", "on": { "event": { "name": "deploy" } },
        "inputs": { "who": "{{ event.data.who }}" },
    });
    let made = server.post("/api/v1/triggers", &wish).await;
    assert_eq!((made.status, &made.json()["when"]), (StatusCode::CREATED, &json!("event deploy")));
    assert_eq!(code(&server.post("/api/v1/triggers", &wish).await), (409, "E0411".into()));
    let mut unknown = wish.clone();
    unknown["name"] = json!("b");
    unknown["inputs"] = json!({ "nobody": 1 });
    assert_eq!(code(&server.post("/api/v1/triggers", &unknown).await), (422, "E0512".into()));
    unknown["inputs"] = json!({ "who": "{{ event." });
    assert_eq!(code(&server.post("/api/v1/triggers", &unknown).await), (422, "E0514".into()));

    let event = json!({ "id": "e1", "data": { "who": "ada" } });
    let sent = server.post("/api/v1/events/deploy", &event).await;
    assert_eq!((sent.status, sent.json()), (StatusCode::ACCEPTED, json!({ "id": "e1", "triggers": 1, "fires": 1 })));
    assert_eq!(server.post("/api/v1/events/deploy", &event).await.json()["fires"], 0, "the same event again");
    assert_eq!(server.post("/api/v1/events/other", &json!({})).await.json()["triggers"], 0);
    server.engine().schedule_once().await;
    let fires = server.get("/api/v1/triggers/deployed/fires").await.json();
    let run = fires["items"][0]["run"].as_str().expect("a run");
    assert_eq!((&fires["items"][0]["state"], &fires["items"][0]["occasion"]), (&json!("started"), &json!("e1")));
    assert_eq!(server.get(&format!("/api/v1/runs/{run}")).await.status, StatusCode::OK);

    assert!(server.post("/api/v1/triggers/deployed/pause", &json!({})).await.json()["paused"].is_string());
    assert_eq!(server.post("/api/v1/events/deploy", &json!({})).await.json()["triggers"], 0);
    assert!(server.post("/api/v1/triggers/deployed/resume", &json!({})).await.json()["paused"].is_null());
    let gone = call(&server, Method::DELETE, "/api/v1/triggers/deployed", json!({})).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(code(&server.get("/api/v1/triggers/deployed").await), (404, "E0313".into()));
    let big = server.post("/api/v1/events/deploy", &json!({ "data": "x".repeat(256 << 10) })).await;
    assert_eq!(code(&big), (413, "E0103".into()));
}

#[tokio::test]
async fn the_console_shows_and_starts_workflows() {
    let server = with_workflow().await;
    let empty = Server::new().await;
    for path in ["/workflows", "/schedules", "/triggers"] {
        let page = empty.get_as(path, "text/html").await;
        assert!(page.status == StatusCode::OK && page.body.contains("class=\"cmd\""), "an empty list teaches: {path}");
    }
    let list = server.get_as("/workflows", "text/html").await;
    assert!(list.body.contains("href=\"/workflows/greet\""), "{}", list.body);
    let page = server.get_as("/workflows/greet", "text/html").await;
    for part in
        ["name=\"input.who\" value=\"world\"", "<select name=\"input.loud\"", "type=\"number\"", "&lt;b&gt;whom"]
    {
        assert!(page.body.contains(part), "{part} in {}", page.body);
    }
    let started = form(&server, "/workflows/greet/start", "version=1&input.who=&input.times=3&input.loud=true").await;
    assert_eq!(started.status, StatusCode::SEE_OTHER, "{}", started.body);
    let id = started.header("location").trim_start_matches("/runs/").parse().expect("a run");
    let run = server.engine().store().run(TenantId::DEFAULT, id).await.expect("readable").expect("there");
    let expected = json!({ "who": "world", "times": 3, "loud": true });
    assert_eq!(run.inputs, expected, "an empty field has its default");
    let bad = form(&server, "/workflows/greet/start", "version=1&input.times=three").await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);

    call(&server, Method::PUT, "/api/v1/workflows/greet", greet("hi")).await;
    let chosen = form(&server, "/workflows/greet/rollback", "version=1").await;
    assert_eq!((chosen.status, chosen.header("location")), (StatusCode::SEE_OTHER, "/workflows/greet"));
    assert_eq!(server.get("/api/v1/workflows/greet").await.json()["version"], 1);
    assert_eq!(server.get_as("/workflows/nobody", "text/html").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_console_shows_a_schedules_times_and_switches_it() {
    let server = with_workflow().await;
    let wish = json!({ "name": "nightly", "workflow": "greet", "cron": "30 2 * * *", "zone": "Asia/Kathmandu" });
    server.post("/api/v1/schedules", &wish).await;
    let page = server.get_as("/schedules/nightly", "text/html").await;
    assert_eq!(page.body.matches("02:30 +0545").count(), 5, "five times in its zone: {}", page.body);
    assert!(page.body.contains("in UTC") && page.body.contains("20:45:00"), "and in UTC");
    assert!(page.body.contains("action=\"/schedules/nightly/pause\""));
    let paused = form(&server, "/schedules/nightly/pause", "").await;
    assert_eq!(paused.status, StatusCode::SEE_OTHER, "{}", paused.body);
    let page = server.get_as("/schedules/nightly", "text/html").await;
    assert!(page.body.contains("action=\"/schedules/nightly/resume\"") && page.body.contains("Paused by"));
    assert_eq!(form(&server, "/schedules/nightly/resume", "").await.status, StatusCode::SEE_OTHER);
    let lists = server.get_as("/schedules", "text/markdown").await;
    assert_eq!(lists.body, "- nightly: greet 30 2 * * * in Asia/Kathmandu\n");
    server.post("/api/v1/triggers", &json!({ "name": "t", "workflow": "greet", "on": { "run_finished": {} } })).await;
    let page = server.get_as("/triggers/t", "text/html").await;
    assert!(page.body.contains("run of any workflow finished"), "{}", page.body);
    assert_eq!(form(&server, "/triggers/t/pause", "").await.status, StatusCode::SEE_OTHER);
    assert!(server.get("/api/v1/triggers/t").await.json()["paused"].is_string());
}
