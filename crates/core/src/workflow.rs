//! A workflow: a checked DAG of steps, its inputs and outputs, its budget.
//!
//! A project's build is one workflow; `mb run -- CMD` is a workflow of one step. It is content-addressed:
//! [`Workflow::digest`] names it, and a run keeps the one it began with.
//!
//! Deliberately absent: how a repository is recognised and how `meta-builder.toml` is written. That is the
//! `project` crate; what arrives here is already plain data.

mod action;
mod input;
mod shell;
mod step;
#[cfg(test)]
mod tests;
mod valid;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::action::{
    Action, ActionKind, Approval, Call, Condition, DEPTH_MAX, Foreach, Http, ITEMS_MAX, Llm, Method, OnTimeout, Repair,
    Transform, Wait,
};
pub use self::input::{BadInputs, INPUTS_BYTES_MAX, Input, InputType};
pub use self::shell::{CommandLine, Fixer, Limits, Network, Shell, StageKind};
pub use self::step::{Retry, StepSpec};
pub use self::valid::{BadWorkflow, FIXERS_MAX, RETRIES_MAX, STEPS_MAX};
use crate::budget::Budget;

/// What a repair may do in this project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepairPolicy {
    /// Whether to repair at all.
    pub enabled: bool,
    /// Globs (gitignore syntax) a repair may write to; empty means everything that `deny` leaves.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Globs a repair may never write to. Wins over `allow`.
    #[serde(default)]
    pub deny: Vec<String>,
    /// Largest difference kept, in bytes.
    pub patch_bytes_max: u64,
}

impl RepairPolicy {
    /// What no repair may write to unless the project says otherwise: secrets, continuous-integration
    /// configuration and version control.
    pub const DENY_DEFAULT: &'static [&'static str] = &[
        ".git/",
        ".gitattributes",
        ".gitmodules",
        ".env",
        ".env.*",
        "*.pem",
        "*.key",
        "id_rsa*",
        "secrets/",
        ".github/",
        ".gitlab-ci.yml",
        ".circleci/",
        "meta-builder.toml",
    ];
}

impl Default for RepairPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            allow: Vec::new(),
            deny: Self::DENY_DEFAULT.iter().map(ToString::to_string).collect(),
            patch_bytes_max: 10 << 20,
        }
    }
}

/// A validated DAG of steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Name for people (`build`).
    pub name: String,
    /// The steps, in an order in which each comes after its needs.
    pub steps: Vec<StepSpec>,
    /// Bounds of one run.
    #[serde(default)]
    pub budget: Budget,
    /// What a repair may do.
    #[serde(default)]
    pub repair: RepairPolicy,
    /// Extra patterns (regular expressions) whose matches are redacted, beside the built-in ones.
    #[serde(default)]
    pub redact: Vec<String>,
    /// What a run of it takes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Input>,
    /// What a run of it gives: name to JSON with templates, filled in when every step is done.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, serde_json::Value>,
    /// Time from creation to the end, waits included, in milliseconds; none is no limit. `budget.time_ms` counts only
    /// the time in which something runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

impl Workflow {
    /// A workflow of these steps with every default, not checked yet.
    pub fn new(name: impl Into<String>, steps: Vec<StepSpec>) -> Workflow {
        Workflow {
            name: name.into(),
            steps,
            budget: Budget::DEFAULT,
            repair: RepairPolicy::default(),
            redact: Vec::new(),
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            timeout_ms: None,
        }
    }

    /// The step of that name.
    pub fn step(&self, name: &str) -> Option<&StepSpec> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Every step that `step` needs, directly or not, in the order of the workflow.
    pub fn needs_of(&self, step: &StepSpec) -> Vec<&StepSpec> {
        let mut wanted: BTreeSet<&str> = step.needs.iter().map(String::as_str).collect();
        // Steps come after what they need, so one walk backwards finds everything.
        for spec in self.steps.iter().rev() {
            if wanted.contains(spec.name.as_str()) {
                wanted.extend(spec.needs.iter().map(String::as_str));
            }
        }
        self.steps.iter().filter(|spec| wanted.contains(spec.name.as_str())).collect()
    }

    /// The name of a step's group: the first step, in the order of the workflow, that it is connected to by needs
    /// (itself, when it is connected to none).
    pub fn group_of(&self, step: &str) -> String {
        let mut group: BTreeSet<&str> = BTreeSet::from([step]);
        // Each pass adds at least one step or is the last.
        for _ in 0..self.steps.len() {
            let before = group.len();
            for spec in &self.steps {
                let name = spec.name.as_str();
                if group.contains(name) || spec.needs.iter().any(|need| group.contains(need.as_str())) {
                    group.insert(name);
                    group.extend(spec.needs.iter().map(String::as_str));
                }
            }
            if group.len() == before {
                break;
            }
        }
        let first = self.steps.iter().find(|spec| group.contains(spec.name.as_str()));
        first.map_or_else(|| step.to_owned(), |spec| spec.name.clone())
    }

    /// All folders that any step wants carried: connected steps see the same files.
    pub fn caches(&self) -> BTreeSet<String> {
        self.steps.iter().filter_map(StepSpec::as_shell).flat_map(|shell| shell.caches.iter().cloned()).collect()
    }

    /// SHA-256 of the canonical JSON, in hex: the name a workflow version is stored under.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("a workflow is plain data and serialises");
        hex(&Sha256::digest(json))
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
