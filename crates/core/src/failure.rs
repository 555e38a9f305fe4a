//! What went wrong: fine kinds, the eleven failure classes, the five breaker classes, and the evidence.
//!
//! A failure is decided from several sources; [`Signal`] keeps which one it was, and that is the confidence
//! (a verdict read from a tool's own machine output is right far more often than one read from free text).
//! Reading the outputs is the work of `repair::evidence`; this module only says what can be found.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::words::words;

words! {
    /// What kind of thing went wrong: fine enough to choose the first rung of repair.
    FailureKind {
        /// A formatter would change files.
        Format = "format",
        /// A linter's rule was broken.
        Lint = "lint",
        /// A type checker refused.
        Typecheck = "typecheck",
        /// The program does not compile or parse.
        Compile = "compile",
        /// A dependency is missing, unresolvable or conflicts; or a lock file is out of date.
        Dependency = "dependency",
        /// The tool itself is not installed.
        ToolchainMissing = "toolchain_missing",
        /// A test ran and its assertion failed.
        TestAssert = "test_assert",
        /// A test stopped by an error or could not be collected.
        TestError = "test_error",
        /// A time limit ended it.
        Timeout = "timeout",
        /// The same inputs both failed and passed.
        Flaky = "flaky",
        /// Memory, processes, output or disk ran out.
        Resource = "resource",
        /// A network name, connection or remote service failed.
        NetworkInfra = "network_infra",
        /// A remote service asked to slow down.
        RateLimit = "rate_limit",
        /// The build's own configuration is broken.
        ConfigCi = "config_ci",
        /// Generated files differ from what the generator makes.
        GeneratedDrift = "generated_drift",
        /// A database schema or migration is out of step.
        SchemaMigration = "schema_migration",
        /// A security check failed.
        Security = "security",
        /// A licence, policy or permission rule refused.
        Policy = "policy",
        /// Documentation failed to build or check.
        Docs = "docs",
        /// None of the above was recognised.
        Unknown = "unknown",
    }
}

words! {
    /// The eleven failure classes; each has its own retry rule.
    FailureClass {
        /// Went away by itself.
        Transient = "transient",
        /// Infrastructure.
        Infra = "infra",
        /// A remote limit.
        RateLimit = "rate_limit",
        /// A crash or resource limit while running.
        Runtime = "runtime",
        /// A test's assertion.
        TestAssert = "test_assert",
        /// Lint or format.
        Lint = "lint",
        /// Types or compilation.
        Typecheck = "typecheck",
        /// Schema or generated code.
        SchemaMigration = "schema_migration",
        /// Security.
        Security = "security",
        /// Policy.
        Policy = "policy",
        /// Not recognised.
        Unknown = "unknown",
    }
}

words! {
    /// The five classes a circuit breaker is keyed by (with the tenant).
    BreakerClass {
        /// Lint, format, types.
        Lint = "lint",
        /// Tests.
        Test = "test",
        /// Infrastructure, network, limits.
        Infra = "infra",
        /// Security and policy.
        Security = "security",
        /// Everything that broke while running.
        Runtime = "runtime",
    }
}

impl FailureKind {
    /// The failure class this kind folds to.
    pub const fn class(self) -> FailureClass {
        match self {
            Self::Format | Self::Lint | Self::Docs => FailureClass::Lint,
            Self::Typecheck | Self::Compile => FailureClass::Typecheck,
            Self::Dependency | Self::ToolchainMissing | Self::NetworkInfra | Self::ConfigCi => FailureClass::Infra,
            Self::TestAssert => FailureClass::TestAssert,
            Self::TestError | Self::Timeout | Self::Resource => FailureClass::Runtime,
            Self::Flaky => FailureClass::Transient,
            Self::RateLimit => FailureClass::RateLimit,
            Self::GeneratedDrift | Self::SchemaMigration => FailureClass::SchemaMigration,
            Self::Security => FailureClass::Security,
            Self::Policy => FailureClass::Policy,
            Self::Unknown => FailureClass::Unknown,
        }
    }
}

