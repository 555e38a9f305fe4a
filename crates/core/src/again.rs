//! Doing a run again from where it failed: a new run that keeps what had succeeded.
//!
//! The old run stays as it is. The new one has its workflow, inputs, files and accepted repairs, and the outputs of
//! the steps it keeps. Kept are steps that succeeded (or were omitted), whose needs are kept, and that were not undone.

use std::collections::BTreeSet;

use crate::id::RunId;
use crate::run::{Role, Run, StepOutcome, StepState, Success};
use crate::time::Timestamp;
use crate::workflow::Action;

/// Why a run cannot be done again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAgain {
    /// It goes on.
    #[error("{id} is not over; cancel it or wait")]
    Open {
        /// The run.
        id: RunId,
    },
    /// Nothing of it failed, and no step was named.
    #[error("every step of {id} succeeded; name the step to begin from")]
    Succeeded {
        /// The run.
        id: RunId,
    },
    /// The named step does not exist.
    #[error("{id} has no step {step:?}")]
    NoSuchStep {
        /// The run.
        id: RunId,
        /// The name.
        step: String,
    },
}

impl Run {
    /// The run that does this one again, from the step named or else from what did not succeed.
    ///
    /// # Errors
    /// [`NotAgain`].
    pub fn again(&self, now: Timestamp, id: RunId, from: Option<&str>) -> Result<Run, NotAgain> {
        if self.state.outcome().is_none() {
            return Err(NotAgain::Open { id: self.id });
        }
        if let Some(step) = from.filter(|step| self.workflow.step(step).is_none()) {
            return Err(NotAgain::NoSuchStep { id: self.id, step: step.to_owned() });
        }
        let mut next = Run::new(now, id, self.tenant, self.workflow.clone(), self.source.clone());
        let mut kept = BTreeSet::new();
        for (spec, step) in self.workflow.steps.iter().zip(&mut next.steps) {
            let Some(old) = self.step(&spec.name).filter(|old| old.satisfied()) else { continue };
            let repairs_kept = match &spec.action {
                Action::Repair(repair) => kept.contains(repair.target.as_str()),
                _ => true,
            };
            let undone = self.steps.iter().any(|step| step.role == Role::Undo { of: spec.name.clone() });
            let needs_kept = spec.needs.iter().all(|need| kept.contains(need.as_str()));
            if from == Some(spec.name.as_str()) || undone || !needs_kept || !repairs_kept {
                continue;
            }
            kept.insert(spec.name.as_str());
            let outcome = match &old.state {
                StepState::Done { outcome: outcome @ StepOutcome::Omitted { .. } } => outcome.clone(),
                _ => StepOutcome::Succeeded { how: Success::Kept },
            };
            step.state = StepState::Done { outcome };
            step.output.clone_from(&old.output);
            (step.since, step.ended_at) = (Some(now), Some(now));
        }
        if kept.len() == next.steps.len() {
            return Err(NotAgain::Succeeded { id: self.id });
        }
        next.inputs = self.inputs.clone();
        next.patches.clone_from(&self.patches);
        next.retry_of = Some(self.id);
        Ok(next)
    }
}
