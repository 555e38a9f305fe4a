//! What people and other systems say to a run of a workflow, over the API and the console.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use mb_core::id::TenantId;
use mb_core::run::Run;
use mb_core::scope::Scope;
use mb_engine::StartWorkflow;
use serde_json::{Value, json};

use crate::support::{Reply, Server};

async fn start(server: &Server, steps: Value) -> Run {
    let ask = StartWorkflow {
        tenant: TenantId::DEFAULT,
        workflow: serde_json::from_value(json!({ "name": "flow", "steps": steps })).expect("a workflow"),
        inputs: Value::Null,
        actor: "test".into(),
        idempotency_key: None,
        affinity: None,
        trigger: None,
        parent: None,
    };
    server.engine().start_workflow(ask).await.expect("taken in")
}

async fn post_as(server: &Server, token: &str, path: &str, kind: &str, body: &str) -> Reply {
    let request = axum::http::Request::builder().method(Method::POST).uri(path).header("content-type", kind);
    let request = request.header("authorization", format!("Bearer {token}")).body(Body::from(body.to_owned()));
    server.send(request.expect("a request")).await
}

fn asking() -> Value {
    json!([
        { "name": "ship/now", "kind": "approval", "prompt": "Ship <b>it</b>?", "approvers": ["token test"] },
        { "name": "paid", "kind": "wait", "signal": "paid", "needs": ["ship/now"] },
    ])
}

#[tokio::test]
async fn a_run_is_approved_and_signaled_over_the_api() {
    let server = Server::new().await;
    let run = start(&server, asking()).await;
    let at = |rest: &str| format!("/api/v1/runs/{}{rest}", run.id);
    let shown = server.get(&at("")).await.json();
    assert_eq!(shown["waiting"], "ship/now is waiting for approval by token test");
    assert_eq!(shown["steps"][0]["kind"], "approval");
    assert_eq!(shown["steps"][0]["waiting"]["prompt"], "Ship <b>it</b>?");
    let unknown = server.post(&at("/steps/paid/approve"), &json!({})).await;
    assert_eq!((unknown.status, unknown.json()["code"].clone()), (StatusCode::CONFLICT, json!("E0403")));
    let long = server.post(&at("/steps/ship%2Fnow/approve"), &json!({ "reason": "x".repeat(1_001) })).await;
    assert_eq!(long.status, StatusCode::BAD_REQUEST);
    let weak = server.token(&[Scope::RunsOperate]).await;
    let refused = post_as(&server, &weak, &at("/steps/ship%2Fnow/approve"), "application/json", "{}").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let approved = server.post(&at("/steps/ship%2Fnow/approve"), &json!({ "reason": "fine" })).await;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.body);
    assert_eq!(approved.json()["steps"][0]["output"]["by"], "token test");
    let signaled = server.post(&at("/signals/paid"), &json!({ "payload": { "eur": 5 } })).await;
    assert_eq!(signaled.json()["outcome"], "passed", "{}", signaled.body);
    assert_eq!(signaled.json()["steps"][1]["output"]["payload"]["eur"], 5);
    let late = server.post(&at("/signals/paid"), &json!({})).await;
    assert_eq!(late.json()["code"], "E0403");
}

#[tokio::test]
async fn a_rejected_run_is_done_again() {
    let server = Server::new().await;
    let run = start(&server, asking()).await;
    let at = |rest: &str| format!("/api/v1/runs/{}{rest}", run.id);
    let open = server.post(&at("/retry"), &json!({})).await;
    assert_eq!(open.json()["code"], "E0403", "{}", open.body);
    let rejected = server.post(&at("/steps/ship%2Fnow/reject"), &json!({ "reason": "too soon" })).await;
    assert_eq!(rejected.json()["outcome"], "failed");
    assert_eq!(rejected.json()["steps"][0]["note"], "it was rejected: by token test: too soon");
    let unknown = server.post(&at("/retry"), &json!({ "from": "nothing" })).await;
    assert_eq!(unknown.status, StatusCode::CONFLICT);
    let keyed = async || {
        let request = server.request(Method::POST, &at("/retry")).header("content-type", "application/json");
        server.send(request.header("idempotency-key", "k").body(Body::from("{}")).expect("a request")).await
    };
    let (first, second) = (keyed().await, keyed().await);
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(first.json()["id"], second.json()["id"]);
    let again = server.post(&at("/retry"), &json!({})).await;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.body);
    let id = again.json()["id"].as_str().expect("an id").to_owned();
    let shown = server.get(&format!("/api/v1/runs/{id}")).await.json();
    assert_eq!(
        (shown["retry_of"].as_str(), shown["steps"][0]["state"].as_str()),
        (Some(run.id.to_string().as_str()), Some("running"))
    );
}

#[tokio::test]
async fn the_console_shows_who_is_asked_and_takes_the_answer() {
    let server = Server::new().await;
    let mut steps = asking();
    steps[0]["approvers"] = json!([]);
    let run = start(&server, steps).await;
    let page = server.page(&format!("/runs/{}", run.id)).await;
    for part in
        ["Waiting for approval by", "Ship &lt;b&gt;it&lt;/b&gt;?", "/steps/ship%2Fnow/decide", ">Approve<", ">Reject<"]
    {
        assert!(page.contains(part), "{part}");
    }
    let path = format!("/runs/{}/steps/ship%2Fnow/decide", run.id);
    let form = "application/x-www-form-urlencoded";
    let wrong = post_as(&server, &server.admin, &path, form, "decision=perhaps").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let done = post_as(&server, &server.admin, &path, form, "decision=approve&reason=fine").await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    let page = server.page(&format!("/runs/{}", run.id)).await;
    for part in ["For signal", "mb run signal", "approved by token test: fine", "&quot;reason&quot;: &quot;fine&quot;"]
    {
        assert!(page.contains(part), "{part}");
    }
}
