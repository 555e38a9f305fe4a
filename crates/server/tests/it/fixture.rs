//! Made-up runs that look like real ones: driven through the run machine, so every state in them is possible.
//!
//! Used by the tests and by the gallery example, in which a person looks at every page.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use mb_core::advance::{Effect, RunEvent, apply};
use mb_core::attempt::AttemptOutcome;
use mb_core::budget::MicroUsd;
use mb_core::event::Event;
use mb_core::failure::{
    Diagnostic, EvidenceLine, ExitCause, Failure, FailureKind, Fingerprint, Position, Signal, TestCounts,
};
use mb_core::id::{RunId, TenantId, WorkerId};
use mb_core::repair::{PatchRef, RepairOutcome, Verdict, Verification};
use mb_core::run::{Published, Run, Source};
use mb_core::task::Work;
use mb_core::time::Timestamp;
use mb_core::workflow::{Action, CommandLine, Fixer, Network, Shell, StageKind, StepSpec, Workflow};

/// When the story begins: 2026-01-05T09:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_767_603_600_000_000);
/// The worker of every run.
pub(crate) const WORKER: WorkerId = WorkerId::from_bytes([7; 16]);
/// The diff every repair of these stories makes.
pub(crate) const DIFF: &str = "--- a/src/parse.rs\n+++ b/src/parse.rs\n@@ -1,6 +1,5 @@\n-use std::collections::HashMap;\n use std::time::Duration;\n \n-fn parse(mut text: &str) -> Option<Duration> {\n+fn parse(text: &str) -> Option<Duration> {\n     let (digits, unit) = text.split_at(text.len().checked_sub(1)?);\n     let n: u64 = digits.parse().ok()?;\n";

/// A run, its events and its clock.
pub(crate) struct Story {
    /// The run as it stands.
    pub(crate) run: Run,
    /// Its events.
    pub(crate) events: Vec<Event>,
    /// Now.
    pub(crate) now: Timestamp,
    /// The run as it was asked for.
    pub(crate) first: Run,
    /// What happened to it, and when.
    pub(crate) script: Vec<(Timestamp, RunEvent)>,
    queue: VecDeque<Work>,
}

/// A step with a fixer.
pub(crate) fn step(name: &str, stage: StageKind, command: &str, needs: &[&str]) -> StepSpec {
    let shell = Shell {
        stage,
        fixers: vec![fixer("cargo fmt"), fixer("cargo fix")],
        ..Shell::new(CommandLine::Shell(command.into()))
    };
    let needs = needs.iter().map(ToString::to_string).collect();
    StepSpec { needs, ..StepSpec::new(name, Action::Shell(shell)) }
}

fn fixer(name: &str) -> Fixer {
    Fixer {
        name: name.into(),
        command: CommandLine::Shell(name.into()),
        kinds: BTreeSet::new(),
        network: Network::None,
    }
}

/// The four stages of a small Rust project.
pub(crate) fn rust_steps() -> Vec<StepSpec> {
    vec![
        step("format", StageKind::Format, "cargo fmt --check", &[]),
        step("lint", StageKind::Lint, "cargo clippy --all-targets -- -D warnings", &[]),
        step("build", StageKind::Build, "cargo build --all-targets", &["format", "lint"]),
        step("test", StageKind::Test, "cargo test --no-fail-fast", &["build"]),
    ]
}

/// A failure with evidence.
pub(crate) fn failure(kind: FailureKind, summary: &str) -> Failure {
    let position = Position { file: "src/parse.rs".into(), line: 4, column: 9 };
    let diagnostic = |message: &str, rule: &str| Diagnostic {
        tool: "rustc".into(),
        rule: rule.into(),
        kind,
        message: message.into(),
        position: Some(position.clone()),
    };
    Failure {
        kind,
        signal: Signal::MachineOutput,
        exit: ExitCause::Code { code: 101 },
        summary: summary.into(),
        tool: Some("rustc".into()),
        diagnostics: vec![
            diagnostic("unused import: `std::collections::HashMap`", "unused_imports"),
            diagnostic("variable does not need to be mutable", "unused_mut"),
        ],
        evidence: vec![
            EvidenceLine {
                line: 12,
                text: "\u{1b}[1m\u{1b}[31merror\u{1b}[0m\u{1b}[1m: unused import: `std::collections::HashMap`\u{1b}[0m"
                    .into(),
            },
            EvidenceLine { line: 13, text: "  \u{1b}[34m-->\u{1b}[0m src/parse.rs:1:5".into() },
            EvidenceLine {
                line: 17,
                text: "\u{1b}[1m\u{1b}[31merror\u{1b}[0m\u{1b}[1m: variable does not need to be mutable\u{1b}[0m"
                    .into(),
            },
            EvidenceLine { line: 18, text: "  \u{1b}[34m-->\u{1b}[0m src/parse.rs:4:10".into() },
        ],
        hints: BTreeSet::new(),
        tests: matches!(kind, FailureKind::TestAssert).then_some(TestCounts { passed: 41, failed: 1, skipped: 2 }),
        fingerprint: Fingerprint("3f9a1c0be77d2245".into()),
    }
}

