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

use crate::attempt::{Attempt, AttemptOutcome, AttemptState, Purpose};
use crate::budget::{Axis, Spend};
use crate::event::EventKind;
use crate::id::WorkerId;
use crate::ladder::{self, Next};
use crate::repair::{PatchRef, Repair, RepairOutcome, RepairState, Verdict};
use crate::run::{
    AppliedPatch, Published, Run, RunOutcome, RunState, Step, StepOutcome, StepState, StopReason, Success,
};
use crate::strategy::Strategy;
use crate::task::{QueueClass, TaskSpec, Work};
use crate::time::Timestamp;

/// The least any command takes, in milliseconds: with less than this left, nothing is started.
const LEAST_MS: u64 = 100;

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
    }
}

/// One application of an event: the run being changed and what follows from it.
struct Turn {
    now: Timestamp,
    run: Run,
    effects: Vec<Effect>,
    events: Vec<EventKind>,
}

/// What came of a task that ended: the step's index, and when it began.
struct Ended {
    index: usize,
    since: Timestamp,
}

impl Turn {
    fn created(&mut self) {
        self.events.push(EventKind::RunCreated {
            workflow: self.run.workflow.name.clone(),
            digest: self.run.workflow.digest(),
            steps: u32::try_from(self.run.steps.len()).unwrap_or(u32::MAX),
        });
    }

    fn claimed(&mut self, work: &Work, worker: WorkerId) -> Result<(), Illegal> {
        let now = self.now;
        match work {
            Work::Attempt { step, number } => {
                let attempt = self.last_attempt(step, *number, "claimed")?;
                let AttemptState::Queued { .. } = attempt.state else { return Err(not_queued(work)) };
                attempt.state = AttemptState::Running { worker, since: now };
                self.events.push(EventKind::StepStarted { step: step.clone(), attempt: *number, worker });
            }
            Work::Repair { step, number } => {
                let repair = self.last_repair(step, *number, "claimed")?;
                let RepairState::Queued { .. } = repair.state else { return Err(not_queued(work)) };
                repair.state = RepairState::Running { worker, since: now };
                self.events.push(EventKind::RepairStarted { step: step.clone(), repair: *number, worker });
            }
            Work::Publish if self.run.state == RunState::Publishing => {}
            Work::Publish => return Err(not_queued(work)),
        }
        if self.run.started_at.is_none() {
            self.run.started_at = Some(now);
            self.run.state = RunState::Running;
            let before_the_step = self.events.len() - 1;
            self.events.insert(before_the_step, EventKind::RunStarted);
        }
        Ok(())
    }

    fn attempted(&mut self, step: &str, number: u32, outcome: AttemptOutcome) -> Result<(), Illegal> {
        let Ended { index, since } = self.attempt_running(step, number)?;
        self.events.push(EventKind::StepAttempted {
            step: step.to_owned(),
            attempt: number,
            exit: outcome.exit,
            duration_ms: outcome.duration_ms,
        });
        if let Some(failure) = &outcome.failure {
            self.events.push(EventKind::FailureClassified {
                step: step.to_owned(),
                attempt: number,
                kind: failure.kind,
                class: failure.class(),
                signal: failure.signal,
                fingerprint: failure.fingerprint.clone(),
                summary: failure.summary.clone(),
            });
        }
        let success = outcome.success();
        let target = &mut self.run.steps[index];
        let last = target.attempts.last_mut().expect("attempt_running found the last attempt");
        let purpose = last.purpose;
        last.state = AttemptState::Finished { since, at: self.now, outcome: Box::new(outcome) };
        if success {
            let how = match purpose {
                Purpose::Check => Success::Clean,
                Purpose::Rerun => Success::Flaky,
                Purpose::Recheck => Success::Rechecked,
            };
            self.succeed(index, how);
        } else {
            target.state = StepState::Failing;
        }
        Ok(())
    }