impl FailureClass {
    /// The breaker class this class folds to.
    pub const fn breaker(self) -> BreakerClass {
        match self {
            Self::Lint | Self::Typecheck => BreakerClass::Lint,
            Self::TestAssert => BreakerClass::Test,
            Self::Transient | Self::Infra | Self::RateLimit => BreakerClass::Infra,
            Self::Security | Self::Policy => BreakerClass::Security,
            Self::Runtime | Self::SchemaMigration | Self::Unknown => BreakerClass::Runtime,
        }
    }
}

words! {
    /// Which source decided the kind, strongest first. This is the confidence of a verdict.
    Signal {
        /// The stage's kind together with how the process ended.
        ExitCause = "exit_cause",
        /// The tool's machine-readable output (JSON, JUnit, SARIF).
        MachineOutput = "machine_output",
        /// The tool's own diagnostic lines in their fixed form (`file:line:col: error[CODE]`).
        ToolLine = "tool_line",
        /// The line that names the failing goal, target or summary.
        GoalLine = "goal_line",
        /// A template seen before.
        Template = "template",
        /// The kind of the stage alone.
        Stage = "stage",
        /// Words in free text.
        Text = "text",
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum ExitCause {
    /// It exited by itself with this code.
    Code {
        /// The exit code, 0 to 255.
        code: i32,
    },
    /// A signal that we did not send ended it.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// The program could not be found.
    NotFound,
    /// The program could not be started for another reason (not executable, sandbox refused).
    NotStarted,
    /// Our time limit ended it.
    Timeout {
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// The memory limit ended it.
    OutOfMemory,
    /// It started more processes than allowed.
    TooManyProcesses,
    /// It printed more than allowed.
    TooMuchOutput {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// It wrote more to disk than allowed.
    DiskQuota,
    /// We ended it because the run was cancelled or the worker is shutting down.
    Canceled,
}

impl ExitCause {
    /// Whether the command did what it was asked to do.
    pub const fn success(self) -> bool {
        matches!(self, Self::Code { code: 0 })
    }

    /// The code a shell would report: 128 plus the signal, 127 for a missing program, 124 for a time limit.
    pub const fn shell_code(self) -> i32 {
        match self {
            Self::Code { code } => code,
            Self::Signal { signal } => 128 + signal,
            Self::NotFound => 127,
            Self::NotStarted => 126,
            Self::Timeout { .. } => 124,
            Self::OutOfMemory => 137,
            Self::TooManyProcesses | Self::TooMuchOutput { .. } | Self::DiskQuota => 125,
            Self::Canceled => 130,
        }
    }
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code { code } => write!(f, "exit {code}"),
            Self::Signal { signal } => write!(f, "killed by signal {signal}"),
            Self::NotFound => f.write_str("program not found"),
            Self::NotStarted => f.write_str("program could not be started"),
            Self::Timeout { limit_ms } => {
                write!(
                    f,
                    "stopped after the time limit of {}",
                    crate::time::human(std::time::Duration::from_millis(limit_ms))
                )
            }
            Self::OutOfMemory => f.write_str("stopped at the memory limit"),
            Self::TooManyProcesses => f.write_str("stopped at the process limit"),
            Self::TooMuchOutput { limit_bytes } => write!(f, "stopped at the output limit of {limit_bytes} bytes"),
            Self::DiskQuota => f.write_str("stopped at the disk limit"),
            Self::Canceled => f.write_str("canceled"),
        }
    }
}

/// A place in a source file. `line` and `column` count from 1; 0 means not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Path relative to the project root, with `/`.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    #[serde(default)]
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}

/// One thing a tool said: a diagnostic or a failed test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The tool that said it (`rustc`, `ruff`, `pytest`).
    pub tool: String,
    /// Its rule, error code or test id (`unused_imports`, `E0308`, `tests/test_a.py::test_b`); empty when it gave none.
    pub rule: String,
    /// What kind of failure this one is.
    pub kind: FailureKind,
    /// The message, one line, redacted.
    pub message: String,
    /// Where, when the tool said it.
    pub position: Option<Position>,
}

