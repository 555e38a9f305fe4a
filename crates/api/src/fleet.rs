//! Workers and queues.

use std::collections::{BTreeMap, BTreeSet};

use mb_core::id::WorkerId;
use mb_core::queue::{Flow, Priority};
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::words;

/// A process that claims tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// Its id; a new one at every start.
    #[schema(value_type = String, example = "wrk_01jbx2m5k8e6t9h3v4n7q0r1sa")]
    pub id: WorkerId,
    /// The machine's name, and behind `/` that of a worker process on it.
    pub node: String,
    /// Process id on that machine.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Whether that differs from the version of the server that answers.
    pub version_skew: bool,
    /// What the process does (`api`, `worker`).
    pub roles: BTreeSet<String>,
    /// Where it stands (`active`, `draining`).
    pub state: String,
    /// `healthy`; `unhealthy` after three missed heartbeats; `stale` after five minutes.
    pub health: String,
    /// Whether it was asked to end.
    pub asked_to_end: bool,
    /// Slots per class of work.
    pub slots: BTreeMap<String, u64>,
    /// Tasks it holds per class, those that wait in it for a slot included.
    pub held: BTreeMap<String, u64>,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Its last heartbeat.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: Timestamp,
    /// Age of that heartbeat, in milliseconds, when this was answered.
    pub seen_age_ms: u64,
    /// Whether the heartbeat is too old to count on the worker.
    pub stale: bool,
}

/// A queue: the tasks of one class of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// The class.
    #[schema(schema_with = words::queue_class)]
    pub class: QueueClass,
    /// What it does: `running`, `paused` (gives nothing out), `draining` (takes nothing in).
    #[schema(schema_with = words::flow)]
    pub state: Flow,
    /// Tasks that can be claimed now.
    pub ready: u64,
    /// Tasks that wait for a moment.
    pub delayed: u64,
    /// Tasks that wait for others with their concurrency key.
    pub blocked: u64,
    /// Tasks a worker holds.
    pub leased: u64,
    /// Most tasks that may wait; absent when there is no bound.
    pub capacity: Option<u64>,
    /// Slots of the workers that are healthy.
    pub slots: u64,
    /// How long the oldest ready task has waited, in milliseconds; absent when none is ready.
    pub oldest_ready_age_ms: Option<u64>,
}

impl Queue {
    /// Tasks that wait, for whatever reason.
    pub const fn depth(&self) -> u64 {
        self.ready + self.delayed + self.blocked
    }

    /// The queue in a few numbers.
    pub fn status(&self) -> QueueStatus {
        QueueStatus {
            class: self.class,
            state: self.state,
            depth: self.depth(),
            capacity: self.capacity,
            in_flight: self.leased,
            paused: self.state == Flow::Paused,
            draining: self.state == Flow::Draining,
            oldest_age_ms: self.oldest_ready_age_ms,
            slots: self.slots,
            utilization_percent: (self.slots > 0).then(|| (self.leased * 100 / self.slots).min(100)),
        }
    }
}

/// A queue in a few numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueStatus {
    /// The class.
    #[schema(schema_with = words::queue_class)]
    pub class: QueueClass,
    /// `running`, `paused` or `draining`.
    #[schema(schema_with = words::flow)]
    pub state: Flow,
    /// Tasks that wait.
    pub depth: u64,
    /// Most that may wait; absent when there is no bound.
    pub capacity: Option<u64>,
    /// Tasks that workers hold.
    pub in_flight: u64,
    /// Whether it gives nothing out.
    pub paused: bool,
    /// Whether it takes nothing in.
    pub draining: bool,
    /// How long the oldest ready task has waited, in milliseconds.
    pub oldest_age_ms: Option<u64>,
    /// Slots of the workers that are healthy.
    pub slots: u64,
    /// Share of those slots that is in use, 0 to 100; absent when there are none.
    pub utilization_percent: Option<u64>,
}

/// How much of a priority waits, over all classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriorityStatus {
    /// The priority.
    #[schema(schema_with = words::priority)]
    pub priority: Priority,
    /// Tasks that wait, counted up to the capacity.
    pub depth: u64,
    /// Most that may wait.
    pub capacity: u64,
}

/// All queues at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueuesStatus {
    /// When this was true.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// By class.
    pub queues: Vec<QueueStatus>,
    /// By priority.
    pub priorities: Vec<PriorityStatus>,
}

/// The workers of one class together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// Processes that were heard of within a day and not asked to end.
    pub expected: u64,
    /// Those of them that are healthy.
    pub healthy: u64,
    /// Slots of the healthy ones.
    pub slots: u64,
    /// Tasks they hold.
    pub held: u64,
}

/// All workers at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkersStatus {
    /// When this was true.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Healthy workers that were not asked to end.
    pub active: u64,
    /// By class.
    pub pools: BTreeMap<String, Pool>,
    /// Every worker heard of within a day.
    pub workers: Vec<Worker>,
}

/// Whether the workers are as they should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkersHealth {
    /// `healthy`; `degraded` when something is in `problems`; `down` when no worker is healthy.
    pub status: String,
    /// By class.
    pub pools: BTreeMap<String, Pool>,
    /// What is not as it should be, a sentence each.
    pub problems: Vec<String>,
}

/// Queues, workers and runs on one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// When this was true.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// By class.
    pub queues: BTreeMap<String, QueueStatus>,
    /// By class.
    pub workers: BTreeMap<String, Pool>,
    /// How long the longest task of a class has been held, in milliseconds.
    pub longest_held_ms: BTreeMap<String, u64>,
    /// Runs per state.
    pub runs: BTreeMap<String, u64>,
}

/// What became of a wish about workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ending {
    /// Workers that were asked to end.
    pub asked: u64,
}

/// What clearing stuck tasks did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cleared {
    /// Tasks taken back from workers whose leases had run out.
    pub cleared: u64,
}
