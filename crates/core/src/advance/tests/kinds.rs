//! Every kind of step beside commands: what it waits for, gives, and how it ends; retries, compensation, timeouts.

use serde_json::{Value, json};

use super::*;

/// A run of steps as they are written in a document.
#[expect(clippy::needless_pass_by_value, reason = "called with json!, which makes a value")]
fn world(steps: Value) -> World {
    world_of(json!({ "name": "w", "steps": steps }), json!({ "n": 2 }))
}

fn world_of(document: Value, inputs: Value) -> World {
    let workflow: Workflow = serde_json::from_value(document).expect("a workflow");
    let workflow = workflow.validate().unwrap_or_else(|error| panic!("{}", crate::error::chain(&error)));
    let source = Some(Source { root: "/p".into(), snapshot: Value::Null, commit: None });
    let mut run = Run::new(Timestamp::from_micros(0), RunId::from_bytes([0; 16]), TenantId::DEFAULT, workflow, source);
    run.inputs = inputs;
    World::new(run)
}

fn decided(step: &str, approved: bool, by: &str) -> RunEvent {
    RunEvent::Decided { step: step.into(), approved, by: by.into(), reason: String::new() }
}

fn signal(name: &str, payload: Value) -> RunEvent {
    RunEvent::Signal(crate::run::Signal { name: name.into(), payload, by: "ada".into() })
}

fn output(world: &World, step: &str) -> String {
    world.run.step(step).and_then(|step| step.output.as_ref()).map_or("-".into(), Value::to_string)
}

fn outcome_of(world: &World) -> Option<RunOutcome> {
    world.run.state.outcome()
}

