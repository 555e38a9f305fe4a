//! Workers and queues on the wire.

use std::collections::BTreeMap;

use mb_core::id::WorkerId;
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
    /// The machine's name.
    pub node: String,
    /// Process id on that machine.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Where it stands (`active`, `draining`).
    pub state: String,
    /// Slots per class of work.
    pub slots: BTreeMap<String, u64>,
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
    /// Tasks that can be claimed now.
    pub ready: u64,
    /// Tasks that wait for a moment.
    pub delayed: u64,
    /// Tasks a worker holds.
    pub leased: u64,
    /// How long the oldest ready task has waited, in milliseconds; absent when none is ready.
    pub oldest_ready_age_ms: Option<u64>,
}
