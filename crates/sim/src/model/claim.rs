//! `claim` and `heartbeat`: who holds what.

use std::time::Duration;

use mb_core::id::TaskId;
use mb_core::queue::{Beat, CLAIM_MAX, Claim, Ending, Fate, Flow, Waiting};
use mb_core::task::{Fence, Lease, QueueClass};
use mb_core::time::Timestamp;

use super::{Entry, Flaw, Granted, Holder, Model, Place};

/// How often one claim looks at a class, as long as tasks it found were put aside.
const ROUNDS_MAX: usize = 5;

impl Model {
    /// Grants ready tasks, the lowest rank first. One that may not run now is put aside: it expires, waits for its turn,
    /// or waits for others with its concurrency key.
    pub fn claim(&mut self, now: Timestamp, claim: &Claim) -> Vec<Granted> {
        for id in self.tasks.due(now) {
            self.tasks.change(id, |entry| entry.place = Place::Waiting(Waiting::Ready));
        }
        let mut granted = Vec::new();
        for (&class, &slots) in &claim.slots {
            let mut free = slots.min(CLAIM_MAX);
            for _ in 0..ROUNDS_MAX {
                let before = granted.len();
                let was_aside = self.claim_round(now, claim, class, free, &mut granted);
                let count = granted.len() - before;
                self.ranks.taken(now, class, count);
                free -= count;
                if !was_aside || free == 0 {
                    break;
                }
            }
        }
        self.begin(now, claim, &mut granted);
        granted
    }

    /// Grants what it can; says whether it put anything aside, so that there may be more.
    fn claim_round(
        &mut self,
        now: Timestamp,
        claim: &Claim,
        class: QueueClass,
        free: usize,
        granted: &mut Vec<Granted>,
    ) -> bool {
        let mut was_aside = false;
        if self.flow(class) == Flow::Paused {
            return was_aside;
        }
        for id in self.tasks.ready(class, claim.affinity.as_deref(), free) {
            match self.grant(now, claim, id) {
                Some(one) => granted.push(one),
                None => was_aside = true,
            }
        }
        was_aside
    }

    /// Grants one ready task, or puts it aside. Looking at it raises its fence either way.
    fn grant(&mut self, now: Timestamp, claim: &Claim, id: TaskId) -> Option<Granted> {
        let mut entry = self.tasks.take(id)?;
        entry.fence = self.next_fence(&entry);
        let until = now + claim.lease;
        let holder = Place::Leased(Holder { worker: claim.worker, until, since: now, is_interrupted: false });
        if entry.task.options.deadline.is_some_and(|deadline| deadline < now) {
            let ending = Ending::of(&entry.task, Fate::Expired, Some("its deadline passed while it waited"));
            self.finish(now, Entry { place: holder, ..entry }, ending);
            return None;
        }
        entry.place = self.limited(now, &mut entry).map_or(holder, Place::Waiting);
        let lease = Lease { task: id, key: entry.key.clone(), worker: claim.worker, fence: entry.fence, until };
        let granted = entry.holder().map(|_| Granted { lease, task: entry.task.clone() });
        self.tasks.put(entry);
        granted
    }

    /// Where a task has to wait because of its limits, if it has to. It keeps a turn that it could not take only for as
    /// long as that turn holds.
    fn limited(&mut self, now: Timestamp, entry: &mut Entry) -> Option<Waiting> {
        let (mut turn, never_lapses) = (now, self.has(Flaw::TurnsNeverLapse));
        if let Some(rate) = &entry.task.options.rate {
            turn = entry.ready_at;
            entry.is_reserved &= never_lapses || rate.holds(now, turn);
            if !entry.is_reserved {
                let gate = (entry.task.tenant, rate.key.clone());
                let next = rate.turn(now, self.arrivals.get(&gate).copied());
                self.arrivals.insert(gate, next.arrival);
                (entry.is_reserved, turn) = (true, next.at);
                if turn > now {
                    entry.ready_at = turn;
                    return Some(Waiting::Delayed);
                }
            }
        }
        let limit = entry.task.options.concurrency.as_ref()?;
        let held = self.tasks.held(&(entry.task.tenant, limit.key.clone()));
        let is_full = held >= limit.max;
        is_full.then(|| {
            entry.ready_at = turn;
            Waiting::Blocked
        })
    }

    /// Higher than that of every grant before.
    fn next_fence(&self, entry: &Entry) -> Fence {
        let is_kept = self.has(Flaw::SameFenceAfterLoss) && entry.task.losses > 0;
        if is_kept { entry.fence } else { Fence(entry.fence.0 + 1) }
    }

    /// Renews leases; the answers are in the order of `leases`. One that has run out but was not taken back is renewed.
    pub fn heartbeat(&mut self, now: Timestamp, leases: &[Lease], lease: Duration) -> Vec<Beat> {
        leases.iter().map(|held| self.beat(held, now + lease)).collect()
    }

    fn beat(&mut self, lease: &Lease, until: Timestamp) -> Beat {
        let is_same = |entry: &&Entry| entry.fence == lease.fence;
        let holder = self.tasks.get(lease.task).filter(is_same).and_then(Entry::holder);
        let Some(holder) = holder.filter(|holder| holder.worker == lease.worker).cloned() else { return Beat::Lost };
        let is_interrupted = holder.is_interrupted;
        self.tasks.change(lease.task, |entry| entry.place = Place::Leased(Holder { until, ..holder }));
        if is_interrupted { Beat::Interrupt } else { Beat::Kept(until) }
    }
}
