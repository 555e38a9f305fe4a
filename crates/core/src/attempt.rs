//! An attempt: one try at a step's command, never reused.

use serde::{Deserialize, Serialize};

use crate::failure::{ExitCause, Failure, TestCounts};
use crate::task::Progress;
use crate::words::words;

words! {
    /// Why an attempt was made.
    Purpose {
        /// The step's first try.
        Check = "check",
        /// The same inputs again, to tell flaky or transient from real.
        Rerun = "rerun",
        /// The files changed since it failed (another step was repaired).
        Recheck = "recheck",
    }
}

/// One try at a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1, within the step.
    pub number: u32,
    /// Why it was made.
    pub purpose: Purpose,
    /// How many accepted repairs its files contain: the version of the tree.
    pub tree: u32,
    /// How often a worker vanished while it ran.
    pub losses: u32,
    /// Where it stands.
    pub state: AttemptState,
}

/// Where an attempt stands.
pub type AttemptState = Progress<Box<AttemptOutcome>>;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptOutcome {
    /// How the process ended.
    pub exit: ExitCause,
    /// Wall time of the command, in milliseconds.
    pub duration_ms: u64,
    /// Processor time of the whole tree, in milliseconds.
    pub cpu_ms: u64,
    /// Peak resident memory, in bytes; 0 when the host did not say.
    pub rss_bytes_max: u64,
    /// Lines in its log.
    pub log_lines: u64,
    /// Bytes in its log.
    pub log_bytes: u64,
    /// Which sandbox it ran in (`bubblewrap`, `landlock`, `none`).
    pub sandbox: String,
    /// Tests, where the output counted them.
    #[serde(default)]
    pub tests: Option<TestCounts>,
    /// The classified failure; none exactly when it succeeded.
    pub failure: Option<Failure>,
    /// Things an operator should know (a cache that could not be carried along).
    #[serde(default)]
    pub notes: Vec<String>,
}

impl AttemptOutcome {
    /// Whether the command did what it was asked to do.
    pub fn success(&self) -> bool {
        self.failure.is_none()
    }
}

impl Attempt {
    /// The outcome, once finished.
    pub fn outcome(&self) -> Option<&AttemptOutcome> {
        self.state.outcome().map(|outcome| &**outcome)
    }
}
