//! The queue's tasks and the decisions about them: what may be enqueued, in which order it is taken, what follows
//! from how it ended. The stores carry these decisions out; `sim`'s model is the same thing over maps.
//!
//! A task is in exactly one place: **waiting** (ready, delayed until a moment, or blocked by a concurrency key),
//! **leased** to one worker under a [`crate::task::Fence`], or **finished** (a record that is only read). Delivery is
//! at least once: what a task does must be safe to do again, and (task, attempt) is the name under which an effect is
//! done once.
//!
//! ```text
//!            ┌── delayed ──due──┐        ┌── failed, tries left ──► delayed
//! enqueue ──►┤                  ├► ready ─claim─► leased ─┼── succeeded / failed for good / canceled ──► finished
//!            └── blocked ─slot──┘   ▲                     ├── snoozed ──► delayed (no try used)
//!                                   └── lease expired ────┘   (after [`LOSSES_MAX`] of those: quarantined)
//! ```
//!
//! Deliberately absent: what a task does (handlers are the engine's) and tasks of runs, whose next step the run
//! machine decides ([`crate::advance`]); they wait in the same queue, in the same order.

pub mod limit;
mod rank;
mod settle;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{TaskId, TenantId, WorkerId};
use crate::task::QueueClass;
use crate::time::Timestamp;
use crate::words::words;

pub use rank::{FlowKey, Head, Rank, Ranks};
pub use settle::{Ending, Outcome, Settled, lost, settle};

/// Workers a task may cost before it is quarantined as poison.
pub const LOSSES_MAX: u32 = 3;
/// Longest payload, in bytes of JSON.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 10;
/// Longest key (unique, idempotency, concurrency, rate) and kind, in bytes.
pub const KEY_BYTES_MAX: usize = 200;
/// Tasks one call may enqueue.
pub const ENQUEUE_MAX: usize = 100_000;
/// Tasks of one class one claim may take.
pub const CLAIM_MAX: usize = 1_000;
/// When to ask again after the queue was full.
pub const FULL_RETRY: Duration = Duration::from_secs(1);
/// Tries a task may ask for.
pub const ATTEMPTS_MAX: u32 = 100;

words! {
    /// Which tasks go first. A head start of a minute over the next lower one, not a right of way: a task that has
    /// waited longer than that goes before a newer one of higher priority, so nothing starves.
    Priority {
        /// Somebody waits for it.
        High = "high",
        /// The usual.
        Normal = "normal",
        /// Whenever there is time.
        Low = "low",
    }
}

words! {
    /// Where a waiting task stands.
    Waiting {
        /// It can be claimed.
        Ready = "ready",
        /// Not before its time.
        Delayed = "delayed",
        /// As many tasks with its concurrency key are leased as may be.
        Blocked = "blocked",
    }
}

words! {
    /// How a task ended.
    Fate {
        /// It did what it should.
        Succeeded = "succeeded",
        /// It failed for good: a dead letter, kept with all it takes to enqueue it again.
        Failed = "failed",
        /// Its deadline passed before it was done. Kept like a failed one.
        Expired = "expired",
        /// It cost too many workers. Kept like a failed one.
        Quarantined = "quarantined",
        /// Somebody took it back.
        Canceled = "canceled",
    }
}

impl Fate {
    /// Whether the record keeps what it takes to enqueue the task again: a dead letter.
    pub const fn is_dead_letter(self) -> bool {
        matches!(self, Self::Failed | Self::Expired | Self::Quarantined)
    }
}

words! {
    /// What a class of the queue does.
    Flow {
        /// Everything.
        Running = "running",
        /// Takes tasks in, gives none out.
        Paused = "paused",
        /// Gives tasks out, takes none in (what runs enqueue for themselves still enters).
        Draining = "draining",
    }
}

/// Waits between tries: `min(base · 2^(n−1), max)`, of which the upper half is spread by a hash of task and try so
/// that tasks which failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// After the first failure, in milliseconds.
    pub base_ms: u64,
    /// At most, in milliseconds.
    pub max_ms: u64,
}

impl Backoff {
    /// One second, doubling up to five minutes.
    pub const DEFAULT: Backoff = Backoff { base_ms: 1_000, max_ms: 300_000 };

    /// The wait after the `failures`-th failure (from 1), before spreading.
    pub fn wait(&self, failures: u32) -> Duration {
        let doubled = self.base_ms.saturating_mul(1u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX));
        Duration::from_millis(doubled.min(self.max_ms))
    }
}

