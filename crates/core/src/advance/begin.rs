//! How a step of each kind begins, and how the values it computes become its output.
//!
//! Commands, requests, models and sub-workflows become tasks. Everything else is decided here and now: a transform
//! has its value, a condition its truth, a foreach its items, and a wait its end.

use std::time::Duration;

use serde_json::{Value, json};

use super::Turn;
use crate::attempt::Purpose;
use crate::event::EventKind;
use crate::expression::{self, BadExpression, Scope};
use crate::run::{OUTPUT_BYTES_MAX, Role, RunState, Step, StepOutcome, StepState, StopReason, Success, Waiting};
use crate::time::Timestamp;
use crate::workflow::{Action, Approval, Foreach, ITEMS_MAX, Wait};

/// Steps of one run, those of its foreachs included.
pub const RUN_STEPS_MAX: usize = 5_000;
/// Outputs of one run together, as JSON, in bytes: a run is loaded whole.
pub const RUN_OUTPUTS_BYTES_MAX: usize = 8 << 20;

impl Turn {
    /// Begins a step whose needs are met.
    pub(super) fn begin(&mut self, index: usize) {
        let Some((_, action)) = self.run.part(&self.run.steps[index]) else { return };
        let action = action.clone();
        if !matches!(action, Action::Shell(_) | Action::Http(_) | Action::Llm(_) | Action::Workflow(_)) {
            self.started();
        }
        self.run.steps[index].since.get_or_insert(self.now);
        let begun = match action {
            Action::Shell(_) | Action::Http(_) | Action::Llm(_) | Action::Workflow(_) => {
                self.attempt(index, Purpose::Check, Duration::ZERO);
                Ok(())
            }
            Action::Transform(transform) => self.compute(index, |scope| expression::fill(&transform.value, scope)),
            Action::Condition(condition) => {
                self.compute(index, |scope| expression::holds(&condition.test, scope).map(Value::Bool))
            }
            Action::Foreach(each) => self.expand(index, &each),
            Action::Approval(approval) => self.ask(index, approval),
            Action::Wait(wait) => self.wait(index, wait),
            Action::Repair(repair) => {
                self.ask_repair(index, repair.target);
                Ok(())
            }
        };
        if let Err(error) = begun {
            self.fail_because(index, StopReason::Expression, error.to_string());
        }
    }

    /// The run has begun, though no worker has claimed anything of it.
    pub(super) fn started(&mut self) {
        if self.run.started_at.is_none() {
            self.run.started_at = Some(self.now);
            self.run.state = RunState::Running;
            self.events.push(EventKind::RunStarted);
        }
    }

    fn scope(&self, index: usize) -> Scope {
        Scope::of(&self.run, &self.run.steps[index])
    }

    fn compute(
        &mut self,
        index: usize,
        value: impl FnOnce(&Scope) -> Result<Value, BadExpression>,
    ) -> Result<(), BadExpression> {
        let value = value(&self.scope(index))?;
        self.give(index, Success::Clean, Some(value));
        Ok(())
    }

    /// The step succeeds with that output, unless it is too large to keep.
    pub(super) fn give(&mut self, index: usize, how: Success, output: Option<Value>) {
        let output = output.filter(|output| !output.is_null());
        let size = |output: &Option<Value>| output.as_ref().map_or(0, |value| value.to_string().len());
        let bytes = size(&output);
        let all = self.run.steps.iter().map(|step| size(&step.output)).sum::<usize>() + bytes;
        if bytes > OUTPUT_BYTES_MAX || (bytes > 0 && all > RUN_OUTPUTS_BYTES_MAX) {
            let why = format!(
                "its output has {bytes} bytes and those of the run {all}; {OUTPUT_BYTES_MAX} and \
                 {RUN_OUTPUTS_BYTES_MAX} are allowed"
            );
            return self.fail_because(index, StopReason::Permanent, why);
        }
        self.run.steps[index].output = output;
        self.succeed(index, how);
    }

