//! The order in which waiting tasks are taken: start-time fair queueing over tenants (Goyal, Vin, Cheng: *Start-time
//! Fair Queueing*, 1996), with priorities as head starts.
//!
//! Every task gets a rank, a moment in virtual time, when it is enqueued; the lowest rank is taken first. The tasks of
//! one flow (a tenant's tasks of one class and priority) are spaced apart by the inverse of its weight, from where the
//! flow's last one was or from the head of the queue, whichever is later. A tenant that floods the queue thereby
//! stretches over the future and everybody else's next task is before most of it. Choosing the next task is then one
//! index look-up, whatever the number of tenants.
//!
//! The space between two is the time the queue takes for one, as measured, so that virtual time runs about as fast as
//! the clock while the queue is busy; that is what makes the head start of a priority one of time.
//!
//! Deliberately absent: exactness over several nodes. Each process ranks what it enqueues from what it has seen; the
//! order is a matter of fairness, never of correctness.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Priority;
use crate::id::TenantId;
use crate::task::QueueClass;
use crate::time::Timestamp;

/// The least and the most space between two tasks of weight 1.
const SPACING_US: (i64, i64) = (1_000, 60_000_000);
/// The space as long as nothing was measured.
const SPACING_FIRST_US: i64 = 10_000;
/// A longer time without a grant says that there was nothing to grant, not how long one takes.
const IDLE: Duration = Duration::from_secs(300);
/// How far a priority is ahead of the next lower one.
const HEAD_START_US: i64 = 60_000_000;
/// Flows remembered before those that are no longer ahead are forgotten.
const FLOWS_MAX: usize = 10_000;

/// A task's place in the order: virtual microseconds; the lowest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rank(pub i64);

/// Whose tasks share a place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The class: each has an order of its own.
    pub class: QueueClass,
    /// The priority.
    pub priority: Priority,
}

/// The task that would be taken next: its rank and its priority.
pub type Head = (Rank, Priority);

/// What one process knows of the flows it enqueues for.
#[derive(Debug, Clone, Default)]
pub struct Ranks {
    /// Where each flow goes on.
    flows: BTreeMap<FlowKey, i64>,
    /// Each class's last grant, and the measured time between two, in microseconds.
    pace: BTreeMap<QueueClass, (Timestamp, i64)>,
}

impl Ranks {
    /// The rank of the next task of a flow. `head` is the task of the class that would be taken next, if one waits;
    /// `weight` is the tenant's share, from 1.
    pub fn next(&mut self, now: Timestamp, head: Option<Head>, flow: FlowKey, weight: u32) -> Rank {
        let floor = head.map_or(now.as_micros(), |(rank, priority)| rank.0.saturating_sub(head_start(priority)));
        if self.flows.len() >= FLOWS_MAX {
            // A flow that is not ahead begins at the floor, known or not.
            self.flows.retain(|_, next| *next > floor);
        }
        let spacing = self.spacing(flow.class) / i64::from(weight.max(1));
        if head.is_none() {
            // Nobody waits, so nobody is ahead of anybody.
            self.flows.retain(|key, _| key.class != flow.class);
        }
        let next = self.flows.entry(flow).or_insert(floor);
        let start = (*next).max(floor);
        *next = start.saturating_add(spacing.max(1));
        Rank(start.saturating_add(head_start(flow.priority)))
    }

    /// So many tasks of the class were taken.
    pub fn taken(&mut self, now: Timestamp, class: QueueClass, count: usize) {
        let Ok(count @ 1..) = i64::try_from(count) else { return };
        let (last, measured) = self.pace.entry(class).or_insert((now, SPACING_FIRST_US));
        let since = now.since(*last);
        if since < IDLE && !since.is_zero() {
            let each = (i64::try_from(since.as_micros()).unwrap_or(i64::MAX) / count).clamp(SPACING_US.0, SPACING_US.1);
            *measured = (*measured * 7 + each) / 8;
        }
        *last = now;
    }

