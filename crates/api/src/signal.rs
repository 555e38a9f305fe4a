//! What people and other systems say to a run: signals, decisions, and the wish to do it again.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A signal. A step that waits for its name goes on with the payload; else it is kept for one that will.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSignal {
    /// What it carries, at most 256 KiB.
    #[serde(default)]
    pub payload: Value,
}

/// A decision about a step that waits for approval.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDecision {
    /// Why, at most 1,000 characters.
    #[serde(default)]
    pub reason: String,
}

/// A wish for a run to be done again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRun {
    /// The step to begin from; absent begins from what did not succeed.
    #[serde(default)]
    pub from: Option<String>,
}
