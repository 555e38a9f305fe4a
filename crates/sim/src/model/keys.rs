//! Keys of tasks: unique while the task is waiting or leased, idempotent until the key is too old.
//!
//! Deliberately absent: keys of limits, which belong to no single task.

use std::collections::BTreeMap;

use mb_core::id::TaskId;
use mb_core::queue::{NewTask, Task};
use mb_core::time::Timestamp;

use super::Gate;

/// Which task has which key.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    unique: BTreeMap<Gate, TaskId>,
    idempotency: BTreeMap<Gate, (TaskId, Timestamp)>,
}

impl Keys {
    /// The task that has one of the keys of this one; the idempotency key says most surely that it is meant.
    pub(super) fn holder_of(&self, new: &NewTask) -> Option<TaskId> {
        let unique = new.options.unique.as_ref().and_then(|key| self.unique.get(&(new.tenant, key.clone())));
        let known = new.idempotency.as_ref().and_then(|key| self.idempotency.get(&(new.tenant, key.clone())));
        known.map(|(id, _)| id).or(unique).copied()
    }

    /// Gives a new task its keys, which nobody has.
    pub(super) fn take(&mut self, now: Timestamp, new: &NewTask) {
        if let Some(key) = &new.options.unique {
            self.unique.insert((new.tenant, key.clone()), new.id);
        }
        if let Some(key) = &new.idempotency {
            self.idempotency.insert((new.tenant, key.clone()), (new.id, now));
        }
    }

    /// A new idempotency key of a task that waits already, under its unique key, stands for that one from now on.
    pub(super) fn point(&mut self, now: Timestamp, new: &NewTask, holder: TaskId) {
        if let Some(key) = &new.idempotency {
            self.idempotency.entry((new.tenant, key.clone())).or_insert((holder, now));
        }
    }

    /// Gives a task that was over its unique key again; says whether it was free.
    pub(super) fn retake(&mut self, task: &Task) -> bool {
        let Some(key) = &task.options.unique else { return true };
        *self.unique.entry((task.tenant, key.clone())).or_insert(task.id) == task.id
    }

    /// The unique key of a task that is over is free again.
    pub(super) fn free(&mut self, task: &Task) {
        if let Some(key) = &task.options.unique {
            self.unique.remove(&(task.tenant, key.clone()));
        }
    }

    /// Forgets idempotency keys made before a moment.
    pub(super) fn purge(&mut self, before: Timestamp) {
        self.idempotency.retain(|_, (_, made_at)| *made_at >= before);
    }
}
