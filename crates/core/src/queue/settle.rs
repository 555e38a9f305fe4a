//! What follows from how a try ended: one more, later, or the end.

use std::time::Duration;

use super::{Fate, LOSSES_MAX, Task};
use crate::time::Timestamp;

/// What a worker says of a task it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should.
    Succeeded,
    /// It did not.
    Failed {
        /// Why, for people.
        error: String,
        /// Whether trying again is pointless.
        is_permanent: bool,
        /// What the other side asked us to wait (`Retry-After`, RFC 9110 §10.2.3).
        retry_after: Option<Duration>,
    },
    /// Nothing is wrong, but later. Uses no try.
    Snoozed {
        /// Not before.
        until: Timestamp,
    },
    /// It stopped because it was asked to.
    Canceled,
    /// The worker shuts down. Uses no try.
    GaveBack,
}

/// A task's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// How.
    pub fate: Fate,
    /// Why, if it did not succeed.
    pub error: Option<String>,
    /// Failures in all.
    pub failures: u32,
    /// Workers it has cost in all.
    pub losses: u32,
}

impl Ending {
    /// The end of a task that neither failed nor was lost just now.
    pub fn of(task: &Task, fate: Fate, error: Option<&str>) -> Ending {
        Ending { fate, error: error.map(clip), failures: task.failures, losses: task.losses }
    }
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is over.
    Finished(Ending),
    /// It waits again.
    Again {
        /// Not before.
        ready_at: Timestamp,
        /// Failures so far.
        failures: u32,
        /// Workers it has cost so far.
        losses: u32,
    },
}

/// Longest error kept, in bytes.
const ERROR_BYTES_MAX: usize = 4_096;

/// Decides what follows from an outcome.
pub fn settle(now: Timestamp, task: &Task, outcome: &Outcome) -> Settled {
    let finished = |fate, error: Option<&str>| Settled::Finished(Ending::of(task, fate, error));
    match outcome {
        Outcome::Succeeded => finished(Fate::Succeeded, None),
        Outcome::Canceled => finished(Fate::Canceled, None),
        Outcome::GaveBack => Settled::Again { ready_at: now, failures: task.failures, losses: task.losses },
        Outcome::Snoozed { until } => Settled::Again { ready_at: *until, failures: task.failures, losses: task.losses },
        Outcome::Failed { error, is_permanent, retry_after } => {
            let failures = task.failures.saturating_add(1);
            let finished = |fate| Settled::Finished(Ending { failures, ..Ending::of(task, fate, Some(error)) });
            if *is_permanent || failures >= task.options.attempts_max {
                return finished(Fate::Failed);
            }
            let wait = spread(task, failures, task.options.backoff.wait(failures));
            let ready_at = now + retry_after.map_or(wait, |asked| asked.max(wait));
            if task.options.deadline.is_some_and(|deadline| ready_at > deadline) {
                return finished(Fate::Expired);
            }
            Settled::Again { ready_at, failures, losses: task.losses }
        }
    }
}

/// Decides what follows when the worker that held the task vanished. The first time it is ready at once; after that
/// it waits, since it may be what ends its workers.
pub fn lost(now: Timestamp, task: &Task) -> Settled {
    let losses = task.losses.saturating_add(1);
    if losses >= LOSSES_MAX {
        let error = format!("its worker vanished {losses} times");
        return Settled::Finished(Ending { losses, ..Ending::of(task, Fate::Quarantined, Some(&error)) });
    }
    let wait = if losses == 1 { Duration::ZERO } else { spread(task, losses, task.options.backoff.wait(losses - 1)) };
    Settled::Again { ready_at: now + wait, failures: task.failures, losses }
}

