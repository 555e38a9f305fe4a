//! Repairs on the wire: what was tried on a step, the change, and what verified it.

use mb_core::repair::{PatchRef, Repair as CoreRepair, RepairState};
use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::words;

/// One repair tried on a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Repair {
    /// From 1, within the step.
    pub number: u32,
    /// The name of its log (`test!1`).
    pub work: String,
    /// How the change was made (``fixer `cargo fmt` ``).
    pub strategy: String,
    /// Where it stands.
    #[schema(schema_with = words::task_state)]
    pub state: String,
    /// When it began, or may begin while it is queued.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// What verification said, once over.
    #[schema(schema_with = words::verdict, required = false)]
    pub verdict: Option<String>,
    /// Why it was not kept.
    pub why: Option<String>,
    /// What was changed or tried.
    pub title: Option<String>,
    /// The change.
    pub patch: Option<Patch>,
    /// What was run to verify it, in order.
    pub verified: Vec<Verification>,
    /// Candidates looked at.
    pub candidates: u32,
    /// Money spent, in millionths of a US dollar.
    pub cost_microusd: u64,
    /// Wall time, in milliseconds.
    pub duration_ms: Option<u64>,
}

/// A change by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Patch {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// The step whose command it was.
    pub step: String,
    /// How it ended, in words.
    pub exit: String,
    /// Whether it succeeded.
    pub success: bool,
    /// Wall time, in milliseconds.
    pub duration_ms: u64,
}

impl Repair {
    pub(crate) fn from_domain(step: &str, repair: &CoreRepair) -> Repair {
        let outcome = repair.outcome();
        let (state, since, finished_at) = match &repair.state {
            RepairState::Queued { ready_at } => ("queued", Some(*ready_at), None),
            RepairState::Running { since, .. } => ("running", Some(*since), None),
            RepairState::Finished { since, at, .. } => ("finished", Some(*since), Some(*at)),
        };
        Repair {
            number: repair.number,
            work: format!("{step}!{}", repair.number),
            strategy: repair.strategy.to_string(),
            state: state.to_owned(),
            since,
            finished_at,
            verdict: outcome.map(|o| o.verdict.word().to_owned()),
            why: outcome.map(|o| o.verdict.why().to_owned()).filter(|why| !why.is_empty()),
            title: outcome.map(|o| o.title.clone()),
            patch: outcome.and_then(|o| o.patch.as_ref()).map(Patch::from_domain),
            verified: outcome.map(|o| o.verified.iter().map(Verification::from_domain).collect()).unwrap_or_default(),
            candidates: outcome.map_or(0, |o| o.candidates),
            cost_microusd: outcome.map_or(0, |o| o.cost_microusd.0),
            duration_ms: outcome.map(|o| o.duration_ms),
        }
    }
}

impl Patch {
    pub(crate) fn from_domain(patch: &PatchRef) -> Patch {
        Patch { digest: patch.digest.clone(), files: patch.files.clone(), added: patch.added, removed: patch.removed }
    }
}

impl Verification {
    pub(crate) fn from_domain(verification: &mb_core::repair::Verification) -> Verification {
        Verification {
            step: verification.step.clone(),
            exit: verification.exit.to_string(),
            success: verification.exit.success(),
            duration_ms: verification.duration_ms,
        }
    }
}
