//! Health on the wire: one registry of probes, one fold, every dialect a view of it.

use mb_core::probe::{ProbeReport, ProbeResult};
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
    /// Every probe, by name.
    pub probes: Vec<Probe>,
    /// How old the results are, in milliseconds.
    pub age_ms: u64,
}

impl Readiness {
    /// The wire form of a probe report.
    pub fn from_domain(report: &ProbeReport) -> Readiness {
        let probe = |found: &ProbeResult| Probe {
            name: found.name.clone(),
            critical: found.critical,
            status: found.status.to_string(),
            reason: Some(found.reason.clone()).filter(|reason| !reason.is_empty()),
            latency_ms: found.latency_ms,
        };
        Readiness {
            status: report.state.to_string(),
            probes: report.probes.iter().map(probe).collect(),
            age_ms: report.age_ms,
        }
    }
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
}

/// What is running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The version of the program.
    pub version: String,
    /// The commit it was built from.
    pub commit: String,
    /// When this process started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
}
