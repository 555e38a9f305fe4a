//! Health on the wire: one registry of probes, one fold, every dialect a view of it.

use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The public answer: one word, nothing about the inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ready`, `degraded` or `not_ready`.
    pub status: String,
}

/// Readiness in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// `ready`, `degraded` or `not_ready`.
    pub status: String,
    /// Every probe.
    pub probes: Vec<Probe>,
    /// Whether the process is shutting down.
    pub draining: bool,
}

/// One probe's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Probe {
    /// Its name (`db`, `queue`).
    pub name: String,
    /// Whether its failure takes the instance out of service.
    pub critical: bool,
    /// `ok`, `warn` or `fail`.
    pub status: String,
    /// Why, unless it is ok.
    pub reason: Option<String>,
    /// How long the probe took, in milliseconds.
    pub latency_ms: u64,
    /// How old the result is, in milliseconds.
    pub age_ms: u64,
}

/// What is running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The version of the program.
    pub version: String,
    /// The commit it was built from.
    pub commit: String,
    /// When it was built.
    pub built: String,
    /// The compiler.
    pub rustc: String,
    /// When this process started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
}