/// A thing to try that the output itself suggests. Facts only; whether to try it is the ladder's decision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "hint")]
pub enum Hint {
    /// A module or package is imported but not declared.
    MissingModule {
        /// `python`, `node`, `cargo` or `go`.
        ecosystem: String,
        /// The name as imported.
        module: String,
    },
    /// A lock file does not match its manifest.
    StaleLock {
        /// The ecosystem whose lock is meant.
        ecosystem: String,
    },
    /// A program is not installed.
    MissingTool {
        /// Its name.
        tool: String,
    },
    /// The tool can fix some of this itself.
    MachineApplicable {
        /// The tool.
        tool: String,
    },
    /// A service asked to come back later.
    RetryAfter {
        /// After this many milliseconds.
        wait_ms: u64,
    },
}

/// How many tests ran and how they ended, where the output says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TestCounts {
    /// Passed.
    pub passed: u32,
    /// Failed, errors included.
    pub failed: u32,
    /// Skipped or ignored.
    pub skipped: u32,
}

impl TestCounts {
    /// Tests that were executed.
    pub const fn executed(self) -> u32 {
        self.passed + self.failed
    }
}

/// What makes two failures the same: hash of (stage, tool, rule or test, masked first error line), 16 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A classified failure of one attempt, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The fine kind.
    pub kind: FailureKind,
    /// What decided the kind.
    pub signal: Signal,
    /// How the process ended.
    pub exit: ExitCause,
    /// One line for a person: what failed.
    pub summary: String,
    /// The tool whose output was recognised, if any.
    pub tool: Option<String>,
    /// What the tool said, most important first; at most [`Failure::DIAGNOSTICS_MAX`].
    pub diagnostics: Vec<Diagnostic>,
    /// The log lines that show it; at most [`Failure::EVIDENCE_MAX`].
    pub evidence: Vec<EvidenceLine>,
    /// What the output suggests trying.
    pub hints: BTreeSet<Hint>,
    /// Tests, where the output counted them.
    pub tests: Option<TestCounts>,
    /// The same for the same failure.
    pub fingerprint: Fingerprint,
}

impl Failure {
    /// Diagnostics kept per failure.
    pub const DIAGNOSTICS_MAX: usize = 100;
    /// Evidence lines kept per failure.
    pub const EVIDENCE_MAX: usize = 40;

    /// The class of the kind.
    pub const fn class(&self) -> FailureClass {
        self.kind.class()
    }
}

/// A line of the log that shows the failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceLine {
    /// Line number in the attempt's log, from 1.
    pub line: u64,
    /// The text, redacted, at most 2,000 characters.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_folds_to_a_class_and_a_breaker() {
        let table: String =
            FailureKind::ALL.iter().map(|k| format!("{k} -> {} -> {}\n", k.class(), k.class().breaker())).collect();
        expect_test::expect![[r#"
            format -> lint -> lint
            lint -> lint -> lint
            typecheck -> typecheck -> lint
            compile -> typecheck -> lint
            dependency -> infra -> infra
            toolchain_missing -> infra -> infra
            test_assert -> test_assert -> test
            test_error -> runtime -> runtime
            timeout -> runtime -> runtime
            flaky -> transient -> infra
            resource -> runtime -> runtime
            network_infra -> infra -> infra
            rate_limit -> rate_limit -> infra
            config_ci -> infra -> infra
            generated_drift -> schema_migration -> runtime
            schema_migration -> schema_migration -> runtime
            security -> security -> security
            policy -> policy -> security
            docs -> lint -> lint
            unknown -> unknown -> runtime
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn words_and_json_agree() {
        for &kind in FailureKind::ALL {
            assert_eq!(serde_json::to_string(&kind).expect("serialises"), format!("\"{kind}\""));
            assert_eq!(FailureKind::from_word(kind.as_str()), Some(kind));
        }
        for &class in FailureClass::ALL {
            assert_eq!(serde_json::to_string(&class).expect("serialises"), format!("\"{class}\""));
        }
    }
}
