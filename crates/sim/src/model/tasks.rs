//! Every task that is not over, and the orders in which they are looked for.
//!
//! The indexes follow the entries: a task changes its place by being taken out and put back, and by nothing else.

use std::collections::{BTreeMap, BTreeSet};

use mb_core::id::TaskId;
use mb_core::queue::{Rank, Waiting};
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;

use super::{Entry, Gate, Place};

/// Tasks in the order in which they are taken.
type Line = BTreeSet<(Rank, TaskId)>;

/// Tasks by id, and what is ready, delayed, blocked and leased in the order it is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    entries: BTreeMap<TaskId, Entry>,
    ready: BTreeMap<(QueueClass, Option<String>), Line>,
    delayed: BTreeSet<(Timestamp, TaskId)>,
    blocked: BTreeMap<Gate, Line>,
    leased: BTreeSet<(Timestamp, TaskId)>,
    /// How many are leased with each concurrency key.
    held: BTreeMap<Gate, u32>,
}

impl Tasks {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(super) fn get(&self, id: TaskId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// Puts a task where its place says.
    pub(super) fn put(&mut self, entry: Entry) {
        let (id, rank) = (entry.task.id, entry.task.rank);
        match &entry.place {
            Place::Waiting(Waiting::Ready) => {
                let line = (entry.task.class, entry.affinity.clone());
                self.ready.entry(line).or_default().insert((rank, id));
            }
            Place::Waiting(Waiting::Delayed) => {
                self.delayed.insert((entry.ready_at, id));
            }
            Place::Waiting(Waiting::Blocked) => {
                let gate = entry.gate().expect("only a task with a concurrency key is blocked");
                self.blocked.entry(gate).or_default().insert((rank, id));
            }
            Place::Leased(holder) => {
                self.leased.insert((holder.until, id));
                if let Some(gate) = entry.gate() {
                    *self.held.entry(gate).or_default() += 1;
                }
            }
        }
        let before = self.entries.insert(id, entry);
        assert!(before.is_none(), "{id} is in two places");
    }

    /// Takes a task out, wherever it is.
    pub(super) fn take(&mut self, id: TaskId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        let rank = entry.task.rank;
        match &entry.place {
            Place::Waiting(Waiting::Ready) => {
                let line = (entry.task.class, entry.affinity.clone());
                self.ready.entry(line).or_default().remove(&(rank, id));
            }
            Place::Waiting(Waiting::Delayed) => {
                self.delayed.remove(&(entry.ready_at, id));
            }
            Place::Waiting(Waiting::Blocked) => {
                let gate = entry.gate().expect("only a task with a concurrency key is blocked");
                let line = self.blocked.entry(gate.clone()).or_default();
                line.remove(&(rank, id));
                if line.is_empty() {
                    self.blocked.remove(&gate);
                }
            }
            Place::Leased(holder) => {
                self.leased.remove(&(holder.until, id));
                if let Some(gate) = entry.gate() {
                    *self.held.entry(gate).or_default() -= 1;
                }
            }
        }
        Some(entry)
    }

    /// Changes a task and puts it where it then belongs.
    pub(super) fn change(&mut self, id: TaskId, change: impl FnOnce(&mut Entry)) {
        if let Some(mut entry) = self.take(id) {
            change(&mut entry);
            self.put(entry);
        }
    }

    /// The first ready tasks of a class and affinity.
    pub(super) fn ready(&self, class: QueueClass, affinity: Option<&str>, limit: usize) -> Vec<TaskId> {
        let line = self.ready.get(&(class, affinity.map(str::to_owned)));
        line.into_iter().flatten().take(limit).map(|(_, id)| *id).collect()
    }

    /// Delayed tasks whose time has come.
    pub(super) fn due(&self, now: Timestamp) -> Vec<TaskId> {
        self.delayed.iter().take_while(|(ready_at, _)| *ready_at <= now).map(|(_, id)| *id).collect()
    }

    /// Leases that ended before `now`, oldest first.
    pub(super) fn expired(&self, now: Timestamp, limit: usize) -> Vec<TaskId> {
        self.leased.iter().take_while(|(until, _)| *until < now).take(limit).map(|(_, id)| *id).collect()
    }

    /// What a worker holds, by id.
    pub(super) fn of_worker(&self, worker: mb_core::id::WorkerId) -> Vec<TaskId> {
        let is_its = |entry: &&Entry| entry.holder().is_some_and(|holder| holder.worker == worker);
        self.iter().filter(is_its).map(|entry| entry.task.id).collect()
    }

    /// How many are leased with a concurrency key.
    pub(super) fn held(&self, gate: &Gate) -> u32 {
        self.held.get(gate).copied().unwrap_or(0)
    }

    /// The lowest-ranked blocked tasks of a concurrency key.
    pub(super) fn blocked(&self, gate: &Gate, limit: usize) -> Vec<TaskId> {
        self.blocked.get(gate).into_iter().flatten().take(limit).map(|(_, id)| *id).collect()
    }

    /// Concurrency keys that block tasks.
    pub(super) fn gates(&self) -> Vec<Gate> {
        self.blocked.keys().cloned().collect()
    }
}