/// How an attempt ended.
pub(crate) fn outcome(failure: Option<Failure>, duration_ms: u64) -> AttemptOutcome {
    AttemptOutcome {
        cpu_ms: duration_ms,
        rss_bytes_max: 300 << 20,
        log_lines: 24,
        log_bytes: 1_800,
        sandbox: "landlock".into(),
        ..AttemptOutcome::plain(duration_ms, failure)
    }
}

fn repaired(step: &str, verdict: Verdict, duration_ms: u64) -> RepairOutcome {
    let found = matches!(verdict, Verdict::Accepted | Verdict::Rejected { .. });
    let verification =
        |step: &str, code| Verification { step: step.into(), exit: ExitCause::Code { code }, duration_ms: 900 };
    let accepted = verdict == Verdict::Accepted;
    RepairOutcome {
        title: if found { "remove an unused import and an unneeded `mut`".into() } else { String::new() },
        patch: found.then(|| PatchRef {
            digest: "d1".into(),
            files: vec!["src/parse.rs".into()],
            added: 1,
            removed: 2,
        }),
        verified: if found {
            vec![verification(step, i32::from(!accepted)), verification("format", 0)]
        } else {
            Vec::new()
        },
        verdict,
        candidates: 1,
        cost_microusd: MicroUsd(0),
        duration_ms,
    }
}

impl Story {
    /// A run just asked for; `n` makes its id.
    pub(crate) fn new(n: u8, project: &str, steps: Vec<StepSpec>) -> Story {
        let workflow = Workflow::new("build", steps).validate().expect("the workflow is valid");
        let source = Source {
            root: format!("/srv/projects/{project}"),
            snapshot: serde_json::Value::Null,
            commit: Some("4be1c0de9a77f00d1234567890abcdef12345678".into()),
        };
        let mut id = [0x5a; 16];
        id[..2].copy_from_slice(&[1, n]);
        let now = START + Duration::from_secs(u64::from(n) * 400);
        let run = Run::new(now, RunId::from_bytes(id), TenantId::DEFAULT, workflow, Some(source));
        let mut story =
            Story { first: run.clone(), run, events: Vec::new(), now, script: Vec::new(), queue: VecDeque::new() };
        story.apply(RunEvent::Created);
        story
    }

    fn apply(&mut self, event: RunEvent) {
        self.script.push((self.now, event.clone()));
        let advance = apply(self.now, self.run.clone(), event).expect("the event fits");
        self.run = advance.next;
        for effect in advance.effects {
            match effect {
                Effect::Enqueue(spec) => self.queue.push_back(spec.work),
                Effect::Withdraw(work) => self.queue.retain(|w| *w != work),
                Effect::Interrupt(_) => {}
            }
        }
        for kind in advance.events {
            let seq = self.events.len() as i64 + 1;
            self.events.push(Event { seq, run: self.run.id, at: self.now, kind });
        }
    }

    /// A worker takes the next task of that step.
    pub(crate) fn claim(&mut self, step: &str) -> Work {
        let at = self.queue.iter().position(|work| work.step().unwrap_or("publish") == step);
        let work = at.and_then(|at| self.queue.remove(at)).expect("the step has a task on the queue");
        self.apply(RunEvent::Claimed { work: work.clone(), worker: WORKER });
        work
    }

    /// The next attempt of a step ends, after so many milliseconds.
    pub(crate) fn attempt(mut self, step: &str, ms: u64, failure: Option<Failure>) -> Story {
        let work = self.claim(step);
        let Work::Attempt { step, number } = work else { panic!("{work} is no attempt") };
        self.now = self.now + Duration::from_millis(ms);
        self.apply(RunEvent::Attempted { step, number, outcome: outcome(failure, ms) });
        self
    }

    /// The next repair of a step ends.
    pub(crate) fn repair(mut self, step: &str, ms: u64, verdict: Verdict) -> Story {
        let work = self.claim(step);
        let Work::Repair { step, number } = work else { panic!("{work} is no repair") };
        self.now = self.now + Duration::from_millis(ms);
        let outcome = repaired(&step, verdict, ms);
        self.apply(RunEvent::Repaired { step, number, outcome });
        self
    }

    /// Whatever else the ladder tries on a step has nothing to propose.
    pub(crate) fn exhaust(mut self, step: &str) -> Story {
        for _ in 0..20 {
            if !self.queue.iter().any(|work| matches!(work, Work::Repair { step: of, .. } if of == step)) {
                return self;
            }
            self = self.repair(step, 300, Verdict::NoCandidate { why: "nothing fits".into() });
        }
        panic!("the ladder has no end")
    }

