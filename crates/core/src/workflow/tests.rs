//! Workflows as data: what is refused and how it is said; documents, old and new.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn step(name: &str, needs: &[&str]) -> StepSpec {
    let needs: BTreeSet<String> = needs.iter().map(ToString::to_string).collect();
    let shell = Shell::new(CommandLine::Shell("true".into()));
    StepSpec { needs, ..StepSpec::new(name, Action::Shell(shell)) }
}

fn check(steps: Vec<StepSpec>, expected: &str) {
    let got = match Workflow::new("w", steps).validate() {
        Ok(w) => w.steps.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" "),
        Err(e) => crate::error::chain(&e),
    };
    assert_eq!(got, expected);
}

#[test]
fn steps_are_ordered_and_mistakes_are_named() {
    check(vec![step("b", &["a"]), step("a", &[])], "a b");
    check(vec![step("b", &[]), step("a", &[])], "b a");
    check(vec![], "the workflow has no steps");
    check(vec![step("a", &[]), step("a", &[])], "two steps are named \"a\"");
    check(vec![step("a", &["x"])], "step \"a\" needs \"x\", which is not a step");
    check(vec![step("a", &["b"]), step("b", &["a"])], "these steps need each other in a circle: a -> b");
    check(vec![step("a b", &[])], "step name \"a b\" is not valid: use 1 to 100 letters, digits and - _ . : /");
    let outside = Shell { dir: "../x".into(), ..Shell::new(CommandLine::Shell("true".into())) };
    check(vec![StepSpec::new("a", Action::Shell(outside))], "step \"a\" has dir \"../x\", which leaves the project");
}

#[expect(clippy::needless_pass_by_value, reason = "called with json!, which makes a value")]
fn read(steps: Value) -> String {
    let read = serde_json::from_value::<Workflow>(json!({ "name": "w", "steps": steps }));
    match read.map_err(|error| error.to_string()).and_then(|w| w.validate().map_err(|e| crate::error::chain(&e))) {
        Ok(w) => w.steps.iter().map(|s| format!("{}:{}", s.name, s.action.kind())).collect::<Vec<_>>().join(" "),
        Err(error) => error,
    }
}

#[test]
fn every_kind_is_read_and_mistakes_are_named() {
    let check = |steps: Value, expected: &str| assert_eq!(read(steps), expected);
    check(
        json!([
            { "name": "a", "command": "true" },
            { "name": "b", "kind": "http", "url": "http://x/{{ inputs.x }}", "body": { "a": "{{ 1 }}" } },
            { "name": "c", "kind": "llm", "prompt": "why?" },
            { "name": "d", "kind": "repair", "target": "a" },
            { "name": "e", "kind": "approval", "prompt": "go on?", "approvers": ["ada"], "timeout_ms": 5 },
            { "name": "f", "kind": "wait", "signal": "paid" },
            { "name": "g", "kind": "workflow", "workflow": "other", "inputs": { "n": 1 } },
            { "name": "h", "kind": "transform", "value": "{{ steps.b.output.status }}" },
            { "name": "i", "kind": "condition", "test": "true" },
            { "name": "j", "kind": "foreach", "items": [1], "action": { "kind": "shell", "command": "true" } },
        ]),
        "a:shell b:http c:llm d:repair e:approval f:wait g:workflow h:transform i:condition j:foreach",
    );
    check(
        json!([{ "name": "a", "kind": "http", "url": "x", "metod": "get" }]),
        "step \"a\": unknown field `metod`, expected one of `method`, `url`, `headers`, `body`, `expect`, \
         `request_timeout_ms`, `response_bytes_max`, `redirects_max`, `secrets`",
    );
    check(
        json!([{ "name": "a", "kind": "wait" }]),
        "step \"a\": a wait has exactly one of duration_ms, until and signal",
    );
    check(
        json!([{ "name": "a", "command": "true", "when": "1 +" }]),
        "step \"a\": when cannot be read: unexpected end of input, expected expression in `1 +`",
    );
    check(
        json!([{ "name": "a", "command": "true", "retry": { "attempts_max": 26 } }]),
        "step \"a\": retry.attempts_max is 26; 1 to 25 are allowed",
    );
    check(
        json!([{ "name": "a", "kind": "wait", "signal": "x; rm" }]),
        "step \"a\": \"x; rm\" is no signal's name: use 1 to 100 letters, digits and - _ . : /",
    );
    check(json!([{ "name": "d", "kind": "repair", "target": "a" }]), "step \"d\": its target \"a\" is not a step");
    check(
        json!([{ "name": "a", "command": "true", "compensate": { "kind": "wait", "duration_ms": 1 } }]),
        "step \"a\": compensate is of kind wait; shell, http, llm and transform are allowed",
    );
    let each =
        json!({ "name": "j", "kind": "foreach", "items": [1], "action": { "kind": "shell", "command": "true" } });
    check(json!([each, { "name": "j/0", "command": "true" }]), "step \"j/0\": this name is kept for what \"j\" starts");
}

