//! What the routes answer: lists and their pages, forms, problems, health.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use mb_core::workflow::StageKind;
use tower::ServiceExt as _;

use crate::fixture::{self, Story, step};
use crate::support::Server;

#[tokio::test]
async fn the_document_in_the_repository_is_the_one_that_is_served() {
    let json = mb_server::openapi_json().expect("plain data");
    expect_test::expect_file!["../../../../docs/reference/openapi.json"].assert_eq(&(json + "\n"));
    let server = Server::new().await;
    let served = server.get("/openapi.json").await.json();
    assert_eq!(served["openapi"], "3.1.0");
    assert_eq!(served, serde_json::to_value(mb_server::openapi()).expect("plain data"));
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let server = Server::new().await;
    for n in 1..=7 {
        server.play(&Story::new(n, "p", vec![step("a", StageKind::Test, "true", &[])])).await;
    }
    let (mut path, mut seen) = ("/api/v1/runs?limit=3&text=p".to_owned(), Vec::new());
    for _ in 0..10 {
        let reply = server.get(&path).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        let page = reply.json();
        seen.extend(page["items"].as_array().expect("items").iter().map(|r| r["id"].as_str().expect("id").to_owned()));
        match page["next"].as_str() {
            Some(_) => {
                let link = reply.header("link");
                path = link.split(['<', '>']).nth(1).expect("a link").to_owned();
                assert!(link.ends_with("rel=\"next\"") && path.contains("text=p"), "{link}");
            }
            None => break,
        }
    }
    let mut expected = seen.clone();
    expected.sort_by(|a, b| b.cmp(a));
    expected.dedup();
    assert_eq!((seen.len(), &seen), (7, &expected), "newest first, each once");
}

#[tokio::test]
async fn our_client_reads_the_run_we_send() {
    let server = Server::new().await;
    let story = Story::new(1, "p", vec![step("a", StageKind::Test, "true", &[])]);
    server.play(&story).await;
    let reply = server.get(&format!("/api/v1/runs/{}", story.run.id)).await;
    let run: mb_api::Run = serde_json::from_str(&reply.body).expect("no field twice, none missing");
    assert_eq!((run.summary.id, run.summary.changes, run.patches.len()), (story.run.id, 0, 0));
}

