//! Workflows without a project, executed: every kind of step, across retries, restarts and cancels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mb_core::failure::FailureKind;
use mb_core::id::{RunId, TenantId};
use mb_core::run::{Run, RunOutcome, Signal, StepState};
use mb_core::workflow::Workflow;
use mb_engine::{DataDir, Engine, MOCK, ModelSettings, Outbound, Resolver, RetryRun, StartError, StartWorkflow};
use mb_store::{Decision, Told};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::web::{Answer, Web};
use crate::world::{engine, wait, work, worker};

struct Flow {
    engine: Engine,
    data: DataDir,
    _dir: TempDir,
}

impl Flow {
    async fn new(outbound: Outbound) -> Flow {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(&dir.path().join("data")).expect("a data folder");
        let engine = engine(&data).await;
        engine.set_outbound(outbound);
        Flow { engine, data, _dir: dir }
    }

    /// One that may reach the test's own server.
    async fn local() -> Flow {
        Flow::new(Outbound { allow_private: true, model: None }).await
    }

    async fn start(&self, document: Value, inputs: Value) -> Run {
        start(&self.engine, document, inputs, None).await.expect("the run is taken in")
    }

    async fn run(&self, document: Value, inputs: Value) -> Run {
        let run = self.start(document, inputs).await;
        work(&self.engine, run.id).await
    }

    async fn decide(&self, id: RunId, step: &str, approved: bool) -> Told {
        let decision = Decision { step: step.into(), approved, by: "ada".into(), reason: "looks good".into() };
        self.engine.store().decide(self.engine.env().now(), TenantId::DEFAULT, id, decision).await.expect("stored")
    }
}

async fn start(engine: &Engine, document: Value, inputs: Value, key: Option<&str>) -> Result<Run, StartError> {
    let ask = StartWorkflow {
        tenant: TenantId::DEFAULT,
        workflow: serde_json::from_value(document).expect("a workflow"),
        inputs,
        actor: "test".into(),
        idempotency_key: key.map(str::to_owned),
        affinity: None,
        trigger: None,
        parent: None,
    };
    engine.start_workflow(ask).await
}

fn output(run: &Run, step: &str) -> Value {
    run.step(step).and_then(|step| step.output.clone()).unwrap_or(Value::Null)
}

