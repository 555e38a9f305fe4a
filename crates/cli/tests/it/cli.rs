//! The command line over the data folder: exit codes, JSON, resume, apply, init, secrets.

use expect_test::{expect, expect_file};
use serde_json::Value;

use crate::support::{Started, World, eventually};

/// A project whose only step fails until its fixer has run.
pub(crate) const REPAIRED: &str = r#"
version = 1
name = "small"

[steps.check]
stage = "lint"
run = "grep -q good state.txt || { echo 'state.txt: 1 is not good'; exit 1; }"

[[steps.check.fix]]
name = "mend"
run = "echo good >state.txt"

[steps.test]
run = "echo tested"
needs = ["check"]
"#;

pub(crate) fn repaired() -> World {
    let world = World::with_config(REPAIRED);
    world.write("state.txt", "bad\n");
    world.git_init();
    world
}

/// The shape of a JSON value: its keys with the types behind them, those of the first item for a list.
pub(crate) fn shape(value: &Value, indent: usize) -> String {
    let pad = "  ".repeat(indent);
    match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| format!("\n{pad}{key}: {}", shape(value, indent + 1))).collect()
        }
        Value::Array(items) => match items.first() {
            Some(first) => format!("list of{}", shape(first, indent)),
            None => "empty list".to_owned(),
        },
        Value::String(_) => "text".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Null => "null".to_owned(),
    }
}

/// Waits until a run is listed as running and gives its id.
pub(crate) fn running(world: &World, process: &Started) -> String {
    eventually("a run is running", || {
        let list = world.mb(&["run", "ls", "--state", "running", "--json"]);
        let page: Value = serde_json::from_str(&list.out).ok()?;
        assert!(page["items"].is_array(), "{}", process.err());
        // A step that has begun, so that there is something to stop.
        let run = page["items"].get(0)?;
        (run["cells"][0]["state"] == "running").then(|| run["id"].as_str().unwrap().to_owned())
    })
}

#[test]
fn how_a_run_ends_is_how_the_process_ends() {
    let world = repaired();
    let code = |args: &[&str]| world.mb(args).code.unwrap();
    assert_eq!(code(&["run", "-q"]), 0, "repaired");
    assert_eq!(code(&["run", "-q", "--strict"]), 9, "repaired and not applied");
    assert_eq!(code(&["run", "-q", "--no-repair"]), 1, "failed");
    assert_eq!(code(&["run", "-q", "--attempts", "0"]), 6, "no attempt is allowed");
    assert_eq!(code(&["run", "-q", "--", "true"]), 0);
    assert_eq!(code(&["run", "-q", "--strict", "--", "true"]), 0);
    assert_eq!(code(&["run", "-q", "--", "sh", "-c", "exit 42"]), 1);
    assert_eq!(code(&["run", "show", "run_01jbx2m5k8e6t9h3v4n7q0r1sa"]), 3);
    assert_eq!(code(&["run", "cancel", "run_01jbx2m5k8e6t9h3v4n7q0r1sa"]), 3);
    let list = world.mb(&["run", "ls", "--json"]).expect(0).json();
    assert_eq!(code(&["run", "logs", list["items"][0]["id"].as_str().unwrap(), "nothing"]), 3);
    assert_eq!(code(&["run", "resume"]), 3, "nothing is unfinished");
    assert_eq!(code(&["--server", "http://127.0.0.1:1", "run", "ls"]), 10);
    assert_eq!(world.read("state.txt"), "bad\n");
}

