//! How a verdict is reached, whatever the tool: order of the signals, paths, reports, bounds.

use expect_test::expect;
use mb_core::failure::{ExitCause, FailureKind, Signal};
use mb_core::workflow::StageKind as S;
use mb_repair::{Observed, classify, test_counts};
use proptest::prelude::*;

use crate::support::{observe, shown, step};

#[test]
fn the_way_it_ended_decides_before_any_output() {
    let check = |stage, exit, kind: FailureKind, summary: &str| {
        let failure = observe(&step(stage, "./run"), exit, "src/a.c:1:2: error: x\n");
        assert_eq!((failure.kind, failure.signal), (kind, Signal::ExitCause));
        assert_eq!(failure.summary, summary);
    };
    use FailureKind as K;
    check(S::Test, ExitCause::NotFound, K::ToolchainMissing, "program not found: sh");
    check(S::Test, ExitCause::OutOfMemory, K::Resource, "stopped at the memory limit: x (src/a.c:1:2)");
    check(S::Build, ExitCause::Signal { signal: 9 }, K::Resource, "killed by signal 9: x (src/a.c:1:2)");
    check(S::Test, ExitCause::Signal { signal: 11 }, K::TestError, "killed by signal 11: x (src/a.c:1:2)");
    check(S::Test, ExitCause::Code { code: 139 }, K::TestError, "exit 139: x (src/a.c:1:2)");
    check(S::Lint, ExitCause::Code { code: 127 }, K::ToolchainMissing, "exit 127: x (src/a.c:1:2)");
    check(
        S::Lint,
        ExitCause::Timeout { limit_ms: 1_000 },
        K::Timeout,
        "stopped after the time limit of 1.0s: x (src/a.c:1:2)",
    );
}

#[test]
fn the_stage_decides_when_no_tool_was_recognised_and_words_only_then() {
    let check = |stage, log, kind: FailureKind, signal: Signal| {
        let failure = observe(&step(stage, "./run"), ExitCause::Code { code: 1 }, log);
        assert_eq!((failure.kind, failure.signal), (kind, signal), "{log}");
    };
    check(S::Lint, "something odd", FailureKind::Lint, Signal::Stage);
    check(S::Lint, "connection refused", FailureKind::Lint, Signal::Stage);
    check(S::Custom, "dial tcp: connection refused", FailureKind::NetworkInfra, Signal::Text);
    check(S::Custom, "something odd", FailureKind::Unknown, Signal::Text);
    check(S::Custom, "", FailureKind::Unknown, Signal::Text);
    check(S::Test, "make: *** [Makefile:3: test] Error 1", FailureKind::TestError, Signal::GoalLine);
}

