//! An attempt: one try at a step's command, never reused.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::budget::MicroUsd;
use crate::failure::{ExitCause, Failure, TestCounts};
use crate::id::RunId;
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
        /// The workflow asks for further tries.
        Retry = "retry",
        /// Nothing is run: its task is the clock of a step that waits.
        Timer = "timer",
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
    /// What it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What it cost.
    #[serde(default, skip_serializing_if = "is_free")]
    pub cost_microusd: MicroUsd,
    /// The run it started, while that goes on: the attempt is not over but put back, to ask again later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<RunId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_free(cost: &MicroUsd) -> bool {
    cost.0 == 0
}

impl AttemptOutcome {
    /// The outcome of something that ran no command: it took that long and, when it failed, why.
    pub fn plain(duration_ms: u64, failure: Option<Failure>) -> AttemptOutcome {
        AttemptOutcome {
            exit: failure.as_ref().map_or(ExitCause::Code { code: 0 }, |failure| failure.exit),
            duration_ms,
            cpu_ms: 0,
            rss_bytes_max: 0,
            log_lines: 0,
            log_bytes: 0,
            sandbox: "none".into(),
            tests: None,
            failure,
            notes: Vec::new(),
            output: None,
            cost_microusd: MicroUsd(0),
            child: None,
        }
    }

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
