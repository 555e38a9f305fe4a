//! Tasks that belong to no run.

use mb_core::id::{TaskId, WorkerId};
use mb_core::queue::limit;
use mb_core::queue::{Backoff, Priority};
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::words;

/// A wish for a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// Which handler does it: 1 to 64 letters, digits and `-`, `_`, `.`.
    #[schema(example = "noop")]
    pub kind: String,
    /// Which slots it takes; `io` unless given.
    #[serde(default = "io")]
    #[schema(schema_with = words::queue_class)]
    pub class: QueueClass,
    /// How soon; `normal` unless given.
    #[serde(default = "normal")]
    #[schema(schema_with = words::priority)]
    pub priority: Priority,
    /// What it is about; an empty object unless given.
    #[serde(default = "nothing")]
    pub payload: serde_json::Value,
    /// Not before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<Timestamp>,
    /// The same key again, ever, finds this task instead. 1 to 200 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// While a task with this key waits or runs, another one finds that one instead. 1 to 200 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<String>,
    /// Tries in all, 1 to 100; 5 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
    /// Longest time of one try, in milliseconds; the worker's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// After this moment it is not begun (again) but expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
    /// Waits between tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Wait>,
    /// At most so many with the key at once, on all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// At most so many with the key begin in a time, on all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

const fn io() -> QueueClass {
    QueueClass::Io
}

const fn normal() -> Priority {
    Priority::Normal
}

fn nothing() -> serde_json::Value {
    serde_json::json!({})
}

/// Waits between tries: the first doubles up to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// After the first failure, in milliseconds.
    pub base_ms: u64,
    /// At most, in milliseconds.
    pub max_ms: u64,
}

impl From<Wait> for Backoff {
    fn from(wait: Wait) -> Backoff {
        Backoff { base_ms: wait.base_ms, max_ms: wait.max_ms }
    }
}

/// At most so many at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// What the tasks share.
    pub key: String,
    /// How many, from 1.
    pub max: u32,
}

impl From<limit::Concurrency> for Concurrency {
    fn from(limit: limit::Concurrency) -> Concurrency {
        Concurrency { key: limit.key, max: limit.max }
    }
}

impl From<Concurrency> for limit::Concurrency {
    fn from(limit: Concurrency) -> limit::Concurrency {
        limit::Concurrency { key: limit.key, max: limit.max }
    }
}

/// At most so many begun in a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// What the tasks share.
    pub key: String,
    /// How many, from 1.
    pub count: u32,
    /// In how long, in milliseconds.
    pub per_ms: u64,
    /// How many may begin together after a rest; 1 unless given.
    #[serde(default = "one")]
    pub burst: u32,
}

const fn one() -> u32 {
    1
}

impl From<limit::Rate> for Rate {
    fn from(limit: limit::Rate) -> Rate {
        Rate { key: limit.key, count: limit.count, per_ms: limit.per_ms, burst: limit.burst }
    }
}

impl From<Rate> for limit::Rate {
    fn from(limit: Rate) -> limit::Rate {
        limit::Rate { key: limit.key, count: limit.count, per_ms: limit.per_ms, burst: limit.burst }
    }
}

/// Many wishes, taken all or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTasks {
    /// The tasks.
    pub tasks: Vec<NewTask>,
}

/// A task that is on the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Added {
    /// Its id.
    #[schema(value_type = String, example = "tsk_01jbx2m5k8e6t9h3v4n7q0r1sa")]
    pub id: TaskId,
    /// Whether one of its keys had it there already.
    pub existed: bool,
}

/// What became of many wishes, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddedTasks {
    /// The tasks.
    pub tasks: Vec<Added>,
}

/// A task, wherever it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its id.
    #[schema(value_type = String, example = "tsk_01jbx2m5k8e6t9h3v4n7q0r1sa")]
    pub id: TaskId,
    /// Which handler does it.
    pub kind: String,
    /// Which slots it takes.
    #[schema(schema_with = words::queue_class)]
    pub class: QueueClass,
    /// How soon.
    #[schema(schema_with = words::priority)]
    pub priority: Priority,
    /// `ready`, `delayed`, `blocked`, `leased`, `succeeded`, `failed`, `expired`, `quarantined` or `canceled`.
    pub state: String,
    /// Whether its worker was asked to stop it.
    pub canceling: bool,
    /// Failed tries.
    pub failures: u32,
    /// Workers it cost.
    pub losses: u32,
    /// When it was enqueued.
    #[schema(value_type = String, format = DateTime)]
    pub enqueued_at: Timestamp,
    /// Not before, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ready_at: Option<Timestamp>,
    /// When its last try began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// Who has it, or did its last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub worker: Option<WorkerId>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it is about; of tasks that are over only dead letters keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<serde_json::Value>,
}

/// Which dead letters to enqueue again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Requeue {
    /// These; at most 10,000.
    #[schema(value_type = Vec<String>)]
    pub ids: Vec<TaskId>,
    /// All there are, 10,000 at a time.
    pub all: bool,
    /// Only say how many.
    pub dry_run: bool,
}

/// What became of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Requeued {
    /// How many are on the queue again, or would be.
    pub count: u64,
    /// Which; none in a dry run.
    #[schema(value_type = Vec<String>)]
    pub ids: Vec<TaskId>,
    /// Whether nothing was done.
    pub dry_run: bool,
}
