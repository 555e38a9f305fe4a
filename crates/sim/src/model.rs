//! The queue over maps: what every verb of the store means, in as few words as the meaning allows.
//!
//! The verbs have the names, arguments and answers of the store's. Each is one transaction, so here each is one call on
//! `&mut self`. The suite in `crates/store/tests/it/queue_tasks.rs` compares the databases with this model step by step,
//! and the simulator runs on it.
//!
//! Deliberately absent: errors of a database, waiting, and speed beyond what a simulation of some thousand tasks needs.

mod claim;
mod dead;
mod end;
mod enqueue;
mod keys;
mod runs;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use mb_core::id::{RunId, TaskId, TenantId, WorkerId};
use mb_core::queue::{Fate, Flow, Priority, Ranks, Task, TaskOptions, Waiting};
use mb_core::run::Run;
use mb_core::task::{Fence, Lease, QueueClass, TaskKey};
use mb_core::time::Timestamp;

pub use runs::{CancelRun, Change, Finish, NewRun, Report};

use keys::Keys;
use tasks::Tasks;

/// A mistake put in on purpose, to show that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// `complete` takes a report whatever fence it carries.
    NoFenceCheck,
    /// `complete` takes a report whichever worker sends it.
    NoWorkerCheck,
    /// A task whose lease ran out is granted again under the fence it had.
    SameFenceAfterLoss,
    /// Nothing wakes the tasks a concurrency key blocked.
    NoWakeUp,
    /// A turn of a rate key waits for its task however late that comes: after a pause all of them begin together.
    TurnsNeverLapse,
    /// A dead letter that comes back counts its fences from the beginning.
    FencesStartAgain,
    /// The store answers before what it says is safe. (The model cannot do that; the simulated store does.)
    AckBeforeApply,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: &'static [Flaw] = &[
        Flaw::NoFenceCheck,
        Flaw::NoWorkerCheck,
        Flaw::SameFenceAfterLoss,
        Flaw::NoWakeUp,
        Flaw::TurnsNeverLapse,
        Flaw::FencesStartAgain,
        Flaw::AckBeforeApply,
    ];

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Flaw::NoFenceCheck => "no-fence-check",
            Flaw::NoWorkerCheck => "no-worker-check",
            Flaw::SameFenceAfterLoss => "same-fence-after-loss",
            Flaw::NoWakeUp => "no-wake-up",
            Flaw::TurnsNeverLapse => "turns-never-lapse",
            Flaw::FencesStartAgain => "fences-start-again",
            Flaw::AckBeforeApply => "ack-before-apply",
        }
    }
}

/// A task that is waiting or leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What a worker gets to see.
    pub task: Task,
    /// The last grant; 0 before the first.
    pub fence: Fence,
    /// The one process that may claim it; none is every process.
    pub affinity: Option<String>,
    /// Not before.
    pub ready_at: Timestamp,
    /// Whether it holds a turn of its rate key that it has not used.
    pub is_reserved: bool,
    /// What it does for a run, if it is a run's.
    pub key: Option<TaskKey>,
    /// Where it is.
    pub place: Place,
}

impl Entry {
    /// Tenant and concurrency key, if it has one.
    pub fn gate(&self) -> Option<Gate> {
        let limit = self.task.options.concurrency.as_ref()?;
        Some((self.task.tenant, limit.key.clone()))
    }

    /// Who holds it, if anybody does.
    pub const fn holder(&self) -> Option<&Holder> {
        match &self.place {
            Place::Leased(holder) => Some(holder),
            Place::Waiting(_) => None,
        }
    }
}

/// A tenant's key of a limit.
pub type Gate = (TenantId, String);

/// Where a task is that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the queue.
    Waiting(Waiting),
    /// With a worker.
    Leased(Holder),
}

/// Who holds a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The worker.
    pub worker: WorkerId,
    /// Until when, unless renewed.
    pub until: Timestamp,
    /// Since when.
    pub since: Timestamp,
    /// Whether the work is no longer wanted.
    pub is_interrupted: bool,
}

