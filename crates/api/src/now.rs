//! The state of the whole installation at one moment: one sentence, and what a person has to do.

use std::collections::BTreeMap;

use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::Tone;
use crate::fleet::{Queue, Worker};
use crate::probe::Readiness;
use crate::run::RunSummary;

/// The answer to "is everything all right?".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Now {
    /// When this was true.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// One sentence.
    pub verdict: String,
    /// How to take it.
    pub tone: Tone,
    /// What needs a person, most urgent first.
    pub needs: Vec<Need>,
    /// The probes and what they fold to.
    pub readiness: Readiness,
    /// Runs per state.
    pub counts: BTreeMap<String, u64>,
    /// The newest runs.
    pub recent: Vec<RunSummary>,
    /// The queues.
    pub queues: Vec<Queue>,
    /// The workers.
    pub workers: Vec<Worker>,
}

/// One thing that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Need {
    /// How urgent: `bad` or `warn`.
    pub tone: Tone,
    /// What is wrong.
    pub what: String,
    /// Probably why.
    pub cause: String,
    /// The command to begin with.
    pub next: String,
    /// Where the console shows it.
    pub href: Option<String>,
}