    fn spacing(&self, class: QueueClass) -> i64 {
        self.pace.get(&class).map_or(SPACING_FIRST_US, |(_, measured)| (*measured).max(SPACING_US.0))
    }
}

const fn head_start(priority: Priority) -> i64 {
    match priority {
        Priority::High => -HEAD_START_US,
        Priority::Normal => 0,
        Priority::Low => HEAD_START_US,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(n: u32, priority: Priority) -> FlowKey {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        FlowKey { tenant: TenantId::from_bytes(bytes), class: QueueClass::Io, priority }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    /// As one call enqueues them: the head is looked up once.
    fn flood(ranks: &mut Ranks, now: Timestamp, head: Option<Head>, n: u32, count: usize, weight: u32) -> Vec<Rank> {
        let first = ranks.next(now, head, flow(n, Priority::Normal), weight);
        let head = head.or(Some((first, Priority::Normal)));
        let more = (1..count).map(|_| ranks.next(now, head, flow(n, Priority::Normal), weight));
        std::iter::once(first).chain(more).collect()
    }

    #[test]
    fn a_newcomer_goes_before_the_rest_of_a_flood_however_slow_or_fast_the_queue_is() {
        for (served, seconds) in [(0, 3_600), (50_000, 1), (50_000, 36_000)] {
            let mut ranks = Ranks::default();
            let flood = flood(&mut ranks, at(0), None, 1, 100_000, 1);
            let head = Some((flood[served], Priority::Normal));
            let newcomer = ranks.next(at(seconds), head, flow(2, Priority::Normal), 1);
            assert_eq!(flood[served..].iter().filter(|rank| **rank < newcomer).count(), 0, "{served} {seconds}");
            // And no further ahead than that: a second flood shares with what is left of the first.
            let second = flood_after(&mut ranks, head);
            let left = &flood[served..];
            assert!(left[40_000] < second[49_999] && second[40_000] < left[49_999]);
        }
    }

    fn flood_after(ranks: &mut Ranks, head: Option<Head>) -> Vec<Rank> {
        flood(ranks, at(1), head, 3, 50_000, 1)
    }

    #[test]
    fn twice_the_weight_is_twice_the_share() {
        let mut ranks = Ranks::default();
        let heavy = flood(&mut ranks, at(0), None, 1, 10_000, 2);
        let light = flood(&mut ranks, at(0), Some((heavy[0], Priority::Normal)), 2, 10_000, 1);
        let middle = heavy[4_000];
        assert_eq!(light.iter().filter(|rank| **rank < middle).count(), 2_000);
    }

    #[test]
    fn a_low_one_that_waited_goes_before_a_new_high_one() {
        // A queue that takes one task in two and a half seconds and always has one more normal one waiting.
        let mut ranks = Ranks::default();
        let low = ranks.next(at(0), None, flow(1, Priority::Low), 1);
        let mut waiting = vec![ranks.next(at(0), None, flow(1, Priority::Normal), 1)];
        for step in 1..1_000 {
            let now = Timestamp::from_micros(step * 2_500_000);
            ranks.taken(now, QueueClass::Io, 1);
            waiting.sort();
            let head = waiting.remove(0);
            if low < head {
                let waited = now.since(at(0)).as_secs();
                assert!((20..=130).contains(&waited), "{waited}");
                return;
            }
            for _ in 0..2 {
                waiting.push(ranks.next(now, Some((head, Priority::Normal)), flow(1, Priority::Normal), 1));
            }
        }
        panic!("it starves");
    }

    #[test]
    fn flows_that_are_not_ahead_are_forgotten() {
        let mut ranks = Ranks::default();
        for n in 0..30_000u32 {
            let head = Some((Rank(i64::from(n) * 1_000_000), Priority::Normal));
            ranks.next(at(i64::from(n)), head, flow(n, Priority::Normal), 1);
        }
        assert!(ranks.flows.len() <= FLOWS_MAX);
    }
}