fn summary(run: &Run, step: &str) -> (FailureKind, String) {
    let failure = run.step(step).and_then(mb_core::run::Step::failure).expect("it failed");
    (failure.kind, failure.summary.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_pass_from_a_command_through_a_request_to_the_outputs() {
    let web = Web::serve(|asked, _| Answer::json(&format!(r#"{{"got": {}}}"#, asked.body))).await;
    let flow = Flow::local().await;
    let run = flow
        .run(
            json!({
                "name": "w",
                "inputs": { "who": { "type": "string", "required": true } },
                "steps": [
                    { "name": "make", "command": "test -z \"$(ls)\" && echo \"{\\\"hello\\\": \\\"$WHO\\\"}\" > \"$MB_OUTPUT\"",
                      "env_from": { "WHO": "{{ inputs.who }}" } },
                    { "name": "send", "kind": "http", "method": "post", "url": format!("{}/x?q={{{{ inputs.who | length }}}}", web.url),
                      "body": { "text": "{{ steps.make.output.hello }}", "n": 1 }, "needs": ["make"] },
                ],
                "outputs": { "echo": "{{ steps.send.output.body.got.text }}", "status": "{{ steps.send.output.status }}" },
            }),
            json!({ "who": "ada; rm -rf /" }),
        )
        .await;
    assert_eq!(run.outputs, Some(json!({ "echo": "ada; rm -rf /", "status": 200 })), "{:#?}", run.steps);
    let asked = &web.asked()[0];
    assert_eq!(
        (asked.line.as_str(), asked.body.as_str()),
        ("POST /x?q=13 HTTP/1.1", r#"{"n":1,"text":"ada; rm -rf /"}"#)
    );
    assert_eq!(asked.header("idempotency-key"), Some(format!("{}/send", run.id).as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_s_output_that_is_no_json_fails_it() {
    let flow = Flow::local().await;
    let run = flow
        .run(json!({ "name": "w", "steps": [{ "name": "a", "command": "echo hello > $MB_OUTPUT" }] }), Value::Null)
        .await;
    assert_eq!(run.state.outcome(), Some(RunOutcome::Failed));
    assert!(summary(&run, "a").1.contains("the output file is not JSON"), "{:?}", summary(&run, "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_tried_again_when_that_may_help_and_only_then() {
    let web = Web::serve(|asked, before| match (asked.path(), before) {
        ("/busy", 0) => Answer("503 Service Unavailable", "retry-after: 0\r\n".into(), "later".into()),
        ("/wrong", _) => Answer("404 Not Found", String::new(), "no".into()),
        _ => Answer::json("1"),
    })
    .await;
    let retry = json!({ "attempts_max": 5, "base_ms": 10, "max_ms": 50 });
    let step = |path: &str| json!({ "name": "a", "kind": "http", "url": format!("{}{path}", web.url), "retry": retry });
    let flow = Flow::local().await;
    let busy = flow.run(json!({ "name": "w", "steps": [step("/busy")] }), Value::Null).await;
    assert_eq!((busy.state.outcome(), busy.steps[0].attempts.len()), (Some(RunOutcome::Passed), 2));
    let wrong = flow.run(json!({ "name": "w", "steps": [step("/wrong")] }), Value::Null).await;
    assert_eq!((wrong.state.outcome(), wrong.steps[0].attempts.len()), (Some(RunOutcome::Failed), 1));
    assert_eq!(summary(&wrong, "a").1, format!("{}/wrong answered 404 Not Found: no", web.url));
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_within_a_bound_and_secrets_stay_with_their_host() {
    let other = Web::serve(|_, _| Answer::json("2")).await;
    let target = other.url.clone();
    let web = Web::serve(move |asked, _| {
        let to = if asked.path() == "/away" { format!("{target}/end") } else { "/loop".to_owned() };
        Answer("302 Found", format!("location: {to}\r\n"), String::new())
    })
    .await;
    let step = |path: &str| {
        json!({ "name": "a", "kind": "http", "method": "post", "url": format!("{}{path}", web.url), "body": "x",
                "redirects_max": 3, "headers": { "Authorization": "Bearer abc" } })
    };
    let flow = Flow::local().await;
    let away = flow.run(json!({ "name": "w", "steps": [step("/away")] }), Value::Null).await;
    assert_eq!(output(&away, "a")["body"], json!(2));
    let arrived = &other.asked()[0];
    assert_eq!((arrived.line.as_str(), arrived.header("authorization")), ("GET /end HTTP/1.1", None));
    assert_eq!(web.asked()[0].header("authorization"), Some("Bearer abc"));
    let circle = flow.run(json!({ "name": "w", "steps": [step("/loop")] }), Value::Null).await;
    assert!(summary(&circle, "a").1.contains("leads on after 3 redirects"), "{:?}", summary(&circle, "a"));
    assert_eq!(web.asked().len(), 1 + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_ask_for_leave_and_the_cloud_s_are_never_reached() {
    let web = Web::serve(|asked, _| match asked.path() {
        "/to-cloud" => Answer("302 Found", "location: http://169.254.169.254/latest\r\n".into(), String::new()),
        _ => Answer::json("1"),
    })
    .await;
    let get = |url: String| json!({ "name": "w", "steps": [{ "name": "a", "kind": "http", "url": url }] });
    let strict = Flow::new(Outbound::default()).await;
    let port = web.url.rsplit(':').next().unwrap_or_default().to_owned();
    for url in [web.url.clone(), format!("http://localhost:{port}/"), format!("http://[::ffff:127.0.0.1]:{port}/")] {
        let run = strict.run(get(url.clone()), Value::Null).await;
        assert_eq!(summary(&run, "a").0, FailureKind::Policy, "{url}: {:?}", summary(&run, "a"));
    }
    assert!(web.asked().is_empty(), "nothing was sent");
    let open = Flow::local().await;
    for url in ["http://169.254.169.254/latest".to_owned(), format!("{}/to-cloud", web.url)] {
        let run = open.run(get(url.clone()), Value::Null).await;
        assert_eq!(summary(&run, "a").0, FailureKind::Policy, "{url}: {:?}", summary(&run, "a"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_a_largest_size() {
    let web = Web::serve(|asked, _| {
        Answer("200 OK", String::new(), "x".repeat(if asked.path() == "/fits" { 1_000 } else { 1_001 }))
    })
    .await;
    let flow = Flow::local().await;
    for (path, outcome) in [("/fits", RunOutcome::Passed), ("/not", RunOutcome::Failed)] {
        let step =
            json!({ "name": "a", "kind": "http", "url": format!("{}{path}", web.url), "response_bytes_max": 1_000 });
        let run = flow.run(json!({ "name": "w", "steps": [step] }), Value::Null).await;
        assert_eq!(run.state.outcome(), Some(outcome), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_asked_paid_and_bounded() {
    let answer = json!({
        "model": "m-1", "choices": [{ "message": { "content": "because" } }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5 },
    });
    let web = Web::serve(move |_, _| Answer::json(&answer.to_string())).await;
    let model = |base_url: &str| ModelSettings {
        base_url: base_url.into(),
        api_key: Some("sk-test".into()),
        model: "m".into(),
        input_usd_per_mtok: 2.0,
        output_usd_per_mtok: 10.0,
    };
    let ask = json!({ "name": "a", "kind": "llm", "prompt": "why {{ inputs.x }}?", "tokens_max": 100 });
    let document = json!({ "name": "w", "inputs": { "x": {} }, "steps": [ask] });
    let paid = Flow::new(Outbound { allow_private: false, model: Some(model(&web.url)) }).await;
    let run = paid.run(document.clone(), json!({ "x": "not" })).await;
    assert_eq!((output(&run, "a")["text"].clone(), run.spend.cost_microusd.0), (json!("because"), 70));
    let asked = &web.asked()[0];
    assert_eq!((asked.path(), asked.header("authorization")), ("/chat/completions", Some("Bearer sk-test")));
    assert_eq!(asked.body, r#"{"max_tokens":100,"messages":[{"content":"why not?","role":"user"}],"model":"m"}"#);
    let dear = json!({ "name": "w", "steps": [{ "name": "a", "kind": "llm", "prompt": "?", "tokens_max": 100_000 }] });
    let refused = paid.run(dear, Value::Null).await;
    assert_eq!((summary(&refused, "a").0, web.asked().len()), (FailureKind::Policy, 1));
    let offline = Flow::new(Outbound { allow_private: false, model: Some(model(MOCK)) }).await;
    let first = offline.run(document.clone(), json!({ "x": "1" })).await;
    let second = offline.run(document.clone(), json!({ "x": "1" })).await;
    assert_eq!(output(&first, "a"), output(&second, "a"));
    assert_eq!(output(&first, "a")["mock"], json!(true));
    let none = Flow::new(Outbound::default()).await.run(document, json!({ "x": "1" })).await;
    assert!(summary(&none, "a").1.contains("set LLM_BASE_URL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn approvals_signals_and_clocks_let_a_run_go_on() {
    let flow = Flow::local().await;
    let document = json!({
        "name": "w",
        "steps": [
            { "name": "ok", "kind": "approval", "prompt": "go?" },
            { "name": "paid", "kind": "wait", "signal": "paid", "needs": ["ok"] },
            { "name": "nap", "kind": "wait", "duration_ms": 50, "needs": ["paid"] },
            { "name": "late", "kind": "approval", "prompt": "?", "timeout_ms": 50, "on_timeout": "continue" },
        ],
        "outputs": { "by": "{{ steps.ok.output.by }}", "eur": "{{ steps.paid.output.payload.eur }}" },
    });
    let id = flow.start(document, Value::Null).await.id;
    let (worker, stop) = worker(&flow.engine, Duration::from_secs(10), Duration::from_secs(5));
    assert!(matches!(flow.decide(id, "paid", true).await, Told::Refused(_)), "that is no approval");
    assert!(matches!(flow.decide(id, "ok", true).await, Told::Applied(_)));
    assert!(matches!(flow.decide(id, "ok", false).await, Told::Refused(_)), "it is decided once");
    let signal = Signal { name: "paid".into(), payload: json!({ "eur": 5 }), by: "shop".into() };
    let now = flow.engine.env().now();
    let told = flow.engine.store().signal_run(now, TenantId::DEFAULT, id, signal).await.expect("stored");
    assert!(matches!(told, Told::Applied(_)));
    let run = wait(&flow.engine, id, |run| run.state.outcome().is_some()).await;
    stop.cancel();
    worker.await.expect("the worker ends well");
    assert_eq!(run.outputs, Some(json!({ "by": "ada", "eur": 5 })), "{:#?}", run.steps);
}

/// Finds one workflow, named `child`.
fn resolver(document: Value) -> Resolver {
    let workflow: Workflow = serde_json::from_value(document).expect("a workflow");
    Arc::new(move |_, name| {
        let found = (name == "child").then(|| workflow.clone());
        Box::pin(async move { Ok(found) })
    })
}

#[expect(clippy::needless_pass_by_value, reason = "called with json!, which makes a value")]
fn calling(inputs: Value) -> Value {
    json!({ "name": "parent", "steps": [{ "name": "call", "kind": "workflow", "workflow": "child", "inputs": inputs }],
            "outputs": { "n": "{{ steps.call.output.n }}" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_workflow_gives_its_outputs_and_its_failures() {
    let flow = Flow::local().await;
    flow.engine.set_resolver(resolver(json!({
        "name": "child", "inputs": { "n": { "type": "number" } },
        "steps": [{ "name": "a", "kind": "transform", "value": "{{ inputs.n * 2 }}" },
                  { "name": "b", "command": "true", "when": "inputs.n < 10" },
                  { "name": "c", "command": "exit 3", "when": "inputs.n >= 10" }],
        "outputs": { "n": "{{ steps.a.output }}" },
    })));
    let run = flow.run(calling(json!({ "n": 4 })), Value::Null).await;
    assert_eq!(run.outputs, Some(json!({ "n": 8 })), "{:#?}", run.steps);
    let failed = flow.run(calling(json!({ "n": 10 })), Value::Null).await;
    assert_eq!(failed.state.outcome(), Some(RunOutcome::Failed));
    assert!(summary(&failed, "call").1.contains("of workflow child ended failed"), "{:?}", summary(&failed, "call"));
    let wrong = flow.run(calling(json!({ "n": "x" })), Value::Null).await;
    assert!(summary(&wrong, "call").1.contains("input \"n\" must be a number"), "{:?}", summary(&wrong, "call"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_calls_itself_ends_at_the_fifth() {
    let flow = Flow::local().await;
    flow.engine.set_resolver(resolver(json!({
        "name": "child", "steps": [{ "name": "call", "kind": "workflow", "workflow": "child" }],
    })));
    let run = flow.run(calling(json!({})), Value::Null).await;
    assert_eq!(run.state.outcome(), Some(RunOutcome::Failed));
    assert!(summary(&run, "call").1.ends_with("runs are nested at most 5 deep"), "{:?}", summary(&run, "call"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_the_parent_cancels_the_child() {
    let flow = Flow::local().await;
    flow.engine.set_resolver(resolver(json!({
        "name": "child", "steps": [{ "name": "ask", "kind": "approval", "prompt": "?" }],
    })));
    let id = flow.start(calling(json!({})), Value::Null).await.id;
    let (worker, stop) = worker(&flow.engine, Duration::from_secs(10), Duration::from_secs(5));
    let waiting = |run: &Run| match &run.steps[0].state {
        StepState::Waiting(mb_core::run::Waiting::Child { run, .. }) => Some(*run),
        _ => None,
    };
    let run = wait(&flow.engine, id, |run| waiting(run).is_some()).await;
    let child = waiting(&run).expect("it waits");
    flow.engine.store().cancel(flow.engine.env().now(), TenantId::DEFAULT, id, "ada").await.expect("stored");
    let over = wait(&flow.engine, id, |run| run.state.outcome().is_some()).await;
    let child = wait(&flow.engine, child, |run| run.state.outcome().is_some()).await;
    stop.cancel();
    worker.await.expect("the worker ends well");
    let canceled = Some(RunOutcome::Canceled);
    assert_eq!((over.state.outcome(), child.state.outcome()), (canceled, canceled));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_done_again_from_where_it_failed() {
    let web = Web::serve(|asked, before| match (asked.path(), before) {
        ("/second", 1) => Answer("400 Bad Request", String::new(), "no".into()),
        _ => Answer::json("7"),
    })
    .await;
    let flow = Flow::local().await;
    let document = json!({
        "name": "w",
        "steps": [
            { "name": "a", "kind": "http", "url": format!("{}/first", web.url) },
            { "name": "b", "kind": "http", "url": format!("{}/second", web.url), "needs": ["a"] },
        ],
        "outputs": { "sum": "{{ steps.a.output.body + steps.b.output.body }}" },
    });
    let failed = flow.run(document, Value::Null).await;
    assert_eq!(failed.state.outcome(), Some(RunOutcome::Failed));
    let ask = RetryRun {
        tenant: TenantId::DEFAULT,
        run: failed.id,
        from: None,
        actor: "ada".into(),
        idempotency_key: Some("again".into()),
        affinity: None,
    };
    let again = flow.engine.retry(ask.clone()).await.expect("taken in").expect("there");
    assert_eq!(flow.engine.retry(ask).await.expect("taken in").expect("there").id, again.id, "the key is known");
    let over = work(&flow.engine, again.id).await;
    assert_eq!((over.outputs.clone(), over.retry_of), (Some(json!({ "sum": 14 })), Some(failed.id)));
    let paths: Vec<String> = web.asked().iter().map(|asked| asked.path().to_owned()).collect();
    assert_eq!(paths, ["/first", "/second", "/second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_succeeded_is_undone_when_a_later_step_fails() {
    let web = Web::serve(|asked, _| match asked.path() {
        "/ship" => Answer("400 Bad Request", String::new(), "no".into()),
        _ => Answer::json(r#"{"id": 42}"#),
    })
    .await;
    let undo = |path: &str| json!({ "kind": "http", "method": "delete", "url": format!("{}/{path}", web.url) });
    let flow = Flow::local().await;
    let run = flow
        .run(
            json!({ "name": "w", "steps": [
                { "name": "book", "kind": "http", "url": format!("{}/book", web.url), "compensate": undo("book/{{ steps.book.output.body.id }}") },
                { "name": "pay", "kind": "http", "url": format!("{}/pay", web.url), "needs": ["book"], "compensate": undo("pay") },
                { "name": "ship", "kind": "http", "url": format!("{}/ship", web.url), "needs": ["pay"] },
            ]}),
            Value::Null,
        )
        .await;
    assert_eq!(run.state.outcome(), Some(RunOutcome::Failed));
    let lines: Vec<String> = web.asked().iter().map(|asked| asked.line.replace(" HTTP/1.1", "")).collect();
    assert_eq!(lines, ["GET /book", "GET /pay", "GET /ship", "DELETE /pay", "DELETE /book/42"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_run_and_wrong_inputs_are_none() {
    let flow = Flow::local().await;
    let document = json!({ "name": "w", "inputs": { "n": { "type": "number" } },
                           "steps": [{ "name": "a", "kind": "transform", "value": "{{ inputs.n }}" }] });
    let first = start(&flow.engine, document.clone(), json!({ "n": 1 }), Some("k")).await.expect("taken in");
    let second = start(&flow.engine, document.clone(), json!({ "n": 2 }), Some("k")).await.expect("taken in");
    assert_eq!((first.id, second.inputs), (second.id, json!({ "n": 1 })));
    assert_eq!(first.state.outcome(), Some(RunOutcome::Passed), "nothing of it needs a worker");
    let wrong = start(&flow.engine, document, json!({ "n": "x" }), None).await;
    assert!(matches!(wrong, Err(StartError::Inputs { .. })), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_in_the_middle_loses_no_step_and_repeats_none_that_ended() {
    let hold = Arc::new(AtomicBool::new(true));
    let held = Arc::clone(&hold);
    // The third item is not answered while the first worker lives: its connection is dropped.
    let web = Web::serve(move |asked, _| match asked.path() {
        "/2" if held.load(Ordering::SeqCst) => Answer("200 OK", "content-length: 9\r\n".into(), String::new()),
        path => Answer::json(&path[1..]),
    })
    .await;
    let flow = Flow::local().await;
    let document = json!({
        "name": "w",
        "steps": [
            { "name": "each", "kind": "foreach", "items": [0, 1, 2, 3], "concurrency": 1,
              "retry": { "attempts_max": 25, "base_ms": 20, "max_ms": 20 },
              "action": { "kind": "http", "url": format!("{}/{{{{ item }}}}", web.url) } },
            { "name": "sum", "kind": "transform", "value": "{{ steps.each.output | map(attribute='body') | sum }}", "needs": ["each"] },
        ],
    });
    let id = flow.start(document, Value::Null).await.id;
    let (first, _stop) = worker(&flow.engine, Duration::from_secs(10), Duration::from_secs(5));
    wait(&flow.engine, id, |run| run.step("each/2").is_some_and(|step| !step.attempts.is_empty())).await;
    // As kill -9 would: nothing is given back, nothing is said.
    first.abort();
    let _ = first.await;
    hold.store(false, Ordering::SeqCst);
    let again = engine(&flow.data).await;
    again.set_outbound(Outbound { allow_private: true, model: None });
    again.recover_node().await.expect("the node's tasks are free again");
    let over = work(&again, id).await;
    assert_eq!(over.state.outcome(), Some(RunOutcome::Passed), "{:#?}", over.steps);
    assert_eq!(output(&over, "sum"), json!(6));
    for path in ["/0", "/1", "/3"] {
        assert_eq!(web.asked().iter().filter(|asked| asked.path() == path).count(), 1, "{path}");
    }
}
