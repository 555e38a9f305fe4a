//! `enqueue`: all of the tasks, or none.

use std::collections::{BTreeMap, BTreeSet};

use mb_core::id::{TaskId, TenantId};
use mb_core::queue::{
    Bounds, ENQUEUE_MAX, Enqueued, FULL_RETRY, Flow, FlowKey, Head, NewTask, Priority, Rank, Refused, Task,
    TaskOptions, Waiting,
};
use mb_core::task::{Fence, QueueClass};
use mb_core::time::Timestamp;

use super::{Entry, Model, Place};

/// Tasks ranked together at most.
const CHUNK: usize = 5_000;

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
            if let Some(holder) = known.filter(|_| !is_known) {
                keys.point(now, task, holder);
            }
            answers.push(known.map_or(Enqueued::New(task.id), Enqueued::Duplicate));
            if known.is_none() {
                keys.take(now, task);
                ids.insert(task.id);
            }
        }
        let is_new = |(_, answer): &(&NewTask, &Enqueued)| matches!(answer, Enqueued::New(_));
        let fresh: Vec<&NewTask> = new.iter().zip(&answers).filter(is_new).map(|(task, _)| task).collect();
        self.within(bounds, &fresh)?;
        self.keys = keys;
        for (group, tasks) in groups(&fresh) {
            for chunk in tasks.chunks(CHUNK) {
                let flow = FlowKey { tenant: group.tenant, class: group.class, priority: group.priority };
                let ranks = self.ranks(now, flow, chunk.len());
                chunk.iter().zip(ranks).for_each(|(task, rank)| self.tasks.put(entry(now, task, rank)));
            }
        }
        Ok(answers)
    }

    /// Ranks for so many tasks of a flow. From the first one on somebody waits.
    pub(super) fn ranks(&mut self, now: Timestamp, flow: FlowKey, count: usize) -> Vec<Rank> {
        let mut head = self.head(flow.class);
        let mut one = || {
            let rank = self.ranks.next(now, head, flow, 1);
            head.get_or_insert((rank, flow.priority));
            rank
        };
        (0..count).map(|_| one()).collect()
    }

    /// The task of a class that goes next.
    pub(super) fn head(&self, class: QueueClass) -> Option<Head> {
        let first = self.tasks.ready(class, None, 1).pop()?;
        self.tasks.get(first).map(|entry| (entry.task.rank, entry.task.priority))
    }

    fn admits(&self, new: &[NewTask]) -> Result<(), Refused> {
        if new.len() > ENQUEUE_MAX {
            return Err(Refused::TooMany(new.len()));
        }
        for (index, task) in new.iter().enumerate() {
            task.check().map_err(|reason| Refused::Bad { index, reason })?;
        }
        let classes = new.iter().map(|task| task.class).filter(|class| self.flow(*class) == Flow::Draining);
        classes.min_by_key(|class| class.as_str()).map_or(Ok(()), |class| Err(Refused::Draining(class)))
    }

    fn knows(&self, id: TaskId) -> bool {
        self.tasks.get(id).is_some() || self.finished.contains_key(&id)
    }

    /// Whether the queue has room: classes first, then priorities.
    fn within(&self, bounds: &Bounds, fresh: &[&NewTask]) -> Result<(), Refused> {
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

/// What tasks share that get their ranks together.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group<'a> {
    tenant: TenantId,
    kind: &'a str,
    class: QueueClass,
    priority: Priority,
    gate: Option<&'a str>,
    options: Option<String>,
}

fn groups<'a>(tasks: &[&'a NewTask]) -> BTreeMap<Group<'a>, Vec<&'a NewTask>> {
    let mut groups = BTreeMap::<Group<'_>, Vec<&NewTask>>::new();
    for task in tasks {
        let options = (task.options != TaskOptions::default()).then(|| serde_json::to_string(&task.options));
        let group = Group {
            tenant: task.tenant,
            kind: &task.kind,
            class: task.class,
            priority: task.priority,
            gate: task.options.concurrency.as_ref().map(|limit| limit.key.as_str()),
            options: options.map(|text| text.expect("options are numbers and texts")),
        };
        groups.entry(group).or_default().push(task);
    }
    groups
}

fn entry(now: Timestamp, new: &NewTask, rank: Rank) -> Entry {
    let ready_at = new.not_before.unwrap_or(now);
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
