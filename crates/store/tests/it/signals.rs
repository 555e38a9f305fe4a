//! Runs of workflows: what they came with, what they are told, and how a child wakes its parent.

use mb_core::attempt::AttemptOutcome;
use mb_core::id::TenantId;
use mb_core::queue::Claim;
use mb_core::run::{Parent, Run, RunOutcome, Signal, Trigger, TriggerKind};
use mb_core::task::QueueClass;
use mb_core::workflow::Workflow;
use mb_store::{Claimed, Decision, Finished, NewRun, Report, Told};
use serde_json::{Value, json};

use crate::support::{Home, LEASE, TENANT, at, passed, run_id, suite, worker};

suite! {
    what_a_run_came_with_and_gives_is_kept,
    a_signal_or_a_decision_moves_the_run_that_waits_for_it,
    what_does_not_fit_changes_nothing,
    the_end_of_a_child_wakes_its_parent,
    items_of_a_foreach_are_steps_of_the_run,
}

#[expect(clippy::needless_pass_by_value, reason = "called with json!, which makes a value")]
fn new(n: u64, steps: Value) -> NewRun {
    let document = json!({ "name": "flow", "steps": steps, "inputs": { "n": { "type": "number", "default": 2 } } });
    let workflow: Workflow = serde_json::from_value(document).unwrap();
    let workflow = workflow.validate().unwrap();
    let inputs = workflow.bind(Value::Null).unwrap();
    let mut run = Run::new(at(n), run_id(n), TENANT, workflow, None);
    run.inputs = inputs;
    NewRun { run, idempotency_key: None, affinity: None, actor: "ann".into() }
}

fn io_claim(affinity: Option<&str>) -> Claim {
    let slots = [(QueueClass::Io, 9), (QueueClass::Cpu, 9)].into();
    Claim { worker: worker(1), slots, affinity: affinity.map(str::to_owned), lease: LEASE }
}

fn output(value: Value) -> Report {
    Report::Attempted(AttemptOutcome { output: Some(value), ..passed() })
}

fn work(task: &Claimed) -> String {
    task.lease.key.as_ref().unwrap().work.to_string()
}

fn names(claimed: &[Claimed]) -> Vec<String> {
    claimed.iter().map(work).collect()
}

async fn what_a_run_came_with_and_gives_is_kept(home: Home) {
    let mut asked = new(
        1,
        json!([{ "name": "a", "kind": "http", "url": "x" },
                                  { "name": "b", "kind": "transform", "value": "{{ steps.a.output.x + inputs.n }}", "needs": ["a"] }]),
    );
    asked.run.retry_of = Some(run_id(9));
    asked.run.trigger =
        Some(Trigger { kind: TriggerKind::Schedule, name: "nightly".into(), depth: 1, due_at: Some(at(0)) });
    let expected = asked.run.clone();
    home.store.create_run(at(1), asked).await.unwrap();
    let store = home.again().await;
    let stored = store.run(TENANT, run_id(1)).await.unwrap().unwrap();
    assert_eq!((&stored.inputs, &stored.trigger), (&expected.inputs, &expected.trigger));
    assert_eq!((stored.source, stored.retry_of), (None, Some(run_id(9))));
    let claimed = store.claim(at(2), &io_claim(None)).await.unwrap();
    assert_eq!(names(&claimed), ["a#1"]);
    let finished = store.finish(at(3), &claimed[0].lease, output(json!({ "x": 5, "nul": "a\0b" }))).await.unwrap();
    assert!(matches!(finished, Finished::Applied { .. }), "{finished:?}");
    let stored = home.again().await.run(TENANT, run_id(1)).await.unwrap().unwrap();
    assert_eq!(stored.steps[0].output, Some(json!({ "x": 5, "nul": "a\u{fffd}b" })));
    assert_eq!((stored.steps[1].output.clone(), stored.state.outcome()), (Some(json!(7)), Some(RunOutcome::Passed)));
}

async fn a_signal_or_a_decision_moves_the_run_that_waits_for_it(Home { store, .. }: Home) {
    let steps = json!([{ "name": "ok", "kind": "approval", "prompt": "?", "timeout_ms": 60_000 },
                       { "name": "paid", "kind": "wait", "signal": "paid", "needs": ["ok"] }]);
    store.create_run(at(1), new(1, steps)).await.unwrap();
    assert_eq!(store.claim(at(2), &io_claim(None)).await.unwrap().len(), 0, "its clock has not run down");
    let yes = Decision { step: "ok".into(), approved: true, by: "ada".into(), reason: "fine".into() };
    let Told::Applied(run) = store.decide(at(3), TENANT, run_id(1), yes).await.unwrap() else { panic!("it fits") };
    assert_eq!(run.steps[0].output, Some(json!({ "approved": true, "by": "ada", "reason": "fine" })));
    assert_eq!(store.next_ready_at(None).await.unwrap(), None, "the clock is withdrawn");
    let paid = Signal { name: "paid".into(), payload: json!([1]), by: "shop".into() };
    let Told::Applied(run) = store.signal_run(at(4), TENANT, run_id(1), paid).await.unwrap() else { panic!("it fits") };
    assert_eq!(run.state.outcome(), Some(RunOutcome::Passed));
    let events = store.events(TENANT, Some(run_id(1)), 0, 100).await.unwrap();
    let words: Vec<&str> = events.iter().map(|event| event.kind.word()).collect();
    assert_eq!(
        words,
        [
            "run.created",
            "run.started",
            "step.waiting",
            "step.decided",
            "step.succeeded",
            "step.waiting",
            "run.signaled",
            "step.succeeded",
            "run.finished"
        ]
    );
}

