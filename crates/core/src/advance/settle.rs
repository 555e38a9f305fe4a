//! What follows from an event: everything that can now be done is done, in a fixed order.

use std::time::Duration;

use super::{Effect, Turn};
use crate::attempt::{Attempt, AttemptState, Purpose};
use crate::budget::{Axis, Spend};
use crate::event::EventKind;
use crate::ladder::{self, Next};
use crate::repair::{Repair, RepairState};
use crate::run::{RunOutcome, RunState, Step, StepOutcome, StepState, StopReason, Success};
use crate::strategy::Strategy;
use crate::task::{QueueClass, TaskSpec, Work};
use crate::time::millis;

/// The least any command takes, in milliseconds: with less than this left, nothing is started.
const LEAST_MS: u64 = 100;

/// Whether the steps a step needs have succeeded.
enum Needs {
    Met,
    Open,
    Broken(String),
}

impl Turn {
    /// Does everything that now can be done. Each turn of the loop ends a step or leaves, so it is bounded.
    pub(super) fn settle(&mut self) {
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
                Needs::Met => self.attempt(index, Purpose::Check, Duration::ZERO),
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
        match self.next_for(index) {
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

    fn next_for(&self, index: usize) -> Next {
        let step = &self.run.steps[index];
        match self.run.part(step) {
            Some((_, crate::workflow::Action::Shell(shell))) => ladder::next(step, shell, &self.run.workflow.repair),
            _ => Next::Stop(StopReason::Retries),
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

    pub(super) fn attempt(&mut self, index: usize, purpose: Purpose, wait: Duration) {
        let ready_at = self.now + wait;
        let tree = self.run.tree();
        let step = &mut self.run.steps[index];
        let number = step.attempts.last().map_or(0, |a| a.number) + 1;
        step.attempts.push(Attempt { number, purpose, tree, losses: 0, state: AttemptState::Queued { ready_at } });
        step.state = StepState::Attempting;
        let wait_ms = millis(wait);
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

    pub(super) fn succeed(&mut self, index: usize, how: Success) {
        let step = &mut self.run.steps[index];
        step.state = StepState::Done { outcome: StepOutcome::Succeeded { how } };
        self.events.push(EventKind::StepSucceeded { step: step.name.clone(), how });
    }

    pub(super) fn fail(&mut self, index: usize, reason: StopReason) {
        let step = &mut self.run.steps[index];
        step.state = StepState::Done { outcome: StepOutcome::Failed { reason, why: String::new() } };
        self.events.push(EventKind::StepFailed { step: step.name.clone(), reason });
    }

    pub(super) fn cancel_step(&mut self, index: usize) {
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
}

fn stopped_by_budget(step: &Step) -> bool {
    matches!(step.state, StepState::Done { outcome: StepOutcome::Failed { reason, .. } } if reason.is_budget())
}

/// What the next try of a step will take, by its last one: the price asked of the time budget beforehand.
fn expected_ms(step: &Step) -> u64 {
    let last = step.attempts.iter().rev().find_map(Attempt::outcome);
    last.filter(|outcome| outcome.exit.shell_code() != 124).map_or(0, |outcome| outcome.duration_ms)
}
