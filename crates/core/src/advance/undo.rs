//! Compensation: what had succeeded is undone, the last first, when the run fails or is cancelled.
//!
//! One at a time, each with its step's own retries. One that fails is written down and the rest goes on: half undone
//! is worse than undone but for one. Budgets do not end it, and neither does a cancel.

use std::time::Duration;

use super::Turn;
use crate::attempt::Purpose;
use crate::event::EventKind;
use crate::run::{Role, RunOutcome, RunState, Step, StepOutcome, StepState, Success};
use crate::workflow::Action;

impl Turn {
    /// Ends the run, after undoing what can be undone unless it went well. Says whether there is more to do.
    pub(super) fn finish_or_undo(&mut self, outcome: RunOutcome) -> bool {
        let mut undone = match outcome {
            RunOutcome::Passed | RunOutcome::Repaired => Vec::new(),
            RunOutcome::Failed | RunOutcome::BudgetExceeded | RunOutcome::Canceled => self.undoable(),
        };
        if undone.is_empty() {
            self.finish(outcome);
            return false;
        }
        undone.reverse();
        self.events.push(EventKind::RunCompensating { steps: undone.clone() });
        for of in undone {
            self.run.steps.push(Step::new(format!("{of}/undo"), Role::Undo { of }));
        }
        self.run.state = RunState::Compensating { outcome };
        true
    }

    /// Steps that succeeded in this run and say how they are undone, in the order they ended.
    fn undoable(&self) -> Vec<String> {
        let kept = StepState::Done { outcome: StepOutcome::Succeeded { how: Success::Kept } };
        let is_undoable = |step: &&Step| {
            let spec = self.run.workflow.step(&step.name).filter(|spec| spec.compensate.is_some());
            step.role == Role::Step && step.succeeded() && step.state != kept && spec.is_some()
        };
        let mut steps: Vec<&Step> = self.run.steps.iter().filter(is_undoable).collect();
        steps.sort_by_key(|step| step.ended_at);
        steps.into_iter().map(|step| step.name.clone()).collect()
    }

    /// One look at the steps that undo; says whether another may find more to do.
    pub(super) fn undo(&mut self, outcome: RunOutcome) -> bool {
        let is_open =
            |step: &Step| matches!(step.role, Role::Undo { .. }) && !matches!(step.state, StepState::Done { .. });
        let Some(index) = self.run.steps.iter().position(is_open) else {
            let canceled = self.run.cancel.is_some();
            self.finish(if canceled { RunOutcome::Canceled } else { outcome });
            return false;
        };
        match self.run.steps[index].state {
            StepState::Blocked => {
                let is_task = !matches!(self.run.part(&self.run.steps[index]), Some((_, Action::Transform(_))));
                if is_task {
                    self.attempt(index, Purpose::Check, Duration::ZERO);
                } else {
                    self.begin(index);
                }
                true
            }
            StepState::Failing => self.retry(index) || self.give_up(index),
            StepState::Attempting | StepState::Repairing | StepState::Waiting(_) | StepState::Done { .. } => false,
        }
    }
}
