//! Which times of a schedule have come, and which of them start something.

use std::time::Duration;

use super::{CatchUp, Overlap, Schedule, Timing};
use crate::id::ScheduleId;
use crate::time::Timestamp;

/// Starts of one schedule in one pass at most.
pub const FIRES_MAX: usize = 100;
/// A start that is no later than this is on time: a leader may have changed in between.
pub const GRACE: Duration = Duration::from_secs(60);
/// Times that are counted when they are left out; more are said to be this many.
const COUNT_MAX: u64 = 10_000;

/// Where a schedule stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Every time up to this one is decided.
    pub after: Timestamp,
    /// A time that waits for the open run to end.
    pub waiting: Option<Timestamp>,
    /// Whether a run of this schedule is open.
    pub is_running: bool,
}

/// A time that starts something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fire {
    /// The time, without its jitter. With the schedule it names the start: it happens once.
    pub at: Timestamp,
    /// Whether open runs of the schedule are cancelled first.
    pub cancels: bool,
}

/// Times that start nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many they are; 10,000 stands for any larger number.
    pub count: u64,
    /// Whether they were left out because a run was open; otherwise because they were too late.
    pub is_overlap: bool,
}

/// What to do now, and where the schedule stands then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// To be started, in order.
    pub fires: Vec<Fire>,
    /// Left out.
    pub passed: Vec<Passed>,
    /// The new [`Standing::after`].
    pub after: Timestamp,
    /// The new [`Standing::waiting`].
    pub waiting: Option<Timestamp>,
    /// When the next start is; none when there will be none.
    pub next: Option<Timestamp>,
}

/// Decides what a schedule that is not paused starts now.
pub fn due(now: Timestamp, id: ScheduleId, schedule: &Schedule, standing: &Standing) -> Due {
    let after = last_due(now, id, schedule, standing.after);
    let mut due = Due { fires: Vec::new(), passed: Vec::new(), after, waiting: standing.waiting, next: None };
    let mut is_running = standing.is_running;
    if let Some(at) = due.waiting.filter(|_| !is_running) {
        due.waiting = None;
        due.start(schedule, at, &mut is_running);
    }
    for at in wanted(now, id, schedule, standing.after, &mut due) {
        due.start(schedule, at, &mut is_running);
    }
    due.next = schedule.timing.next(after).map(|at| schedule.start_of(id, at));
    due
}

/// Up to which moment every start has come. Times start in order: one whose jitter is long holds up the next.
fn last_due(now: Timestamp, id: ScheduleId, schedule: &Schedule, after: Timestamp) -> Timestamp {
    // Everything up to here has come, whatever its jitter is.
    let mut last = after.max(now - Duration::from_secs(schedule.jitter_s));
    while let Some(at) = schedule.timing.next(last).filter(|&at| schedule.start_of(id, at) <= now) {
        last = at;
    }
    last
}

/// The times after `after` that start something, as the catch-up policy has it. Notes the others in `due`.
fn wanted(now: Timestamp, id: ScheduleId, schedule: &Schedule, after: Timestamp, due: &mut Due) -> Vec<Timestamp> {
    let window = match schedule.catch_up {
        CatchUp::Skip => GRACE,
        CatchUp::Last | CatchUp::All => Duration::from_secs(schedule.catch_up_window_s).max(GRACE),
    };
    let lateness = |at: &Timestamp| now.since(schedule.start_of(id, *at));
    // Jitter makes a start later, never earlier: nothing before this can be in time.
    let floor = after.max(now - window - Duration::from_secs(schedule.jitter_s + 1));
    let mut times = tail(&schedule.timing, floor, due.after, FIRES_MAX);
    times.retain(|at| lateness(at) <= window);
    let on_time = times.iter().filter(|at| lateness(at) <= GRACE).count();
    // On time is on time: no policy of catching up leaves out what was not missed.
    let keep = match schedule.catch_up {
        CatchUp::Skip => on_time,
        CatchUp::Last => on_time.max(1),
        CatchUp::All => on_time.max(usize::try_from(schedule.catch_up_max).unwrap_or(FIRES_MAX)),
    };
    times.drain(..times.len().saturating_sub(keep));
    due.pass_over(&schedule.timing, after, times.first().copied());
    times
}

/// The last `keep` times after `floor` and up to `last`, in order.
fn tail(timing: &Timing, floor: Timestamp, last: Timestamp, keep: usize) -> Vec<Timestamp> {
    let mut from = floor;
    if let (Some(index), Timing::Every { .. }) = (timing.interval_index(last), timing) {
        let before = index.saturating_sub(i64::try_from(keep).unwrap_or(i64::MAX));
        from = from.max(timing.interval_at(before).unwrap_or(floor));
    }
    // A pattern has at most one time a minute, and the window is a week: no more than 10,080.
    let mut times = std::collections::VecDeque::new();
    while let Some(at) = timing.next(from).filter(|&at| at <= last) {
        if times.len() == keep {
            times.pop_front();
        }
        times.push_back(at);
        from = at;
    }
    times.into()
}

impl Due {
    fn start(&mut self, schedule: &Schedule, at: Timestamp, is_running: &mut bool) {
        let cancels = *is_running && schedule.overlap == Overlap::Cancel;
        match schedule.overlap {
            Overlap::Queue if *is_running && self.waiting.is_none() => self.waiting = Some(at),
            Overlap::Skip | Overlap::Queue if *is_running => self.overlapped(at),
            Overlap::Cancel => {
                // A start that the next one would cancel at once is not made.
                if let Some(before) = self.fires.pop() {
                    self.overlapped(before.at);
                }
                self.fires.push(Fire { at, cancels });
            }
            Overlap::Skip | Overlap::Queue | Overlap::Allow => self.fires.push(Fire { at, cancels }),
        }
        *is_running = true;
    }

    fn overlapped(&mut self, at: Timestamp) {
        match self.passed.last_mut().filter(|passed| passed.is_overlap) {
            Some(passed) => {
                passed.last = at;
                passed.count += 1;
            }
            None => self.passed.push(Passed { first: at, last: at, count: 1, is_overlap: true }),
        }
    }

    /// Notes the times after `after`, before `until` (or up to where we are).
    fn pass_over(&mut self, timing: &Timing, after: Timestamp, until: Option<Timestamp>) {
        let ends = |at: &Timestamp| until.map_or(*at <= self.after, |until| *at < until);
        let Some(first) = timing.next(after).filter(ends) else { return };
        let (mut last, mut count) = (first, 1);
        while let Some(at) = timing.next(last).filter(|at| count < COUNT_MAX && ends(at)) {
            last = at;
            count += 1;
        }
        self.passed.push(Passed { first, last, count, is_overlap: false });
    }
}
