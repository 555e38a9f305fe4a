//! Triggers and events on the wire.

use std::collections::BTreeMap;

use mb_core::id::{RunId, TriggerId};
use mb_core::time::Timestamp;
use mb_core::trigger::On;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A wish for a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTrigger {
    /// Its name, unique: 1 to 100 letters, digits, `-`, `_` and `.`.
    #[schema(min_length = 1, max_length = 100, example = "after-build")]
    pub name: String,
    /// The workflow to start.
    pub workflow: String,
    /// Which version of it; the current one at each start when it is absent.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub version: Option<u32>,
    /// What it waits for: `{"event": {"name": …}}` or `{"run_finished": {"workflow": …, "outcomes": […]}}`.
    #[schema(value_type = Object)]
    pub on: On,
    /// Inputs by name: JSON with templates over `event` (name, id, at, data) or `run` (id, workflow, outcome, project,
    /// inputs, outputs).
    #[serde(default)]
    #[schema(value_type = Object)]
    pub inputs: BTreeMap<String, Value>,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trigger {
    /// Its id.
    #[schema(value_type = String, example = "trg_01jbx2m5k8e6t9h3v4n7q0r1sa")]
    pub id: TriggerId,
    /// Its name.
    pub name: String,
    /// What is started.
    pub workflow: String,
    /// Which version of it; the current one at each start when it is absent.
    pub version: Option<u32>,
    /// What it waits for.
    #[schema(value_type = Object)]
    pub on: On,
    /// The same in one phrase.
    #[schema(example = "event deploy")]
    pub when: String,
    /// Inputs by name.
    #[schema(value_type = Object)]
    pub inputs: BTreeMap<String, Value>,
    /// Who made it.
    pub actor: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who paused it and why; absent while it is not paused.
    pub paused: Option<String>,
}

/// An event from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// The same id again starts nothing again, 1 to 200 bytes; one is made when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub id: Option<String>,
    /// What it carries, at most 256 KiB of JSON.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub data: Value,
    /// The run that sends it, so that a circle of runs and events ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cause: Option<RunId>,
}

/// What came of an event. What it leads to is decided and will be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventSent {
    /// Its id.
    pub id: String,
    /// How many triggers wait for it.
    pub triggers: u64,
    /// How many starts it led to now; 0 when it came before.
    pub fires: u64,
}