#[test]
fn outputs_are_passed_on_and_conditions_decide() {
    let mut world = world_of(
        json!({
            "name": "w",
            "steps": [
                { "name": "get", "kind": "http", "url": "http://x" },
                { "name": "big", "kind": "condition", "test": "steps.get.output.n > inputs.n", "needs": ["get"] },
                { "name": "yes", "kind": "transform", "value": { "twice": "{{ steps.get.output.n * 2 }}" },
                  "when": "steps.big.output", "needs": ["big"] },
                { "name": "no", "command": "true", "when": "not steps.big.output", "needs": ["big"] },
                { "name": "end", "kind": "transform", "value": "{{ steps.no.state }}", "needs": ["yes", "no"] },
            ],
            "outputs": { "n": "{{ steps.yes.output.twice }}", "id": "{{ run.id }} of {{ run.name }}" },
        }),
        json!({ "n": 2 }),
    );
    world.play(&[("get", r#"={"n": 3}"#)]);
    world.told(&expect![[r#"
        run of workflow w accepted: 5 steps
        get: attempt 1 queued
        started
        get: attempt 1 started
        get: attempt 1 ended, exit 0 after 10ms
        get passed
        big passed
        yes passed
        no is not wanted: not steps.big.output is false
        end passed
        passed in 10ms, $0.00, 0 repair attempts
    "#]]);
    assert_eq!(output(&world, "end"), r#""omitted""#);
    let outputs = world.run.outputs.as_ref().map(Value::to_string);
    assert_eq!(outputs.as_deref(), Some(r#"{"id":"run_00000000000000000000000000 of w","n":6}"#));
}

#[test]
fn an_expression_without_a_value_fails_its_step_and_an_output_without_one_the_run() {
    let first = world(json!([
        { "name": "a", "kind": "transform", "value": "{{ steps.b.output }}" },
        { "name": "b", "kind": "transform", "value": 1, "needs": ["a"] },
    ]));
    first.told(&expect![[r#"
        run of workflow w accepted: 2 steps
        started
        a stays failed: an expression of it has no value: `steps.b` is undefined in `steps.b.output`
        b skipped: it needs a
        failed in 0ms, $0.00, 0 repair attempts
    "#]]);
    let second = world_of(
        json!({
            "name": "w", "steps": [{ "name": "a", "kind": "transform", "value": "{{ inputs.no }}" }],
            "outputs": { "x": "{{ nothing }}" },
        }),
        json!({}),
    );
    second.told(&expect![[r#"
        run of workflow w accepted: 1 step
        started
        a stays failed: an expression of it has no value: it names something that is not there in `inputs.no`
        failed in 0ms, $0.00, 0 repair attempts
    "#]]);
    let third = world_of(
        json!({
            "name": "w", "steps": [{ "name": "a", "kind": "transform", "value": 1 }], "outputs": { "x": "{{ nothing }}" },
        }),
        json!({}),
    );
    third.told(&expect![[r#"
        run of workflow w accepted: 1 step
        started
        a passed
        output x has no value: it names something that is not there in `nothing`
        failed in 0ms, $0.00, 0 repair attempts
    "#]]);
}

#[test]
fn a_step_is_tried_as_often_as_its_policy_says_and_waits_longer_each_time() {
    let retry = json!({ "attempts_max": 4, "base_ms": 1000, "max_ms": 3000, "jitter": 0 });
    let mut world = world(json!([{ "name": "a", "kind": "http", "url": "http://x", "retry": retry }]));
    world.play(&[("a", "network_infra"), ("a", "network_infra"), ("a", "timeout"), ("a", "ok")]);
    world.told(&expect![[r#"
        run of workflow w accepted: 1 step
        a: attempt 1 queued
        started
        a: attempt 1 started
        a: attempt 1 ended, exit 1 after 10ms
        a failed: network_infra (decided by tool line): a network_infra failure
        a: attempt 2 is a retry, after waiting 1.0s
        a: attempt 2 started
        a: attempt 2 ended, exit 1 after 10ms
        a failed: network_infra (decided by tool line): a network_infra failure
        a: attempt 3 is a retry, after waiting 2.0s
        a: attempt 3 started
        a: attempt 3 ended, exit 1 after 10ms
        a failed: timeout (decided by tool line): a timeout failure
        a: attempt 4 is a retry, after waiting 3.0s
        a: attempt 4 started
        a: attempt 4 ended, exit 0 after 10ms
        a passed on a retry
        passed in 6.1s, $0.00, 0 repair attempts
    "#]]);
}

#[test]
fn what_cannot_get_better_is_tried_once_and_what_asks_for_time_gets_it() {
    let retry = json!({ "attempts_max": 25, "base_ms": 1, "max_ms": 1, "jitter": 0 });
    let mut first = world(json!([{ "name": "a", "kind": "http", "url": "http://x", "retry": retry }]));
    first.play(&[("a", "policy")]);
    assert_eq!(first.lines[6], "a stays failed: trying again cannot help: a policy failure");
    let mut second = world(json!([{ "name": "a", "kind": "http", "url": "http://x", "retry": retry }]));
    let (work, _) = second.queue.pop_front().expect("a is queued");
    second.apply(RunEvent::Claimed { work, worker: WORKER });
    let mut limited = failure(FailureKind::RateLimit);
    limited.hints.insert(Hint::RetryAfter { wait_ms: 9_000 });
    second.apply(RunEvent::Attempted { step: "a".into(), number: 1, outcome: outcome(Some(limited)) });
    assert_eq!(second.queue[0].1.since(second.now), std::time::Duration::from_secs(9));
}

#[test]
fn jitter_is_the_same_every_time_and_within_its_bound() {
    let retry = crate::workflow::Retry { attempts_max: 25, base_ms: 1_000, max_ms: 60_000, jitter: 50 };
    let waits = |step: &str| -> Vec<u64> {
        (1..25).map(|n| crate::time::millis(retry.wait(RunId::from_bytes([1; 16]), step, n))).collect()
    };
    assert_eq!(waits("a"), waits("a"));
    assert_ne!(waits("a"), waits("b"));
    for (n, wait) in (0..24).zip(waits("a")) {
        let plain = (1_000u64 << n.min(10)).min(60_000);
        assert!((plain..=plain + plain / 2).contains(&wait), "{wait} after {n}");
    }
}

#[test]
fn an_approval_waits_for_a_person_who_may() {
    let steps = json!([
        { "name": "a", "kind": "approval", "prompt": "ship {{ inputs.n }}?", "approvers": ["ada", "bob"] },
        { "name": "b", "kind": "transform", "value": "{{ steps.a.output.by }}", "needs": ["a"] },
    ]);
    let mut first = world(steps.clone());
    assert!(first.queue.is_empty(), "nobody is kept busy");
    let refused = |world: &World, event| apply(world.now, world.run.clone(), event).expect_err("refused").to_string();
    expect!["decided does not fit the run: eve may not decide a: ada or bob may"]
        .assert_eq(&refused(&first, decided("a", true, "eve")));
    expect!["decided does not fit the run: b is not waiting for approval"]
        .assert_eq(&refused(&first, decided("b", true, "ada")));
    first.apply(decided("a", true, "ada"));
    first.told(&expect![[r#"
        run of workflow w accepted: 2 steps
        started
        a is waiting for approval by ada or bob
        a approved by ada
        a passed
        b passed
        passed in 0ms, $0.00, 0 repair attempts
    "#]]);
    assert_eq!(output(&first, "b"), r#""ada""#);
    let mut second = world(steps);
    second.apply(decided("a", false, "bob"));
    assert_eq!(outcome_of(&second), Some(RunOutcome::Failed));
    assert_eq!(second.lines[4], "a stays failed: it was rejected: by bob");
}

#[test]
fn an_approval_that_nobody_decides_ends_as_its_workflow_says() {
    for (on_timeout, line) in [
        ("fail", "a stays failed: its time was up"),
        ("continue", "a passed"),
        ("reject", "a stays failed: it was rejected: nobody decided in time"),
    ] {
        let step =
            json!({ "name": "a", "kind": "approval", "prompt": "?", "timeout_ms": 5000, "on_timeout": on_timeout });
        let mut world = world(json!([step]));
        world.play(&[("a", "ok")]);
        assert_eq!(world.lines[3], line, "{on_timeout}");
        assert!(outcome_of(&world).is_some());
        assert!(world.queue.is_empty());
    }
}

#[test]
fn a_wait_ends_at_its_time_and_costs_none() {
    let mut world = world(json!([{ "name": "a", "kind": "wait", "duration_ms": 86_400_000 }]));
    world.play(&[("a", "ok")]);
    world.told(&expect![[r#"
        run of workflow w accepted: 1 step
        started
        a is waiting until 1970-01-02T00:00:00.010Z
        a passed
        passed in 0ms, $0.00, 0 repair attempts
    "#]]);
}

#[test]
fn a_wait_until_a_moment_passes_at_once_when_it_is_over() {
    let until = |text: &str| {
        let world = world(json!([{ "name": "a", "kind": "wait", "until": text }]));
        world.lines[2].clone()
    };
    assert_eq!(until("1969-12-31T23:00:00Z"), "a passed");
    assert_eq!(until("2030-01-01T00:00:0{{ inputs.n }}Z"), "a is waiting until 2030-01-01T00:00:02.000Z");
    assert_eq!(
        until("soon"),
        "a stays failed: an expression of it has no value: \"soon\" is no time like 2030-01-31T12:00:00Z"
    );
}

#[test]
fn a_signal_is_taken_by_who_waits_and_kept_for_who_will() {
    let steps = json!([
        { "name": "a", "kind": "wait", "signal": "paid", "timeout_ms": 1000 },
        { "name": "b", "kind": "wait", "signal": "sent", "needs": ["a"] },
    ]);
    let mut world = world(steps);
    world.apply(signal("sent", json!(1)));
    world.apply(signal("paid", json!({ "eur": 5 })));
    world.told(&expect![[r#"
        run of workflow w accepted: 2 steps
        started
        a is waiting for signal paid, at the latest until 1970-01-01T00:00:01.010Z
        signal sent from ada kept
        signal paid from ada taken by a
        a passed
        b passed
        passed in 0ms, $0.00, 0 repair attempts
    "#]]);
    assert_eq!(output(&world, "a"), r#"{"by":"ada","payload":{"eur":5},"signal":"paid"}"#);
    assert_eq!(output(&world, "b"), r#"{"by":"ada","payload":1,"signal":"sent"}"#);
}

#[test]
fn signals_are_bounded_in_number_and_size() {
    let mut world = world(json!([{ "name": "a", "kind": "wait", "signal": "x" }]));
    let refused = |world: &World, event| apply(world.now, world.run.clone(), event).err().map(|e| e.to_string());
    let large = json!("x".repeat(crate::run::OUTPUT_BYTES_MAX));
    assert!(refused(&world, signal("x", large)).is_some_and(|why| why.contains("at most 262144 are allowed")));
    for _ in 0..crate::run::SIGNALS_MAX {
        world.apply(signal("y", Value::Null));
    }
    assert!(refused(&world, signal("y", Value::Null)).is_some_and(|why| why.contains("100 signals are kept already")));
    world.apply(signal("x", Value::Null));
    assert_eq!(outcome_of(&world), Some(RunOutcome::Passed));
}

#[test]
fn a_foreach_does_its_items_a_few_at_once_and_gathers_what_they_give() {
    let mut first = world(json!([
        { "name": "each", "kind": "foreach", "items": "{{ range(3) | list }}", "concurrency": 2,
          "action": { "kind": "http", "url": "http://x/{{ item }}" } },
        { "name": "sum", "kind": "transform", "value": "{{ steps.each.output | sum }}", "needs": ["each"] },
    ]));
    assert_eq!(first.queue.len(), 2);
    first.play(&[("each/1", "=20"), ("each/0", "=10"), ("each/2", "=30")]);
    assert_eq!((output(&first, "each").as_str(), output(&first, "sum").as_str()), ("[10,20,30]", "60"));
    assert_eq!(outcome_of(&first), Some(RunOutcome::Passed));
    let computed = world(json!([
        { "name": "each", "kind": "foreach", "items": [1, 2], "action": { "kind": "transform", "value": "{{ item + index }}" } },
    ]));
    assert_eq!(output(&computed, "each"), "[1,3]");
    let none = world(json!([
        { "name": "each", "kind": "foreach", "items": [], "action": { "kind": "transform", "value": 1 } },
    ]));
    assert_eq!(output(&none, "each"), "[]");
}

#[test]
fn an_item_that_fails_fails_the_foreach_and_what_has_not_begun_is_not() {
    let mut world = world(json!([
        { "name": "each", "kind": "foreach", "items": [1, 2, 3, 4], "concurrency": 2,
          "action": { "kind": "http", "url": "http://x" } },
    ]));
    world.play(&[("each/0", "unknown"), ("each/1", "ok")]);
    let words: Vec<&str> = world.run.steps.iter().map(Step::word).collect();
    assert_eq!(words, ["failed", "failed", "succeeded", "skipped", "skipped"]);
    assert_eq!(
        world.lines[world.lines.len() - 2],
        "each stays failed: a part of it did not succeed: each/0 did not succeed"
    );
}

#[test]
fn a_foreach_has_at_most_a_thousand_items() {
    let line = |items: &str| {
        let world = world(json!([
            { "name": "each", "kind": "foreach", "items": items, "action": { "kind": "transform", "value": 1 } },
        ]));
        world.lines[2].clone()
    };
    assert_eq!(line("{{ range(1000) | list }}"), "each has 1000 items");
    assert_eq!(
        line("{{ range(1001) | list }}"),
        "each stays failed: trying again cannot help: it has 1001 items; at most 1000 are allowed here"
    );
    assert_eq!(line("{{ inputs.n }}"), "each stays failed: an expression of it has no value: items is no list");
}

#[test]
fn a_sub_workflow_is_asked_about_until_it_is_over() {
    let mut world = world(json!([{ "name": "a", "kind": "workflow", "workflow": "other" }]));
    world.play(&[("a", "child"), ("a", "child"), ("a", r#"={"x": 1}"#)]);
    world.told(&expect![[r#"
        run of workflow w accepted: 1 step
        a: attempt 1 queued
        started
        a: attempt 1 started
        a is waiting for run_09144gj289144gj289144gj289
        a: attempt 1 ended, exit 0 after 10ms
        a passed
        passed in 10ms, $0.00, 0 repair attempts
    "#]]);
}

#[test]
fn a_cancel_reaches_the_sub_workflow_before_the_step_ends() {
    let mut world = world(json!([{ "name": "a", "kind": "workflow", "workflow": "other" }]));
    world.play(&[("a", "child")]);
    world.apply(RunEvent::Cancel { by: "ada".into() });
    assert_eq!(outcome_of(&world), None);
    assert_eq!(world.queue[0].1, world.now, "the step's task is there to pass it on, now");
    world.play(&[("a", "child"), ("a", "unknown")]);
    assert_eq!(outcome_of(&world), Some(RunOutcome::Canceled));
}

#[test]
fn cancel_ends_every_kind_of_waiting() {
    for step in [
        json!({ "name": "a", "kind": "approval", "prompt": "?", "timeout_ms": 5 }),
        json!({ "name": "a", "kind": "approval", "prompt": "?" }),
        json!({ "name": "a", "kind": "wait", "duration_ms": 5 }),
        json!({ "name": "a", "kind": "wait", "signal": "x", "timeout_ms": 5 }),
        json!({ "name": "a", "kind": "foreach", "items": [1, 2], "action": { "kind": "wait", "duration_ms": 5 } }),
        json!({ "name": "a", "kind": "http", "url": "x" }),
    ] {
        let mut world = world(json!([step]));
        world.apply(RunEvent::Cancel { by: "ada".into() });
        assert_eq!(outcome_of(&world), Some(RunOutcome::Canceled), "{step}");
        assert!(world.queue.is_empty(), "{step}");
    }
}

#[test]
fn what_had_succeeded_is_undone_the_last_first() {
    let undo = json!({ "kind": "http", "url": "http://x/{{ steps.a.output }}" });
    let steps = json!([
        { "name": "a", "kind": "http", "url": "http://x", "compensate": undo },
        { "name": "b", "kind": "http", "url": "http://x", "needs": ["a"], "compensate": undo },
        { "name": "c", "kind": "http", "url": "http://x", "needs": ["b"], "compensate": undo },
    ]);
    let mut first = world(steps.clone());
    first.play(&[("a", "=1"), ("b", "ok"), ("c", "unknown"), ("b/undo", "policy"), ("a/undo", "ok")]);
    first.lines.drain(..first.lines.len() - 14);
    first.told(&expect![[r#"
        c: attempt 1 ended, exit 1 after 10ms
        c failed: unknown (decided by tool line): a unknown failure
        c stays failed: it was tried as often as the workflow asks for: a unknown failure
        undoing b, a
        b/undo: attempt 1 queued
        b/undo: attempt 1 started
        b/undo: attempt 1 ended, exit 1 after 10ms
        b/undo failed: policy (decided by tool line): a policy failure
        b/undo stays failed: trying again cannot help: a policy failure
        a/undo: attempt 1 queued
        a/undo: attempt 1 started
        a/undo: attempt 1 ended, exit 0 after 10ms
        a/undo passed
        failed in 90ms, $0.00, 0 repair attempts
    "#]]);
    let mut second = world(steps);
    second.play(&[("a", "ok")]);
    second.apply(RunEvent::Cancel { by: "ada".into() });
    assert_eq!(outcome_of(&second), None, "a is being undone");
    second.apply(RunEvent::Cancel { by: "bob".into() });
    second.play(&[("a/undo", "ok")]);
    assert_eq!(outcome_of(&second), Some(RunOutcome::Canceled));
}

#[test]
fn a_repair_step_repairs_when_it_is_asked_and_not_before() {
    let fixer = json!([{ "name": "fix", "command": "fix" }]);
    let mut world = world(json!([
        { "name": "a", "command": "true", "repair": false, "fixers": fixer },
        { "name": "b", "command": "true", "needs": ["a"] },
        { "name": "ok", "kind": "approval", "prompt": "repair a?" },
        { "name": "r", "kind": "repair", "target": "a", "needs": ["ok"] },
    ]));
    world.play(&[("a", "lint")]);
    assert_eq!(world.run.steps[0].word(), "failed");
    world.apply(decided("ok", true, "ada"));
    world.play(&[("a", "accepted"), ("b", "ok"), ("publish", "ok")]);
    world.lines.drain(..6);
    world.told(&expect![[r#"
        a failed: lint (decided by tool line): a lint failure
        a stays failed: repair is switched off for this project
        b skipped: it needs a
        ok approved by ada
        ok passed
        r is waiting for the repair of a
        a: repair 1 will try fixer `fix`
        a: repair 1 started
        a: repair 1 accepted and verified in 5ms: an edit (1 file, +1 -1)
        a passes with the repair
        b: attempt 1 queued
        r passed
        b: attempt 1 started
        b: attempt 1 ended, exit 0 after 10ms
        b passed
        result: patch p
        repaired in 80ms, $0.00, 1 repair attempt
    "#]]);
    assert_eq!(output(&world, "r"), r#"{"repaired":true,"step":"a"}"#);
}

#[test]
fn a_step_and_a_run_have_their_time() {
    let retry = json!({ "attempts_max": 9, "base_ms": 600, "max_ms": 600, "jitter": 0 });
    let mut step = world(json!([{ "name": "a", "kind": "http", "url": "x", "retry": retry, "timeout_ms": 1000 }]));
    step.play(&[("a", "network_infra"), ("a", "network_infra")]);
    assert_eq!(step.lines[step.lines.len() - 2], "a stays failed: its time was up");
    let document = json!({
        "name": "w", "timeout_ms": 1000,
        "steps": [
            { "name": "a", "kind": "approval", "prompt": "?" },
            { "name": "b", "kind": "transform", "value": 1, "needs": ["a"] },
        ],
    });
    let mut run = world_of(document, json!({}));
    run.play(&[("a", "ok")]);
    assert_eq!(run.lines[3], "a stays failed: its time was up");
    assert_eq!(outcome_of(&run), Some(RunOutcome::Failed));
}

#[test]
fn a_model_is_not_asked_when_the_budget_cannot_pay_for_it() {
    let document = json!({
        "name": "w", "budget": { "cost_microusd": 150_000 },
        "steps": [{ "name": "a", "kind": "llm", "prompt": "?" }, { "name": "b", "kind": "llm", "prompt": "?" }],
    });
    let mut world = world_of(document, json!({}));
    let (work, _) = world.queue.pop_front().expect("a is queued");
    assert!(world.queue.is_empty(), "what a may cost is held for it");
    world.apply(RunEvent::Claimed { work, worker: WORKER });
    let paid = AttemptOutcome { cost_microusd: MicroUsd(7), ..outcome(None) };
    world.apply(RunEvent::Attempted { step: "a".into(), number: 1, outcome: paid });
    assert_eq!((outcome_of(&world), world.run.spend.cost_microusd), (Some(RunOutcome::BudgetExceeded), MicroUsd(7)));
}

#[test]
fn a_run_done_again_keeps_what_succeeded_and_its_outputs() {
    let steps = json!([
        { "name": "a", "kind": "http", "url": "x" },
        { "name": "b", "kind": "transform", "value": "{{ steps.a.output + 1 }}", "needs": ["a"] },
        { "name": "c", "kind": "http", "url": "x", "needs": ["b"] },
        { "name": "u", "kind": "http", "url": "x", "compensate": { "kind": "http", "url": "x" } },
    ]);
    let mut first = world(steps);
    first.play(&[("a", "=1"), ("u", "ok"), ("c", "policy"), ("u/undo", "ok")]);
    let id = RunId::from_bytes([3; 16]);
    let again = |from| first.run.again(first.now, id, from);
    let kept = |run: &Run| -> Vec<String> {
        run.steps.iter().filter(|step| step.succeeded()).map(|step| step.name.clone()).collect()
    };
    assert_eq!(kept(&again(None).expect("it failed")), ["a", "b"], "what was undone is done again");
    assert_eq!(kept(&again(Some("b")).expect("it failed")), ["a"]);
    assert_eq!(kept(&again(Some("a")).expect("it failed")), Vec::<String>::new());
    expect![[r#"run_00000000000000000000000000 has no step "x""#]]
        .assert_eq(&again(Some("x")).expect_err("no such step").to_string());
    let mut second = World::new(again(None).expect("it failed"));
    second.play(&[("c", "ok"), ("u", "ok")]);
    assert_eq!((output(&second, "b").as_str(), outcome_of(&second)), ("2", Some(RunOutcome::Passed)));
    assert_eq!(second.run.retry_of, Some(first.run.id));
    expect!["every step of run_030c1g60r30c1g60r30c1g60r3 succeeded; name the step to begin from"]
        .assert_eq(&second.run.again(second.now, id, None).expect_err("nothing failed").to_string());
    assert!(
        world(json!([{ "name": "a", "kind": "http", "url": "x" }])).run.again(first.now, id, None).is_err(),
        "open"
    );
}

/// A workflow with every kind at once, for the random walk.
fn everything() -> Run {
    let undo = json!({ "kind": "http", "url": "x" });
    let retry = json!({ "attempts_max": 3 });
    let fixers = json!([{ "name": "fix", "command": "fix" }]);
    let document = json!({
        "name": "w", "timeout_ms": 2_000_000,
        "steps": [
            { "name": "get", "kind": "http", "url": "x", "retry": retry, "compensate": undo },
            { "name": "shell", "command": "true", "fixers": fixers, "retry": retry },
            { "name": "held", "command": "true", "fixers": fixers, "repair": false },
            { "name": "mend", "kind": "repair", "target": "held" },
            { "name": "ask", "kind": "approval", "prompt": "?", "timeout_ms": 60_000, "on_timeout": "continue" },
            { "name": "nap", "kind": "wait", "duration_ms": 5_000, "needs": ["ask"], "compensate": undo },
            { "name": "mail", "kind": "wait", "signal": "mail", "timeout_ms": 90_000 },
            { "name": "sub", "kind": "workflow", "workflow": "x", "needs": ["get"] },
            { "name": "each", "kind": "foreach", "items": [1, 2, 3], "concurrency": 2, "needs": ["get"],
              "action": { "kind": "shell", "command": "true", "fixers": fixers } },
            { "name": "maybe", "kind": "llm", "prompt": "?", "when": "steps.nap.state == 'succeeded'", "needs": ["nap"] },
            { "name": "end", "kind": "transform", "value": "{{ steps.each.output }}", "needs": ["each", "maybe", "mend"] },
        ],
        "outputs": { "x": "{{ steps.end.output }}" },
    });
    let workflow: Workflow = serde_json::from_value(document).expect("a workflow");
    let workflow = workflow.validate().expect("it is valid");
    let source = Some(Source { root: "/p".into(), snapshot: Value::Null, commit: None });
    Run::new(Timestamp::from_micros(0), RunId::from_bytes([0; 16]), TenantId::DEFAULT, workflow, source)
}

#[test]
fn without_a_project_nothing_is_repaired() {
    let fixers = json!([{ "name": "fix", "command": "fix" }]);
    let document = json!({ "name": "w", "steps": [{ "name": "a", "command": "true", "fixers": fixers }] });
    let workflow: Workflow = serde_json::from_value(document).expect("a workflow");
    let run = Run::new(Timestamp::from_micros(0), RunId::from_bytes([0; 16]), TenantId::DEFAULT, workflow, None);
    let mut world = World::new(run);
    world.play(&[("a", "lint")]);
    assert_eq!(world.lines[6], "a stays failed: repair is switched off for this project");
}

/// An event from outside that may or may not fit; nothing may change when it does not.
fn poke(world: &mut World, which: usize) {
    let event = match which {
        0 => RunEvent::Cancel { by: "ada".into() },
        1 | 2 => decided("ask", which == 1, "ada"),
        _ => signal("mail", json!(which)),
    };
    if apply(world.now, world.run.clone(), event.clone()).is_ok() {
        world.apply(event);
    }
}

proptest! {
    #[test]
    fn every_walk_over_every_kind_keeps_the_invariants_and_ends(
        choices in prop::collection::vec((0usize..8, 0usize..12, 0usize..40), 1..300),
    ) {
        let mut world = World::new(everything());
        let words = ["ok", "ok", "=1", "lint", "policy", "network_infra", "child", "lost", "ok", "unknown", "=[2]", "ok"];
        let verdicts = ["accepted", "rejected", "no_candidate", "improved"];
        let mut choices = choices.into_iter().chain(std::iter::repeat((0, 0, 39)));
        for _ in 0..3_000 {
            let Some((pick, word, outside)) = choices.next().filter(|_| !world.queue.is_empty()) else { break };
            if outside < 6 {
                poke(&mut world, outside);
                invariants(&world.run);
                continue;
            }
            let at = pick % world.queue.len();
            let (work, ready_at) = world.queue.remove(at).expect("in range");
            world.now = world.now.max(ready_at);
            world.apply(RunEvent::Claimed { work: work.clone(), worker: WORKER });
            invariants(&world.run);
            let step = work.step().and_then(|name| world.run.step(name));
            let may_start_runs = step.and_then(|step| world.run.part(step)).is_some_and(|(_, action)| {
                action.kind() == crate::workflow::ActionKind::Workflow
            });
            let word = match (&work, words[word]) {
                (Work::Repair { .. }, _) => verdicts[word % 4],
                (_, "child") if !may_start_runs => "ok",
                (_, word) => word,
            };
            let event = report(&work, word);
            if apply(world.now, world.run.clone(), event.clone()).is_ok() {
                world.apply(event);
                invariants(&world.run);
            }
        }
        prop_assert!(world.run.state.outcome().is_some(), "the run ends:\n{}", world.lines.join("\n"));
        let over = world.run.steps.iter().all(|step| matches!(step.state, StepState::Done { .. }));
        prop_assert!(over, "every step is over when the run is");
        prop_assert!(world.queue.is_empty(), "left on the queue: {:?}", world.queue);
    }
}
