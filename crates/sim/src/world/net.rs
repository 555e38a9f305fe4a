//! The network between processes and store: late, lossy, and sometimes twice.

use std::time::Duration;

use crate::plan::{LEASE, Plan};
use crate::random::Random;

/// The network.
pub(super) struct Net {
    random: Random,
    drop: u64,
    duplicate: u64,
    delay: u64,
}

impl Net {
    pub(super) fn new(random: Random, plan: &Plan) -> Net {
        Net { random, drop: plan.drop, duplicate: plan.duplicate, delay: plan.delay }
    }

    /// No message is lost, doubled or held up any more.
    pub(super) fn heal(&mut self) {
        (self.drop, self.duplicate, self.delay) = (0, 0, 0);
    }

    /// After which times a message arrives: once, twice or never. The first is the message itself.
    pub(super) fn deliveries(&mut self) -> Vec<Duration> {
        let mut times = Vec::new();
        if !self.random.chance(self.drop) {
            times.push(self.latency());
        }
        if !times.is_empty() && self.random.chance(self.duplicate) {
            times.push(self.latency() + self.random.time(Duration::ZERO, 2 * LEASE));
        }
        times
    }

    fn latency(&mut self) -> Duration {
        let most = if self.random.chance(self.delay) { 2 * LEASE } else { Duration::from_millis(20) };
        self.random.time(Duration::from_millis(1), most)
    }
}