#[test]
fn report_files_outweigh_the_log() {
    let junit = r#"<?xml version="1.0"?><testsuites><testsuite name="s">
        <testcase classname="tests.test_a" name="test_ok" time="0.1"/>
        <testcase classname="tests.test_a" name="test_x" file="tests/test_a.py" line="5">
          <failure message="assert 3 == 4&#10;more">Traceback</failure></testcase>
        <testcase classname="tests.test_a" name="test_y"><error>KeyError: 'k'
at x</error></testcase></testsuite></testsuites>"#;
    let sarif = r#"{"runs":[{"tool":{"driver":{"name":"Scan"}},"results":[{"ruleId":"R1","level":"error",
        "message":{"text":"bad"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a/b.js"},
        "region":{"startLine":3,"startColumn":4}}}]},{"ruleId":"R2","level":"note","message":{"text":"fine"}}]}]}"#;
    let step = step(S::Test, "./run");
    let exit = ExitCause::Code { code: 1 };
    let show = |content: &str| {
        let files = [("report".to_owned(), content.to_owned())];
        let observed = Observed {
            name: step.stage.as_str(),
            step: &step,
            exit,
            stdout: "",
            log: "x",
            files: &files,
            detail: None,
            roots: &[],
        };
        shown(&classify(&observed))
    };
    expect![[r#"
        test_assert by machine_output of junit: 2 tests failed: tests.test_a.test_x (assert 3 == 4), tests.test_a.test_y (KeyError: 'k')
          test_assert tests/test_a.py:5 [tests.test_a.test_x] assert 3 == 4
          test_error - [tests.test_a.test_y] KeyError: 'k'
          lines: 1
    "#]].assert_eq(&show(junit));
    expect![[r#"
        lint by machine_output of scan: bad (a/b.js:3:4)
          lint a/b.js:3:4 [R1] bad
          lines: 1
    "#]]
    .assert_eq(&show(sarif));
    assert_eq!(show("<testsuite><testcase name='a'><failure"), show("{"), "broken reports say nothing");
}

#[test]
fn paths_are_those_of_the_project() {
    let mut step = step(S::Build, "make");
    step.dir = "web".into();
    let place = |log: &str| {
        let observed = Observed {
            name: step.stage.as_str(),
            step: &step,
            exit: ExitCause::Code { code: 2 },
            stdout: "",
            log,
            files: &[],
            detail: None,
            roots: &["/w/tree/", "/src"],
        };
        classify(&observed).diagnostics[0].position.as_ref().map(ToString::to_string)
    };
    assert_eq!(place("/w/tree/web/a.c:1:2: error: x").as_deref(), Some("web/a.c:1:2"));
    assert_eq!(place("./a.c:1:2: error: x").as_deref(), Some("web/a.c:1:2"));
    assert_eq!(place("../lib/a.c:1: error: x").as_deref(), Some("lib/a.c:1"));
    assert_eq!(place("/src/a.c:1:2: error: x").as_deref(), Some("a.c:1:2"));
    assert_eq!(place("/usr/include/a.h:1:2: error: x").as_deref(), Some("/usr/include/a.h:1:2"));
}

#[test]
fn what_is_kept_is_bounded_however_much_is_said() {
    let log: String = (0..50_000).map(|n| format!("src/a{n}.c:{n}:1: error: message {n}\n")).collect();
    let failure = observe(&step(S::Build, "make"), ExitCause::Code { code: 1 }, &log);
    assert_eq!(failure.diagnostics.len(), mb_core::failure::Failure::DIAGNOSTICS_MAX);
    assert!(failure.evidence.len() <= mb_core::failure::Failure::EVIDENCE_MAX);
    assert_eq!(failure.evidence[0].line, 1);
    let long = format!("{}\nsrc/a.c:1:1: error: {}\n", "y".repeat(100_000), "x".repeat(900));
    let failure = observe(&step(S::Build, "make"), ExitCause::Code { code: 1 }, &long);
    assert!(failure.diagnostics[0].message.len() <= 500 && failure.summary.len() <= 310);
}

/// Pieces that readers look for, mixed with anything.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "error[E0308]: x",
        " --> src/a.rs:1:2",
        "test a ... FAILED",
        "thread 'a' panicked at src/a.rs:1:2:",
        "FAILED a.py::b - c",
        "____ a ____",
        "E   x",
        "Traceback (most recent call last):",
        "  File \"a.py\", line 99999999999",
        "not ok 1 - a",
        "  ● a › b",
        "  1 failing",
        "  1) a",
        "✖ failing tests:",
        "test at a:1:1",
        "--- FAIL: A (0s)",
        "a.c:1:1: error: é",
        "CMake Error at a:1 (b):",
        "{\"reason\":\"compiler-message\",\"message\":{}}",
        "[{\"filePath\":1}]",
        "Ran 9 tests in 1s",
        "FAILED (failures=99)",
        "\u{1b}[31",
        "\r",
        "Retry-After: 999999",
        "rspec ./a.rb:1 # b",
        "Diff in a.rs:1:",
        "[warn] a.js",
        "help: a",
        "FAIL a.js > b",
    ];
    prop_oneof![proptest::sample::select(words.to_vec()).prop_map(str::to_owned), "\\PC{0,40}", any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_output_has_a_verdict(pieces in proptest::collection::vec(piece(), 0..30), stage in 0..S::ALL.len(), code in -2..300) {
        let log = pieces.join("\n");
        let files = [("f".to_owned(), log.clone())];
        let step = step(S::ALL[stage], "npx vitest; gofmt -l .");
        let exit = ExitCause::Code { code };
        let observed = Observed { name: step.stage.as_str(), step: &step, exit, stdout: &log, log: &log, files: &files, detail: None, roots: &["/project"] };
        let failure = classify(&observed);
        prop_assert!(failure.evidence.len() <= mb_core::failure::Failure::EVIDENCE_MAX);
        prop_assert!(failure.evidence.windows(2).all(|pair| pair[0].line < pair[1].line));
        prop_assert!(!failure.summary.is_empty() && !failure.summary.contains('\n'));
        prop_assert_eq!(failure.fingerprint.0.len(), 16);
        let _ = test_counts(&log);
    }
}