/// The record of a task that is over. Tasks of runs leave none: their attempts are it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its id.
    pub id: TaskId,
    /// Whose it was.
    pub tenant: TenantId,
    /// Which handler did it.
    pub kind: String,
    /// Which slots it took.
    pub class: QueueClass,
    /// How soon it should have been done.
    pub priority: Priority,
    /// Failures in all.
    pub failures: u32,
    /// Workers it cost.
    pub losses: u32,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// When its last try began, if that is what ended it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Who tried last, if that is what ended it.
    pub worker: Option<WorkerId>,
    /// How.
    pub fate: Fate,
    /// Why, if it did not succeed.
    pub error: Option<String>,
    /// What it takes to enqueue it again; dead letters only.
    pub letter: Option<Letter>,
}

/// What a dead letter keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What it is about.
    pub payload: String,
    /// Everything else.
    pub options: TaskOptions,
}

/// A task that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The right to work on it.
    pub lease: Lease,
    /// The task.
    pub task: Task,
}

/// One class of the queue at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStats {
    /// The class.
    pub class: QueueClass,
    /// Tasks that could be claimed.
    pub ready: u64,
    /// Tasks that wait for their time.
    pub delayed: u64,
    /// Tasks that wait for others with their concurrency key.
    pub blocked: u64,
    /// Tasks that are held.
    pub leased: u64,
    /// How long the oldest ready task has been ready; none when nothing is.
    pub oldest_ready_age: Option<Duration>,
}

/// The queue.
#[derive(Debug, Clone, Default)]
pub struct Model {
    flaw: Option<Flaw>,
    tasks: Tasks,
    finished: BTreeMap<TaskId, Finished>,
    keys: Keys,
    /// What the last turn of a rate key left behind.
    arrivals: BTreeMap<Gate, Timestamp>,
    flows: BTreeMap<QueueClass, Flow>,
    ranks: Ranks,
    runs: BTreeMap<RunId, Run>,
    affinities: BTreeMap<RunId, String>,
    changes: Vec<Change>,
}

impl Model {
    /// An empty queue with a mistake in it.
    pub fn with_flaw(flaw: Flaw) -> Model {
        Model { flaw: Some(flaw), ..Model::default() }
    }

    /// Makes a class run, pause or drain.
    pub fn set_flow(&mut self, class: QueueClass, flow: Flow) {
        self.flows.insert(class, flow);
    }

    /// What a class does.
    pub fn flow(&self, class: QueueClass) -> Flow {
        self.flows.get(&class).copied().unwrap_or(Flow::Running)
    }

    /// Every class of the queue, of all tenants.
    pub fn stats(&self, now: Timestamp) -> Vec<QueueStats> {
        QueueClass::ALL.iter().map(|&class| self.stats_of(now, class)).collect()
    }

    fn stats_of(&self, now: Timestamp, class: QueueClass) -> QueueStats {
        let mut stats = QueueStats { class, ready: 0, delayed: 0, blocked: 0, leased: 0, oldest_ready_age: None };
        for entry in self.tasks.iter().filter(|entry| entry.task.class == class) {
            match entry.place {
                Place::Leased(_) => stats.leased += 1,
                Place::Waiting(Waiting::Blocked) => stats.blocked += 1,
                Place::Waiting(Waiting::Delayed) if entry.ready_at > now => stats.delayed += 1,
                Place::Waiting(Waiting::Delayed | Waiting::Ready) => {
                    stats.ready += 1;
                    stats.oldest_ready_age = stats.oldest_ready_age.max(Some(now.since(entry.ready_at)));
                }
            }
        }
        stats
    }

    /// Tasks that are waiting or leased, by id.
    pub fn tasks(&self) -> impl Iterator<Item = &Entry> {
        self.tasks.iter()
    }

    /// A task that is waiting or leased.
    pub fn task(&self, id: TaskId) -> Option<&Entry> {
        self.tasks.get(id)
    }

    /// Records of tasks that are over, by id.
    pub const fn finished(&self) -> &BTreeMap<TaskId, Finished> {
        &self.finished
    }

    /// Runs, by id.
    pub const fn runs(&self) -> &BTreeMap<RunId, Run> {
        &self.runs
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}