    fn expand(&mut self, index: usize, each: &Foreach) -> Result<(), BadExpression> {
        let name = self.run.steps[index].name.clone();
        let items = expression::fill(&each.items, &self.scope(index))?;
        let Value::Array(items) = items else {
            self.fail_because(index, StopReason::Expression, "items is no list".into());
            return Ok(());
        };
        let room = RUN_STEPS_MAX.saturating_sub(self.run.steps.len()).min(ITEMS_MAX);
        if items.len() > room {
            let why = format!("it has {} items; at most {room} are allowed here", items.len());
            self.fail_because(index, StopReason::Permanent, why);
            return Ok(());
        }
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        self.events.push(EventKind::StepExpanded { step: name.clone(), items: count });
        for (place, value) in (0..count).zip(items) {
            let role = Role::Item { of: name.clone(), index: place, value };
            self.run.steps.push(Step::new(format!("{name}/{place}"), role));
        }
        self.run.steps[index].state = StepState::Waiting(Waiting::Items);
        Ok(())
    }

    fn ask(&mut self, index: usize, approval: Approval) -> Result<(), BadExpression> {
        let prompt = expression::render(&approval.prompt, &self.scope(index))?;
        let until = self.deadline(index);
        self.wait_for(index, Waiting::Approval { prompt, approvers: approval.approvers, until }, until);
        Ok(())
    }

    fn wait(&mut self, index: usize, wait: Wait) -> Result<(), BadExpression> {
        let deadline = self.deadline(index);
        if let Some(name) = wait.signal {
            if let Some(at) = self.run.signals.iter().position(|signal| signal.name == name) {
                let signal = self.run.signals.remove(at);
                self.take_signal(index, &signal);
            } else {
                self.wait_for(index, Waiting::Signal { name, until: deadline }, deadline);
            }
            return Ok(());
        }
        let until = match (wait.duration_ms, wait.until) {
            (Some(ms), _) => self.now + Duration::from_millis(ms),
            (None, until) => {
                let text = expression::render(&until.unwrap_or_default(), &self.scope(index))?;
                match moment(&text) {
                    Some(until) => until,
                    None => {
                        let why = format!("{text:?} is no time like 2030-01-31T12:00:00Z");
                        self.fail_because(index, StopReason::Expression, why);
                        return Ok(());
                    }
                }
            }
        };
        if until <= self.now {
            self.give(index, Success::Clean, Some(json!({ "until": until })));
        } else {
            let first = deadline.map_or(until, |deadline| deadline.min(until));
            self.wait_for(index, Waiting::Time { until }, Some(first));
        }
        Ok(())
    }

    /// Has a failed step repaired, and waits for it.
    fn ask_repair(&mut self, index: usize, target: String) {
        let at = self.run.steps.iter().position(|step| step.name == target && step.role == Role::Step);
        let Some(at) = at else { return self.fail(index, StopReason::Part) };
        if self.run.steps[at].satisfied() {
            return self.give(index, Success::Clean, Some(json!({ "step": target, "repaired": false })));
        }
        let repairable = matches!(
            self.run.steps[at].state,
            StepState::Done {
                outcome: StepOutcome::Failed {
                    reason: StopReason::RepairDisabled | StopReason::Exhausted | StopReason::NoStrategy,
                    ..
                }
            }
        );
        if !repairable || self.run.steps[at].failure().is_none() {
            let why = format!("{target} cannot be repaired: it is {}", self.run.steps[at].state_word());
            return self.fail_because(index, StopReason::Part, why);
        }
        self.run.steps[at].state = StepState::Failing;
        self.run.steps[at].ended_at = None;
        self.wait_for(index, Waiting::Repair { target }, None);
    }
}

/// A time in RFC 3339.
fn moment(text: &str) -> Option<Timestamp> {
    serde_json::from_value(Value::String(text.trim().to_owned())).ok()
}
