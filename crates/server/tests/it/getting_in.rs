//! Login links and sessions.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::fixture;
use crate::support::{Reply, Server};

async fn send(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], form: &str) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !form.is_empty() {
        request = request.header("content-type", "application/x-www-form-urlencoded");
    }
    server.send(request.body(Body::from(form.to_owned())).expect("a request")).await
}

const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

#[tokio::test]
async fn a_link_works_once_and_looking_at_it_does_not_use_it_up() {
    let server = Server::new().await;
    let secret = mb_server::login::link(server.engine()).await.expect("a link");
    for _ in 0..3 {
        let page = send(&server, "GET", &format!("/welcome?t={secret}"), &[], "").await;
        assert!(page.status == StatusCode::OK && page.body.contains("method=\"post\""), "{}", page.body);
    }
    let form = format!("t={secret}");
    let foreign = send(&server, "POST", "/welcome", &[("sec-fetch-site", "cross-site")], &form).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let inside = send(&server, "POST", "/welcome", &[OURS], &form).await;
    assert_eq!((inside.status, inside.header("location")), (StatusCode::SEE_OTHER, "/"));
    let cookie = inside.header("set-cookie");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let again = send(&server, "POST", "/welcome", &[OURS, ("accept", "text/html")], &form).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN);
    assert!(again.body.contains("E0205") && again.header("set-cookie").is_empty());
    let late = mb_server::login::link(server.engine()).await.expect("a link");
    server.engine().env().advance(mb_server::login::LINK_TTL);
    let late = send(&server, "POST", "/welcome", &[OURS], &format!("t={late}")).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN, "a link ends after half an hour");
}

#[tokio::test]
async fn a_session_acts_only_from_our_own_pages_and_ends() {
    let server = Server::new().await;
    let story = fixture::running_story();
    server.play(&story).await;
    let secret = mb_server::login::link(server.engine()).await.expect("a link");
    let inside = send(&server, "POST", "/welcome", &[OURS], &format!("t={secret}")).await;
    let cookie = inside.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let mine = ("cookie", cookie.as_str());
    assert_eq!(send(&server, "GET", "/", &[mine], "").await.status, StatusCode::OK);
    let cancel = format!("/runs/{}/cancel", story.run.id);
    assert_eq!(send(&server, "POST", &cancel, &[mine], "").await.status, StatusCode::FORBIDDEN, "from nowhere");
    let foreign = [mine, ("origin", "https://evil.example"), ("host", "localhost:8000")];
    assert_eq!(send(&server, "POST", &cancel, &foreign, "").await.json()["code"], "E0204");
    assert_eq!(send(&server, "POST", &cancel, &[mine, OURS], "").await.status, StatusCode::SEE_OTHER);
    let run = server.get(&format!("/api/v1/runs/{}", story.run.id)).await.json();
    assert_eq!(run["cancel"], "console");
    assert_eq!(send(&server, "POST", "/logout", &[mine, OURS], "").await.status, StatusCode::SEE_OTHER);
    let outside = send(&server, "GET", "/", &[mine, ("accept", "text/html")], "").await;
    assert_eq!(outside.status, StatusCode::UNAUTHORIZED);
    assert!(outside.body.contains("mb open"), "the page says how to get in");
}

#[tokio::test]
async fn a_session_ends_by_itself() {
    let server = Server::new().await;
    let secret = mb_server::login::link(server.engine()).await.expect("a link");
    let inside = send(&server, "POST", "/welcome", &[OURS], &format!("t={secret}")).await;
    let cookie = inside.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    server.engine().env().advance(mb_server::login::SESSION_TTL);
    assert_eq!(send(&server, "GET", "/", &[("cookie", &cookie)], "").await.status, StatusCode::UNAUTHORIZED);
}