#[tokio::test]
async fn a_wrong_question_is_a_problem_with_a_code() {
    let server = Server::new().await;
    let none = "run_01jbx2m5k8e6t9h3v4n7q0r1sa";
    let check = async |method: Method, path: &str, body: Option<(&str, String)>, status: u16, code: &str| {
        let mut request = server.request(method, path);
        if let Some((media_type, _)) = &body {
            request = request.header("content-type", *media_type);
        }
        let body = body.map_or_else(Body::empty, |(_, text)| Body::from(text));
        let reply = server.send(request.body(body).expect("a request")).await;
        assert_eq!(reply.status.as_u16(), status, "{path}: {}", reply.body);
        assert_eq!(reply.header("content-type"), "application/problem+json", "{path}");
        let problem = reply.json();
        assert_eq!(problem["code"], code, "{path}: {problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["instance"], path.split('?').next().expect("a path"));
        assert_eq!(problem["request_id"], reply.header("x-request-id"));
        for member in ["type", "title", "detail", "hint", "runbook"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{path}: {member}");
        }
    };
    let json = |text: &str| Some(("application/json", text.to_owned()));
    check(Method::GET, "/nothing", None, 404, "E0301").await;
    check(Method::GET, &format!("/api/v1/runs/{none}"), None, 404, "E0302").await;
    check(Method::GET, "/api/v1/runs/run_1", None, 404, "E0302").await;
    check(Method::PUT, "/api/v1/runs", None, 405, "E0105").await;
    check(Method::GET, "/api/v1/runs?limit=201", None, 400, "E0101").await;
    check(Method::GET, "/api/v1/runs?limit=0", None, 400, "E0101").await;
    check(Method::GET, "/api/v1/runs?state=fialed", None, 400, "E0101").await;
    check(Method::GET, "/api/v1/runs?window=2y", None, 400, "E0101").await;
    check(Method::GET, "/api/v1/runs?after=zzz", None, 400, "E0101").await;
    check(Method::GET, "/api/v1/runs?stat=failed", None, 400, "E0101").await;
    check(Method::POST, "/api/v1/runs", json("{"), 422, "E0102").await;
    check(Method::POST, "/api/v1/runs", json(r#"{"root":"/x","rot":1}"#), 422, "E0102").await;
    check(Method::POST, "/api/v1/runs", json(r#"{"root":"/does/not/exist"}"#), 422, "E0501").await;
    check(Method::POST, "/api/v1/runs", Some(("text/plain", "{}".into())), 415, "E0104").await;
    check(Method::POST, "/api/v1/runs", json(&format!("\"{}\"", "x".repeat(2 << 20))), 413, "E0103").await;
}

#[tokio::test]
async fn a_run_is_started_once_per_key() {
    let server = Server::new().await;
    let project = tempfile::TempDir::new().expect("a folder");
    let wish =
        serde_json::json!({"root": project.path(), "command": ["true"], "budget": {"attempts": 2, "time_ms": 60_000}});
    let start = async || {
        let request = server.request(Method::POST, "/api/v1/runs").header("content-type", "application/json");
        let request = request.header("idempotency-key", "k1").body(Body::from(wish.to_string()));
        server.send(request.expect("a request")).await
    };
    let (first, second) = (start().await, start().await);
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::OK), "{}", first.body);
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(second.json()["existed"], true);
    let run = server.get(first.header("location")).await.json();
    assert_eq!(
        (&run["state"], &run["budget"]["attempts"], &run["budget"]["time_ms"]),
        (&"pending".into(), &2.into(), &60_000.into())
    );
    assert!(run["waiting"].as_str().expect("a wait").contains("free worker"), "{}", run["waiting"]);
    let cancel = format!("/api/v1/runs/{}/cancel", run["id"].as_str().expect("an id"));
    assert_eq!(server.post(&cancel, &serde_json::json!({})).await.status, StatusCode::ACCEPTED);
    let again = server.post(&cancel, &serde_json::json!({})).await;
    assert_eq!((again.status, again.json()["code"].as_str()), (StatusCode::CONFLICT, Some("E0401")));
    server.engine().drain();
    assert_eq!(start().await.status, StatusCode::SERVICE_UNAVAILABLE, "a draining server takes nothing in");
}

#[tokio::test]
async fn one_address_has_four_readers() {
    let server = Server::new().await;
    let story = fixture::repaired_story();
    server.play(&story).await;
    for path in ["/".to_owned(), "/runs".to_owned(), format!("/runs/{}", story.run.id)] {
        for (accept, media_type, begins) in [
            ("text/html,*/*;q=0.8", "text/html", "<!DOCTYPE html>"),
            ("application/json", "application/json", "{"),
            ("text/markdown", "text/markdown", ""),
            ("text/plain", "text/plain", ""),
        ] {
            let reply = server.get_as(&path, accept).await;
            assert_eq!(reply.status, StatusCode::OK, "{path} {accept}: {}", reply.body);
            assert!(reply.header("content-type").starts_with(media_type), "{path} {accept}");
            assert!(reply.body.starts_with(begins) && reply.body.len() > 10, "{path} {accept}: {}", reply.body);
        }
    }
    let report = format!("/api/v1/runs/{}/report", story.run.id);
    assert!(server.get_as(&report, "text/markdown").await.body.starts_with("## repaired"));
    assert_eq!(server.get(&report).await.json()["outcome"], "repaired");
    let diff = server.get(&format!("/api/v1/runs/{}/diff", story.run.id)).await;
    assert_eq!(diff.body, fixture::DIFF);
}

#[tokio::test]
async fn the_addresses_of_the_runbook_answer_in_its_shapes() {
    let server = Server::new().await;
    let story = fixture::repaired_story();
    server.play(&story).await;
    let base = format!("/api/meta/v4/runs/{}", story.run.id);
    let status = server.get(&format!("{base}/repair-status")).await.json();
    assert_eq!(
        (&status["status"], &status["attempt_count"], &status["repair_phase_count"]),
        (&"succeeded".into(), &4.into(), &2.into())
    );
    assert_eq!(status["repair_history"][1]["verdict"], "accepted");
    assert_eq!(status["repair_history"][1]["step"], "lint");
    let timeline = server.get(&format!("{base}/timeline")).await.json();
    let events = timeline["timeline"].as_array().expect("events");
    assert_eq!(events.last().expect("an event")["event"], "run.finished");
    let page = server.get(&format!("/api/v1/runs/{}/timeline?limit=5", story.run.id)).await.json();
    assert_eq!(page["items"].as_array().expect("items").as_slice(), &events[..5]);
}

#[tokio::test]
async fn logs_are_read_by_line_and_only_by_the_names_of_attempts() {
    let server = Server::new().await;
    let story = fixture::failed_story();
    server.play(&story).await;
    server.write_log(&story, "test#1", &["one", "two", "three"]);
    let base = format!("/api/v1/runs/{}/logs", story.run.id);
    let page = server.get(&format!("{base}?work=test%231&from=2&limit=1")).await.json();
    assert_eq!(
        (&page["lines"][0]["text"], &page["next"], &page["complete"]),
        (&"two".into(), &3.into(), &false.into())
    );
    for bad in ["test%239", "..%2F..%2Fadmin-token", "%2Fetc%2Fpasswd", ""] {
        assert_eq!(server.get(&format!("{base}?work={bad}")).await.json()["code"], "E0303", "{bad}");
    }
}

#[tokio::test]
async fn health_is_one_word_outside_and_free_on_the_operations_listener() {
    let server = Server::new().await;
    let ops = mb_server::ops_router(server.state.clone());
    let ask = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        ops.clone().oneshot(request).await.expect("the router never fails").status()
    };
    for path in ["/health", "/livez", "/health/live", "/readyz", "/health/ready", "/metrics", "/version"] {
        assert_eq!(ask(path).await, StatusCode::OK, "{path}");
    }
    assert_eq!(ask("/api/v1/runs").await, StatusCode::NOT_FOUND, "nothing else is there");
    let health = server.get("/health").await;
    assert_eq!(health.json().as_object().expect("an object").len(), 1, "one word: {}", health.body);
    let metrics = server.get("/metrics").await;
    assert!(metrics.body.contains("http_requests_total{method=\"GET\",route=\"/health\",status=\"200\"}"));
    assert!(metrics.body.ends_with("# EOF\n") && metrics.body.matches("# EOF").count() == 1);
    server.engine().drain();
    server.engine().env().advance(std::time::Duration::from_secs(2));
    assert_eq!(ask("/readyz").await, StatusCode::SERVICE_UNAVAILABLE, "readiness flips");
    assert_eq!(ask("/livez").await, StatusCode::OK, "liveness does not");
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_a_request_id() {
    let server = Server::new().await;
    for path in ["/", "/nothing", "/livez", "/login", "/api/v1/runs"] {
        let reply = server.get(path).await;
        assert_eq!(reply.header("content-security-policy"), mb_server::guard::CSP, "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        assert_eq!(reply.header("x-request-id").len(), 16, "{path}");
    }
    let ask = async |id: &str| {
        let request = server.request(Method::GET, "/livez").header("x-request-id", id).body(Body::empty());
        server.send(request.expect("a request")).await.header("x-request-id").to_owned()
    };
    assert_eq!(ask("trace-7").await, "trace-7");
    assert_ne!(ask("a b<c>").await, "a b<c>", "what is not an id is not repeated");
    let asset = server.get(mb_server::assets::all()[0].url()).await;
    assert!(asset.header("cache-control").contains("immutable"));
}
