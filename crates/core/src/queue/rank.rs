//! The order in which waiting tasks are taken: start-time fair queueing over tenants (Goyal, Vin, Cheng: *Start-time
//! Fair Queueing*, 1996), with priorities as head starts.
//!
//! Every task gets a rank, a moment in virtual time, when it is enqueued; the lowest rank is taken first. The tasks of
//! one flow (a tenant's tasks of one priority) are spaced apart by the inverse of its weight, from where the flow's
//! last one was or from now, whichever is later. A tenant that floods the queue thereby stretches over the future and
//! everybody else's next task is before most of it. Choosing the next task is then one index look-up, whatever the
//! number of tenants.
//!
//! Deliberately absent: exactness over several nodes. Each process ranks what it enqueues from what it has seen; the
//! order is a matter of fairness, never of correctness.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Priority;
use crate::id::TenantId;
use crate::time::Timestamp;

/// What one task of weight 1 adds to its flow: a fair share counts as a thousand tasks a second.
const SPACING_US: i64 = 1_000;
/// How far a priority is ahead of the next lower one.
const HEAD_START_US: i64 = 60_000_000;
/// Flows remembered before those that are no longer ahead are forgotten.
const FLOWS_MAX: usize = 10_000;

/// A task's place in the order: virtual microseconds; the lowest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rank(pub i64);

/// What one process knows of the flows it enqueues for.
#[derive(Debug, Clone, Default)]
pub struct Ranks {
    /// The furthest start that was taken: where a flow begins that has nothing waiting.
    served: i64,
    /// Where each flow that is ahead of that goes on.
    flows: BTreeMap<(TenantId, Priority), i64>,
}

impl Ranks {
    /// The rank of the next task of a flow. `weight` is the tenant's share, from 1.
    pub fn next(&mut self, now: Timestamp, tenant: TenantId, priority: Priority, weight: u32) -> Rank {
        let floor = self.served.max(now.as_micros());
        if self.flows.len() >= FLOWS_MAX {
            // A flow that is not ahead begins at the floor, known or not.
            self.flows.retain(|_, next| *next > floor);
        }
        let next = self.flows.entry((tenant, priority)).or_insert(floor);
        let start = (*next).max(floor);
        *next = start.saturating_add((SPACING_US / i64::from(weight.max(1))).max(1));
        Rank(start.saturating_add(head_start(priority)))
    }

    /// A task of that rank was taken.
    pub fn taken(&mut self, rank: Rank, priority: Priority) {
        self.served = self.served.max(rank.0.saturating_sub(head_start(priority)));
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

    fn tenant(n: u8) -> TenantId {
        TenantId::from_bytes([n; 16])
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn others_go_before_most_of_a_flood() {
        let mut ranks = Ranks::default();
        let flood: Vec<Rank> = (0..100_000).map(|_| ranks.next(at(0), tenant(1), Priority::Normal, 1)).collect();
        let other = ranks.next(at(1), tenant(2), Priority::Normal, 1);
        // What is before it: a second's fair share.
        assert_eq!(flood.iter().filter(|rank| **rank < other).count(), 1_000);
        // Once the flood has been served for a while, a newcomer shares from there on and does not catch up.
        ranks.taken(flood[50_000], Priority::Normal);
        let newcomer = ranks.next(at(2), tenant(3), Priority::Normal, 1);
        assert_eq!(flood.iter().filter(|rank| **rank < newcomer).count(), 50_000);
    }

    #[test]
    fn twice_the_weight_is_twice_the_share() {
        let mut ranks = Ranks::default();
        let mut of = |n, weight| -> Vec<Rank> {
            (0..10_000).map(|_| ranks.next(at(0), tenant(n), Priority::Normal, weight)).collect()
        };
        let (heavy, light) = (of(1, 2), of(2, 1));
        let middle = heavy[4_000];
        assert_eq!(light.iter().filter(|rank| **rank < middle).count(), 2_000);
    }

    #[test]
    fn a_low_one_that_waited_goes_before_a_new_high_one() {
        let mut ranks = Ranks::default();
        let low = ranks.next(at(0), tenant(1), Priority::Low, 1);
        let high_soon = ranks.next(at(100), tenant(1), Priority::High, 1);
        let high_late = ranks.next(at(121), tenant(1), Priority::High, 1);
        assert!(high_soon < low && low < high_late);
    }

    #[test]
    fn flows_that_are_not_ahead_are_forgotten() {
        let mut ranks = Ranks::default();
        for n in 0..30_000u32 {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            ranks.next(at(i64::from(n)), TenantId::from_bytes(bytes), Priority::Normal, 1);
        }
        assert!(ranks.flows.len() <= FLOWS_MAX);
    }
}
