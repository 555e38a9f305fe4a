//! Schedules on the wire, and what they and triggers started.

use mb_core::id::{RunId, ScheduleId};
use mb_core::run::TriggerKind;
use mb_core::schedule::{CatchUp, Overlap};
use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::words;

/// A wish for a schedule. Either `cron` or `every_s` is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSchedule {
    /// Its name, unique: 1 to 100 letters, digits, `-`, `_` and `.`.
    #[schema(min_length = 1, max_length = 100, example = "every-night")]
    pub name: String,
    /// The workflow to start.
    pub workflow: String,
    /// Which version of it; the current one at each start when it is absent.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub version: Option<u32>,
    /// Inputs by name: JSON with templates over `schedule.name` and `schedule.at`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub inputs: Value,
    /// A cron pattern of five fields, or a name such as `@daily`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "0 3 * * *")]
    pub cron: Option<String>,
    /// The pattern's time zone, by its IANA name; UTC when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Oslo")]
    pub zone: Option<String>,
    /// An interval in seconds, instead of a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub every_s: Option<u64>,
    /// From when the interval counts; the epoch when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub anchor: Option<Timestamp>,
    /// Each start is put off by up to so many seconds, always the same for the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 86_400)]
    pub jitter_s: Option<u64>,
    /// What becomes of missed times: `skip`, `last` (unless given) or `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::catch_up)]
    pub catch_up: Option<CatchUp>,
    /// How far back that goes, in seconds; an hour unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800)]
    pub catch_up_window_s: Option<u64>,
    /// How many are made up for at once with `all`; 10 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub catch_up_max: Option<u32>,
    /// What happens while a run is open: `skip` (unless given), `queue`, `allow` or `cancel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::overlap)]
    pub overlap: Option<Overlap>,
    /// For a change: the revision it is a change of. Another one by now is a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// Its id.
    #[schema(value_type = String, example = "sch_01jbx2m5k8e6t9h3v4n7q0r1sa")]
    pub id: ScheduleId,
    /// Its name.
    pub name: String,
    /// What is started.
    pub workflow: String,
    /// Which version of it; the current one at each start when it is absent.
    pub version: Option<u32>,
    /// With which inputs.
    #[schema(value_type = Object)]
    pub inputs: Value,
    /// When, in one phrase.
    #[schema(example = "0 3 * * * in Europe/Oslo")]
    pub timing: String,
    /// The cron pattern.
    pub cron: Option<String>,
    /// Its time zone.
    pub zone: Option<String>,
    /// The interval, in seconds.
    pub every_s: Option<u64>,
    /// From when the interval counts.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub anchor: Option<Timestamp>,
    /// By how many seconds each start is put off at most.
    pub jitter_s: u64,
    /// What becomes of missed times.
    #[schema(schema_with = words::catch_up)]
    pub catch_up: CatchUp,
    /// How far back that goes, in seconds.
    pub catch_up_window_s: u64,
    /// How many are made up for at once.
    pub catch_up_max: u32,
    /// What happens while a run is open.
    #[schema(schema_with = words::overlap)]
    pub overlap: Overlap,
    /// Who made it or changed it last.
    pub actor: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When a person last changed it.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Rises with every change by a person.
    pub revision: i64,
    /// Who paused it and why; absent while it is not paused.
    pub paused: Option<String>,
    /// A time that waits for the open run to end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub waiting_at: Option<Timestamp>,
    /// When its next start is, jitter included; absent while it is paused.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

/// One of the times of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Moment {
    /// The time.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The same as the schedule's own clocks show it.
    #[schema(example = "2024-03-31 03:00 CEST")]
    pub local: String,
}

/// A start that a schedule or trigger decided on, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fire {
    /// The schedule or trigger, by its id.
    pub source: String,
    /// What kind of thing it waited for.
    #[schema(schema_with = words::trigger_kind)]
    pub kind: TriggerKind,
    /// What set it off: the time, the run that ended, or the event's id.
    pub occasion: String,
    /// When it should have happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: Timestamp,
    /// Where it stands.
    #[schema(schema_with = words::fire_state)]
    pub state: String,
    /// The run it started.
    #[schema(value_type = Option<String>)]
    pub run: Option<RunId>,
    /// Why it was left out or could not be started.
    pub detail: Option<String>,
    /// How many triggers have followed from one another.
    pub depth: u32,
}
