//! What a step waits for without using a worker, on the wire.

use mb_core::id::RunId;
use mb_core::run::Waiting as CoreWaiting;
use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a step waits for without a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// `approval`, `time`, `signal`, `child`, `repair` or `items`.
    pub on: String,
    /// What is to be decided, for an approval.
    pub prompt: Option<String>,
    /// Who may decide, for an approval; empty means whoever has the scope `runs:approve`.
    pub approvers: Vec<String>,
    /// The signal's name, for a signal.
    pub signal: Option<String>,
    /// The run it started, for a child.
    #[schema(value_type = Option<String>)]
    pub run: Option<RunId>,
    /// The moment waited for, or the last moment.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

impl Waiting {
    pub(crate) fn from_domain(waiting: &CoreWaiting) -> Waiting {
        let plain = |on: &str, until: Option<Timestamp>| Waiting {
            on: on.to_owned(),
            prompt: None,
            approvers: Vec::new(),
            signal: None,
            run: None,
            until,
        };
        match waiting {
            CoreWaiting::Approval { prompt, approvers, until } => Waiting {
                prompt: Some(prompt.clone()),
                approvers: approvers.iter().cloned().collect(),
                ..plain("approval", *until)
            },
            CoreWaiting::Time { until } => plain("time", Some(*until)),
            CoreWaiting::Signal { name, until } => Waiting { signal: Some(name.clone()), ..plain("signal", *until) },
            CoreWaiting::Child { run, .. } => Waiting { run: Some(*run), ..plain("child", None) },
            CoreWaiting::Repair { .. } => plain("repair", None),
            CoreWaiting::Items => plain("items", None),
        }
    }
}
