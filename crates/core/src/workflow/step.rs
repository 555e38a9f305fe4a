//! One node of the DAG: its name, what it needs, what it does, and what holds for every kind alike.
//!
//! In documents the fields of the action stand beside the step's own (`name`, `needs`, `kind`, `url`…). A document
//! without `kind` is a shell step, which is how every workflow before the other kinds was written.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Action, Shell};
use crate::id::RunId;

/// One node of the DAG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepSpec {
    /// Unique name, letters, digits, `-`, `_`, `.`, `:` and `/`, at most 100 characters (`test`, `web:lint`).
    pub name: String,
    /// What it does.
    #[serde(flatten)]
    pub action: Action,
    /// Names of steps that must succeed, or be omitted by their `when`, first.
    pub needs: BTreeSet<String>,
    /// Expression: without its truth the step is omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// How often it is tried; none means once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Time for the step as a whole, waits and retries included, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What undoes it when it had succeeded and the run fails or is cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compensate: Option<Action>,
    /// Whether a failure of it may be repaired without being asked for.
    #[serde(skip_serializing_if = "is_true")]
    pub repair: bool,
}

/// How often a step is tried and how long is waited in between: `min(base · 2^(n−1), max)`, and a part of that more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Tries in all, 1 to 25.
    pub attempts_max: u32,
    /// Wait before the second try, in milliseconds.
    #[serde(default = "base")]
    pub base_ms: u64,
    /// Longest wait, in milliseconds.
    #[serde(default = "longest")]
    pub max_ms: u64,
    /// How much of the wait may be added to it, in percent, 0 to 100. The same run, step and try add the same.
    #[serde(default = "jitter")]
    pub jitter: u32,
}

fn base() -> u64 {
    1_000
}

fn longest() -> u64 {
    60_000
}

fn jitter() -> u32 {
    20
}

impl Retry {
    /// How long is waited before the try after the `n`th, from 1.
    pub fn wait(&self, run: RunId, step: &str, n: u32) -> Duration {
        let doubled = self.base_ms.saturating_mul(1 << n.saturating_sub(1).min(32));
        let wait_ms = doubled.min(self.max_ms);
        let more = wait_ms / 100 * u64::from(self.jitter.min(100));
        // No random number: a decision that is made again must be the same.
        let digest = Sha256::digest(format!("{run}/{step}#{n}"));
        let drawn = digest.iter().take(8).fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
        Duration::from_millis(wait_ms.saturating_add(drawn % more.saturating_add(1)))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_true(value: &bool) -> bool {
    *value
}

const fn yes() -> bool {
    true
}

/// What every kind has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    name: String,
    #[serde(default)]
    needs: BTreeSet<String>,
    #[serde(default)]
    when: Option<String>,
    #[serde(default)]
    retry: Option<Retry>,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    compensate: Option<Action>,
    #[serde(default = "yes")]
    repair: bool,
}

const COMMON: [&str; 7] = ["name", "needs", "when", "retry", "timeout_ms", "compensate", "repair"];

impl<'de> Deserialize<'de> for StepSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StepSpec, D::Error> {
        let all = Map::deserialize(deserializer)?;
        let (own, mut rest): (Map<String, Value>, Map<String, Value>) =
            all.into_iter().partition(|(key, _)| COMMON.contains(&key.as_str()));
        rest.entry("kind").or_insert_with(|| "shell".into());
        let name = own.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let named = |error: serde_json::Error| D::Error::custom(format!("step {name:?}: {error}"));
        let Common { name, needs, when, retry, timeout_ms, compensate, repair } =
            Common::deserialize(Value::Object(own)).map_err(named)?;
        let action =
            Action::deserialize(Value::Object(rest)).map_err(|e| D::Error::custom(format!("step {name:?}: {e}")))?;
        Ok(StepSpec { name, action, needs, when, retry, timeout_ms, compensate, repair })
    }
}

impl StepSpec {
    /// A step of that action with every default.
    pub fn new(name: impl Into<String>, action: Action) -> StepSpec {
        StepSpec {
            name: name.into(),
            action,
            needs: BTreeSet::new(),
            when: None,
            retry: None,
            timeout_ms: None,
            compensate: None,
            repair: true,
        }
    }

    /// Its command, when it is a shell step.
    pub const fn as_shell(&self) -> Option<&Shell> {
        match &self.action {
            Action::Shell(shell) => Some(shell),
            _ => None,
        }
    }
}
