//! `claim` and `heartbeat`: who holds what.

use std::time::Duration;

use mb_core::advance::RunEvent;
use mb_core::id::TaskId;
use mb_core::queue::{Beat, CLAIM_MAX, Claim, Ending, Fate, Flow, Waiting};
use mb_core::task::{Fence, Lease};
use mb_core::time::Timestamp;

use super::{Entry, Flaw, Granted, Holder, Model, Place};

/// How often one claim looks again because tasks it found were put aside.
const ROUNDS_MAX: usize = 5;

impl Model {
    /// Grants ready tasks, the lowest rank first. One that may not run now is put aside: it expires, waits for its turn,
    /// or waits for others with its concurrency key.
    pub fn claim(&mut self, now: Timestamp, claim: &Claim) -> Vec<Granted> {
        for id in self.tasks.due(now) {
            self.tasks.change(id, |entry| entry.place = Place::Waiting(Waiting::Ready));
        }
        let mut granted: Vec<Granted> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            if !self.claim_round(now, claim, &mut granted) {
                break;
            }
        }
        granted
    }

    /// Grants what it can; says whether it put anything aside, so that there may be more.
    fn claim_round(&mut self, now: Timestamp, claim: &Claim, granted: &mut Vec<Granted>) -> bool {
        let mut is_more = false;
        for (&class, &slots) in &claim.slots {
            if self.flow(class) == Flow::Paused {
                continue;
            }
            let used = granted.iter().filter(|granted| granted.task.class == class).count();
            let free = slots.min(CLAIM_MAX).saturating_sub(used);
            for id in self.tasks.ready(class, claim.affinity.as_deref(), free) {
                match self.grant(now, claim, id) {
                    Some(one) => granted.push(one),
                    None => is_more = true,
                }
            }
        }
        is_more
    }

    /// Grants one ready task, or puts it aside.
    fn grant(&mut self, now: Timestamp, claim: &Claim, id: TaskId) -> Option<Granted> {
        let mut entry = self.tasks.take(id)?;
        if entry.task.options.deadline.is_some_and(|deadline| deadline < now) {
            self.finish(now, entry, Ending { fate: Fate::Expired, error: None });
            return None;
        }
        if let Some(place) = self.limited(now, &mut entry) {
            entry.place = Place::Waiting(place);
            self.tasks.put(entry);
            return None;
        }
        if let Some(key) = entry.key.clone() {
            let claimed = RunEvent::Claimed { work: key.work, worker: claim.worker };
            // A run that has no use for the task (it is over): the task goes.
            let effects = self.advance(now, key.run, claimed).ok()?;
            self.carry_out(now, key.run, effects);
        }
        entry.fence = self.next_fence(now, &entry);
        entry.is_reserved = false;
        let until = now + claim.lease;
        entry.place = Place::Leased(Holder { worker: claim.worker, until, since: now, is_interrupted: false });
        self.ranks.taken(entry.task.rank, entry.task.priority);
        let lease = Lease { task: id, key: entry.key.clone(), worker: claim.worker, fence: entry.fence, until };
        let task = entry.task.clone();
        self.tasks.put(entry);
        Some(Granted { lease, task })
    }

    /// Where a task has to wait because of its limits, if it has to. Its turn is reserved once, however often it is
    /// put aside after that.
    fn limited(&mut self, now: Timestamp, entry: &mut Entry) -> Option<Waiting> {
        if let Some(rate) = entry.task.options.rate.as_ref().filter(|_| !entry.is_reserved) {
            let gate = (entry.task.tenant, rate.key.clone());
            let turn = rate.turn(now, self.arrivals.get(&gate).copied());
            self.arrivals.insert(gate, turn.arrival);
            entry.is_reserved = true;
            if turn.at > now {
                entry.ready_at = turn.at;
                return Some(Waiting::Delayed);
            }
        }
        let limit = entry.task.options.concurrency.as_ref()?;
        let held = self.tasks.held(&(entry.task.tenant, limit.key.clone()));
        (held >= limit.max).then_some(Waiting::Blocked)
    }

    /// Higher than every grant of the task before, and no lower than the time in microseconds: so also higher than
    /// those of a life before this one, from which it came back as a dead letter.
    fn next_fence(&self, now: Timestamp, entry: &Entry) -> Fence {
        if self.has(Flaw::SameFenceAfterLoss) && entry.task.losses > 0 {
            return entry.fence;
        }
        Fence((entry.fence.0 + 1).max(u64::try_from(now.as_micros()).unwrap_or(0)))
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
