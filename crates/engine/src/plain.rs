//! Failures of steps that run no command: the kind is known, so nothing has to be read from an output.

use std::collections::BTreeSet;

use mb_core::failure::{ExitCause, Failure, FailureKind, Hint, Signal};

/// A failure of that kind, in one line.
pub(crate) fn failure(tool: &str, kind: FailureKind, summary: String) -> Failure {
    Failure {
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
    }
}

/// What stopped before its end because nobody wants it any more.
pub(crate) fn canceled(tool: &str) -> Failure {
    let failure = failure(tool, FailureKind::Unknown, "canceled".into());
    Failure { exit: ExitCause::Canceled, ..failure }
}

/// What took longer than it may.
pub(crate) fn timed_out(tool: &str, limit_ms: u64) -> Failure {
    let exit = ExitCause::Timeout { limit_ms };
    Failure { exit, ..failure(tool, FailureKind::Timeout, exit.to_string()) }
}

/// The same with the wait a service asks for.
pub(crate) fn asking(mut failure: Failure, wait_ms: Option<u64>) -> Failure {
    failure.hints.extend(wait_ms.map(|wait_ms| Hint::RetryAfter { wait_ms }));
    failure
}
