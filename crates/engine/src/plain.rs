//! Failures of steps that run no command: the kind is known, so nothing has to be read from an output.

use std::collections::BTreeSet;

use mb_core::failure::{ExitCause, Failure, FailureKind, Hint, Signal};

/// A failure of that kind, in one line.
pub(crate) fn failure(tool: &str, kind: FailureKind, summary: String) -> Box<Failure> {
    Box::new(Failure {
        kind,
        signal: Signal::ExitCause,
        exit: ExitCause::Code { code: 1 },
        fingerprint: mb_repair::fingerprint("", tool, kind.as_str(), &summary),
        summary,
        tool: Some(tool.to_owned()),
        diagnostics: Vec::new(),
        evidence: Vec::new(),
        hints: BTreeSet::new(),
        tests: None,
    })
}

/// What stopped before its end because nobody wants it any more.
pub(crate) fn canceled(tool: &str) -> Box<Failure> {
    let mut failure = failure(tool, FailureKind::Unknown, "canceled".into());
    failure.exit = ExitCause::Canceled;
    failure
}

/// What took longer than it may.
pub(crate) fn timed_out(tool: &str, limit_ms: u64) -> Box<Failure> {
    let exit = ExitCause::Timeout { limit_ms };
    let mut failure = failure(tool, FailureKind::Timeout, exit.to_string());
    failure.exit = exit;
    failure
}

/// The same with the wait a service asks for.
pub(crate) fn asking(mut failure: Box<Failure>, wait_ms: Option<u64>) -> Box<Failure> {
    failure.hints.extend(wait_ms.map(|wait_ms| Hint::RetryAfter { wait_ms }));
    failure
}
