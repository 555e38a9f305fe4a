//! Live streams: order, resumption, ends.

use axum::body::{Body, BodyDataStream};
use axum::http::{Method, StatusCode};
use futures_util::StreamExt as _;
use mb_api::sse::{Message, Parser};
use mb_core::id::TenantId;
use tower::ServiceExt as _;

use crate::fixture;
use crate::support::{SOON, Server};

/// An open stream.
struct Open {
    body: BodyDataStream,
    parser: Parser,
    ready: std::collections::VecDeque<Message>,
}

impl Open {
    async fn of(server: &Server, path: &str, after: Option<i64>) -> Open {
        let mut request = server.request(Method::GET, path).header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let response = server.app.clone().oneshot(request.body(Body::empty()).expect("a request")).await;
        let response = response.expect("the router never fails");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let body = response.into_body().into_data_stream();
        Open { body, parser: Parser::default(), ready: std::collections::VecDeque::new() }
    }

    /// The next message; none at the end of the stream. Heartbeats do not put the deadline off.
    async fn next(&mut self) -> Option<Message> {
        tokio::time::timeout(SOON, self.read()).await.expect("a message in time")
    }

    async fn read(&mut self) -> Option<Message> {
        while self.ready.is_empty() {
            let chunk = self.body.next().await?;
            self.ready.extend(self.parser.feed(&chunk.expect("a chunk")).expect("small"));
        }
        self.ready.pop_front()
    }

    async fn all(mut self) -> Vec<(i64, String)> {
        let mut all = Vec::new();
        while let Some(message) = self.next().await {
            all.push((message.id.expect("an id").parse().expect("a number"), message.event));
        }
        all
    }
}

#[tokio::test]
async fn the_stream_of_a_run_has_every_event_once_and_resumes_anywhere() {
    let server = Server::new().await;
    server.play(&fixture::failed_story()).await;
    let story = fixture::repaired_story();
    server.play(&story).await;
    let stored = server.engine().store().events(TenantId::DEFAULT, Some(story.run.id), 0, 1_000).await.expect("events");
    let expected: Vec<(i64, String)> = stored.iter().map(|e| (e.seq, e.kind.word().to_owned())).collect();
    let path = format!("/api/v1/runs/{}/events", story.run.id);
    assert_eq!(Open::of(&server, &path, None).await.all().await, expected);
    for cut in [0, 1, expected.len() / 2, expected.len() - 1] {
        let resumed = Open::of(&server, &path, Some(expected[cut].0)).await;
        assert_eq!(resumed.all().await, expected[cut + 1..], "after {cut}");
    }
}

#[tokio::test]
async fn what_happens_now_arrives_and_the_run_ends_its_stream() {
    let server = Server::new().await;
    let story = fixture::pending_story();
    server.play(&story).await;
    let last = server.engine().store().last_seq().await.expect("a number");
    let mut of_run = Open::of(&server, &format!("/api/v1/runs/{}/events", story.run.id), Some(last)).await;
    let mut of_all = Open::of(&server, "/api/v1/events", None).await;
    let mut of_page = Open::of(&server, &format!("/live?after={last}"), None).await;
    server.post(&format!("/api/v1/runs/{}/cancel", story.run.id), &serde_json::json!({})).await;
    assert_eq!(of_all.next().await.expect("an event").event, "run.cancel_requested");
    let change = of_page.next().await.expect("a change");
    assert_eq!(change.event, "change");
    let mut words = Vec::new();
    while let Some(message) = of_run.next().await {
        words.push(message.event);
    }
    assert_eq!(
        (words.first().map(String::as_str), words.last().map(String::as_str)),
        (Some("run.cancel_requested"), Some("run.finished"))
    );
}

#[tokio::test]
async fn a_page_that_missed_something_is_told_at_once() {
    let server = Server::new().await;
    server.play(&fixture::pending_story()).await;
    let mut page = Open::of(&server, "/live?after=0", None).await;
    assert_eq!(page.next().await.expect("a change").event, "change");
}

#[tokio::test]
async fn a_growing_log_is_followed_to_its_end() {
    let server = Server::new().await;
    let story = fixture::running_story();
    let leases = server.play(&story).await;
    server.write_log(&story, "build#1", &["one", "<two>"]);
    let path = format!("/runs/{}/log/live?work=build%231&from=1", story.run.id);
    let mut log = Open::of(&server, &path, None).await;
    let first = log.next().await.expect("lines");
    assert!(first.data.contains("id=\"L2\"") && first.data.contains("&lt;two&gt;"), "{}", first.data);
    assert_eq!(first.id.as_deref(), Some("3"), "resumes at the next line");
    server.write_log(&story, "build#1", &["one", "<two>", "three"]);
    assert!(log.next().await.expect("more").data.contains("three"));
    let (_, lease) = leases.into_iter().next().expect("the build is held");
    let report = mb_store::Report::Attempted(fixture::outcome(None, 5));
    server.engine().store().finish(server.engine().env().now(), &lease, report).await.expect("finished");
    assert_eq!(log.next().await.expect("the end").event, "end");
}
