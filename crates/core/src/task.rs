//! A task: one leased unit of work on the queue.
//!
//! A task is named by what it does ([`TaskKey`]), so enqueueing it twice is enqueueing it once. Whoever claims it
//! holds a [`Lease`] with a [`Fence`]; every write about the task carries that fence, and a write with an older
//! one changes nothing (rule 5).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::{RunId, TaskId, WorkerId};
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// The class of work a queue holds; workers have slots per class.
    QueueClass {
        /// Builds, tests, repairs.
        Cpu = "cpu",
        /// Waiting on disks and networks.
        Io = "io",
        /// Waiting on a model.
        Llm = "llm",
        /// Whatever the operator's own workers do.
        Custom = "custom",
    }
}

/// What a task does, within one run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "work")]
pub enum Work {
    /// Run a step's command once.
    Attempt {
        /// The step.
        step: String,
        /// Attempt number within the step, from 1.
        number: u32,
    },
    /// Try one repair of a failed step.
    Repair {
        /// The step.
        step: String,
        /// Repair number within the step, from 1.
        number: u32,
    },
    /// Write the result branch and patch of a repaired run.
    Publish,
}

impl Work {
    /// What kind of work it is, in a word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Attempt { .. } => "attempt",
            Self::Repair { .. } => "repair",
            Self::Publish => "publish",
        }
    }

    /// The step it belongs to, if any.
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::Attempt { step, .. } | Self::Repair { step, .. } => Some(step),
            Self::Publish => None,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempt { step, number } => write!(f, "{step}#{number}"),
            Self::Repair { step, number } => write!(f, "{step}!{number}"),
            Self::Publish => f.write_str("publish"),
        }
    }
}

/// Where the work of a task stands; `O` is how it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Progress<O> {
    /// On the queue.
    Queued {
        /// Not before.
        ready_at: Timestamp,
    },
    /// A worker does it.
    Running {
        /// Which.
        worker: WorkerId,
        /// Since when.
        since: Timestamp,
    },
    /// Over.
    Finished {
        /// When it began.
        since: Timestamp,
        /// When it ended.
        at: Timestamp,
        /// How.
        outcome: O,
    },
}

impl<O> Progress<O> {
    /// The outcome, once over.
    pub const fn outcome(&self) -> Option<&O> {
        match self {
            Self::Finished { outcome, .. } => Some(outcome),
            Self::Queued { .. } | Self::Running { .. } => None,
        }
    }

    /// The worker that does it now, and since when.
    pub const fn running(&self) -> Option<(WorkerId, Timestamp)> {
        match self {
            Self::Running { worker, since } => Some((*worker, *since)),
            Self::Queued { .. } | Self::Finished { .. } => None,
        }
    }
}

/// The name of a task: its run and its work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// The run.
    pub run: RunId,
    /// The work.
    #[serde(flatten)]
    pub work: Work,
}

impl TaskKey {
    /// The id of the task: the same for the same name (a UUID version 8, RFC 9562 §5.8), so that a run's task is
    /// enqueued once however often it is asked for.
    pub fn id(&self) -> TaskId {
        let digest = Sha256::digest(self.to_string());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        TaskId::from_bytes(bytes)
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run, self.work)
    }
}

/// A task to be put on the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// What it does.
    pub work: Work,
    /// Which slots it needs.
    pub class: QueueClass,
    /// Not to be claimed before.
    pub ready_at: Timestamp,
}

/// Rises with every grant of the same task; every write carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

/// The right to work on a task until a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The task.
    pub task: TaskId,
    /// What it does for a run, if it is a run's.
    pub key: Option<TaskKey>,
    /// Whom it was given to.
    pub worker: WorkerId,
    /// The grant.
    pub fence: Fence,
    /// When it ends unless renewed.
    pub until: Timestamp,
}

impl fmt::Display for Lease {
    /// The name of its task.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => fmt::Display::fmt(key, f),
            None => fmt::Display::fmt(&self.task, f),
        }
    }
}