    fn repaired(&mut self, step: &str, number: u32, outcome: RepairOutcome) -> Result<(), Illegal> {
        let Ended { index, since } = self.repair_running(step, number)?;
        let held: Vec<(u32, String, PatchRef)> = self.run.steps[index]
            .tentative()
            .into_iter()
            .filter_map(|repair| {
                repair.outcome().and_then(|o| Some((repair.number, o.title.clone(), o.patch.clone()?)))
            })
            .collect();
        let target = &mut self.run.steps[index];
        let last = target.repairs.last_mut().expect("repair_running found the last repair");
        self.events.push(EventKind::RepairFinished {
            step: step.to_owned(),
            repair: number,
            strategy: last.strategy.clone(),
            verdict: outcome.verdict.word().to_owned(),
            title: outcome.title.clone(),
            why: outcome.verdict.why().to_owned(),
            patch: outcome.patch.clone(),
            duration_ms: outcome.duration_ms,
        });
        self.run.spend.cost_microusd.0 = self.run.spend.cost_microusd.0.saturating_add(outcome.cost_microusd.0);
        if matches!(outcome.verdict, Verdict::NoCandidate { .. }) {
            // Finding nothing costs nothing: the attempt is given back.
            self.run.spend.attempts = self.run.spend.attempts.saturating_sub(1);
        }
        let accepted = match (&outcome.verdict, &outcome.patch) {
            (Verdict::Accepted, Some(patch)) => Some((number, outcome.title.clone(), patch.clone())),
            _ => None,
        };
        target.state = StepState::Failing;
        last.state = RepairState::Finished { since, at: self.now, outcome };
        if let Some(accepted) = accepted {
            self.keep(index, held.into_iter().chain([accepted]));
        }
        Ok(())
    }

    /// Makes an accepted repair, and those it builds on, part of the files, and looks again at the other failing steps.
    fn keep(&mut self, index: usize, patches: impl Iterator<Item = (u32, String, PatchRef)>) {
        let step = self.run.steps[index].name.clone();
        self.run.patches.extend(patches.map(|(repair, title, patch)| AppliedPatch {
            step: step.clone(),
            repair,
            title,
            patch,
        }));
        self.succeed(index, Success::Repaired);
        for other in 0..self.run.steps.len() {
            let is_failed = matches!(
                self.run.steps[other].state,
                StepState::Failing
                    | StepState::Done {
                        outcome: StepOutcome::Failed { reason: StopReason::Exhausted | StopReason::NoStrategy }
                    }
            );
            if is_failed {
                self.attempt(other, Purpose::Recheck, std::time::Duration::ZERO);
            } else if matches!(self.run.steps[other].state, StepState::Done { outcome: StepOutcome::Skipped { .. } }) {
                self.run.steps[other].state = StepState::Blocked;
            }
        }
    }

    fn published(&mut self, published: Published) -> Result<(), Illegal> {
        if self.run.state != RunState::Publishing {
            return Err(Illegal { event: "published", why: "nothing is being published".into() });
        }
        self.events.push(EventKind::RunPublished { published: published.clone() });
        self.run.published = Some(published);
        Ok(())
    }

    /// Puts a task back on the queue; `losses` is 1 when its worker vanished, 0 when it gave the task back.
    fn lost(&mut self, work: &Work, losses: u32) -> Result<(), Illegal> {
        let now = self.now;
        let losses = match work {
            Work::Attempt { step, number } => {
                self.attempt_running(step, *number)?;
                let attempt = self.last_attempt(step, *number, "lost")?;
                attempt.losses += losses;
                attempt.state = AttemptState::Queued { ready_at: now };
                attempt.losses
            }
            Work::Repair { step, number } => {
                self.repair_running(step, *number)?;
                let repair = self.last_repair(step, *number, "lost")?;
                repair.losses += losses;
                repair.state = RepairState::Queued { ready_at: now };
                repair.losses
            }
            Work::Publish => losses,
        };
        self.events.push(EventKind::TaskRequeued { task: work.to_string(), losses });
        match work.step().and_then(|step| self.run.steps.iter().position(|s| s.name == step)) {
            Some(index) if self.run.cancel.is_some() => self.cancel_step(index),
            Some(index) if losses >= LOSSES_MAX => self.fail(index, StopReason::WorkerLost),
            _ => self.effects.push(Effect::Enqueue(TaskSpec {
                work: work.clone(),
                class: QueueClass::Cpu,
                ready_at: now,
            })),
        }
        Ok(())
    }

