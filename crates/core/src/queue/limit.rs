//! Limits by key, over all nodes: so many at once, so many in a time.
//!
//! Decided when a task is claimed, from one row a key. A task that may not run is put aside at once (blocked, or
//! delayed until its turn, which is reserved for it), so that it costs one look and never stands in the way of others.
//!
//! Deliberately absent: limits by default. A key nobody names has no row and costs nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// At most so many at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// What the tasks share.
    pub key: String,
    /// Leased at once, from 1. When tasks disagree, each is held to its own number.
    pub max: u32,
}

/// At most so many begun in a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// What the tasks share.
    pub key: String,
    /// How many, from 1.
    pub count: u32,
    /// In how long, in milliseconds.
    pub per_ms: u64,
    /// How many may begin together after a rest, from 1.
    #[serde(default = "one")]
    pub burst: u32,
}

fn one() -> u32 {
    1
}

/// What the generic cell rate algorithm answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// When the task may begin; in the past or now means at once.
    pub at: Timestamp,
    /// What to remember for the key.
    pub arrival: Timestamp,
}

impl Rate {
    /// The time between two, at an even pace.
    fn interval(&self) -> Duration {
        Duration::from_micros((self.per_ms.saturating_mul(1_000) / u64::from(self.count.max(1))).max(1))
    }

    /// Whether a turn reserved for that moment still holds. One that nobody could take when it came is given up: turns
    /// saved up during a pause would begin all together.
    pub fn holds(&self, now: Timestamp, reserved: Timestamp) -> bool {
        now.since(reserved) <= self.interval()
    }

    /// Whether every number is in range.
    pub fn is_valid(&self) -> bool {
        self.count > 0 && self.burst > 0 && (1..=30 * 86_400_000).contains(&self.per_ms)
    }

    /// The next free turn of the key, reserved (the generic cell rate algorithm, ITU-T I.371, as virtual scheduling).
    /// `arrival` is what the last turn left behind.
    pub fn turn(&self, now: Timestamp, arrival: Option<Timestamp>) -> Turn {
        let due = arrival.map_or(now, |arrival| arrival.max(now));
        let tolerance = self.interval() * (self.burst - 1);
        let at = (due - tolerance).max(now);
        Turn { at, arrival: due + self.interval() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spaced_after_a_burst() {
        let rate = Rate { key: "k".into(), count: 10, per_ms: 1_000, burst: 3 };
        let now = Timestamp::from_micros(1_000_000_000);
        let mut arrival = None;
        let mut waits = Vec::new();
        for _ in 0..6 {
            let turn = rate.turn(now, arrival);
            waits.push(turn.at.since(now).as_millis());
            arrival = Some(turn.arrival);
        }
        assert_eq!(waits, [0, 0, 0, 100, 200, 300]);
        // After a rest the burst is there again, and no more than it.
        let later = now + Duration::from_secs(60);
        let turn = rate.turn(later, arrival);
        assert_eq!((turn.at, turn.arrival), (later, later + Duration::from_millis(100)));
    }

    #[test]
    fn ranges_are_checked_on_both_sides() {
        let rate = |count, per_ms, burst| Rate { key: "k".into(), count, per_ms, burst }.is_valid();
        assert!(rate(1, 1, 1) && rate(1, 30 * 86_400_000, 1));
        assert!(!rate(0, 1, 1) && !rate(1, 0, 1) && !rate(1, 1, 0) && !rate(1, 30 * 86_400_000 + 1, 1));
    }
}
