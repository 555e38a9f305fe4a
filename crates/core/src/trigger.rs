//! Triggers: what has to happen for a workflow to be started, and what keeps a circle of them from going on for ever.
//!
//! Deliberately absent: time (that is [`crate::schedule`]) and the happening itself (the engine fills the inputs in).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expression::{BadExpression, check_fill};
use crate::name::Name;
use crate::run::RunOutcome;

/// How many triggers may follow from one another: a run that the fifth one started triggers nothing more.
pub const DEPTH_MAX: u32 = 5;
/// Triggers that one happening may set off; those that were made first come first.
pub const FAN_OUT_MAX: usize = 50;
/// Inputs one trigger may compute.
pub const INPUTS_MAX: usize = 100;
/// The inputs of one trigger, as JSON, in bytes.
pub const INPUTS_BYTES_MAX: usize = 64 << 10;

/// What a trigger waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum On {
    /// Somebody sends an event of that name.
    Event {
        /// The name.
        name: Name,
    },
    /// A run ends. One that belongs to another run (a sub-workflow) does not count.
    RunFinished {
        /// Only runs of that workflow; any when it is absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        workflow: Option<String>,
        /// Only with one of these outcomes; any when it is empty.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        outcomes: BTreeSet<RunOutcome>,
    },
}

impl On {
    /// The kind's word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Event { .. } => "event",
            Self::RunFinished { .. } => "run_finished",
        }
    }

    /// What it is about, for finding it: the event's or the workflow's name; empty for any.
    pub fn subject(&self) -> &str {
        match self {
            Self::Event { name } => name.as_str(),
            Self::RunFinished { workflow, .. } => workflow.as_deref().unwrap_or(""),
        }
    }

    /// Whether a run that has ended is what it waits for.
    pub fn fits_run(&self, workflow: &str, outcome: RunOutcome) -> bool {
        match self {
            Self::Event { .. } => false,
            Self::RunFinished { workflow: wanted, outcomes } => {
                wanted.as_deref().is_none_or(|wanted| wanted == workflow)
                    && (outcomes.is_empty() || outcomes.contains(&outcome))
            }
        }
    }

    /// One phrase: `event deploy`, `run of build finished (failed)`.
    pub fn describe(&self) -> String {
        match self {
            Self::Event { name } => format!("event {name}"),
            Self::RunFinished { workflow, outcomes } => {
                let of = workflow.as_ref().map_or_else(|| "any workflow".to_owned(), ToString::to_string);
                let words: Vec<&str> = outcomes.iter().map(|outcome| outcome.as_str()).collect();
                let how = if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) };
                format!("run of {of} finished{how}")
            }
        }
    }
}

/// A trigger: when it goes off and what it hands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// What it waits for.
    pub on: On,
    /// The workflow's inputs: JSON with templates over `event` (name, id, data, at) or `run` (id, workflow, outcome,
    /// project, inputs, outputs).
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
}

/// Why a trigger is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTrigger {
    /// Too many inputs.
    #[error("the trigger computes {count} inputs; at most {INPUTS_MAX} are allowed")]
    TooManyInputs {
        /// How many.
        count: usize,
    },
    /// They are too large.
    #[error("the inputs have {bytes} bytes of JSON; at most {INPUTS_BYTES_MAX} are allowed")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// A template cannot be read.
    #[error("input {input:?} is no template")]
    Template {
        /// The input.
        input: String,
        /// What is wrong with it.
        #[source]
        source: BadExpression,
    },
}

impl Trigger {
    /// Checks bounds and templates.
    ///
    /// # Errors
    /// [`BadTrigger`].
    pub fn validate(self) -> Result<Trigger, BadTrigger> {
        if self.inputs.len() > INPUTS_MAX {
            return Err(BadTrigger::TooManyInputs { count: self.inputs.len() });
        }
        let bytes = self.inputs.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
        if bytes > INPUTS_BYTES_MAX {
            return Err(BadTrigger::TooLarge { bytes });
        }
        for (input, value) in &self.inputs {
            check_fill(value).map_err(|source| BadTrigger::Template { input: input.clone(), source })?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_goes_off_for_what_it_names() {
        let check = |json: &str, workflow: &str, outcome, expected: bool| {
            let on: On = serde_json::from_str(json).expect(json);
            assert_eq!(on.fits_run(workflow, outcome), expected, "{json} {workflow} {outcome}");
        };
        let any = r#"{"run_finished":{}}"#;
        let failed_builds = r#"{"run_finished":{"workflow":"build","outcomes":["failed","budget_exceeded"]}}"#;
        check(any, "build", RunOutcome::Passed, true);
        check(failed_builds, "build", RunOutcome::Failed, true);
        check(failed_builds, "build", RunOutcome::BudgetExceeded, true);
        check(failed_builds, "build", RunOutcome::Passed, false);
        check(failed_builds, "deploy", RunOutcome::Failed, false);
        check(r#"{"event":{"name":"deploy"}}"#, "deploy", RunOutcome::Passed, false);
    }

    #[test]
    fn inputs_of_a_trigger_are_checked() {
        let check = |count: usize, value: String, expected: Result<(), &str>| {
            let inputs = (10..10 + count).map(|n| (n.to_string(), Value::String(value.clone()))).collect();
            let trigger = Trigger { on: On::RunFinished { workflow: None, outcomes: BTreeSet::new() }, inputs };
            let got = trigger.validate().map(|_| ()).map_err(|error| crate::error::chain(&error));
            assert_eq!(got, expected.map_err(str::to_owned));
        };
        check(90, "{{ run.id }}".into(), Ok(()));
        check(100, "x".into(), Ok(()));
        check(101, "x".into(), Err("the trigger computes 101 inputs; at most 100 are allowed"));
        check(1, "x".repeat(65_532), Ok(()));
        check(1, "x".repeat(65_533), Err("the inputs have 65537 bytes of JSON; at most 65536 are allowed"));
        let broken = "input \"10\" is no template: unexpected end of input, expected identifier or integer in `run.`";
        check(1, "{{ run. }}".into(), Err(broken));
    }
}
