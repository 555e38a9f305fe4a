//! How a run moves: one function from (run, event) to (run, effects). No other code changes a run.
//!
//! The order in which things are asked is fixed: cancellation, then the time budget, then steps that can start,
//! then (only when nothing is in flight, so that a repair never changes files under a running step) the ladder
//! for the first failing step, then the end.
//!
//! ```text
//! step:  Blocked ─needs succeeded─► Attempting ─ok─────────────────────────► Done(Succeeded)
//!           │                          │  ▲                                      ▲
//!           │ a need failed            │  └──rerun / recheck──┐                  │ accepted
//!           ▼                          └─failed─► Failing ────┴─strategy─► Repairing
//!        Done(Skipped)                               ▲  └─nothing left─► Done(Failed)
//!                                                    └──────not accepted──────┘
//! ```

mod begin;
mod settle;
mod turn;
mod undo;
mod waiting;

use crate::attempt::AttemptOutcome;
use crate::event::EventKind;
use crate::id::WorkerId;
use crate::repair::RepairOutcome;
use crate::run::{Published, Run, Signal};
use crate::task::{TaskSpec, Work};
use crate::time::Timestamp;
pub use begin::{RUN_OUTPUTS_BYTES_MAX, RUN_STEPS_MAX};
use turn::Turn;

/// How often a worker may vanish while holding the same task before the task is given up.
pub const LOSSES_MAX: u32 = 5;

/// What happened to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// It was accepted.
    Created,
    /// A worker claimed one of its tasks.
    Claimed {
        /// Which.
        work: Work,
        /// By whom.
        worker: WorkerId,
    },
    /// An attempt ended.
    Attempted {
        /// The step.
        step: String,
        /// The attempt.
        number: u32,
        /// How.
        outcome: AttemptOutcome,
    },
    /// A repair ended.
    Repaired {
        /// The step.
        step: String,
        /// The repair.
        number: u32,
        /// How.
        outcome: RepairOutcome,
    },
    /// The result was written.
    Published(Published),
    /// A worker vanished while holding this task.
    Lost {
        /// Which.
        work: Work,
    },
    /// A worker that shuts down gave this task back. Nobody's fault, so it is not counted.
    GaveBack {
        /// Which.
        work: Work,
    },
    /// Somebody wants it to stop.
    Cancel {
        /// Who and why.
        by: String,
    },
    /// A signal came.
    Signal(Signal),
    /// Somebody decided about a step that waits for approval.
    Decided {
        /// The step.
        step: String,
        /// Which way.
        approved: bool,
        /// Who.
        by: String,
        /// Why, in their words.
        reason: String,
    },
}

/// What must now be done, as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Put a task on the queue (once: its name is its identity).
    Enqueue(TaskSpec),
    /// Take an unclaimed task off the queue.
    Withdraw(Work),
    /// Tell whoever holds this task to stop.
    Interrupt(Work),
}

/// A run after an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// The run as it is now.
    pub next: Run,
    /// What must be done, in order.
    pub effects: Vec<Effect>,
    /// What to write down, in order.
    pub events: Vec<EventKind>,
}

/// An event that does not fit the run's state: it is late, or a mistake. Nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} does not fit the run: {why}")]
pub struct Illegal {
    /// The event's name.
    pub event: &'static str,
    /// What does not fit.
    pub why: String,
}

/// Moves a run by one event.
///
/// # Errors
/// [`Illegal`] when the event does not fit; the run must then be left as it is.
pub fn apply(now: Timestamp, run: Run, event: RunEvent) -> Result<Advance, Illegal> {
    if run.state.outcome().is_some() {
        return Err(Illegal { event: event_name(&event), why: "it is over".into() });
    }
    let mut turn = Turn { now, run, effects: Vec::new(), events: Vec::new() };
    match event {
        RunEvent::Created => turn.created(),
        RunEvent::Claimed { work, worker } => turn.claimed(&work, worker)?,
        RunEvent::Attempted { step, number, outcome } => turn.attempted(&step, number, outcome)?,
        RunEvent::Repaired { step, number, outcome } => turn.repaired(&step, number, outcome)?,
        RunEvent::Published(published) => turn.published(published)?,
        RunEvent::Lost { work } => turn.lost(&work, 1)?,
        RunEvent::GaveBack { work } => turn.lost(&work, 0)?,
        RunEvent::Cancel { by } => turn.cancel(by),
        RunEvent::Signal(signal) => turn.signaled(signal)?,
        RunEvent::Decided { step, approved, by, reason } => turn.decided(&step, approved, &by, &reason)?,
    }
    turn.settle();
    Ok(Advance { next: turn.run, effects: turn.effects, events: turn.events })
}

const fn event_name(event: &RunEvent) -> &'static str {
    match event {
        RunEvent::Created => "created",
        RunEvent::Claimed { .. } => "claimed",
        RunEvent::Attempted { .. } => "attempted",
        RunEvent::Repaired { .. } => "repaired",
        RunEvent::Published(_) => "published",
        RunEvent::Lost { .. } => "lost",
        RunEvent::GaveBack { .. } => "gave_back",
        RunEvent::Cancel { .. } => "cancel",
        RunEvent::Signal(_) => "signal",
        RunEvent::Decided { .. } => "decided",
    }
}

#[cfg(test)]
mod tests;