#[test]
fn json_over_the_data_folder() {
    let world = repaired();
    let report = world.mb(&["run", "--json"]).expect(0).json();
    let id = report["run"].as_str().unwrap();
    let ask = |args: &[&str]| world.mb(args).expect(0);
    expect_file!["snapshots/run-report.txt"].assert_eq(&shape(&report, 0));
    expect_file!["snapshots/run-ls.txt"].assert_eq(&shape(&ask(&["run", "ls", "--json"]).json(), 0));
    expect_file!["snapshots/run-show.txt"].assert_eq(&shape(&ask(&["run", "show", id, "--json"]).json(), 0));
    let events = ask(&["run", "timeline", id, "--json"]).json();
    let told: Vec<String> =
        events.as_array().unwrap().iter().map(|e| format!("{}{}\n", e["event"], shape(e, 1))).collect();
    expect_file!["snapshots/run-timeline.txt"].assert_eq(&told.concat());
    expect![[r#"
        {"n":1,"task":"check#1","text":"state.txt: 1 is not good"}
    "#]]
    .assert_eq(&ask(&["run", "logs", id, "check#1", "--json"]).out);
    expect![[r#"
        diff --git a/state.txt b/state.txt
        index 67be85f1274474029aad8a75b823592324305aa4..12799ccbe7ce445b11b7bd4833bcc2c2ce1b48b7 100644
        --- a/state.txt
        +++ b/state.txt
        @@ -1 +1 @@
        -bad
        +good
    "#]]
    .assert_eq(&ask(&["run", "diff", id]).out);
}

#[test]
fn a_killed_embedded_run_is_resumed() {
    let world = World::with_config(
        "[steps.first]\nrun = \"echo once >&2\"\n[steps.second]\nneeds = [\"first\"]\nrun = \"sleep 2\"\n",
    );
    let mut process = world.start(world.command(&["run"]));
    let id = eventually("the second step runs", || {
        let list: Value = serde_json::from_str(&world.mb(&["run", "ls", "--json"]).out).ok()?;
        let run = list["items"].get(0)?;
        (run["cells"][1]["state"] == "running").then(|| run["id"].as_str().unwrap().to_owned())
    });
    process.kill();
    world.mb(&["run", "resume"]).expect(0);
    let run = &world.mb(&["run", "show", &id, "--json"]).expect(0).json()["run"];
    assert_eq!(run["outcome"], "passed");
    let attempts = |step: usize| run["steps"][step]["attempts"].as_array().unwrap().len();
    assert_eq!((attempts(0), attempts(1)), (1, 1), "{run:#}");
    world.mb(&["run", "resume", &id]).expect(5);
}

#[test]
fn a_run_is_canceled_from_another_shell() {
    let world = World::with_config("[steps.wait]\nrun = \"sleep 300\"\n");
    let process = world.start(world.command(&["run"]));
    let id = running(&world, &process);
    world.mb(&["run", "cancel", &id, "--reason", "enough"]).expect(0);
    let ended = process.end().expect(130);
    assert!(ended.err.contains("enough"), "{}", ended.err);
    world.mb(&["run", "cancel", &id]).expect(5);
}

#[test]
fn an_interrupt_cancels_the_run() {
    let world = World::with_config("[steps.wait]\nrun = \"sleep 300\"\n");
    let process = world.start(world.command(&["run"]));
    let id = running(&world, &process);
    process.signal("INT");
    process.end().expect(130);
    assert_eq!(world.mb(&["run", "show", &id, "--json"]).expect(0).json()["run"]["outcome"], "canceled");
}

#[test]
fn repairs_are_applied_on_request_all_or_nothing() {
    let world = repaired();
    world.mb(&["run", "-q"]).expect(0);
    assert_eq!(world.read("state.txt"), "bad\n");
    world.mb(&["run", "apply"]).expect(0);
    assert_eq!(world.read("state.txt"), "good\n");
    world.mb(&["run", "-q", "--strict"]).expect(0);
    world.mb(&["run", "apply"]).expect(5);
}

#[test]
fn a_change_that_does_not_fit_any_more_changes_nothing() {
    let world = repaired();
    world.mb(&["run", "-q"]).expect(0);
    world.write("state.txt", "something else\n");
    let ended = world.mb(&["run", "apply"]).expect(5);
    assert!(
        ended.err.contains("state.txt") && ended.err.contains("mend: git merge meta-builder/run_"),
        "{}",
        ended.err
    );
    assert_eq!(world.read("state.txt"), "something else\n");
}

#[test]
fn run_with_apply_leaves_the_files_repaired() {
    let world = repaired();
    world.mb(&["run", "--apply", "--strict"]).expect(0);
    assert_eq!(world.read("state.txt"), "good\n");
    world.mb(&["run", "--strict", "--no-repair"]).expect(0);
}

#[test]
fn init_writes_a_file_that_holds() {
    let world = World::new();
    world.write("Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    world.write("src/lib.rs", "");
    world.write("web/package.json", "{\"scripts\": {\"test\": \"node --test\"}}");
    world.mb(&["init"]).expect(0);
    world.mb(&["config", "check"]).expect(0);
    let values = world.mb(&["config", "explain", "--json"]).expect(0).json();
    let values = values.as_array().unwrap();
    assert!(values.iter().any(|v| v["source"].as_str().unwrap().contains("meta-builder.toml")), "{values:#?}");
    assert!(values.iter().any(|v| v["key"].as_str().unwrap().starts_with("steps.")));
    let again = world.mb(&["init"]).expect(5);
    assert!(again.err.contains("mend: mb init --print, or mb init --force"), "{}", again.err);
    world.mb(&["init", "--force"]).expect(0);
}

#[test]
fn a_secret_is_seen_nowhere() {
    let mut world = World::with_config(
        "[secrets]\npass = [\"API_TOKEN\"]\nredact = [\"hidden-[0-9]+\"]\n\
         [steps.leak]\nstage = \"test\"\nrun = \"echo error: got $API_TOKEN and hidden-$((40 + 2)); exit 1\"\n",
    );
    let secret = "mZ4kQ81rTn0vYw6xJd3s";
    world.set("API_TOKEN", secret);
    let seen = world.mb(&["run", "-v"]).expect(1);
    assert!(seen.err.contains("error: got"), "the step printed: {}", seen.err);
    let mut all = seen.err + &seen.out;
    let questions: &[&[&str]] = &[
        &["run", "show"],
        &["run", "show", "--json"],
        &["run", "show", "--markdown"],
        &["run", "logs"],
        &["run", "logs", "--json"],
        &["run", "timeline", "--json"],
        &["run", "ls", "--json"],
    ];
    for args in questions {
        all.push_str(&world.mb(args).expect(0).out);
    }
    for (path, bytes) in crate::support::files(&world.data) {
        all.push_str(&format!("{}:{}", path.display(), String::from_utf8_lossy(&bytes)));
    }
    assert!(!all.contains(secret) && !all.contains("hidden-42"), "a secret was written");
}
