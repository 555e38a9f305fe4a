//! The run machine as data: scripts of outcomes in, the timeline out; and random walks that check what must
//! always hold. What the kinds beside commands do is in [`kinds`].

mod kinds;

use std::collections::{BTreeSet, VecDeque};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::attempt::AttemptState;
use crate::budget::{Budget, MicroUsd};
use crate::failure::{ExitCause, Failure, FailureKind, Fingerprint, Hint, Signal};
use crate::id::{RunId, TenantId};
use crate::repair::{PatchRef, Verdict};
use crate::run::{RunOutcome, Source, Step, StepOutcome, StepState, StopReason};
use crate::workflow::{Action, CommandLine, Fixer, Network, Shell, StepSpec, Workflow};

const WORKER: WorkerId = WorkerId::from_bytes([7; 16]);

fn spec(name: &str, needs: &[&str], fixers: &[&str]) -> StepSpec {
    let fixer = |name: &&str| Fixer {
        name: (*name).into(),
        command: CommandLine::Shell("fix".into()),
        kinds: BTreeSet::new(),
        network: Network::None,
    };
    let command = CommandLine::Shell("true".into());
    let shell = Shell { fixers: fixers.iter().map(fixer).collect(), ..Shell::new(command) };
    let needs = needs.iter().map(ToString::to_string).collect();
    StepSpec { needs, ..StepSpec::new(name, Action::Shell(shell)) }
}

fn run_of(steps: Vec<StepSpec>, budget: Budget) -> Run {
    let workflow = Workflow { budget, ..Workflow::new("w", steps) };
    let source = Source { root: "/p".into(), snapshot: serde_json::Value::Null, commit: None };
    let workflow = workflow.validate().expect("the test workflow is valid");
    Run::new(Timestamp::from_micros(0), RunId::from_bytes([0; 16]), TenantId::DEFAULT, workflow, Some(source))
}

fn failure(kind: FailureKind) -> Failure {
    Failure {
        kind,
        signal: Signal::ToolLine,
        exit: ExitCause::Code { code: 1 },
        summary: format!("a {kind} failure"),
        tool: None,
        diagnostics: Vec::new(),
        evidence: Vec::new(),
        hints: BTreeSet::new(),
        tests: None,
        fingerprint: Fingerprint(kind.as_str().into()),
    }
}

fn outcome(failure: Option<Failure>) -> AttemptOutcome {
    AttemptOutcome { cpu_ms: 1, ..AttemptOutcome::plain(10, failure) }
}

fn repair_outcome(verdict: Verdict) -> RepairOutcome {
    let patch = matches!(verdict, Verdict::Accepted | Verdict::Improved { .. } | Verdict::Rejected { .. })
        .then(|| PatchRef { digest: "d".into(), files: vec!["a".into()], added: 1, removed: 1 });
    RepairOutcome {
        title: "an edit".into(),
        verdict,
        patch,
        verified: Vec::new(),
        candidates: 1,
        cost_microusd: MicroUsd(0),
        duration_ms: 5,
    }
}

/// What a task does, in a script: `ok`, a failure kind, a verdict, `lost`, `cancel`.
fn report(work: &Work, word: &str) -> RunEvent {
    match (work, word) {
        (_, "lost") => RunEvent::Lost { work: work.clone() },
        (Work::Publish, _) => {
            RunEvent::Published(Published { branch: None, patch_file: Some("p".into()), problem: None })
        }
        (Work::Attempt { step, number }, "child") => {
            let outcome = AttemptOutcome { child: Some(RunId::from_bytes([9; 16])), ..outcome(None) };
            RunEvent::Attempted { step: step.clone(), number: *number, outcome }
        }
        (Work::Attempt { step, number }, word) if word.starts_with('=') => {
            let output = serde_json::from_str(&word[1..]).expect("JSON after =");
            let outcome = AttemptOutcome { output: Some(output), ..outcome(None) };
            RunEvent::Attempted { step: step.clone(), number: *number, outcome }
        }
        (Work::Attempt { step, number }, word) => {
            let failure = FailureKind::from_word(word).map(failure);
            assert!(failure.is_some() || word == "ok", "script word {word:?} for {work}");
            RunEvent::Attempted { step: step.clone(), number: *number, outcome: outcome(failure) }
        }
        (Work::Repair { step, number }, word) => {
            let verdict = match word {
                "accepted" => Verdict::Accepted,
                "improved" => Verdict::Improved { left: Box::new(failure(FailureKind::Lint)) },
                "no_candidate" => Verdict::NoCandidate { why: "nothing fits".into() },
                "rejected" => Verdict::Rejected { step: step.clone(), why: "still fails".into() },
                other => panic!("script word {other:?} for {work}"),
            };
            RunEvent::Repaired { step: step.clone(), number: *number, outcome: repair_outcome(verdict) }
        }
    }
}

