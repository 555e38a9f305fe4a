//! What a worker holds: tasks that wait for one of its slots, those that run, and the switch that stops each.
//!
//! How far ahead of its slots a class claims follows from what it sees: a desk that runs empty soon after a full claim
//! doubles its window, a task that takes so long that those which wait would wait for long halves it. Long tasks are
//! therefore never held back from other workers, and short ones come by the hundred. How long the database takes does not
//! count: smaller batches would make it slower.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mb_core::id::TaskId;
use mb_core::queue::CLAIM_MAX;
use mb_core::task::{Fence, Lease, QueueClass};
use mb_store::Claimed;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::WorkerOptions;
use crate::lock;

/// A full claim that is used up within this time was too small.
const SOON: Duration = Duration::from_millis(100);
/// A task that will wait longer than this for a slot was claimed too early.
const LATE: Duration = Duration::from_millis(250);

/// A task and the grant it is held under. The same task may come back while its lost grant is still stopping here.
pub(super) type Grant = (TaskId, Fence);

pub(super) struct Desk {
    inner: Mutex<Inner>,
    /// One for each class: a task is there to be begun.
    begin: BTreeMap<QueueClass, Notify>,
    hungry: Notify,
    /// Cancelled when running commands are stopped because this worker ends, not because nobody wants them.
    pub(super) leaving: CancellationToken,
    /// Cancelled when an operator has asked this worker to end.
    pub(super) asked_to_end: CancellationToken,
}

struct Inner {
    classes: BTreeMap<QueueClass, Class>,
    held: BTreeMap<Grant, (Lease, CancellationToken)>,
    is_closed: bool,
    /// Tasks begun at once, over all classes.
    running_max: usize,
    /// Which class is asked about first, as a number that rises with every claim.
    turn: usize,
}

impl Inner {
    fn running(&self) -> usize {
        self.classes.values().map(|class| class.running).sum()
    }

    /// Whether classes compete for places.
    fn is_tight(&self) -> bool {
        self.classes.values().map(|class| class.slots).sum::<usize>() > self.running_max
    }

    /// The class whose first task has waited longest, among those with a free slot.
    fn longest(&self) -> Option<QueueClass> {
        let waiting = self.classes.iter().filter(|(_, class)| class.running < class.slots);
        let first = waiting.filter_map(|(&name, class)| Some((class.waiting.front()?.0, name)));
        first.min().map(|(_, name)| name)
    }
}

struct Class {
    slots: usize,
    running: usize,
    waiting: VecDeque<(Instant, Claimed)>,
    /// Most that may be held.
    window: usize,
    window_max: usize,
    /// When the last claim came, if it gave all that was asked for.
    full_at: Option<Instant>,
    /// The queue had less than was asked for, and nothing hinted at more since.
    is_dry: bool,
}

impl Class {
    /// Worth a claim: a slot would be idle, or half of what was claimed ahead is used up.
    fn wanted(&self) -> usize {
        let held = self.running + self.waiting.len();
        let is_low = self.waiting.len() <= (self.window - self.slots) / 2;
        // More than one claim gives would look like a queue that has no more.
        if self.is_dry || !is_low { 0 } else { self.window.saturating_sub(held).min(CLAIM_MAX) }
    }
}

impl Desk {
    pub(super) fn new(options: &WorkerOptions) -> Desk {
        let class = |slots: usize| Class {
            slots,
            running: 0,
            waiting: VecDeque::new(),
            window: slots,
            window_max: if options.affinity.is_some() { slots } else { options.ahead_max.max(slots) },
            full_at: None,
            is_dry: false,
        };
        let slots = options.slots.iter().filter(|(_, slots)| **slots > 0);
        let classes: BTreeMap<_, _> = slots.map(|(&name, &slots)| (name, class(slots))).collect();
        let begin = classes.keys().map(|&name| (name, Notify::new())).collect();
        let running_max = options.running_max;
        let inner = Inner { classes, held: BTreeMap::new(), is_closed: false, running_max, turn: 0 };
        Desk {
            inner: Mutex::new(inner),
            begin,
            hungry: Notify::new(),
            leaving: CancellationToken::new(),
            asked_to_end: CancellationToken::new(),
        }
    }

