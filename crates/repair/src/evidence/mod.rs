//! Evidence: from what a failed step printed to what failed, where, how surely, and what that suggests.
//!
//! Each family of tools has one reader, a function from the cleaned log to what it found. The readers are asked in one
//! table ordered by strength; the strongest signal decides the kind, and all findings are kept. The order is fixed:
//! how the process ended, machine output, a tool's own lines, the line naming the failed goal, the stage, and words in
//! free text last, because over real logs each of these is right far more often than the next.
//!
//! Deliberately absent: state (templates seen before are the store's), redaction (the log arrives redacted), and any
//! error. Every input has a verdict, `unknown` at worst, in time linear in the input and in bounded memory.

mod builders;
mod counts;
mod excerpt;
mod exit;
mod fingerprint;
mod formatters;
mod javascript;
mod lines;
mod machine;
mod phrases;
mod python;
mod reading;
mod reports;
mod rust;
mod summary;
mod view;

use std::collections::BTreeSet;

use mb_core::failure::{Diagnostic, ExitCause, Failure, FailureKind, Hint, Signal};
use mb_core::workflow::Shell;

pub use self::counts::test_counts;
pub use self::fingerprint::fingerprint;
use self::reading::{Reading, gravity};
use self::view::View;

/// What was observed of one attempt of a step.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The step's name.
    pub name: &'a str,
    /// Its command as it was run.
    pub step: &'a Shell,
    /// How it ended.
    pub exit: ExitCause,
    /// Its standard output, which may hold machine output.
    pub stdout: &'a str,
    /// Standard output and error interleaved, redacted; the middle may be missing.
    pub log: &'a str,
    /// Report files found after it ended (JUnit XML, SARIF): path and content.
    pub files: &'a [(String, String)],
    /// What the runner says beside the exit (why it could not be started).
    pub detail: Option<&'a str>,
    /// Absolute folders the project is seen under (worktree, source folder); stripped from paths.
    pub roots: &'a [&'a str],
}

/// Readers of a tool's own lines, most telling first: between two of equal strength the earlier decides.
const READERS: &[fn(&View<'_>) -> Option<Reading>] = &[
    rust::diagnostics,
    rust::tests,
    rust::rustfmt,
    python::pytest,
    python::unittest,
    javascript::scripts,
    javascript::tap,
    javascript::spec,
    javascript::mocha,
    javascript::jest,
    builders::go_tests,
    builders::ruby_tests,
    builders::jvm_tests,
    formatters::read,
    lines::ruff_full,
    lines::eslint,
    lines::pyright,
    builders::linker,
    builders::cmake,
    python::tracebacks,
    javascript::stopped,
];

/// The verdict on a failed attempt, with its evidence.
pub fn classify(observed: &Observed<'_>) -> Failure {
    let view = View::new(observed);
    let readings = readings(&view);
    let deciding = readings.first();
    let (kind, signal) = decide(observed, deciding);
    let diagnostics = diagnostics(&readings, kind);
    let mut hints: BTreeSet<Hint> = readings
        .iter()
        .filter(|reading| reading.signal <= Signal::ToolLine)
        .flat_map(|reading| reading.hints.iter().cloned())
        .collect();
    hints.extend(missing_program(observed));
    let tool = deciding.filter(|reading| reading.signal < Signal::Text).map(|reading| reading.tool.clone());
    let first = diagnostics.first();
    let summary = match signal {
        Signal::ExitCause => by_exit(&view, deciding),
        _ => summary::summary(&view, kind, deciding),
    };
    let first_line = first.map_or(summary.as_str(), |d| d.message.as_str());
    let rule = first.map_or("", |d| d.rule.as_str());
    Failure {
        kind,
        signal,
        exit: observed.exit,
        fingerprint: fingerprint(observed.name, tool.as_deref().unwrap_or(kind.as_str()), rule, first_line),
        tests: counts::count(view.lines.iter().map(|line| line.text.as_ref())),
        evidence: excerpt::excerpt(&view, deciding),
        summary,
        tool,
        diagnostics,
        hints,
    }
}

/// All readings, strongest first; of equal strength those that fit the stage, then in the order of the tables.
fn readings(view: &View<'_>) -> Vec<Reading> {
    let mut readings: Vec<Reading> = machine::read(view).into_iter().collect();
    readings.extend(reports::read(view));
    readings.extend(READERS.iter().filter_map(|read| read(view)));
    readings.extend(lines::forms(view));
    readings.extend(phrases::read(view));
    let stage = view.observed.step.stage;
    readings.sort_by_key(|reading| (reading.signal, !exit::fits(stage, reading.kind())));
    readings
}

fn decide(observed: &Observed<'_>, deciding: Option<&Reading>) -> (FailureKind, Signal) {
    // A package manager ends with what its script's shell ended with; which program was missing there says more.
    let passed_on = observed.exit == ExitCause::Code { code: 127 };
    if let Some(reading) = deciding.filter(|reading| passed_on && reading.kind() == FailureKind::Dependency) {
        return (reading.kind(), reading.signal);
    }
    if let Some(kind) = exit::kind(observed.step.stage, observed.exit) {
        return (kind, Signal::ExitCause);
    }
    match deciding {
        Some(reading) if reading.signal < Signal::Stage && reading.kind() != FailureKind::Unknown => {
            (reading.kind(), reading.signal)
        }
        weaker => match (exit::stage_kind(observed.step.stage), weaker) {
            (Some(kind), _) => (kind, Signal::Stage),
            (None, Some(reading)) => (reading.kind(), reading.signal),
            (None, None) => (FailureKind::Unknown, Signal::Text),
        },
    }
}

/// The program that could not be found, when it is the one the step names and not one that a shell looked for.
fn missing_program(observed: &Observed<'_>) -> Option<Hint> {
    let program = observed.step.command.argv().into_iter().next()?;
    (observed.exit == ExitCause::NotFound).then_some(Hint::MissingTool { tool: program })
}

/// What the exit says, and what the tool said last if anything.
fn by_exit(view: &View<'_>, deciding: Option<&Reading>) -> String {
    let observed = view.observed;
    if let Some(Hint::MissingTool { tool }) = missing_program(observed) {
        return format!("{}: {tool}", observed.exit);
    }
    let said = deciding.filter(|reading| reading.signal <= Signal::GoalLine);
    let said = said.map(|reading| summary::summary(view, reading.kind(), Some(reading)));
    match said.or_else(|| observed.detail.map(str::to_owned)) {
        Some(said) => format!("{}: {said}", observed.exit),
        None => format!("`{}`: {}", view::cut(&view.command, 80), observed.exit),
    }
}

/// The findings of the tools, those of the deciding kind first, without repetitions.
fn diagnostics(readings: &[Reading], kind: FailureKind) -> Vec<Diagnostic> {
    let tool_said = readings.iter().filter(|reading| reading.signal <= Signal::ToolLine);
    let mut all: Vec<&Diagnostic> = tool_said.flat_map(|r| r.findings.iter().map(|f| &f.diagnostic)).collect();
    all.sort_by_key(|d| if d.kind == kind { 0 } else { 1 + gravity(d.kind) });
    let mut seen = BTreeSet::new();
    all.retain(|d| seen.insert((d.rule.as_str(), d.message.as_str(), d.position.as_ref())));
    all.into_iter().take(Failure::DIAGNOSTICS_MAX).cloned().collect()
}
