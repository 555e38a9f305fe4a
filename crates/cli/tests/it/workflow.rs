//! A workflow over servers that are killed: nothing that ended is done again, nothing is lost, people are still asked.
//!
//! The run is put into the store by the crates below the program, as a schedule would.

use mb_core::id::TenantId;
use mb_core::run::Run;
use mb_engine::{DataDir, Engine, Env, Sandbox, StartWorkflow};
use mb_store::{Store, StoreOptions, StoreUrl};
use serde_json::{Value, json};

use crate::postgres::Scratch;
use crate::support::{World, eventually};

/// Ten items, one at a time, each leaving a line behind; then a person, then a sum of what the items gave.
fn document(lines: &str) -> Value {
    json!({
        "name": "crash",
        "steps": [
            { "name": "each", "kind": "foreach", "items": "{{ range(10) | list }}", "concurrency": 2,
              "action": { "kind": "shell", "command": "sleep 0.1; echo $N > $MB_OUTPUT; echo done $N", "env_from": { "N": "{{ item }}" } } },
            { "name": "nap", "kind": "wait", "duration_ms": 300, "needs": ["each"] },
            { "name": "ok", "kind": "approval", "prompt": "go on?", "needs": ["nap"] },
            { "name": "sum", "kind": "transform", "value": "{{ steps.each.output | sum }}", "needs": ["ok"] },
        ],
        "outputs": { "sum": "{{ steps.sum.output }}", "note": lines },
    })
}

/// Stores a run as an API or schedule would, without a process that executes it.
fn start(world: &World, url: Option<&str>) -> Run {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let data = DataDir::open(&world.data).unwrap();
        let url = url.map_or_else(|| StoreUrl::Sqlite(data.database()), |url| url.parse().unwrap());
        let store = Store::open(&url, StoreOptions::default()).await.unwrap();
        let env = Env::system().unwrap();
        store.migrate(env.now()).await.unwrap();
        let engine = Engine::new(env, store, data, Sandbox::with_level(mb_runner::SandboxLevel::None).unwrap());
        let ask = StartWorkflow {
            tenant: TenantId::DEFAULT,
            workflow: serde_json::from_value(document("kept")).unwrap(),
            inputs: Value::Null,
            actor: "test".into(),
            idempotency_key: None,
            affinity: None,
            trigger: None,
            parent: None,
        };
        let run = engine.start_workflow(ask).await.unwrap();
        engine.store().close().await;
        run
    })
}

fn prove(url: Option<&str>) {
    let mut world = World::new();
    if let Some(url) = url {
        world.set("MB_STORE", url);
    }
    let run = start(&world, url);
    let id = run.id.to_string();
    let show = || world.mb(&["run", "show", &id, "--json"]).expect(0).json()["run"].clone();
    let done = |shown: &Value| {
        let steps = shown["steps"].as_array().unwrap();
        steps.iter().filter(|step| step["of"] == "each" && step["state"] == "succeeded").count()
    };
    // Killed three times in the middle of the items, and once while a person is waited for.
    for least in [1, 4, 7] {
        let mut up = world.up(&[]);
        eventually("some items are done", || (done(&show()) >= least).then_some(()));
        up.process.kill();
    }
    let mut up = world.up(&[]);
    eventually("a person is asked", || (show()["steps"][2]["waiting"]["on"] == "approval").then_some(()));
    up.process.kill();
    let approved = world.mb(&["run", "approve", &id, "--reason", "seen", "--json"]).expect(0).json();
    assert_eq!(approved["outcome"], "passed", "what is left needs no worker");
    assert_eq!(approved["outputs"], json!({ "sum": 45, "note": "kept" }));
    let steps = approved["steps"].as_array().unwrap();
    for step in steps.iter().filter(|step| step["of"] == "each") {
        let numbers: Vec<&Value> = step["attempts"].as_array().unwrap().iter().map(|a| &a["number"]).collect();
        assert_eq!(
            numbers,
            [&json!(1)],
            "{}: a lost attempt is the same attempt, and one that ended is not made again",
            step["name"]
        );
        assert_eq!(step["output"], step["name"].as_str().unwrap().trim_start_matches("each/").parse::<i64>().unwrap());
    }
    let again = world.mb(&["run", "retry", &id]);
    assert_eq!(again.code, Some(5), "nothing of it failed: {}", again.err);
}

#[test]
fn a_workflow_goes_on_over_servers_that_are_killed() {
    prove(None);
}

#[test]
fn a_workflow_goes_on_over_servers_that_are_killed_on_postgres() {
    if let Some(scratch) = Scratch::new() {
        prove(Some(&scratch.url));
    }
}
