//! Who may do what: every route of the document and of the console, with nothing, too little and just enough.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use mb_core::scope::Scope;

use crate::fixture;
use crate::support::{Reply, Server};

/// Routes that need no token, and why: they are liveness, one word of health, or what is running.
const PUBLIC: [&str; 4] = ["/health", "/livez", "/health/live", "/version"];

struct Route {
    method: Method,
    path: String,
    scopes: Vec<String>,
}

fn document() -> Vec<Route> {
    let json = serde_json::to_value(mb_server::openapi()).expect("the document is plain data");
    let paths = json["paths"].as_object().expect("paths");
    let mut routes = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            let scopes = operation["security"].as_array().into_iter().flatten();
            let scopes = scopes.flat_map(|s| s["bearer"].as_array().cloned().unwrap_or_default());
            routes.push(Route {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                scopes: scopes.map(|s| s.as_str().expect("a word").to_owned()).collect(),
            });
        }
    }
    routes
}

async fn ask(server: &Server, route: &Route, path: &str, token: Option<&str>) -> Reply {
    let mut request = Request::builder().method(route.method.clone()).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.header("content-type", "application/json").body(Body::from("{}")).expect("a request");
    server.send(request).await
}

#[tokio::test]
async fn every_documented_route_asks_for_exactly_its_scope() {
    let server = Server::new().await;
    let story = fixture::repaired_story();
    server.play(&story).await;
    let routes = document();
    assert!(routes.len() >= 20, "only {} routes: the walk is broken", routes.len());
    for route in &routes {
        // A finished run ends its stream, so reading it to the end ends too. A stream of all events never does.
        let is_endless = route.path == "/api/v1/events";
        let path = route.path.replace("{id}", &story.run.id.to_string()).replace("{name}", "nothing");
        let name = format!("{} {}", route.method, route.path);
        let anonymous = ask(&server, route, &path, None).await;
        if PUBLIC.contains(&route.path.as_str()) {
            assert!(route.scopes.is_empty() && anonymous.status == StatusCode::OK, "{name}: {}", anonymous.status);
            continue;
        }
        assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED, "{name} without a token");
        assert_eq!(anonymous.json()["code"], "E0201", "{name}");
        assert!(anonymous.header("www-authenticate").starts_with("Bearer"), "{name}");
        let [need] = route.scopes.as_slice() else { panic!("{name} does not document one scope: {:?}", route.scopes) };
        let need = Scope::from_word(need).unwrap_or_else(|| panic!("{name}: {need} is no scope"));
        let others: Vec<Scope> = Scope::ALL.iter().copied().filter(|s| *s != need && *s != Scope::Admin).collect();
        let weak = server.token(&others).await;
        let refused = ask(&server, route, &path, Some(&weak)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name} with every other scope");
        assert!(refused.json()["detail"].as_str().expect("a detail").contains(need.as_str()), "{name}");
        if !is_endless {
            let enough = server.token(&[need]).await;
            let answer = ask(&server, route, &path, Some(&enough)).await.status;
            assert!(!matches!(answer.as_u16(), 401 | 403 | 500..), "{name} with {need}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_consoles_routes_need_somebody_too() {
    let server = Server::new().await;
    let story = fixture::running_story();
    server.play(&story).await;
    let id = story.run.id;
    for (method, path) in [
        (Method::GET, "/".to_owned()),
        (Method::GET, "/runs".to_owned()),
        (Method::GET, format!("/runs/{id}")),
        (Method::POST, format!("/runs/{id}/cancel")),
        (Method::POST, format!("/runs/{id}/steps/build/decide")),
        (Method::GET, format!("/runs/{id}/log/live?work=build%231")),
        (Method::GET, "/live".to_owned()),
        (Method::GET, "/workflows".to_owned()),
        (Method::GET, "/workflows/a".to_owned()),
        (Method::POST, "/workflows/a/rollback".to_owned()),
        (Method::POST, "/workflows/a/start".to_owned()),
        (Method::GET, "/schedules".to_owned()),
        (Method::GET, "/schedules/a".to_owned()),
        (Method::POST, "/schedules/a/pause".to_owned()),
        (Method::POST, "/schedules/a/resume".to_owned()),
        (Method::GET, "/triggers".to_owned()),
        (Method::GET, "/triggers/a".to_owned()),
        (Method::POST, "/triggers/a/pause".to_owned()),
        (Method::POST, "/triggers/a/resume".to_owned()),
        (Method::GET, "/queues".to_owned()),
        (Method::POST, "/queues/io/pause".to_owned()),
        (Method::POST, "/queues/clear-stuck".to_owned()),
        (Method::GET, "/workers".to_owned()),
        (Method::POST, "/workers/shutdown".to_owned()),
        (Method::POST, "/workers/x/drain".to_owned()),
        (Method::GET, "/dead-letters".to_owned()),
        (Method::POST, "/dead-letters/x/requeue".to_owned()),
        (Method::POST, "/dead-letters/requeue-all".to_owned()),
    ] {
        let route = Route { method, path, scopes: Vec::new() };
        let anonymous = ask(&server, &route, &route.path, None).await;
        assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED, "{}", route.path);
        let weak = server.token(&[Scope::MetaRead]).await;
        let refused = ask(&server, &route, &route.path, Some(&weak)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", route.path);
    }
}

#[tokio::test]
async fn a_dead_token_is_no_token() {
    let server = Server::new().await;
    for bad in ["mb_x_y", "", "Bearer", &"x".repeat(10_000)] {
        let request = Request::builder().uri("/api/v1/runs").header("authorization", format!("Bearer {bad}"));
        let reply = server.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(
            (reply.status, reply.json()["code"].as_str()),
            (StatusCode::UNAUTHORIZED, Some("E0202")),
            "{bad:.9}"
        );
    }
    let made = server
        .post("/api/v1/tokens", &serde_json::json!({"name": "ci", "scopes": ["runs:read"], "expires_in_s": 60}))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let made = made.json();
    let (secret, id) = (made["secret"].as_str().expect("a secret"), made["token"]["id"].as_str().expect("an id"));
    let with = || Request::builder().uri("/api/v1/runs").header("authorization", format!("Bearer {secret}"));
    let send = async || server.send(with().body(Body::empty()).expect("a request")).await.status;
    assert_eq!(send().await, StatusCode::OK);
    server.engine().env().advance(std::time::Duration::from_secs(61));
    assert_eq!(send().await, StatusCode::UNAUTHORIZED, "it has expired");
    let list = server.get("/api/v1/tokens").await;
    assert!(list.body.contains(id) && !list.body.contains(secret), "a secret is never listed");
    assert!(list.json()["items"].as_array().expect("items").iter().any(|t| t["last_used_at"].is_string()));
}

#[tokio::test]
async fn a_revoked_token_stops_at_once_and_nobody_grants_more_than_they_hold() {
    let server = Server::new().await;
    let keeper = server.token(&[Scope::TokensAdmin, Scope::RunsRead]).await;
    let wish = |scopes: &[&str]| serde_json::json!({"name": "x", "scopes": scopes}).to_string();
    let add = async |scopes: &[&str]| {
        let request =
            Request::builder().method("POST").uri("/api/v1/tokens").header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {keeper}")).body(Body::from(wish(scopes)));
        server.send(request.expect("a request")).await
    };
    assert_eq!(add(&["runs:read"]).await.status, StatusCode::CREATED);
    assert_eq!(add(&["admin"]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(add(&["runs:read", "runs:operate"]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(add(&["runs:fly"]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let made = add(&["runs:read"]).await.json();
    let path = format!("/api/v1/tokens/{}", made["token"]["id"].as_str().expect("an id"));
    let delete = async |path: &str| {
        server.send(server.request(Method::DELETE, path).body(Body::empty()).expect("a request")).await
    };
    assert_eq!(delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete(&path).await.status, StatusCode::NO_CONTENT, "again is no error");
    let secret = made["secret"].as_str().expect("a secret");
    let request = Request::builder().uri("/api/v1/runs").header("authorization", format!("Bearer {secret}"));
    assert_eq!(server.send(request.body(Body::empty()).expect("a request")).await.status, StatusCode::UNAUTHORIZED);
    let pasted = delete("/api/v1/tokens/mb_secret_pasted").await;
    assert_eq!(pasted.status, StatusCode::NOT_FOUND);
    assert!(!pasted.json()["detail"].as_str().expect("a detail").contains("secret_pasted"));
}