    fn cancel(&mut self, by: String) {
        if self.run.cancel.is_some() {
            return;
        }
        self.events.push(EventKind::CancelRequested { by: by.clone() });
        self.run.cancel = Some(by);
        if self.run.state == RunState::Publishing {
            self.effects.push(Effect::Withdraw(Work::Publish));
        }
        for index in 0..self.run.steps.len() {
            let Some((work, queued)) = in_flight(&self.run.steps[index]) else { continue };
            if queued {
                self.effects.push(Effect::Withdraw(work));
                self.cancel_step(index);
            } else {
                self.effects.push(Effect::Interrupt(work));
            }
        }
    }

    /// Does everything that now can be done. Each turn of the loop ends a step or leaves, so it is bounded.
    fn settle(&mut self) {
        for _ in 0..=2 * self.run.steps.len() {
            if self.run.cancel.is_some() {
                return self.settle_canceled();
            }
            self.settle_time();
            self.start_ready();
            if self.run.steps.iter().any(Step::is_active) {
                return;
            }
            let Some(index) = self.run.steps.iter().position(|step| step.state == StepState::Failing) else {
                return self.end();
            };
            self.climb(index);
        }
    }

    fn settle_canceled(&mut self) {
        for index in 0..self.run.steps.len() {
            if matches!(self.run.steps[index].state, StepState::Blocked | StepState::Failing) {
                self.cancel_step(index);
            }
        }
        if !self.run.steps.iter().any(Step::is_active) {
            self.finish(RunOutcome::Canceled);
        }
    }

    /// Nothing more is started once the time is used up.
    fn settle_time(&mut self) {
        let spent = self.run.spend_at(self.now);
        let least = Spend { time_ms: LEAST_MS, ..Spend::default() };
        if self.run.workflow.budget.admits(spent, least) != Err(Axis::Time) {
            return;
        }
        for index in 0..self.run.steps.len() {
            if matches!(self.run.steps[index].state, StepState::Blocked | StepState::Failing) {
                let refused = self.run.steps[index].name.clone();
                self.events.push(EventKind::BudgetExceeded { axis: Axis::Time, refused });
                self.fail(index, StopReason::BudgetTime);
            }
        }
    }

    fn start_ready(&mut self) {
        for index in 0..self.run.steps.len() {
            if self.run.steps[index].state != StepState::Blocked {
                continue;
            }
            match self.needs_of(index) {
                Needs::Met => self.attempt(index, Purpose::Check, std::time::Duration::ZERO),
                Needs::Broken(need) => {
                    let step = self.run.steps[index].name.clone();
                    self.events.push(EventKind::StepSkipped { step, need: need.clone() });
                    self.run.steps[index].state = StepState::Done { outcome: StepOutcome::Skipped { need } };
                }
                Needs::Open => {}
            }
        }
    }

    fn needs_of(&self, index: usize) -> Needs {
        let mut open = false;
        for need in &self.run.workflow.steps[index].needs {
            let Some(step) = self.run.step(need) else { return Needs::Broken(need.clone()) };
            match &step.state {
                StepState::Done { outcome: StepOutcome::Succeeded { .. } } => {}
                StepState::Done { .. } => return Needs::Broken(need.clone()),
                _ => open = true,
            }
        }
        if open { Needs::Open } else { Needs::Met }
    }

    /// Asks the ladder about a failing step and does what it says, if the budget admits it.
    fn climb(&mut self, index: usize) {
        match ladder::next(&self.run.steps[index], &self.run.workflow.steps[index], &self.run.workflow.repair) {
            Next::Stop(reason) => self.fail(index, reason),
            Next::Rerun { wait } => {
                if self.charge(index, "a re-run") {
                    self.attempt(index, Purpose::Rerun, wait);
                }
            }
            Next::Try(strategy) => {
                if self.charge(index, &strategy.to_string()) {
                    self.repair(index, strategy);
                }
            }
        }
    }

