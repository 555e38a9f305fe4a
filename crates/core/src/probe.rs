//! Probes and what they fold to: ready, degraded, not ready.
//!
//! A probe is critical (its failure may take the instance out of the load balancer) or not (at most degraded).
//! Running them is the engine's work.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::millis;
use crate::words::words;

words! {
    /// What a probe found.
    ProbeStatus {
        /// As it should be.
        Ok = "ok",
        /// Works, but look at it.
        Warn = "warn",
        /// Does not work.
        Fail = "fail",
    }
}

words! {
    /// Whether this instance should get traffic.
    Readiness {
        /// Yes.
        Ready = "ready",
        /// Yes, with something to look at.
        Degraded = "degraded",
        /// No.
        NotReady = "not_ready",
    }
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Its name (`db`, `migrations`, `queue`, `workers`).
    pub name: String,
    /// Whether its failure makes the instance not ready.
    pub critical: bool,
    /// What it found.
    pub status: ProbeStatus,
    /// Why, in words; empty when ok.
    pub reason: String,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
}

/// All probes at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// What they fold to.
    pub state: Readiness,
    /// Each, by name.
    pub probes: Vec<ProbeResult>,
    /// How old the results are, in milliseconds.
    pub age_ms: u64,
}

impl ProbeReport {
    /// Folds results: a failed critical probe is not ready; any other failure or warning is degraded.
    pub fn fold(mut probes: Vec<ProbeResult>, age: Duration) -> ProbeReport {
        probes.sort_by(|a, b| a.name.cmp(&b.name));
        let not_ready = probes.iter().any(|p| p.critical && p.status == ProbeStatus::Fail);
        let degraded = probes.iter().any(|p| p.status != ProbeStatus::Ok);
        let state = match (not_ready, degraded) {
            (true, _) => Readiness::NotReady,
            (false, true) => Readiness::Degraded,
            (false, false) => Readiness::Ready,
        };
        ProbeReport { state, probes, age_ms: millis(age) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_critical_failure_is_not_ready() {
        let check = |list: &[(bool, ProbeStatus)], expected| {
            let probes = list
                .iter()
                .map(|&(critical, status)| ProbeResult {
                    name: "p".into(),
                    critical,
                    status,
                    reason: String::new(),
                    latency_ms: 0,
                })
                .collect();
            assert_eq!(ProbeReport::fold(probes, Duration::ZERO).state, expected, "{list:?}");
        };
        check(&[], Readiness::Ready);
        check(&[(true, ProbeStatus::Ok)], Readiness::Ready);
        check(&[(true, ProbeStatus::Warn)], Readiness::Degraded);
        check(&[(false, ProbeStatus::Fail)], Readiness::Degraded);
        check(&[(false, ProbeStatus::Fail), (true, ProbeStatus::Fail)], Readiness::NotReady);
    }
}
