//! What processes of the simulation have in common: they are told of time and answers, and say what they want done.
//!
//! A process does nothing itself. It is a state machine whose calls and timers the world carries out, loses, holds up
//! or delivers twice.

use std::time::Duration;

use mb_core::id::{RunId, TaskId};
use mb_core::task::Fence;
use mb_core::time::Timestamp;

use crate::call::Call;
use crate::plan::Plan;
use crate::random::Random;

/// What a process asked to be woken for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// Look for work, and send what is to be sent.
    Poll,
    /// Renew leases.
    Beat,
    /// Look for workers that vanished.
    Reap,
    /// The work on this grant is done.
    Done(TaskId, Fence),
    /// Do something new.
    Act,
    /// Ask again.
    Retry(Box<Call>),
}

/// What a process was told and will hold the store to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// The task is on the queue.
    Enqueued(TaskId),
    /// The run is stored.
    Created(RunId),
    /// The task is over, by this grant.
    Finished(TaskId, Fence),
}

/// One turn of a process: what it may look at, and what it wants done.
pub(crate) struct Turn<'a> {
    /// What its clock says.
    pub(crate) clock: Timestamp,
    pub(crate) random: &'a mut Random,
    pub(crate) plan: &'a Plan,
    /// Whether new work is made.
    pub(crate) is_loading: bool,
    /// Whether faults and failures are over.
    pub(crate) is_quiet: bool,
    pub(crate) calls: Vec<Call>,
    pub(crate) timers: Vec<(Duration, Timer)>,
    pub(crate) promises: Vec<Promise>,
}

impl Turn<'_> {
    pub(crate) fn call(&mut self, call: Call) {
        self.calls.push(call);
    }

    pub(crate) fn wake_in(&mut self, low_ms: u64, high_ms: u64, timer: Timer) {
        let wait = self.random.time(Duration::from_millis(low_ms), Duration::from_millis(high_ms));
        self.timers.push((wait, timer));
    }
}
