//! Whole runs: clean, repaired, flaky, failed; with and without a repository; across a restart.

use std::time::Duration;

use expect_test::expect;
use mb_core::attempt::AttemptState;
use mb_core::id::TenantId;
use mb_core::run::{RunOutcome, Success};

use crate::world::{World, engine, wait, work, worker};

/// A linter of three lines: no file may say "bad".
const LINT: &str = r#"
version = 1
[steps.lint]
stage = "lint"
run = "! grep -n bad words.txt"
[[steps.lint.fix]]
name = "say good"
run = "sed -i s/bad/good/ words.txt"
[steps.test]
stage = "test"
run = "grep -q good words.txt"
needs = ["lint"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_project_passes() {
    let world = World::new(&[("meta-builder.toml", LINT), ("words.txt", "good\n")], true).await;
    let run = world.run().await;
    assert_eq!(run.state.outcome(), Some(RunOutcome::Passed));
    expect![[r#"
        step.succeeded lint
        step.succeeded test
        run.finished -
    "#]]
    .assert_eq(&world.decisions(run.id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_is_only_untidy_is_tidied_by_the_step_it_broke() {
    let format = r#"
[steps.format]
stage = "format"
run = "! grep -n ' $' words.txt"
[[steps.format.fix]]
name = "trim"
run = "sed -i 's/ *$//' words.txt"
"#;
    let config = LINT.replace("s/bad/good/", "'s/bad/good /'") + format;
    let world = World::new(&[("meta-builder.toml", &config), ("words.txt", "bad\n")], true).await;
    let run = world.run().await;
    assert_eq!(run.state.outcome(), Some(RunOutcome::Repaired), "{}", world.decisions(run.id).await);
    let patch = std::fs::read_to_string(run.published.and_then(|p| p.patch_file).expect("a patch")).expect("readable");
    assert!(patch.contains("-bad\n+good\n"), "{patch}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_starts_from_what_its_step_has_built() {
    let config = r#"
version = 1
[steps.lint]
stage = "lint"
run = "mkdir -p out && touch out/built && ! grep -n bad words.txt"
caches = ["out"]
[[steps.lint.fix]]
name = "say good"
run = "test -f out/built && sed -i s/bad/good/ words.txt"
"#;
    let world = World::new(&[("meta-builder.toml", config), ("words.txt", "bad\n")], true).await;
    if !mb_runner::Sandbox::detect().report().overlays {
        return;
    }
    let run = world.run().await;
    assert_eq!(run.state.outcome(), Some(RunOutcome::Repaired), "{}", world.decisions(run.id).await);
    assert_eq!(run.patches[0].patch.files, ["words.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_file_written_by_the_way_is_no_part_of_a_repair() {
    let fixer = "sed -i s/bad/good/ words.txt && echo lock > Cargo.lock";
    let config = LINT.replace("sed -i s/bad/good/ words.txt", fixer);
    let world = World::new(&[("meta-builder.toml", &config), ("words.txt", "bad\n")], true).await;
    let run = world.run().await;
    assert_eq!(run.state.outcome(), Some(RunOutcome::Repaired), "{}", world.decisions(run.id).await);
    assert_eq!(run.patches[0].patch.files, ["words.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixer_repairs_and_the_users_files_stay_as_they_are() {
    for git in [true, false] {
        let world = World::new(&[("meta-builder.toml", LINT), ("words.txt", "bad\n")], git).await;
        let run = world.run().await;
        assert_eq!(run.state.outcome(), Some(RunOutcome::Repaired), "{}", world.decisions(run.id).await);
        expect![[r#"
            failure.classified lint
            repair.finished lint
            step.succeeded lint
            step.succeeded test
            run.published -
            run.finished -
        "#]]
        .assert_eq(&world.decisions(run.id).await);
        assert_eq!(std::fs::read_to_string(world.project.join("words.txt")).expect("there"), "bad\n");
        let published = run.published.expect("a result");
        assert_eq!(published.problem, None);
        assert_eq!(published.branch.is_some(), git);
        let patch = std::fs::read_to_string(published.patch_file.expect("a patch file")).expect("readable");
        assert!(patch.contains("-bad\n+good\n"), "{patch}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_finds_what_the_step_it_needs_has_built() {
    let config = r#"
version = 1
[steps.build]
run = "mkdir -p out && echo built > out/product"
[steps.test]
run = "cat out/product"
needs = ["build"]
[steps.alone]
run = "! test -e out/product"
"#;
    let world = World::new(&[("meta-builder.toml", config), (".gitignore", "out/\n")], true).await;
    let run = world.run().await;
    assert_eq!(run.state.outcome(), Some(RunOutcome::Passed), "{}", world.decisions(run.id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_passes_the_second_time_is_flaky() {
    // Connected steps share their files, so a re-run sees the mark that the first try left.
    let config = "version = 1\n[steps.test]\nstage = \"test\"\nrun = \"test -e mark || { touch mark; exit 1; }\"\n";
    let world = World::new(&[("meta-builder.toml", config)], true).await;
    let run = world.run().await;
    assert_eq!(run.state.outcome(), Some(RunOutcome::Passed), "{}", world.decisions(run.id).await);
    assert!(run.is_flaky());
    assert!(matches!(
        run.steps[0].state,
        mb_core::run::StepState::Done { outcome: mb_core::run::StepOutcome::Succeeded { how: Success::Flaky } }
    ));
    assert!(run.patches.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fix_that_breaks_an_earlier_step_is_rolled_back() {
    let config = r#"
version = 1
[steps.spelling]
run = "grep -q colour words.txt"
[steps.lint]
stage = "lint"
needs = ["spelling"]
run = "! grep -n bad words.txt"
[[steps.lint.fix]]
name = "empty it"
run = "echo nothing > words.txt"
"#;
    let world = World::new(&[("meta-builder.toml", config), ("words.txt", "bad colour\n")], true).await;
    let run = world.run().await;
    assert_eq!(run.state.outcome(), Some(RunOutcome::Failed));
    expect![[r#"
        step.succeeded spelling
        failure.classified lint
        repair.finished lint
        step.failed lint
        run.finished -
    "#]]
    .assert_eq(&world.decisions(run.id).await);
    assert_eq!(run.steps[1].repairs[0].outcome().expect("over").verdict.word(), "rejected");
    assert!(run.patches.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_goes_on_where_the_first_one_died() {
    let world = World::new(&[("meta-builder.toml", LINT), ("words.txt", "bad\n")], true).await;
    let id = world.start().await;
    // The first process claims a task and is never seen again.
    let claim = mb_core::queue::Claim {
        worker: world.engine.worker_id(),
        slots: [(mb_core::task::QueueClass::Cpu, 1)].into(),
        affinity: Some(mb_core::affinity::of_node(world.engine.data().node())),
        lease: Duration::from_secs(3600),
    };
    let row = mb_store::WorkerRow {
        id: world.engine.worker_id(),
        node: world.engine.data().node().to_owned(),
        pid: 1,
        version: "0".into(),
        roles: ["worker".to_owned()].into(),
        slots: claim.slots.clone(),
        affinity: None,
        started_at: world.engine.env().now(),
        state: "active".into(),
    };
    world.engine.store().worker_seen(world.engine.env().now(), &row).await.expect("registered");
    let held = world.engine.store().claim(world.engine.env().now(), &claim).await.expect("claimed");
    assert_eq!(held.len(), 1);
    let second = engine(world.engine.data()).await;
    let taken = second.recover_node(None).await.expect("taken back");
    assert_eq!(taken.iter().map(|lease| lease.task).collect::<Vec<_>>(), [held[0].lease.task]);
    let run = work(&second, id).await;
    assert_eq!(run.state.outcome(), Some(RunOutcome::Repaired), "{}", world.decisions(id).await);
    assert_eq!(run.steps[0].attempts.len(), 1, "the lost attempt is the same attempt");
    assert_eq!(run.steps[0].attempts[0].losses, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_file_decides_before_the_words_of_the_log() {
    let config = r#"
version = 1
[steps.test]
stage = "test"
run = """
echo 'connection refused, or so it says'
cat > junit.xml <<END
<testsuite tests="2" failures="1"><testcase classname="sums" name="adds"><failure message="expected 4, got 5"/></testcase><testcase classname="sums" name="subtracts"/></testsuite>
END
exit 1
"""
"#;
    let world = World::new(&[("meta-builder.toml", config)], true).await;
    let run = world.run().await;
    let failure = run.steps[0].failure().expect("it failed");
    assert_eq!(failure.kind, mb_core::failure::FailureKind::TestAssert);
    assert_eq!(failure.signal, mb_core::failure::Signal::MachineOutput);
    assert!(failure.summary.contains("adds"), "{}", failure.summary);
}

/// A step that a command holds up, and no repairs: whatever ends the command decides the run.
const LONG: &str = r#"
version = 1
[repair]
enabled = false
[steps.wait]
run = "echo begun > /dev/stderr; sleep 600"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_gives_its_tasks_back() {
    let world = World::new(&[("meta-builder.toml", LONG)], false).await;
    let id = world.start().await;
    let (leaving, stop) = worker(&world.engine, Duration::from_secs(60), Duration::from_millis(50));
    wait(&world.engine, id, |run| !run.workers().is_empty()).await;
    stop.cancel();
    leaving.await.expect("the worker ends well");
    let run = wait(&world.engine, id, |_| true).await;
    assert_eq!(run.state.outcome(), None, "{}", world.decisions(id).await);
    let [attempt] = run.steps[0].attempts.as_slice() else { panic!("{:?}", run.steps[0].attempts) };
    assert!(matches!(attempt.state, AttemptState::Queued { .. }), "{attempt:?}");
    assert_eq!(attempt.losses, 0, "giving back is no loss");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_stopped_before_the_next_renewal() {
    let world = World::new(&[("meta-builder.toml", LONG)], false).await;
    let id = world.start().await;
    // Renewed every five minutes, which is beyond the deadline of the wait.
    let (working, stop) = worker(&world.engine, Duration::from_secs(900), Duration::from_millis(50));
    wait(&world.engine, id, |run| !run.workers().is_empty()).await;
    let (store, now) = (world.engine.store(), world.engine.env().now());
    store.cancel(now, TenantId::DEFAULT, id, "test").await.expect("cancelled");
    let run = wait(&world.engine, id, |run| run.state.outcome().is_some()).await;
    stop.cancel();
    working.await.expect("the worker ends well");
    assert_eq!(run.state.outcome(), Some(RunOutcome::Canceled));
}