async fn what_does_not_fit_changes_nothing(Home { store, .. }: Home) {
    let steps = json!([{ "name": "ok", "kind": "approval", "prompt": "?", "approvers": ["ada"] }]);
    store.create_run(at(1), new(1, steps)).await.unwrap();
    let before = store.run(TENANT, run_id(1)).await.unwrap();
    let decide =
        |step: &str, by: &str| Decision { step: step.into(), approved: true, by: by.into(), reason: String::new() };
    for decision in [decide("ok", "eve"), decide("other", "ada")] {
        let told = store.decide(at(2), TENANT, run_id(1), decision).await.unwrap();
        assert!(matches!(told, Told::Refused(_)), "{told:?}");
    }
    let stranger = TenantId::from_bytes([9; 16]);
    for (tenant, id) in [(stranger, run_id(1)), (TENANT, run_id(2))] {
        let told = store.decide(at(2), tenant, id, decide("ok", "ada")).await.unwrap();
        assert!(matches!(told, Told::NotFound), "{told:?}");
    }
    assert_eq!(store.run(TENANT, run_id(1)).await.unwrap(), before);
    store.cancel(at(3), TENANT, run_id(1), "ada").await.unwrap();
    let late = store.decide(at(4), TENANT, run_id(1), decide("ok", "ada")).await.unwrap();
    assert!(matches!(late, Told::Refused(_)), "{late:?}");
}

async fn the_end_of_a_child_wakes_its_parent(home: Home) {
    let store = &home.store;
    let mut parent = new(1, json!([{ "name": "call", "kind": "workflow", "workflow": "child" }]));
    parent.affinity = Some("here".into());
    store.create_run(at(1), parent).await.unwrap();
    let task = store.claim(at(2), &io_claim(Some("here"))).await.unwrap().remove(0);
    let mut child = new(2, json!([{ "name": "a", "kind": "http", "url": "x" }]));
    child.run.parent = Some(Parent { run: run_id(1), step: "call".into(), number: 1, depth: 1 });
    child.idempotency_key = Some("step/1".into());
    store.create_run(at(2), child).await.unwrap();
    let found = store.run_by_key(TENANT, "step/1").await.unwrap().map(|run| run.id);
    assert_eq!((found, store.run_by_key(TENANT, "other").await.unwrap()), (Some(run_id(2)), None));
    let goes_on = AttemptOutcome { child: Some(run_id(2)), ..passed() };
    store.finish(at(3), &task.lease, Report::Attempted(goes_on)).await.unwrap();
    let asked_again = store.next_ready_at(Some("here")).await.unwrap().unwrap();
    assert!(asked_again <= at(3), "the child's own task is ready");
    let claimed = store.claim(at(3), &io_claim(Some("here"))).await.unwrap();
    assert_eq!(names(&claimed), ["a#1"], "the child runs where its parent does, and the parent is not asked yet");
    let later = store.next_ready_at(Some("here")).await.unwrap().unwrap();
    assert!(later > at(3), "the parent's next question");
    store.finish(at(3), &claimed[0].lease, output(json!(1))).await.unwrap();
    assert_eq!(store.next_ready_at(Some("here")).await.unwrap(), Some(at(3)), "woken by the end of the child");
    let woken = home.again().await.claim(at(3), &io_claim(Some("here"))).await.unwrap().remove(0);
    assert_eq!(work(&woken), "call#1");
    let finished = store.finish(at(4), &woken.lease, output(json!({ "n": 1 }))).await.unwrap();
    let Finished::Applied { run, .. } = finished else { panic!("{finished:?}") };
    assert_eq!((run.state.outcome(), run.steps[0].output.clone()), (Some(RunOutcome::Passed), Some(json!({ "n": 1 }))));
}

async fn items_of_a_foreach_are_steps_of_the_run(home: Home) {
    let store = &home.store;
    let steps = json!([
        { "name": "each", "kind": "foreach", "items": "{{ range(inputs.n) | list }}", "concurrency": 1,
          "action": { "kind": "http", "url": "x/{{ item }}" } },
    ]);
    store.create_run(at(1), new(1, steps)).await.unwrap();
    for n in 0..2 {
        let task = home.again().await.claim(at(2 + n), &io_claim(None)).await.unwrap().remove(0);
        assert_eq!(work(&task), format!("each/{n}#1"));
        store.finish(at(2 + n), &task.lease, output(json!(n))).await.unwrap();
    }
    let run = store.run(TENANT, run_id(1)).await.unwrap().unwrap();
    assert_eq!((run.state.outcome(), run.steps[0].output.clone()), (Some(RunOutcome::Passed), Some(json!([0, 1]))));
    let page = store.run_list(TENANT, &mb_store::RunFilter::default(), None, 10).await.unwrap();
    let cells: Vec<&str> = page.items[0].steps.iter().map(|cell| cell.name.as_str()).collect();
    assert_eq!(cells, ["each", "each/0", "each/1"]);
}