/// What a task asks for beyond the usual. The default is stored as nothing at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskOptions {
    /// Tries in all, 1 to [`ATTEMPTS_MAX`].
    pub attempts_max: u32,
    /// Waits between tries.
    pub backoff: Backoff,
    /// Longest time of one try, in milliseconds; none is the worker's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// After this moment it is not begun (again) but expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// While a task of the tenant with this key is waiting or leased, enqueueing another one finds that one instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<String>,
    /// Tasks of the tenant with the same key never run more than so many at once, on all nodes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<limit::Concurrency>,
    /// Tasks of the tenant with the same key never begin more often, on all nodes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<limit::Rate>,
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            backoff: Backoff::DEFAULT,
            timeout_ms: None,
            deadline: None,
            unique: None,
            concurrency: None,
            rate: None,
        }
    }
}

/// A task to be put on the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its id, drawn by the caller.
    pub id: TaskId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which handler does it (`noop`, `http`), letters, digits, `-`, `_`, `.`.
    pub kind: String,
    /// Which slots it takes.
    pub class: QueueClass,
    /// How soon.
    pub priority: Priority,
    /// What it is about: JSON text.
    pub payload: String,
    /// Not before this moment; none is now.
    pub not_before: Option<Timestamp>,
    /// Enqueueing again with the same key, ever (as long as keys are kept), finds this task instead.
    pub idempotency: Option<String>,
    /// Everything else.
    pub options: TaskOptions,
}

/// Why a task cannot be enqueued as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTask {
    /// The kind is not a word.
    #[error("kind {0:?} is not valid: use 1 to 64 letters, digits and - _ .")]
    Kind(String),
    /// The payload is too long.
    #[error("the payload has {0} bytes; at most {PAYLOAD_BYTES_MAX} are allowed")]
    Payload(usize),
    /// A key is empty or too long.
    #[error("{0} key: use 1 to {KEY_BYTES_MAX} bytes")]
    Key(&'static str),
    /// A number is out of range.
    #[error("{what} must be {range}")]
    Range {
        /// Which.
        what: &'static str,
        /// What is allowed.
        range: &'static str,
    },
}

impl NewTask {
    /// A task of that kind with everything else as usual.
    pub fn new(id: TaskId, tenant: TenantId, kind: &str, class: QueueClass) -> NewTask {
        NewTask {
            id,
            tenant,
            kind: kind.to_owned(),
            class,
            priority: Priority::Normal,
            payload: "{}".to_owned(),
            not_before: None,
            idempotency: None,
            options: TaskOptions::default(),
        }
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn check(&self) -> Result<(), BadTask> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.kind.is_empty() || self.kind.len() > 64 || !self.kind.chars().all(plain) {
            return Err(BadTask::Kind(self.kind.clone()));
        }
        if self.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(BadTask::Payload(self.payload.len()));
        }
        let options = &self.options;
        for (what, key) in [
            ("unique", options.unique.as_deref()),
            ("idempotency", self.idempotency.as_deref()),
            ("concurrency", options.concurrency.as_ref().map(|limit| limit.key.as_str())),
            ("rate", options.rate.as_ref().map(|limit| limit.key.as_str())),
        ] {
            if key.is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES_MAX) {
                return Err(BadTask::Key(what));
            }
        }
        let range = |ok: bool, what, range| if ok { Ok(()) } else { Err(BadTask::Range { what, range }) };
        range((1..=ATTEMPTS_MAX).contains(&options.attempts_max), "attempts_max", "1 to 100")?;
        range(options.timeout_ms.is_none_or(|ms| ms > 0), "timeout_ms", "at least 1")?;
        range(options.concurrency.as_ref().is_none_or(|limit| limit.max > 0), "concurrency max", "at least 1")?;
        range(options.rate.as_ref().is_none_or(limit::Rate::is_valid), "rate", "at least 1 in 1 ms to 30 days")
    }
}

/// What became of one [`NewTask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It is on the queue under its id.
    New(TaskId),
    /// Its unique or idempotency key is taken by this task.
    Duplicate(TaskId),
}

impl Enqueued {
    /// The task that is on the queue.
    pub const fn id(self) -> TaskId {
        match self {
            Self::New(id) | Self::Duplicate(id) => id,
        }
    }
}