    /// How many tasks to claim, by class.
    pub(super) fn wanted(&self) -> BTreeMap<QueueClass, usize> {
        let inner = lock(&self.inner);
        let held: usize = inner.classes.values().map(|class| class.running + class.waiting.len()).sum();
        let mut free = inner.running_max.saturating_sub(held);
        let is_quick = inner.classes.values().any(|class| class.window > class.slots);
        let turn = inner.turn % inner.classes.len().max(1);
        let (first, last) = (inner.classes.iter().take(turn), inner.classes.iter().skip(turn));
        let wanted = last.chain(first).map(|(&name, class)| {
            let wanted = class.wanted();
            // Long tasks are claimed when they can begin; short ones go ahead of the places there are. Where these pass
            // quickly, one of each other class may wait among them, or it would never find a place free.
            let spare = usize::from(is_quick && class.waiting.is_empty());
            let count = if class.window > class.slots { wanted } else { wanted.min(free.max(spare)) };
            free = free.saturating_sub(count);
            (name, count)
        });
        wanted.filter(|(_, count)| *count > 0).collect()
    }

    /// Takes in what a claim that asked for so many gave.
    pub(super) fn add(&self, asked: &BTreeMap<QueueClass, usize>, claimed: Vec<Claimed>) {
        let now = Instant::now();
        let mut inner = lock(&self.inner);
        inner.turn = inner.turn.wrapping_add(1);
        let mut came = BTreeMap::<QueueClass, usize>::new();
        for claimed in claimed {
            let grant = (claimed.lease.task, claimed.lease.fence);
            *came.entry(claimed.task.class).or_default() += 1;
            if inner.held.contains_key(&grant) {
                // The database forgot our claim when it crashed and gave us the task again, which we are doing already.
                continue;
            }
            inner.held.insert(grant, (claimed.lease.clone(), CancellationToken::new()));
            if let Some(class) = inner.classes.get_mut(&claimed.task.class) {
                class.waiting.push_back((now, claimed));
            }
        }
        for (name, &asked) in asked {
            let came = came.get(name).copied().unwrap_or(0);
            let Some(class) = inner.classes.get_mut(name) else { continue };
            class.is_dry = came < asked;
            class.full_at = (came >= asked).then_some(now);
            for _ in 0..came.min(class.slots - class.running.min(class.slots)) {
                self.begin[name].notify_one();
            }
        }
    }

    /// The next task of a class, as soon as there is one; none when the desk was closed.
    pub(super) async fn next(&self, name: QueueClass) -> Option<(Claimed, CancellationToken)> {
        loop {
            {
                let mut inner = lock(&self.inner);
                if inner.is_closed {
                    return None;
                }
                if let Some(begun) = self.begin_one(&mut inner, name) {
                    return Some(begun);
                }
            }
            self.begin[&name].notified().await;
        }
    }

    fn begin_one(&self, inner: &mut Inner, name: QueueClass) -> Option<(Claimed, CancellationToken)> {
        let is_tight = inner.is_tight();
        if is_tight && !self.has_place(inner, name) {
            return None;
        }
        let class = inner.classes.get_mut(&name)?;
        let Some((_, claimed)) = class.waiting.pop_front() else {
            if class.full_at.take().is_some_and(|at| at.elapsed() < SOON) {
                class.window = (class.window * 2).min(class.window_max);
            }
            if class.wanted() > 0 {
                self.hungry.notify_one();
            }
            return None;
        };
        class.running += 1;
        if class.wanted() > 0 {
            self.hungry.notify_one();
        }
        if !class.waiting.is_empty() && class.running < class.slots {
            self.begin[&name].notify_one();
        }
        if is_tight {
            self.wake_longest(inner);
        }
        let cancel = inner.held.get(&(claimed.lease.task, claimed.lease.fence)).map(|(_, cancel)| cancel.clone());
        Some((claimed, cancel.unwrap_or_default()))
    }

