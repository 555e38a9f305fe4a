//! The command line over the data folder: exit codes, JSON, resume, apply, init, secrets.

use expect_test::{Expect, expect};
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

#[expect(clippy::needless_pass_by_value, reason = "expectations are written at the call")]
#[track_caller]
fn check_shape(value: &Value, expected: Expect) {
    expected.assert_eq(&shape(value, 0));
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
    check_shape(
        &world.mb(&["run", "ls", "--json"]).expect(0).json(),
        expect![[r#"

        items: list of
          attempts: number
          cells: list of
            attempts: number
            name: text
            repairs: number
            state: text
          changes: number
          commit: text
          cost_microusd: number
          created_at: text
          duration_ms: number
          failure_class: null
          failure_kind: null
          finished_at: text
          flaky: bool
          id: text
          outcome: text
          project: text
          repairs: number
          started_at: text
          state: text
          steps_done: number
          steps_failed: number
          steps_total: number
          summary: null
          workflow: text
        next: null"#]],
    );
    check_shape(
        &world.mb(&["run", "show", id, "--json"]).expect(0).json(),
        expect![[r#"

        report: 
          budget: 
            attempts: number
            cost_microusd: number
            time_ms: number
          changes: list of
            patch: 
              added: number
              digest: text
              files: list oftext
              removed: number
            repair: number
            step: text
            title: text
          commit: text
          created_at: text
          finished_at: text
          flaky: bool
          headline: text
          outcome: text
          project: text
          published: 
            branch: list oftext
            patch_file: text
            problem: null
          run: text
          spend: 
            attempts: number
            cost_microusd: number
            time_ms: number
          steps: list of
            attempts: number
            command: text
            duration_ms: number
            failure: 
              class: text
              diagnostics: empty list
              evidence: list of
                line: number
                text: text
              fingerprint: text
              kind: text
              mend: null
              positions: empty list
              signal: text
              summary: text
            how: text
            name: text
            state: text
            tried: list of
              cost: text
              detail: text
              duration_ms: number
              strategy: text
              verdict: text
          workflow: text
        run: 
          attempts: number
          budget: 
            attempts: number
            cost_microusd: number
            time_ms: number
          cancel: null
          cells: list of
            attempts: number
            name: text
            repairs: number
            state: text
          changes: number
          commit: text
          cost_microusd: number
          created_at: text
          duration_ms: number
          failure_class: null
          failure_kind: null
          finished_at: text
          flaky: bool
          id: text
          outcome: text
          patches: list of
            patch: 
              added: number
              digest: text
              files: list oftext
              removed: number
            repair: number
            step: text
            title: text
          project: text
          published: 
            branch: text
            commit: text
            patch_file: text
            problem: null
          repairs: number
          root: text
          spend: 
            attempts: number
            cost_microusd: number
            time_ms: number
          started_at: text
          state: text
          steps: list of
            attempts: list of
              duration_ms: number
              exit: text
              failure: 
                breaker: text
                class: text
                diagnostics: empty list
                evidence: list of
                  line: number
                  text: text
                exit: text
                exit_code: number
                fingerprint: text
                kind: text
                signal: text
                summary: text
                tests: null
                tool: null
              finished_at: text
              log_lines: number
              notes: empty list
              number: number
              purpose: text
              sandbox: text
              since: text
              state: text
              success: bool
              tests: null
              tree: number
              work: text
              worker: null
            command: text
            failure: 
              breaker: text
              class: text
              diagnostics: empty list
              evidence: list of
                line: number
                text: text
              exit: text
              exit_code: number
              fingerprint: text
              kind: text
              signal: text
              summary: text
              tests: null
              tool: null
            how: text
            name: text
            needs: empty list
            note: text
            reason: null
            repairs: list of
              candidates: number
              cost_microusd: number
              duration_ms: number
              finished_at: text
              number: number
              patch: 
                added: number
                digest: text
                files: list oftext
                removed: number
              since: text
              state: text
              strategy: text
              title: text
              verdict: text
              verified: list of
                duration_ms: number
                exit: text
                step: text
                success: bool
              why: null
              work: text
            stage: text
            state: text
          steps_done: number
          steps_failed: number
          steps_total: number
          summary: null
          waiting: null
          workflow: text"#]],
    );
    let events = world.mb(&["run", "timeline", id, "--json"]).expect(0).json();
    let words: Vec<&str> = events.as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    expect![[r#"
        run.created
        step.queued
        run.started
        step.started
        step.attempted
        failure.classified
        repair.queued
        repair.started
        repair.finished
        step.succeeded
        step.queued
        step.started
        step.attempted
        step.succeeded
        run.published
        run.finished"#]]
    .assert_eq(&words.join("\n"));
    check_shape(
        &events[0],
        expect![[r#"

        at: text
        digest: text
        event: text
        run: text
        seq: number
        steps: number
        text: text
        tone: text
        workflow: text"#]],
    );
    let logs = world.mb(&["run", "logs", id, "check#1", "--json"]).expect(0).out;
    expect![[r#"
        {"n":1,"task":"check#1","text":"state.txt: 1 is not good"}
    "#]]
    .assert_eq(&logs);
    expect![[r#"
        diff --git a/state.txt b/state.txt
        index 67be85f1274474029aad8a75b823592324305aa4..12799ccbe7ce445b11b7bd4833bcc2c2ce1b48b7 100644
        --- a/state.txt
        +++ b/state.txt
        @@ -1 +1 @@
        -bad
        +good
    "#]]
    .assert_eq(&world.mb(&["run", "diff", id]).expect(0).out);
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
