//! A repair: one proposed change to the files, with what happened when it was verified.
//!
//! A repair is kept only if the step that failed now succeeds and every step that had succeeded before it still
//! does. One that only made the failure smaller is held as *improved*: later repairs of the same step build on
//! it, and all of them are kept or dropped together.

use serde::{Deserialize, Serialize};

use crate::budget::MicroUsd;
use crate::failure::{ExitCause, Failure};
use crate::strategy::Strategy;
use crate::task::Progress;

/// One repair tried on one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// From 1, within the step.
    pub number: u32,
    /// How the change is made.
    pub strategy: Strategy,
    /// How often a worker vanished while it ran.
    pub losses: u32,
    /// Where it stands.
    pub state: RepairState,
}

/// Where a repair stands.
pub type RepairState = Progress<RepairOutcome>;

/// How a repair ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairOutcome {
    /// One line: what was changed or tried.
    pub title: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The change, where there was one. Its text is stored under its digest.
    pub patch: Option<PatchRef>,
    /// What was run to verify it, in order.
    pub verified: Vec<Verification>,
    /// Candidates looked at.
    pub candidates: u32,
    /// Money spent.
    pub cost_microusd: MicroUsd,
    /// Wall time, in milliseconds.
    pub duration_ms: u64,
}

/// What verification said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// The step and all earlier ones succeed: kept.
    Accepted,
    /// The step still fails, but less: fewer diagnostics and none new. Held for the next repair to build on.
    Improved {
        /// What is left.
        left: Box<Failure>,
    },
    /// The strategy had nothing to propose.
    NoCandidate {
        /// Why.
        why: String,
    },
    /// The gate refused the change before it was verified (tests weakened, path not allowed, too large).
    Refused {
        /// Which rule, and where.
        why: String,
    },
    /// The change did not help, or broke an earlier step: rolled back.
    Rejected {
        /// The step that failed with it.
        step: String,
        /// What it said.
        why: String,
    },
    /// The strategy itself failed (its tool is missing or crashed).
    Broken {
        /// Why.
        why: String,
    },
}

impl Verdict {
    /// The word used in metrics and lists.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Improved { .. } => "improved",
            Self::NoCandidate { .. } => "no_candidate",
            Self::Refused { .. } => "refused",
            Self::Rejected { .. } => "rejected",
            Self::Broken { .. } => "broken",
        }
    }

    /// Why, in words; empty for an accepted repair.
    pub fn why(&self) -> &str {
        match self {
            Self::Accepted => "",
            Self::Improved { left } => &left.summary,
            Self::NoCandidate { why } | Self::Refused { why } | Self::Rejected { why, .. } | Self::Broken { why } => {
                why
            }
        }
    }
}

/// A change by name. The text lives once in the store, under its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchRef {
    /// SHA-256 of the unified diff, in hex.
    pub digest: String,
    /// Files changed.
    pub files: Vec<String>,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
}

/// One command run to verify a repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The step whose command it was.
    pub step: String,
    /// How it ended.
    pub exit: ExitCause,
    /// Wall time, in milliseconds.
    pub duration_ms: u64,
}

impl Repair {
    /// The outcome, once finished.
    pub fn outcome(&self) -> Option<&RepairOutcome> {
        self.state.outcome()
    }
}