    /// Nothing happens for a while.
    pub(crate) fn wait(mut self, secs: u64) -> Story {
        self.now = self.now + Duration::from_secs(secs);
        self
    }

    /// The result is written.
    pub(crate) fn publish(mut self) -> Story {
        self.claim("publish");
        let branch = format!("meta-builder/{}", self.run.id);
        let published = Published {
            branch: Some((branch, "9c41d2aa0b".into())),
            patch_file: Some("result.patch".into()),
            problem: None,
        };
        self.apply(RunEvent::Published(published));
        self
    }

    /// Somebody cancels it.
    pub(crate) fn cancel(mut self) -> Story {
        self.apply(RunEvent::Cancel { by: "ada via the console".into() });
        self
    }
}

/// A lint failure, repaired by the second fixer.
pub(crate) fn repaired_story() -> Story {
    Story::new(9, "durations", rust_steps())
        .attempt("format", 420, None)
        .attempt("lint", 3_900, Some(failure(FailureKind::Lint, "2 lint errors: unused import, unneeded mut")))
        .repair("lint", 600, Verdict::NoCandidate { why: "cargo fmt changes nothing".into() })
        .repair("lint", 5_200, Verdict::Accepted)
        .attempt("build", 6_100, None)
        .attempt("test", 4_400, None)
        .publish()
}

/// A failing test nothing could repair.
pub(crate) fn failed_story() -> Story {
    let why = "parse::tests::minutes: assertion `left == right` failed: left: 90, right: 5400";
    Story::new(8, "durations", rust_steps())
        .attempt("format", 400, None)
        .attempt("lint", 3_100, None)
        .attempt("build", 5_900, None)
        .attempt("test", 2_200, Some(failure(FailureKind::TestAssert, why)))
        .wait(75)
        .attempt("test", 2_300, Some(failure(FailureKind::TestAssert, why)))
        .repair("test", 700, Verdict::NoCandidate { why: "cargo fmt changes nothing".into() })
        .repair(
            "test",
            4_000,
            Verdict::Rejected { step: "test".into(), why: "parse::tests::minutes still fails".into() },
        )
        .exhaust("test")
}

/// A test that passed on a re-run.
pub(crate) fn flaky_story() -> Story {
    Story::new(7, "queue-client", rust_steps())
        .attempt("format", 300, None)
        .attempt("lint", 2_000, None)
        .attempt("build", 4_000, None)
        .attempt("test", 9_000, Some(failure(FailureKind::TestError, "reconnect::under_load stopped by an error")))
        .attempt("test", 8_000, None)
}

/// A run at work.
pub(crate) fn running_story() -> Story {
    let mut story = Story::new(10, "web", rust_steps()).attempt("format", 300, None).attempt("lint", 2_500, None);
    story.claim("build");
    story.wait(3)
}

/// A run nobody has taken yet.
pub(crate) fn pending_story() -> Story {
    Story::new(11, "mobile", rust_steps()).wait(12)
}

/// A cancelled run.
pub(crate) fn canceled_story() -> Story {
    Story::new(6, "billing", rust_steps()).attempt("format", 350, None).cancel()
}

/// A run from a project that wishes us ill.
pub(crate) fn hostile_story() -> Story {
    let script = "<script>alert(1)</script>";
    let rtl = "\u{202e}txt.exe \u{5e9}\u{5dc}\u{5d5}\u{5dd}";
    let mut steps = vec![step("test", StageKind::Test, script, &[])];
    let Action::Shell(shell) = &mut steps[0].action else { unreachable!("a command") };
    shell.fixers.clear();
    let mut bad = failure(FailureKind::Lint, &format!("{script}{rtl}{}", "x".repeat(10_000)));
    bad.diagnostics[0].message = format!("\"><img src=x onerror=alert(1)>{}", "y".repeat(10_000));
    bad.diagnostics[0].position = Some(Position { file: format!("{script}.rs"), line: 1, column: 0 });
    bad.evidence[0].text = format!("\u{1b}[31m{script}\u{1b}]0;title\u{7}{}", "z".repeat(10_000));
    let project = format!("{script}{rtl}{}", "p".repeat(10_000)).replace('/', "_");
    Story::new(5, &project, steps).attempt("test", 100, Some(bad))
}

/// All of them, newest first.
pub(crate) fn stories() -> Vec<Story> {
    let mut all =
        vec![pending_story(), running_story(), repaired_story(), failed_story(), flaky_story(), canceled_story()];
    for n in 1..5 {
        all.push(
            Story::new(n, ["durations", "web", "billing", "queue-client"][usize::from(n) % 4], rust_steps())
                .attempt("format", 380, None)
                .attempt("lint", 2_800, None)
                .attempt("build", 5_000, None)
                .attempt("test", 3_900, None),
        );
    }
    all.sort_by_key(|story| std::cmp::Reverse(story.run.created_at));
    all
}