    /// Whether a task of this class may begin now: there is a place, and none of another class has waited longer for it.
    fn has_place(&self, inner: &Inner, name: QueueClass) -> bool {
        if inner.running() >= inner.running_max {
            return false;
        }
        match inner.longest() {
            Some(longest) if longest != name && !inner.classes[&name].waiting.is_empty() => {
                self.begin[&longest].notify_one();
                false
            }
            _ => true,
        }
    }

    fn wake_longest(&self, inner: &Inner) {
        if inner.running() < inner.running_max
            && let Some(name) = inner.longest()
        {
            self.begin[&name].notify_one();
        }
    }

    /// A task of the class took that long.
    pub(super) fn took(&self, name: QueueClass, took: Duration) {
        if let Some(class) = lock(&self.inner).classes.get_mut(&name) {
            let rounds = u32::try_from(class.window / class.slots).unwrap_or(u32::MAX);
            if class.window > class.slots && took.saturating_mul(rounds) > LATE {
                class.window = (class.window / 2).max(class.slots);
            }
        }
    }

    /// A runner is free again.
    pub(super) fn ended(&self, name: QueueClass) {
        let mut inner = lock(&self.inner);
        if let Some(class) = inner.classes.get_mut(&name) {
            class.running = class.running.saturating_sub(1);
        }
        if inner.is_tight() {
            self.wake_longest(&inner);
            self.hungry.notify_one();
        }
    }

    /// Whether this worker takes nothing more.
    pub(super) fn is_closing(&self) -> bool {
        self.asked_to_end.is_cancelled() || lock(&self.inner).is_closed
    }

    /// The grant is reported, or lost: its lease is not renewed any more.
    pub(super) fn let_go(&self, grants: impl IntoIterator<Item = Grant>) {
        let mut inner = lock(&self.inner);
        for grant in grants {
            inner.held.remove(&grant);
        }
    }

    /// Something hinted at new work.
    pub(super) fn hope(&self) {
        lock(&self.inner).classes.values_mut().for_each(|class| class.is_dry = false);
    }

    /// Whether no class has both room and hope.
    pub(super) fn is_dry(&self) -> bool {
        lock(&self.inner).classes.values().any(|class| class.is_dry)
    }

    /// Waits until a class wants more.
    pub(super) async fn hungry(&self) {
        if self.wanted().is_empty() {
            self.hungry.notified().await;
        }
    }

    pub(super) fn running(&self) -> usize {
        lock(&self.inner).running()
    }

    /// Whether nothing is held.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.inner).held.is_empty()
    }

    /// Leases to be renewed.
    pub(super) fn leases(&self) -> Vec<Lease> {
        lock(&self.inner).held.values().map(|(lease, _)| lease.clone()).collect()
    }

    /// Does something with a lease that is still held.
    pub(super) fn with(&self, grant: Grant, act: impl FnOnce(&mut Lease, &CancellationToken)) {
        if let Some((lease, cancel)) = lock(&self.inner).held.get_mut(&grant) {
            act(lease, cancel);
        }
    }

    /// Stops every grant of these tasks that is held.
    pub(super) fn interrupt(&self, tasks: &[TaskId]) {
        let inner = lock(&self.inner);
        for task in tasks {
            let grants = inner.held.range((*task, Fence(0))..=(*task, Fence(u64::MAX)));
            grants.for_each(|(_, (_, cancel))| cancel.cancel());
        }
    }

    /// Lets runners end after what they do; gives what was not begun.
    pub(super) fn close(&self) -> Vec<Claimed> {
        let mut inner = lock(&self.inner);
        inner.is_closed = true;
        self.begin.values().for_each(Notify::notify_waiters);
        // A runner that looks just now and is about to wait.
        for (name, class) in &inner.classes {
            (0..class.slots).for_each(|_| self.begin[name].notify_one());
        }
        inner.classes.values_mut().flat_map(|class| class.waiting.drain(..)).map(|(_, claimed)| claimed).collect()
    }

    /// Stops what runs, because this worker ends.
    pub(super) fn stop_all(&self) {
        self.leaving.cancel();
        lock(&self.inner).held.values().for_each(|(_, cancel)| cancel.cancel());
    }
}
