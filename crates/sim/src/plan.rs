//! What one seed tries: which faults happen and which features the work uses.
//!
//! Everything is switched on or off by the seed (swarm testing, Groce et al. 2012): a history with few kinds of events
//! reaches deeper into them than one with all.

use std::collections::BTreeMap;
use std::time::Duration;

use mb_core::queue::{Bounds, Priority};
use mb_core::task::QueueClass;

use crate::random::Random;

/// How long a lease lasts.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// How long a caller waits before an answer counts as lost.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(4);
/// How long work comes in.
pub(crate) const LOAD: Duration = Duration::from_secs(60);
/// How long faults happen.
pub(crate) const FAULTS: Duration = Duration::from_secs(90);
/// When everything must have ended: after the faults, time enough for every wait of every task.
pub(crate) const END: Duration = Duration::from_secs(3_600);

/// The choices of one seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Worker processes.
    pub(crate) nodes: usize,
    /// Processes that put tasks on the queue.
    pub(crate) clients: usize,
    /// Slots of each class of each node.
    pub(crate) slots: usize,
    /// Tasks one client makes at most.
    pub(crate) tasks: u32,
    /// Longest time between two things a client does, in milliseconds.
    pub(crate) pace_ms: u64,
    /// Bounds of the queue.
    pub(crate) bounds: Bounds,
    /// Messages lost, of a hundred.
    pub(crate) drop: u64,
    /// Messages that arrive twice, of a hundred.
    pub(crate) duplicate: u64,
    /// Messages that are held up, of a hundred.
    pub(crate) delay: u64,
    /// Nodes whose clocks are wrong.
    pub(crate) is_skewed: bool,
    /// Nodes end without a word and start again.
    pub(crate) crashes: bool,
    /// Nodes sign off in order and start again.
    pub(crate) leaves: bool,
    /// A node that starts again reports, under its new name, what the one before it held.
    pub(crate) notes: bool,
    /// Nodes stand still, for longer than a lease.
    pub(crate) pauses: bool,
    /// Nodes and the store do not reach each other.
    pub(crate) partitions: bool,
    /// The store restarts.
    pub(crate) restarts: bool,
    /// Somebody cancels tasks and runs.
    pub(crate) cancels: bool,
    /// Somebody pauses and drains classes.
    pub(crate) flows: bool,
    /// Somebody puts dead letters back.
    pub(crate) requeues: bool,
    /// Old records are forgotten.
    pub(crate) purges: bool,
    /// There are runs, not tasks only.
    pub(crate) runs: bool,
    /// What tasks ask for.
    pub(crate) work: Features,
}

/// What tasks ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    /// Unique keys.
    pub(crate) unique: bool,
    /// Idempotency keys.
    pub(crate) idempotency: bool,
    /// Concurrency keys.
    pub(crate) concurrency: bool,
    /// Rate keys.
    pub(crate) rate: bool,
    /// Deadlines.
    pub(crate) deadline: bool,
    /// Not before a moment.
    pub(crate) delayed: bool,
    /// Failures.
    pub(crate) failing: bool,
    /// Work longer than a lease.
    pub(crate) long: bool,
}

impl Plan {
    /// The choices of a seed.
    pub(crate) fn of(random: &mut Random) -> Plan {
        let some = |random: &mut Random, most: u64| if random.chance(50) { random.between(1, most) } else { 0 };
        Plan {
            nodes: random.pick(&[1, 2, 3, 4]),
            clients: random.pick(&[1, 2]),
            slots: random.pick(&[1, 2, 4]),
            tasks: random.pick(&[5, 20, 40, 100]),
            pace_ms: random.pick(&[300, 1_000, 3_000]),
            bounds: bounds(random),
            drop: some(random, 15),
            duplicate: some(random, 20),
            delay: some(random, 10),
            is_skewed: random.chance(50),
            crashes: random.chance(50),
            leaves: random.chance(30),
            notes: random.chance(50),
            pauses: random.chance(50),
            partitions: random.chance(40),
            restarts: random.chance(40),
            cancels: random.chance(40),
            flows: random.chance(30),
            requeues: random.chance(50),
            purges: random.chance(20),
            runs: random.chance(40),
            work: Features {
                unique: random.chance(40),
                idempotency: random.chance(40),
                concurrency: random.chance(50),
                rate: random.chance(30),
                deadline: random.chance(30),
                delayed: random.chance(40),
                failing: random.chance(70),
                long: random.chance(30),
            },
        }
    }
}

fn bounds(random: &mut Random) -> Bounds {
    let mut bounds = Bounds::default();
    if random.chance(30) {
        bounds.class = BTreeMap::from([(QueueClass::Io, random.between(3, 10))]);
    }
    if random.chance(20) {
        bounds.priority = BTreeMap::from([(Priority::Normal, random.between(3, 10))]);
    }
    bounds
}