/// Between half of the wait and all of it, the same for the same task and try.
fn spread(task: &Task, number: u32, wait: Duration) -> Duration {
    // FNV-1a, 64 bits.
    let bytes = task.id.as_bytes().iter().copied().chain(number.to_be_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let half = wait / 2;
    half + half * u32::try_from(hash >> 48).unwrap_or(0) / 65_535
}

fn clip(error: &str) -> String {
    error[..error.floor_char_boundary(ERROR_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{TaskId, TenantId};
    use crate::queue::{Backoff, Priority, Rank, TaskOptions};
    use crate::task::QueueClass;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

    fn task(failures: u32, losses: u32) -> Task {
        Task {
            id: TaskId::from_bytes([7; 16]),
            tenant: TenantId::DEFAULT,
            kind: "noop".into(),
            class: QueueClass::Io,
            priority: Priority::Normal,
            payload: "{}".into(),
            failures,
            losses,
            enqueued_at: NOW,
            rank: Rank(0),
            options: TaskOptions {
                attempts_max: 3,
                backoff: Backoff { base_ms: 1_000, max_ms: 10_000 },
                ..TaskOptions::default()
            },
        }
    }

    fn failed(is_permanent: bool, retry_after: Option<u64>) -> Outcome {
        let retry_after = retry_after.map(Duration::from_secs);
        Outcome::Failed { error: "no".into(), is_permanent, retry_after }
    }

    fn wait_of(settled: Settled) -> (Duration, u32, u32) {
        match settled {
            Settled::Again { ready_at, failures, losses } => (ready_at.since(NOW), failures, losses),
            Settled::Finished(ending) => panic!("it is over: {ending:?}"),
        }
    }

    #[test]
    fn a_failure_is_tried_again_until_its_tries_are_used_up() {
        let (wait, failures, _) = wait_of(settle(NOW, &task(0, 0), &failed(false, None)));
        assert!((500..=1_000).contains(&wait.as_millis()) && failures == 1, "{wait:?}");
        let (wait, ..) = wait_of(settle(NOW, &task(1, 0), &failed(false, None)));
        assert!((1_000..=2_000).contains(&wait.as_millis()), "{wait:?}");
        let dead =
            |failures| Settled::Finished(Ending { fate: Fate::Failed, error: Some("no".into()), failures, losses: 0 });
        assert_eq!(settle(NOW, &task(2, 0), &failed(false, None)), dead(3));
        assert_eq!(settle(NOW, &task(0, 0), &failed(true, None)), dead(1));
    }

    #[test]
    fn the_other_sides_wait_is_a_least() {
        let (wait, ..) = wait_of(settle(NOW, &task(0, 0), &failed(false, Some(30))));
        assert_eq!(wait.as_secs(), 30);
        let (wait, ..) = wait_of(settle(NOW, &task(0, 0), &failed(false, Some(0))));
        assert!(wait.as_millis() >= 500);
    }

    #[test]
    fn no_try_begins_after_the_deadline() {
        let mut task = task(0, 0);
        task.options.deadline = Some(NOW + Duration::from_secs(10));
        assert!(matches!(settle(NOW, &task, &failed(false, Some(10))), Settled::Again { .. }));
        let ending = Ending { fate: Fate::Expired, error: Some("no".into()), failures: 1, losses: 0 };
        let expired = Settled::Finished(ending);
        assert_eq!(settle(NOW, &task, &failed(false, Some(11))), expired);
    }

    #[test]
    fn what_ends_its_workers_is_quarantined() {
        assert_eq!(wait_of(lost(NOW, &task(0, 0))), (Duration::ZERO, 0, 1));
        let (wait, failures, losses) = wait_of(lost(NOW, &task(1, 1)));
        assert!(wait.as_millis() >= 500 && (failures, losses) == (1, 2));
        let Settled::Finished(ending) = lost(NOW, &task(0, LOSSES_MAX - 1)) else { panic!("it goes on") };
        assert_eq!((ending.fate, ending.losses), (Fate::Quarantined, LOSSES_MAX));
    }

    #[test]
    fn giving_back_and_snoozing_use_no_try() {
        assert_eq!(wait_of(settle(NOW, &task(1, 1), &Outcome::GaveBack)), (Duration::ZERO, 1, 1));
        let until = NOW + Duration::from_secs(5);
        assert_eq!(wait_of(settle(NOW, &task(1, 1), &Outcome::Snoozed { until })).0.as_secs(), 5);
    }
}