    /// Reserves one attempt; when the budget refuses, the step fails for that reason.
    fn charge(&mut self, index: usize, what: &str) -> bool {
        let spent = self.run.spend_at(self.now);
        let price = Spend { attempts: 1, time_ms: expected_ms(&self.run.steps[index]), ..Spend::default() };
        let budget = self.run.workflow.budget;
        if let Err(axis) = budget.admits(spent, price) {
            let refused = format!("{what} for {}", self.run.steps[index].name);
            self.events.push(EventKind::BudgetExceeded { axis, refused });
            self.fail(index, axis.into());
            return false;
        }
        self.run.spend.attempts += 1;
        let (used, all) = (u64::from(self.run.spend.attempts) * 5, u64::from(budget.attempts) * 4);
        if used >= all && used - 5 < all {
            self.events.push(EventKind::BudgetWarned { axis: Axis::Attempts });
        }
        true
    }

    fn attempt(&mut self, index: usize, purpose: Purpose, wait: std::time::Duration) {
        let ready_at = self.now + wait;
        let tree = self.run.tree();
        let step = &mut self.run.steps[index];
        let number = step.attempts.last().map_or(0, |a| a.number) + 1;
        step.attempts.push(Attempt { number, purpose, tree, losses: 0, state: AttemptState::Queued { ready_at } });
        step.state = StepState::Attempting;
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.events.push(EventKind::StepQueued { step: step.name.clone(), attempt: number, purpose, wait_ms });
        let work = Work::Attempt { step: step.name.clone(), number };
        self.effects.push(Effect::Enqueue(TaskSpec { work, class: QueueClass::Cpu, ready_at }));
    }

    fn repair(&mut self, index: usize, strategy: Strategy) {
        let ready_at = self.now;
        let step = &mut self.run.steps[index];
        let number = step.repairs.last().map_or(0, |r| r.number) + 1;
        self.events.push(EventKind::RepairQueued {
            step: step.name.clone(),
            repair: number,
            strategy: strategy.clone(),
        });
        step.repairs.push(Repair { number, strategy, losses: 0, state: RepairState::Queued { ready_at } });
        step.state = StepState::Repairing;
        let work = Work::Repair { step: step.name.clone(), number };
        self.effects.push(Effect::Enqueue(TaskSpec { work, class: QueueClass::Cpu, ready_at }));
    }

    fn succeed(&mut self, index: usize, how: Success) {
        let step = &mut self.run.steps[index];
        step.state = StepState::Done { outcome: StepOutcome::Succeeded { how } };
        self.events.push(EventKind::StepSucceeded { step: step.name.clone(), how });
    }

    fn fail(&mut self, index: usize, reason: StopReason) {
        let step = &mut self.run.steps[index];
        step.state = StepState::Done { outcome: StepOutcome::Failed { reason } };
        self.events.push(EventKind::StepFailed { step: step.name.clone(), reason });
    }

    fn cancel_step(&mut self, index: usize) {
        let step = &mut self.run.steps[index];
        step.state = StepState::Done { outcome: StepOutcome::Canceled };
        self.events.push(EventKind::StepCanceled { step: step.name.clone() });
    }

    /// All steps are done: write the result if there is one, then finish.
    fn end(&mut self) {
        if !self.run.patches.is_empty() && self.run.published.is_none() {
            if self.run.state != RunState::Publishing {
                self.run.state = RunState::Publishing;
                self.effects.push(Effect::Enqueue(TaskSpec {
                    work: Work::Publish,
                    class: QueueClass::Cpu,
                    ready_at: self.now,
                }));
            }
            return;
        }
        let outcome = if self.run.steps.iter().all(Step::succeeded) {
            if self.run.patches.is_empty() { RunOutcome::Passed } else { RunOutcome::Repaired }
        } else if self.run.steps.iter().any(stopped_by_budget) {
            RunOutcome::BudgetExceeded
        } else {
            RunOutcome::Failed
        };
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: RunOutcome) {
        self.run.spend = self.run.spend_at(self.now);
        self.run.finished_at = Some(self.now);
        self.run.state = RunState::Done { outcome };
        self.events.push(EventKind::RunFinished { outcome, spend: self.run.spend });
    }