/// A world of one queue: applies effects, remembers the timeline.
struct World {
    run: Run,
    now: Timestamp,
    queue: VecDeque<(Work, Timestamp)>,
    lines: Vec<String>,
}

impl World {
    fn new(run: Run) -> World {
        let mut world = World { run, now: Timestamp::from_micros(0), queue: VecDeque::new(), lines: Vec::new() };
        world.apply(RunEvent::Created);
        world
    }

    fn apply(&mut self, event: RunEvent) {
        self.now = self.now + std::time::Duration::from_millis(10);
        let advance = apply(self.now, self.run.clone(), event).expect("the event fits");
        self.run = advance.next;
        for effect in advance.effects {
            match effect {
                Effect::Enqueue(spec) => {
                    self.queue.retain(|(work, _)| *work != spec.work);
                    self.queue.push_back((spec.work, spec.ready_at));
                }
                Effect::Withdraw(work) => self.queue.retain(|(queued, _)| *queued != work),
                Effect::Interrupt(_) => {}
            }
        }
        self.lines.extend(advance.events.iter().map(EventKind::text));
    }

    /// Claims and ends the tasks of the script in its order: `("a", "ok")` ends the queued task of step a.
    fn play(&mut self, script: &[(&str, &str)]) {
        for (step, word) in script {
            let at = self.queue.iter().position(|(work, _)| work.step().unwrap_or("publish") == *step);
            let Some((work, ready_at)) = at.and_then(|at| self.queue.remove(at)) else {
                panic!("nothing queued for {step}; timeline so far:\n{}", self.lines.join("\n"))
            };
            self.now = self.now.max(ready_at);
            self.apply(RunEvent::Claimed { work: work.clone(), worker: WORKER });
            if self.run.state.outcome().is_none() {
                self.apply(report(&work, word));
            }
        }
    }
}

fn check(steps: Vec<StepSpec>, budget: Budget, script: &[(&str, &str)], expected: &Expect) {
    let mut world = World::new(run_of(steps, budget));
    world.play(script);
    world.told(expected);
}

impl World {
    /// Compares the timeline, and that nothing is left to do; the run is the same after being stored.
    fn told(&self, expected: &Expect) {
        let world = self;
        expected.assert_eq(&(world.lines.join("\n") + "\n"));
        assert!(world.queue.is_empty(), "left on the queue: {:?}", world.queue);
        let json = serde_json::to_string(&world.run).expect("a run serialises");
        assert_eq!(serde_json::from_str::<Run>(&json).expect("and parses"), world.run);
    }
}

