//! How a lease ends: by a report, by running out, by its worker's leave, by somebody who wants the work no more.

use std::collections::BTreeMap;

use mb_core::id::{TaskId, TenantId, WorkerId};
use mb_core::queue::{Completion, Ending, Fate, Outcome, Settled, TaskCancel, Waiting, lost, settle};
use mb_core::task::Lease;
use mb_core::time::Timestamp;

use super::enqueue::waiting;
use super::{Entry, Finished, Flaw, Gate, Letter, Model, Place};

/// Tasks one call of [`Model::reap`] takes back at most.
const TAKE_BACK_MAX: u32 = 500;

/// Tasks that ended or were freed, by concurrency key: so many blocked ones are woken.
pub(super) type Freed = BTreeMap<Gate, usize>;

impl Model {
    /// Hears what workers say of tasks they hold, in order. A lease of a run's task is not ended here but by
    /// [`Model::report`].
    pub fn complete(&mut self, now: Timestamp, reports: &[(Lease, Outcome)]) -> Vec<Completion> {
        let mut freed = Freed::new();
        let answers =
            reports.iter().map(|(lease, outcome)| self.complete_one(now, lease, outcome, &mut freed)).collect();
        self.wake(freed);
        answers
    }

    fn complete_one(&mut self, now: Timestamp, lease: &Lease, outcome: &Outcome, freed: &mut Freed) -> Completion {
        let held = self.held(lease).filter(|entry| entry.key.is_none());
        let Some(entry) = held.cloned() else { return Completion::StaleFence };
        let is_interrupted = entry.holder().is_some_and(|holder| holder.is_interrupted);
        let settled = match outcome {
            Outcome::GaveBack | Outcome::Failed { .. } | Outcome::Snoozed { .. } if is_interrupted => canceled(&entry),
            Outcome::Succeeded
            | Outcome::Canceled
            | Outcome::GaveBack
            | Outcome::Failed { .. }
            | Outcome::Snoozed { .. } => settle(now, &entry.task, outcome),
        };
        self.follow(now, entry.task.id, settled.clone(), freed);
        Completion::Settled(settled)
    }

    /// The task of a lease, if that is still the one that counts.
    pub(super) fn held(&self, lease: &Lease) -> Option<&Entry> {
        let entry = self.tasks.get(lease.task)?;
        let is_grant = entry.fence == lease.fence || self.has(Flaw::NoFenceCheck);
        let is_holder = entry.holder()?.worker == lease.worker || self.has(Flaw::NoWorkerCheck);
        (is_grant && is_holder).then_some(entry)
    }

    /// Takes tasks from workers whose leases have run out, at most `limit`, oldest first. Wakes also what is blocked
    /// although its key has room: a wake-up that got lost costs one period.
    pub fn reap(&mut self, now: Timestamp, limit: u32) -> Vec<TaskId> {
        let ids = self.tasks.expired(now, limit.min(TAKE_BACK_MAX) as usize);
        self.lose(now, &ids);
        if !self.has(Flaw::NoWakeUp) {
            self.wake_forgotten();
        }
        ids
    }

    /// Takes every task from a worker that is gone.
    pub fn release(&mut self, now: Timestamp, worker: WorkerId) -> Vec<TaskId> {
        let ids = self.tasks.of_worker(worker);
        self.lose(now, &ids);
        ids
    }

    fn lose(&mut self, now: Timestamp, ids: &[TaskId]) {
        let mut freed = Freed::new();
        let held: Vec<Entry> = ids.iter().filter_map(|id| self.tasks.get(*id).cloned()).collect();
        for entry in held.iter().filter(|entry| entry.key.is_none()) {
            let is_interrupted = entry.holder().is_some_and(|holder| holder.is_interrupted);
            let settled = if is_interrupted { canceled(entry) } else { lost(now, &entry.task) };
            self.follow(now, entry.task.id, settled, &mut freed);
        }
        self.wake(freed);
        self.lose_of_runs(now, held.iter().filter_map(|entry| entry.key.as_ref()));
    }

    /// Cancels a task that waits, and asks its worker to stop when one holds it.
    pub fn cancel_task(&mut self, now: Timestamp, tenant: TenantId, id: TaskId) -> TaskCancel {
        if self.finished.get(&id).is_some_and(|record| record.tenant == tenant) {
            return TaskCancel::Over;
        }
        let known = self.tasks.get(id).filter(|entry| entry.task.tenant == tenant && entry.key.is_none());
        let Some(entry) = known else { return TaskCancel::Unknown };
        if entry.holder().is_some() {
            self.interrupt(id);
            return TaskCancel::Interrupted;
        }
        let (mut freed, settled) = (Freed::new(), canceled(entry));
        self.follow(now, id, settled, &mut freed);
        self.wake(freed);
        TaskCancel::Canceled
    }

    pub(super) fn interrupt(&mut self, id: TaskId) {
        self.tasks.change(id, |entry| {
            if let Place::Leased(holder) = &mut entry.place {
                holder.is_interrupted = true;
            }
        });
    }

    /// Does what follows from how a try ended.
    fn follow(&mut self, now: Timestamp, id: TaskId, settled: Settled, freed: &mut Freed) {
        let Some(mut entry) = self.tasks.take(id) else { return };
        if let Some(gate) = entry.gate() {
            *freed.entry(gate).or_default() += 1;
        }
        match settled {
            Settled::Finished(ending) => self.finish(now, entry, ending),
            Settled::Again { ready_at, failures, losses } => {
                (entry.task.failures, entry.task.losses, entry.ready_at) = (failures, losses, ready_at);
                entry.is_reserved = false;
                entry.place = Place::Waiting(waiting(now, ready_at));
                self.tasks.put(entry);
            }
        }
    }

    /// Writes the record of a task that was taken out. Its unique key is free again.
    pub(super) fn finish(&mut self, now: Timestamp, entry: Entry, ending: Ending) {
        self.keys.free(&entry.task);
        let holder = entry.holder().cloned();
        let task = entry.task;
        let letter = Letter { payload: task.payload, options: task.options };
        let record = Finished {
            id: task.id,
            tenant: task.tenant,
            kind: task.kind,
            class: task.class,
            priority: task.priority,
            failures: ending.failures,
            losses: ending.losses,
            enqueued_at: task.enqueued_at,
            started_at: holder.as_ref().map(|holder| holder.since),
            finished_at: now,
            worker: holder.map(|holder| holder.worker),
            fate: ending.fate,
            error: ending.error,
            letter: ending.fate.is_dead_letter().then_some(letter),
        };
        let before = self.finished.insert(record.id, record);
        assert!(before.is_none(), "a task ended twice");
    }

    /// Makes the lowest-ranked blocked tasks ready, as many as were freed.
    pub(super) fn wake(&mut self, freed: Freed) {
        if self.has(Flaw::NoWakeUp) {
            return;
        }
        for (gate, count) in freed {
            for id in self.tasks.blocked(&gate, count) {
                self.tasks.change(id, |entry| entry.place = Place::Waiting(Waiting::Ready));
            }
        }
    }

    fn wake_forgotten(&mut self) {
        for gate in self.tasks.gates() {
            let first = self.tasks.blocked(&gate, 1);
            let max = first
                .first()
                .and_then(|id| self.tasks.get(*id)?.task.options.concurrency.as_ref())
                .map(|limit| limit.max);
            if max.is_some_and(|max| self.tasks.held(&gate) < max) {
                self.wake(Freed::from([(gate, 1)]));
            }
        }
    }
}

fn canceled(entry: &Entry) -> Settled {
    Settled::Finished(Ending::of(&entry.task, Fate::Canceled, None))
}
