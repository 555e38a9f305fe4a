//! `enqueue`: all of the tasks, or none.

use std::collections::{BTreeMap, BTreeSet};

use mb_core::id::TaskId;
use mb_core::queue::{Bounds, ENQUEUE_MAX, Enqueued, FULL_RETRY, Flow, NewTask, Priority, Refused, Task, Waiting};
use mb_core::task::{Fence, QueueClass};
use mb_core::time::Timestamp;

use super::{Entry, Model, Place};

impl Model {
    /// Puts tasks on the queue. A task whose id, unique key or idempotency key is taken, also by an earlier task of the
    /// same call, is a duplicate and changes nothing.
    ///
    /// # Errors
    /// [`Refused`]; nothing was enqueued then.
    pub fn enqueue(&mut self, now: Timestamp, new: &[NewTask], bounds: &Bounds) -> Result<Vec<Enqueued>, Refused> {
        self.admits(new)?;
        // Decided on a copy of the keys: nothing may be left behind by a refusal.
        let (mut keys, mut ids) = (self.keys.clone(), BTreeSet::new());
        let mut answers = Vec::new();
        for task in new {
            let is_known = self.knows(task.id) || ids.contains(&task.id);
            let known = is_known.then_some(task.id).or_else(|| keys.holder_of(task));
            answers.push(known.map_or(Enqueued::New(task.id), Enqueued::Duplicate));
            if known.is_none() {
                keys.take(now, task);
                ids.insert(task.id);
            }
        }
        let fresh = || new.iter().zip(&answers).filter(|(_, answer)| matches!(answer, Enqueued::New(_)));
        self.within(bounds, fresh().map(|(task, _)| task))?;
        self.keys = keys;
        let entries: Vec<Entry> = fresh().map(|(task, _)| entry(now, task, &mut self.ranks)).collect();
        entries.into_iter().for_each(|entry| self.tasks.put(entry));
        Ok(answers)
    }

    fn admits(&self, new: &[NewTask]) -> Result<(), Refused> {
        if new.len() > ENQUEUE_MAX {
            return Err(Refused::TooMany(new.len()));
        }
        for (index, task) in new.iter().enumerate() {
            task.check().map_err(|reason| Refused::Bad { index, reason })?;
        }
        let closed = new.iter().find(|task| self.flow(task.class) == Flow::Draining);
        closed.map_or(Ok(()), |task| Err(Refused::Draining(task.class)))
    }

    fn knows(&self, id: TaskId) -> bool {
        self.tasks.get(id).is_some() || self.finished.contains_key(&id)
    }

    /// Whether the queue has room: classes first, then priorities.
    fn within<'a>(&self, bounds: &Bounds, fresh: impl Iterator<Item = &'a NewTask>) -> Result<(), Refused> {
        let (mut classes, mut priorities) = (BTreeMap::<QueueClass, u64>::new(), BTreeMap::<Priority, u64>::new());
        for task in fresh {
            *classes.entry(task.class).or_default() += 1;
            *priorities.entry(task.priority).or_default() += 1;
        }
        for (class, more) in classes {
            let waiting = || self.waiting(|task| task.class == class);
            fits(class.as_str(), more, bounds.class.get(&class), waiting)?;
        }
        for (priority, more) in priorities {
            let waiting = || self.waiting(|task| task.priority == priority);
            fits(priority.as_str(), more, bounds.priority.get(&priority), waiting)?;
        }
        Ok(())
    }

    /// Waiting tasks that every process may claim.
    fn waiting(&self, of: impl Fn(&Task) -> bool) -> u64 {
        let counts = |entry: &&Entry| entry.holder().is_none() && entry.affinity.is_none() && of(&entry.task);
        self.tasks.iter().filter(counts).count() as u64
    }
}

fn fits(queue: &'static str, more: u64, bound: Option<&u64>, waiting: impl Fn() -> u64) -> Result<(), Refused> {
    let Some(&bound) = bound else { return Ok(()) };
    let waiting = waiting();
    if waiting + more <= bound {
        return Ok(());
    }
    Err(Refused::Full { queue, waiting, bound, retry_after: FULL_RETRY })
}

fn entry(now: Timestamp, new: &NewTask, ranks: &mut mb_core::queue::Ranks) -> Entry {
    let ready_at = new.not_before.map_or(now, |moment| moment.max(now));
    let rank = ranks.next(ready_at, new.tenant, new.priority, 1);
    let task = Task {
        id: new.id,
        tenant: new.tenant,
        kind: new.kind.clone(),
        class: new.class,
        priority: new.priority,
        payload: new.payload.clone(),
        failures: 0,
        losses: 0,
        enqueued_at: now,
        rank,
        options: new.options.clone(),
    };
    let place = Place::Waiting(waiting(now, ready_at));
    Entry { task, fence: Fence(0), affinity: None, ready_at, is_reserved: false, key: None, place }
}

/// Where a task waits that is to be done at a moment.
pub(super) fn waiting(now: Timestamp, ready_at: Timestamp) -> Waiting {
    if ready_at > now { Waiting::Delayed } else { Waiting::Ready }
}