#[test]
fn a_clean_run_passes() {
    check(
        vec![spec("a", &[], &[]), spec("b", &["a"], &[])],
        Budget::DEFAULT,
        &[("a", "ok"), ("b", "ok")],
        &expect![[r#"
            run of workflow w accepted: 2 steps
            a: attempt 1 queued
            started
            a: attempt 1 started
            a: attempt 1 ended, exit 0 after 10ms
            a passed
            b: attempt 1 queued
            b: attempt 1 started
            b: attempt 1 ended, exit 0 after 10ms
            b passed
            passed in 30ms, $0.00, 0 repair attempts
        "#]],
    );
}

#[test]
fn a_repair_is_kept_and_the_steps_behind_it_run() {
    check(
        vec![spec("a", &[], &["fix"]), spec("b", &["a"], &[])],
        Budget::DEFAULT,
        &[("a", "lint"), ("a", "accepted"), ("b", "ok"), ("publish", "ok")],
        &expect![[r#"
            run of workflow w accepted: 2 steps
            a: attempt 1 queued
            started
            a: attempt 1 started
            a: attempt 1 ended, exit 1 after 10ms
            a failed: lint (decided by tool line): a lint failure
            a: repair 1 will try fixer `fix`
            a: repair 1 started
            a: repair 1 accepted and verified in 5ms: an edit (1 file, +1 -1)
            a passes with the repair
            b: attempt 1 queued
            b: attempt 1 started
            b: attempt 1 ended, exit 0 after 10ms
            b passed
            result: patch p
            repaired in 70ms, $0.00, 1 repair attempt
        "#]],
    );
}

#[test]
fn the_same_inputs_that_pass_on_a_re_run_are_flaky_and_nothing_is_patched() {
    check(
        vec![spec("a", &[], &["fix"])],
        Budget::DEFAULT,
        &[("a", "test_assert"), ("a", "ok")],
        &expect![[r#"
        run of workflow w accepted: 1 step
        a: attempt 1 queued
        started
        a: attempt 1 started
        a: attempt 1 ended, exit 1 after 10ms
        a failed: test_assert (decided by tool line): a test_assert failure
        a: attempt 2 runs again with nothing changed
        a: attempt 2 started
        a: attempt 2 ended, exit 0 after 10ms
        a passed on a re-run with nothing changed: flaky
        passed in 30ms, $0.00, 1 repair attempt
    "#]],
    );
}

#[test]
fn what_cannot_be_repaired_fails_with_the_reason_and_skips_what_needs_it() {
    check(
        vec![spec("a", &[], &["fix"]), spec("b", &["a"], &[])],
        Budget::DEFAULT,
        &[("a", "format"), ("a", "rejected")],
        &expect![[r#"
            run of workflow w accepted: 2 steps
            a: attempt 1 queued
            started
            a: attempt 1 started
            a: attempt 1 ended, exit 1 after 10ms
            a failed: format (decided by tool line): a format failure
            a: repair 1 will try fixer `fix`
            a: repair 1 started
            a: repair 1 rolled back: an edit (1 file, +1 -1): still fails
            a stays failed: every strategy that fits was tried
            b skipped: it needs a
            failed in 30ms, $0.00, 1 repair attempt
        "#]],
    );
    check(
        vec![spec("a", &[], &["fix"])],
        Budget::DEFAULT,
        &[("a", "toolchain_missing")],
        &expect![[r#"
        run of workflow w accepted: 1 step
        a: attempt 1 queued
        started
        a: attempt 1 started
        a: attempt 1 ended, exit 1 after 10ms
        a failed: toolchain_missing (decided by tool line): a toolchain_missing failure
        a stays failed: a tool it needs is not installed
        failed in 10ms, $0.00, 0 repair attempts
    "#]],
    );
    check(
        vec![spec("a", &[], &["fix"])],
        Budget::DEFAULT,
        &[("a", "security")],
        &expect![[r#"
        run of workflow w accepted: 1 step
        a: attempt 1 queued
        started
        a: attempt 1 started
        a: attempt 1 ended, exit 1 after 10ms
        a failed: security (decided by tool line): a security failure
        a stays failed: a person has to decide
        failed in 10ms, $0.00, 0 repair attempts
    "#]],
    );
}

#[test]
fn an_improvement_is_built_on() {
    check(
        vec![spec("a", &[], &["one", "two"])],
        Budget::DEFAULT,
        &[("a", "lint"), ("a", "improved"), ("a", "no_candidate"), ("a", "accepted"), ("publish", "ok")],
        &expect![[r#"
            run of workflow w accepted: 1 step
            a: attempt 1 queued
            started
            a: attempt 1 started
            a: attempt 1 ended, exit 1 after 10ms
            a failed: lint (decided by tool line): a lint failure
            a: repair 1 will try fixer `one`
            a: repair 1 started
            a: repair 1 helps, not enough yet: an edit (1 file, +1 -1); left: a lint failure
            a: repair 2 will try fixer `one`
            a: repair 2 started
            a: repair 2 has nothing to propose (fixer `one`): nothing fits
            a: repair 3 will try fixer `two`
            a: repair 3 started
            a: repair 3 accepted and verified in 5ms: an edit (1 file, +1 -1)
            a passes with the repair
            result: patch p
            repaired in 90ms, $0.00, 2 repair attempts
        "#]],
    );
}

#[test]
fn the_repair_of_one_step_rechecks_the_others_that_failed() {
    check(
        vec![spec("a", &[], &[]), spec("b", &[], &["fix"]), spec("c", &["a"], &[])],
        Budget::DEFAULT,
        &[("a", "config_ci"), ("b", "lint"), ("b", "accepted"), ("a", "ok"), ("c", "ok"), ("publish", "ok")],
        &expect![[r#"
            run of workflow w accepted: 3 steps
            a: attempt 1 queued
            b: attempt 1 queued
            started
            a: attempt 1 started
            a: attempt 1 ended, exit 1 after 10ms
            a failed: config_ci (decided by tool line): a config_ci failure
            b: attempt 1 started
            b: attempt 1 ended, exit 1 after 10ms
            b failed: lint (decided by tool line): a lint failure
            a stays failed: no offline strategy fits this kind of failure
            c skipped: it needs a
            b: repair 1 will try fixer `fix`
            b: repair 1 started
            b: repair 1 accepted and verified in 5ms: an edit (1 file, +1 -1)
            b passes with the repair
            a: attempt 2 runs again on the repaired files
            a: attempt 2 started
            a: attempt 2 ended, exit 0 after 10ms
            a passes with the repair of another step
            c: attempt 1 queued
            c: attempt 1 started
            c: attempt 1 ended, exit 0 after 10ms
            c passed
            result: patch p
            repaired in 110ms, $0.00, 1 repair attempt
        "#]],
    );
}

#[test]
fn the_attempt_budget_is_a_hard_stop() {
    let budget = Budget { attempts: 1, ..Budget::DEFAULT };
    check(
        vec![spec("a", &[], &["one", "two"])],
        budget,
        &[("a", "lint"), ("a", "rejected")],
        &expect![[r#"
        run of workflow w accepted: 1 step
        a: attempt 1 queued
        started
        a: attempt 1 started
        a: attempt 1 ended, exit 1 after 10ms
        a failed: lint (decided by tool line): a lint failure
        80 % of the attempts budget is used
        a: repair 1 will try fixer `one`
        a: repair 1 started
        a: repair 1 rolled back: an edit (1 file, +1 -1): still fails
        attempts budget is used up: fixer `two` for a was not started
        a stays failed: the run's attempt budget is used up
        budget exceeded in 30ms, $0.00, 1 repair attempt
    "#]],
    );
}

#[test]
fn the_time_budget_is_a_hard_stop() {
    let budget = Budget { time_ms: 105, ..Budget::DEFAULT };
    check(
        vec![spec("a", &[], &["one"]), spec("b", &["a"], &[])],
        budget,
        &[("a", "lint")],
        &expect![[r#"
        run of workflow w accepted: 2 steps
        a: attempt 1 queued
        started
        a: attempt 1 started
        a: attempt 1 ended, exit 1 after 10ms
        a failed: lint (decided by tool line): a lint failure
        time budget is used up: a was not started
        a stays failed: the run's time budget is used up
        time budget is used up: b was not started
        b stays failed: the run's time budget is used up
        budget exceeded in 10ms, $0.00, 0 repair attempts
    "#]],
    );
}

#[test]
fn a_vanished_worker_is_forgiven_four_times() {
    check(
        vec![spec("a", &[], &[])],
        Budget::DEFAULT,
        &[("a", "lost"); 5],
        &expect![[r#"
            run of workflow w accepted: 1 step
            a: attempt 1 queued
            started
            a: attempt 1 started
            a#1 is on the queue again; workers vanished over it 1 time
            a: attempt 1 started
            a#1 is on the queue again; workers vanished over it 2 times
            a: attempt 1 started
            a#1 is on the queue again; workers vanished over it 3 times
            a: attempt 1 started
            a#1 is on the queue again; workers vanished over it 4 times
            a: attempt 1 started
            a#1 is on the queue again; workers vanished over it 5 times
            a stays failed: workers vanished while running it
            failed in 90ms, $0.00, 0 repair attempts
        "#]],
    );
}

#[test]
fn a_cancelled_run_ends_when_its_last_task_does() {
    let mut world =
        World::new(run_of(vec![spec("a", &[], &[]), spec("b", &[], &[]), spec("c", &["a"], &[])], Budget::DEFAULT));
    let (work, _) = world.queue.pop_front().expect("a is queued");
    world.apply(RunEvent::Claimed { work: work.clone(), worker: WORKER });
    world.apply(RunEvent::Cancel { by: "ada: wrong branch".into() });
    assert!(world.queue.is_empty(), "b was withdrawn");
    assert_eq!(world.run.state.outcome(), None, "a still runs");
    world.apply(report(&work, "unknown"));
    assert_eq!(world.run.state.outcome(), Some(RunOutcome::Canceled));
}

#[test]
fn late_and_foreign_events_change_nothing() {
    let mut world = World::new(run_of(vec![spec("a", &[], &[])], Budget::DEFAULT));
    let ended = |number| RunEvent::Attempted { step: "a".into(), number, outcome: outcome(None) };
    let refused =
        |world: &World, event| apply(world.now, world.run.clone(), event).expect_err("does not fit").to_string();
    expect!["attempted does not fit the run: attempt a#1 is not running"].assert_eq(&refused(&world, ended(1)));
    expect!["attempted does not fit the run: attempt a#2 is not in flight"].assert_eq(&refused(&world, ended(2)));
    let unknown = Work::Attempt { step: "z".into(), number: 1 };
    expect![[r#"claimed does not fit the run: there is no step "z""#]]
        .assert_eq(&refused(&world, RunEvent::Claimed { work: unknown, worker: WORKER }));
    world.play(&[("a", "ok")]);
    expect!["attempted does not fit the run: it is over"].assert_eq(&refused(&world, ended(1)));
}

#[test]
fn a_service_that_asks_to_wait_is_waited_for() {
    let mut world = World::new(run_of(vec![spec("a", &[], &[])], Budget::DEFAULT));
    let (work, _) = world.queue.pop_front().expect("a is queued");
    world.apply(RunEvent::Claimed { work, worker: WORKER });
    let mut limited = failure(FailureKind::RateLimit);
    limited.hints.insert(Hint::RetryAfter { wait_ms: 7_000 });
    world.apply(RunEvent::Attempted { step: "a".into(), number: 1, outcome: outcome(Some(limited)) });
    let AttemptState::Queued { ready_at } = world.run.steps[0].attempts[1].state else { panic!("a is queued again") };
    assert_eq!(ready_at.since(world.now), std::time::Duration::from_secs(7));
}

impl Step {
    /// Whether it ended while a task of it was in flight: its worker vanished too often, or it was cancelled.
    fn ended_by_force(&self) -> bool {
        matches!(
            self.state,
            StepState::Done {
                outcome: StepOutcome::Failed { reason: StopReason::WorkerLost, .. } | StepOutcome::Canceled
            }
        )
    }
}

/// What must hold after every event, whatever happens.
fn invariants(run: &Run) {
    assert!(run.spend.attempts <= run.workflow.budget.attempts, "never more attempts than the budget");
    for step in &run.steps {
        let numbers: Vec<u32> = step.attempts.iter().map(|a| a.number).collect();
        assert_eq!(
            numbers,
            (1..=u32::try_from(numbers.len()).expect("few")).collect::<Vec<_>>(),
            "attempts are numbered once each"
        );
        let live = step.attempts.iter().filter(|a| a.outcome().is_none()).count()
            + step.repairs.iter().filter(|r| r.outcome().is_none()).count();
        // A step that waits has at most its clock, or its question about another run.
        let waits = matches!(step.state, StepState::Waiting(_));
        let over = matches!(step.state, StepState::Done { .. });
        let left = over && step.ended_by_force();
        assert!(live <= 1, "at most one task of {} in flight", step.name);
        assert!(
            live == usize::from(step.is_active()) || waits || left,
            "{} has a task exactly when it is active",
            step.name
        );
        assert_eq!(over, step.ended_at.is_some(), "{} says when it was over", step.name);
    }
    if run.state.outcome().is_some_and(|o| matches!(o, RunOutcome::Passed | RunOutcome::Repaired)) {
        assert!(run.steps.iter().all(Step::satisfied));
    }
}

proptest! {
    #[test]
    fn every_walk_keeps_the_invariants_and_ends(choices in prop::collection::vec((0usize..8, 0usize..9), 1..400), attempts in 0u32..12) {
        let steps = vec![spec("a", &[], &["x", "y"]), spec("b", &["a"], &["x"]), spec("c", &["a"], &[]), spec("d", &["b", "c"], &["y"])];
        let mut world = World::new(run_of(steps, Budget { attempts, ..Budget::DEFAULT }));
        let words = ["ok", "ok", "lint", "test_assert", "network_infra", "format", "config_ci", "compile", "lost"];
        let verdicts = ["accepted", "improved", "no_candidate", "rejected", "rejected", "accepted", "lost", "improved", "rejected"];
        let mut choices = choices.into_iter().chain(std::iter::repeat((0, 0)));
        for _ in 0..2_000 {
            let Some((pick, word)) = choices.next().filter(|_| !world.queue.is_empty()) else { break };
            let at = pick % world.queue.len();
            let (work, ready_at) = world.queue.remove(at).expect("in range");
            world.now = world.now.max(ready_at);
            world.apply(RunEvent::Claimed { work: work.clone(), worker: WORKER });
            invariants(&world.run);
            let word = if matches!(work, Work::Repair { .. }) { verdicts[word] } else { words[word] };
            world.apply(report(&work, word));
            invariants(&world.run);
        }
        prop_assert!(world.run.state.outcome().is_some(), "the run ends:\n{}", world.lines.join("\n"));
    }
}
