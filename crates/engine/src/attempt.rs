//! Executing an attempt: one command of one step, in fresh files.

use std::collections::BTreeSet;

use mb_core::attempt::AttemptOutcome;
use mb_core::failure::{Failure, FailureKind, Signal};
use mb_runner::Outcome;

use crate::context::{Context, TaskError, not_started};

/// Runs the attempt. Trouble with the files or the log is the attempt's failure, so that a run always ends; only
/// trouble with the store is an error (the task is then given back).
pub(crate) async fn execute(context: &Context<'_>) -> Result<AttemptOutcome, TaskError> {
    match run(context).await {
        Err(TaskError::Store(error)) => Err(TaskError::Store(error)),
        Err(error) => Ok(could_not_start(&error)),
        Ok(outcome) => Ok(outcome),
    }
}

async fn run(context: &Context<'_>) -> Result<AttemptOutcome, TaskError> {
    let spec = context.spec()?;
    let patches = context.patches().await?;
    let worktree = context.worktree(spec, 0, &patches).await?;
    let (outcome, failure) = context.check(spec, &worktree, context.log()?).await;
    let mut notes = worktree.notes().to_vec();
    worktree.remove().await;
    notes.extend(outcome.notes.iter().cloned());
    let tests = failure.as_ref().map_or_else(|| mb_repair::test_counts(&String::from_utf8_lossy(&outcome.stdout.bytes)), |f| f.tests);
    Ok(AttemptOutcome { tests, notes, ..describe(&outcome, failure) })
}

pub(crate) fn describe(outcome: &Outcome, failure: Option<Failure>) -> AttemptOutcome {
    AttemptOutcome {
        exit: outcome.exit,
        duration_ms: u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX),
        cpu_ms: u64::try_from(outcome.cpu.as_millis()).unwrap_or(u64::MAX),
        rss_bytes_max: outcome.max_rss_bytes,
        log_lines: outcome.log.lines,
        log_bytes: outcome.log.bytes,
        sandbox: outcome.sandbox.to_string(),
        tests: None,
        failure,
        notes: Vec::new(),
    }
}

/// The outcome of a command that never ran, with the whole chain of causes in its summary.
pub(crate) fn could_not_start(error: &TaskError) -> AttemptOutcome {
    let summary = chain(error);
    AttemptOutcome {
        exit: not_started(),
        duration_ms: 0,
        cpu_ms: 0,
        rss_bytes_max: 0,
        log_lines: 0,
        log_bytes: 0,
        sandbox: "none".into(),
        tests: None,
        failure: Some(Failure {
            kind: FailureKind::ConfigCi,
            signal: Signal::ExitCause,
            exit: not_started(),
            fingerprint: mb_repair::fingerprint("", "meta-builder", "not_started", &summary),
            summary,
            tool: None,
            diagnostics: Vec::new(),
            evidence: Vec::new(),
            hints: BTreeSet::new(),
            tests: None,
        }),
        notes: Vec::new(),
    }
}

/// An error with its causes, as one line: `a: b: c`.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