    fn index(&self, step: &str, event: &'static str) -> Result<usize, Illegal> {
        let found = self.run.steps.iter().position(|s| s.name == step);
        found.ok_or_else(|| Illegal { event, why: format!("there is no step {step:?}") })
    }

    fn last_attempt(&mut self, step: &str, number: u32, event: &'static str) -> Result<&mut Attempt, Illegal> {
        let index = self.index(step, event)?;
        let target = &mut self.run.steps[index];
        let fits = target.state == StepState::Attempting;
        let last = target.attempts.last_mut().filter(|attempt| fits && attempt.number == number);
        last.ok_or_else(|| Illegal { event, why: format!("attempt {step}#{number} is not in flight") })
    }

    fn last_repair(&mut self, step: &str, number: u32, event: &'static str) -> Result<&mut Repair, Illegal> {
        let index = self.index(step, event)?;
        let target = &mut self.run.steps[index];
        let fits = target.state == StepState::Repairing;
        let last = target.repairs.last_mut().filter(|repair| fits && repair.number == number);
        last.ok_or_else(|| Illegal { event, why: format!("repair {step}!{number} is not in flight") })
    }

    fn attempt_running(&mut self, step: &str, number: u32) -> Result<Ended, Illegal> {
        let index = self.index(step, "attempted")?;
        match self.last_attempt(step, number, "attempted")?.state {
            AttemptState::Running { since, .. } => Ok(Ended { index, since }),
            AttemptState::Queued { .. } | AttemptState::Finished { .. } => {
                Err(Illegal { event: "attempted", why: format!("attempt {step}#{number} is not running") })
            }
        }
    }

    fn repair_running(&mut self, step: &str, number: u32) -> Result<Ended, Illegal> {
        let index = self.index(step, "repaired")?;
        match self.last_repair(step, number, "repaired")?.state {
            RepairState::Running { since, .. } => Ok(Ended { index, since }),
            RepairState::Queued { .. } | RepairState::Finished { .. } => {
                Err(Illegal { event: "repaired", why: format!("repair {step}!{number} is not running") })
            }
        }
    }
}

/// Whether the steps a step needs have succeeded.
enum Needs {
    Met,
    Open,
    Broken(String),
}

fn not_queued(work: &Work) -> Illegal {
    Illegal { event: "claimed", why: format!("{work} is not queued") }
}

fn stopped_by_budget(step: &Step) -> bool {
    matches!(step.state, StepState::Done { outcome: StepOutcome::Failed { reason } } if reason.is_budget())
}

/// The task a step has in flight, and whether it is still unclaimed.
fn in_flight(step: &Step) -> Option<(Work, bool)> {
    match step.state {
        StepState::Attempting => {
            let last = step.attempts.last()?;
            let queued = matches!(last.state, AttemptState::Queued { .. });
            Some((Work::Attempt { step: step.name.clone(), number: last.number }, queued))
        }
        StepState::Repairing => {
            let last = step.repairs.last()?;
            let queued = matches!(last.state, RepairState::Queued { .. });
            Some((Work::Repair { step: step.name.clone(), number: last.number }, queued))
        }
        StepState::Blocked | StepState::Failing | StepState::Done { .. } => None,
    }
}

/// What the next try of a step will take, by its last one: the price asked of the time budget beforehand.
fn expected_ms(step: &Step) -> u64 {
    let last = step.attempts.iter().rev().find_map(Attempt::outcome);
    last.filter(|outcome| outcome.exit.shell_code() != 124).map_or(0, |outcome| outcome.duration_ms)
}

#[cfg(test)]
mod tests;
