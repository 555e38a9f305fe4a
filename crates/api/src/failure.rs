//! A classified failure on the wire, with the lines that show it.

use mb_core::failure as core;
use mb_core::failure::{BreakerClass, FailureClass, FailureKind, Signal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::words;

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// The fine kind.
    #[schema(schema_with = words::failure_kind)]
    pub kind: FailureKind,
    /// Its class.
    #[schema(schema_with = words::failure_class)]
    pub class: FailureClass,
    /// The circuit breaker it counts for.
    #[schema(schema_with = words::breaker_class)]
    pub breaker: BreakerClass,
    /// What decided the kind, strongest first in the list of words: the confidence.
    #[schema(schema_with = words::signal)]
    pub signal: Signal,
    /// How the process ended, in words (`exit 101`).
    pub exit: String,
    /// The code a shell would report.
    pub exit_code: i32,
    /// One line for a person.
    pub summary: String,
    /// The tool whose output was recognised.
    pub tool: Option<String>,
    /// What the tool said, most important first; at most 100.
    pub diagnostics: Vec<Diagnostic>,
    /// The log lines that show it; at most 40.
    pub evidence: Vec<EvidenceLine>,
    /// Tests, where the output counted them.
    pub tests: Option<TestCounts>,
    /// The same for the same failure.
    pub fingerprint: String,
}

/// One thing a tool said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diagnostic {
    /// The tool.
    pub tool: String,
    /// Its rule, error code or test; empty when it gave none.
    pub rule: String,
    /// What kind of failure this one is.
    #[schema(schema_with = words::failure_kind)]
    pub kind: FailureKind,
    /// The message, one line.
    pub message: String,
    /// Path relative to the project, when the tool said where.
    pub file: Option<String>,
    /// Line, from 1; absent when not known.
    pub line: Option<u32>,
    /// Column, from 1; absent when not known.
    pub column: Option<u32>,
}

/// A line of an attempt's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceLine {
    /// Its number, from 1.
    pub line: u64,
    /// Its text, redacted.
    pub text: String,
}

/// How many tests ran and how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestCounts {
    /// Passed.
    pub passed: u32,
    /// Failed, errors included.
    pub failed: u32,
    /// Skipped.
    pub skipped: u32,
}

impl Failure {
    /// The wire form of a failure.
    pub fn from_domain(failure: &core::Failure) -> Failure {
        Failure {
            kind: failure.kind,
            class: failure.class(),
            breaker: failure.class().breaker(),
            signal: failure.signal,
            exit: failure.exit.to_string(),
            exit_code: failure.exit.shell_code(),
            summary: failure.summary.clone(),
            tool: failure.tool.clone(),
            diagnostics: failure.diagnostics.iter().map(Diagnostic::from_domain).collect(),
            evidence: failure
                .evidence
                .iter()
                .map(|line| EvidenceLine { line: line.line, text: line.text.clone() })
                .collect(),
            tests: failure.tests.map(TestCounts::from_domain),
            fingerprint: failure.fingerprint.to_string(),
        }
    }
}

impl Diagnostic {
    fn from_domain(diagnostic: &core::Diagnostic) -> Diagnostic {
        let known = |n: u32| (n > 0).then_some(n);
        let position = diagnostic.position.as_ref();
        Diagnostic {
            tool: diagnostic.tool.clone(),
            rule: diagnostic.rule.clone(),
            kind: diagnostic.kind,
            message: diagnostic.message.clone(),
            file: position.map(|p| p.file.clone()),
            line: position.and_then(|p| known(p.line)),
            column: position.and_then(|p| known(p.column)),
        }
    }
}

impl TestCounts {
    pub(crate) fn from_domain(counts: core::TestCounts) -> TestCounts {
        TestCounts { passed: counts.passed, failed: counts.failed, skipped: counts.skipped }
    }
}