/// A task as a worker gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which handler does it.
    pub kind: String,
    /// Which slots it takes.
    pub class: QueueClass,
    /// How soon it should be done.
    pub priority: Priority,
    /// What it is about: JSON text.
    pub payload: String,
    /// Failures so far; the try at hand is one more.
    pub failures: u32,
    /// Workers it has cost so far.
    pub losses: u32,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// Its place in the order.
    pub rank: Rank,
    /// Everything else.
    pub options: TaskOptions,
}

/// What a worker wants.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who.
    pub worker: WorkerId,
    /// Free slots per class; at most [`CLAIM_MAX`] of a class are used.
    pub slots: BTreeMap<QueueClass, usize>,
    /// Only tasks with this affinity; none means only those without one.
    pub affinity: Option<String>,
    /// How long the leases last.
    pub lease: Duration,
}

/// What a heartbeat says about one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// It lasts until then.
    Kept(Timestamp),
    /// It is kept, but the work is no longer wanted: stop and report.
    Interrupt,
    /// It was lost: stop, and report nothing.
    Lost,
}

/// What became of one report about a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// It was heard, and this follows.
    Settled(Settled),
    /// The lease was lost before. Nothing was changed.
    StaleFence,
}

/// What became of a request to cancel a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskCancel {
    /// It was waiting and is over.
    Canceled,
    /// It is leased; its worker is told to stop.
    Interrupted,
    /// It was over before.
    Over,
    /// There is no such task of that tenant, or it is a run's (cancel the run).
    Unknown,
}

/// Why nothing was enqueued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// One of the tasks is not valid.
    #[error("task {index} is not valid")]
    Bad {
        /// Which, from 0.
        index: usize,
        /// Why.
        #[source]
        reason: BadTask,
    },
    /// As many wait as may.
    #[error("the queue {queue} is full: {waiting} wait, at most {bound} may; try again in {} ms", retry_after.as_millis())]
    Full {
        /// The word of the class or priority.
        queue: &'static str,
        /// How many wait.
        waiting: u64,
        /// How many may.
        bound: u64,
        /// When to ask again.
        retry_after: Duration,
    },
    /// The class takes nothing in.
    #[error("the queue {0} is draining and takes no new tasks; `mb queue restart {0}` ends that")]
    Draining(QueueClass),
    /// Too many at once.
    #[error("{0} tasks in one call; at most {ENQUEUE_MAX} are allowed")]
    TooMany(usize),
}

/// Most tasks that may wait; none is no bound. What runs enqueue for themselves is never refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// By class.
    pub class: BTreeMap<QueueClass, u64>,
    /// By priority, over all classes.
    pub priority: BTreeMap<Priority, u64>,
}

impl Bounds {
    /// Those of an installation nobody has set anything for; tasks of class custom are bounded by their priority alone.
    pub fn usual() -> Bounds {
        Bounds {
            class: [(QueueClass::Cpu, 100), (QueueClass::Io, 200), (QueueClass::Llm, 50)].into(),
            priority: [(Priority::High, 50), (Priority::Normal, 200), (Priority::Low, 500)].into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_most() {
        let backoff = Backoff { base_ms: 30_000, max_ms: 300_000 };
        let waits: Vec<u64> = (1..=6).map(|n| backoff.wait(n).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 300, 300]);
        assert_eq!(backoff.wait(u32::MAX).as_secs(), 300);
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let good = NewTask::new(TaskId::from_bytes([1; 16]), TenantId::DEFAULT, "noop", QueueClass::Io);
        let check = |change: fn(&mut NewTask), expected: &str| {
            let mut task = good.clone();
            change(&mut task);
            let got = task.check().map_or_else(|error| error.to_string(), |()| "good".to_owned());
            assert_eq!(got, expected);
        };
        check(|_| {}, "good");
        check(|task| task.kind = "a b".into(), "kind \"a b\" is not valid: use 1 to 64 letters, digits and - _ .");
        check(|task| task.kind = "k".repeat(64), "good");
        check(|task| task.payload = "x".repeat(PAYLOAD_BYTES_MAX), "good");
        check(
            |task| task.payload = "x".repeat(PAYLOAD_BYTES_MAX + 1),
            "the payload has 262145 bytes; at most 262144 are allowed",
        );
        check(|task| task.options.unique = Some(String::new()), "unique key: use 1 to 200 bytes");
        check(|task| task.idempotency = Some("k".repeat(201)), "idempotency key: use 1 to 200 bytes");
        check(|task| task.options.attempts_max = 0, "attempts_max must be 1 to 100");
        check(|task| task.options.attempts_max = 101, "attempts_max must be 1 to 100");
    }
}