#[test]
fn a_document_of_before_the_kinds_still_loads() {
    let old = json!({
        "name": "w", "redact": [],
        "budget": { "time_ms": 1, "cost_microusd": 2, "attempts": 3 },
        "repair": { "enabled": true, "allow": [], "deny": [], "patch_bytes_max": 1 },
        "steps": [{
            "name": "a", "stage": "test", "command": ["cargo", "test"], "dir": "", "needs": [], "env": {}, "env_pass": [],
            "network": "none", "fixers": [], "caches": ["target"],
            "limits": { "timeout_ms": 1, "grace_ms": 1, "output_bytes_max": 1, "memory_bytes_max": 1, "pids_max": 1, "disk_bytes_max": 1 },
        }],
    });
    let workflow: Workflow = serde_json::from_value(old).expect("it loads");
    let expected: Expect = expect![[
        r#"{"name":"a","kind":"shell","stage":"test","command":["cargo","test"],"dir":"","env":{},"env_pass":[],"network":"none","limits":{"timeout_ms":1,"grace_ms":1,"output_bytes_max":1,"memory_bytes_max":1,"pids_max":1,"disk_bytes_max":1},"fixers":[],"caches":["target"],"needs":[]}"#
    ]];
    let written = serde_json::to_string(&workflow.steps[0]).expect("plain data");
    expected.assert_eq(&written);
    assert_eq!(serde_json::from_str::<StepSpec>(&written).expect("it loads again"), workflow.steps[0]);
}

#[test]
fn steps_connected_by_needs_are_one_group() {
    let steps = vec![
        step("install", &[]),
        step("format", &[]),
        step("build", &["install"]),
        step("lint", &["install"]),
        step("test", &["build"]),
    ];
    let workflow = Workflow::new("w", steps);
    let groups: Vec<String> = workflow.steps.iter().map(|s| workflow.group_of(&s.name)).collect();
    assert_eq!(groups, ["install", "format", "install", "install", "install"]);
    let needs = |name: &str| {
        let spec = workflow.step(name).expect("a step");
        workflow.needs_of(spec).iter().map(|s| s.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(needs("test"), ["install", "build"]);
    assert_eq!(needs("format"), Vec::<String>::new());
}

#[test]
fn the_digest_follows_the_content() {
    let make = |name: &str| Workflow::new("w", vec![step(name, &[])]);
    assert_eq!(make("a").digest(), make("a").digest());
    assert_ne!(make("a").digest(), make("b").digest());
}

#[test]
fn a_command_is_shown_as_one_would_type_it() {
    let argv = CommandLine::Argv(vec!["sh".into(), "-c".into(), "echo it's".into()]);
    assert_eq!(argv.display(), r"sh -c 'echo it'\''s'");
}
