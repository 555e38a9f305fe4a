//! Steps that wait without a worker: for a person, a time, a signal, another run, another step.
//!
//! Where there is a last moment, a task of purpose `timer` is queued for it: whoever claims it only says that it has
//! come, and what that means is decided here. What was waited for may come first; then the task is withdrawn.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Effect, Illegal, Turn};
use crate::attempt::{Attempt, AttemptOutcome, AttemptState, Purpose};
use crate::event::EventKind;
use crate::id::RunId;
use crate::run::{
    OUTPUT_BYTES_MAX, Role, SIGNALS_MAX, Signal, Step, StepOutcome, StepState, StopReason, Success, Waiting,
};
use crate::task::{QueueClass, TaskSpec, Work};
use crate::time::Timestamp;
use crate::workflow::{Action, OnTimeout};

/// First and longest time between two questions about a run that a step started. Its end wakes the step anyway.
const POLL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Turn {
    /// Lets a step wait, with a clock when there is a last moment.
    pub(super) fn wait_for(&mut self, index: usize, waiting: Waiting, until: Option<Timestamp>) {
        let tree = self.run.tree();
        let step = &mut self.run.steps[index];
        self.events.push(EventKind::StepWaiting { step: step.name.clone(), waiting: waiting.clone() });
        step.state = StepState::Waiting(waiting);
        let Some(ready_at) = until else { return };
        let number = step.attempts.last().map_or(0, |attempt| attempt.number) + 1;
        let state = AttemptState::Queued { ready_at };
        step.attempts.push(Attempt { number, purpose: Purpose::Timer, tree, losses: 0, state });
        let work = Work::Attempt { step: step.name.clone(), number };
        self.effects.push(Effect::Enqueue(TaskSpec { work, class: QueueClass::Io, ready_at }));
    }

    /// Takes the clock of a waiting step away.
    pub(super) fn drop_timer(&mut self, index: usize) {
        let now = self.now;
        let step = &mut self.run.steps[index];
        let Some(last) = step.attempts.last_mut().filter(|attempt| attempt.purpose == Purpose::Timer) else { return };
        let work = Work::Attempt { step: step.name.clone(), number: last.number };
        let since = match last.state {
            AttemptState::Queued { .. } => {
                self.effects.push(Effect::Withdraw(work));
                now
            }
            AttemptState::Running { since, .. } => {
                self.effects.push(Effect::Interrupt(work));
                since
            }
            AttemptState::Finished { .. } => return,
        };
        let outcome = Box::new(AttemptOutcome::plain(0, None));
        last.state = AttemptState::Finished { since, at: now, outcome };
    }

    /// The last moment of a waiting step has come.
    pub(super) fn expired(&mut self, index: usize) {
        let StepState::Waiting(waiting) = self.run.steps[index].state.clone() else { return };
        let on_timeout = match self.run.part(&self.run.steps[index]) {
            Some((_, Action::Approval(approval))) => approval.on_timeout,
            Some((_, Action::Wait(wait))) => wait.on_timeout,
            _ => OnTimeout::Fail,
        };
        match (waiting, on_timeout) {
            (Waiting::Time { until }, _) if until <= self.now => {
                self.give(index, Success::Clean, Some(json!({ "until": until })));
            }
            (Waiting::Approval { .. }, OnTimeout::Continue) => {
                let output = json!({ "approved": true, "by": null, "reason": "nobody decided in time" });
                self.give(index, Success::Clean, Some(output));
            }
            (Waiting::Approval { .. }, OnTimeout::Reject) => {
                self.fail_because(index, StopReason::Rejected, "nobody decided in time".into());
            }
            (Waiting::Signal { name, .. }, OnTimeout::Continue) => {
                let output = json!({ "signal": name, "payload": null, "by": null });
                self.give(index, Success::Clean, Some(output));
            }
            _ => self.fail(index, StopReason::TimedOut),
        }
    }

    /// Asks again later about the run a step started.
    pub(super) fn poll_later(&mut self, index: usize, child: RunId) {
        let deadline = self.deadline(index);
        let canceled = self.run.cancel.is_some();
        let step = &mut self.run.steps[index];
        let polls = match &step.state {
            StepState::Waiting(Waiting::Child { polls, .. }) => polls + 1,
            _ => 0,
        };
        let backoff = POLL.0.saturating_mul(1 << polls.min(10)).min(if canceled { POLL.0 } else { POLL.1 });
        let later = self.now + backoff;
        let ready_at = deadline.map_or(later, |deadline| later.min(deadline.max(self.now + POLL.0)));
        let waiting = Waiting::Child { run: child, polls };
        if polls == 0 {
            self.events.push(EventKind::StepWaiting { step: step.name.clone(), waiting: waiting.clone() });
        }
        step.state = StepState::Waiting(waiting);
        if let Some(last) = step.attempts.last_mut() {
            last.state = AttemptState::Queued { ready_at };
            let work = Work::Attempt { step: step.name.clone(), number: last.number };
            self.effects.push(Effect::Enqueue(TaskSpec { work, class: QueueClass::Io, ready_at }));
        }
    }

    /// A signal came: the first step that waits for it takes it, else it is kept.
    pub(super) fn signaled(&mut self, signal: Signal) -> Result<(), Illegal> {
        let illegal = |why: String| Err(Illegal { event: "signal", why });
        let bytes = signal.payload.to_string().len();
        if bytes > OUTPUT_BYTES_MAX {
            return illegal(format!("its payload has {bytes} bytes; at most {OUTPUT_BYTES_MAX} are allowed"));
        }
        if self.run.cancel.is_some() {
            return illegal("the run is being cancelled".into());
        }
        let waits = |state: &StepState| matches!(state, StepState::Waiting(Waiting::Signal { name, .. }) if *name == signal.name);
        let index = self.run.steps.iter().position(|step| waits(&step.state));
        if index.is_none() && self.run.signals.len() >= SIGNALS_MAX {
            return illegal(format!("{SIGNALS_MAX} signals are kept already that no step has taken"));
        }
        self.events.push(EventKind::RunSignaled {
            name: signal.name.clone(),
            by: signal.by.clone(),
            taken_by: index.map(|index| self.run.steps[index].name.clone()),
        });
        match index {
            Some(index) => {
                self.drop_timer(index);
                self.take_signal(index, &signal);
            }
            None => self.run.signals.push(signal),
        }
        Ok(())
    }

    pub(super) fn take_signal(&mut self, index: usize, signal: &Signal) {
        let output = json!({ "signal": signal.name, "payload": signal.payload, "by": signal.by });
        self.give(index, Success::Clean, Some(output));
    }

    /// A person decided.
    pub(super) fn decided(&mut self, step: &str, approved: bool, by: &str, reason: &str) -> Result<(), Illegal> {
        let illegal = |why: String| Illegal { event: "decided", why };
        let found = self.run.steps.iter().position(|other| other.name == step);
        let index = found.ok_or_else(|| illegal(format!("there is no step {step:?}")))?;
        let StepState::Waiting(Waiting::Approval { approvers, .. }) = &self.run.steps[index].state else {
            return Err(illegal(format!("{step} is not waiting for approval")));
        };
        if !approvers.is_empty() && !approvers.contains(by) {
            let names: Vec<&str> = approvers.iter().map(String::as_str).collect();
            return Err(illegal(format!("{by} may not decide {step}: {} may", names.join(" or "))));
        }
        self.drop_timer(index);
        let step = step.to_owned();
        self.events.push(EventKind::StepDecided { step, approved, by: by.to_owned(), reason: reason.to_owned() });
        if approved {
            self.give(index, Success::Clean, Some(json!({ "approved": true, "by": by, "reason": reason })));
        } else {
            let why = if reason.is_empty() { format!("by {by}") } else { format!("by {by}: {reason}") };
            self.fail_because(index, StopReason::Rejected, why);
        }
        Ok(())
    }

    /// Steps that wait for other steps of the run, and whose wait is over.
    pub(super) fn settle_waiting(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.run.steps.len() {
            moved |= match self.run.steps[index].state.clone() {
                StepState::Waiting(Waiting::Items) => self.settle_items(index),
                StepState::Waiting(Waiting::Repair { target }) => self.settle_repair(index, &target),
                _ => false,
            };
        }
        moved
    }

    fn settle_items(&mut self, index: usize) -> bool {
        let name = self.run.steps[index].name.clone();
        let items: Vec<usize> = self.items_of(&name);
        let bad = items.iter().copied().find(|&item| {
            let step = &self.run.steps[item];
            matches!(step.state, StepState::Done { .. }) && !step.satisfied()
        });
        if let Some(bad) = bad {
            // One that failed fails the whole: what has not begun is not begun.
            let broken = self.run.steps[bad].name.clone();
            let blocked: Vec<usize> =
                items.iter().copied().filter(|&item| self.run.steps[item].state == StepState::Blocked).collect();
            for &item in &blocked {
                self.skip(item, broken.clone());
            }
            if !blocked.is_empty() {
                return true;
            }
        }
        if items.iter().any(|&item| !matches!(self.run.steps[item].state, StepState::Done { .. })) {
            return bad.is_none() && self.start_items(index, &items);
        }
        match bad {
            Some(bad) => {
                let why = format!("{} did not succeed", self.run.steps[bad].name);
                self.fail_because(index, StopReason::Part, why);
            }
            None => {
                let outputs = items.iter().map(|&item| self.run.steps[item].output.clone().unwrap_or(Value::Null));
                let outputs = Value::Array(outputs.collect());
                self.give(index, Success::Clean, Some(outputs));
            }
        }
        true
    }

    /// The steps of a foreach's items, in order.
    pub(super) fn items_of(&self, name: &str) -> Vec<usize> {
        let is_item = |role: &Role| matches!(role, Role::Item { of, .. } if of == name);
        (0..self.run.steps.len()).filter(|&index| is_item(&self.run.steps[index].role)).collect()
    }

    /// Begins items while their foreach has a place free.
    fn start_items(&mut self, index: usize, items: &[usize]) -> bool {
        let concurrency = match self.run.part(&self.run.steps[index]) {
            Some((_, Action::Foreach(each))) => each.concurrency as usize,
            _ => 1,
        };
        let is_open = |step: &Step| !matches!(step.state, StepState::Blocked | StepState::Done { .. });
        let open = items.iter().filter(|&&item| is_open(&self.run.steps[item])).count();
        let blocked = items.iter().copied().filter(|&item| self.run.steps[item].state == StepState::Blocked);
        let next: Vec<usize> = blocked.take(concurrency.saturating_sub(open)).collect();
        for &item in &next {
            self.begin(item);
        }
        !next.is_empty()
    }

    fn settle_repair(&mut self, index: usize, target: &str) -> bool {
        let Some(step) = self.run.step(target) else { return false };
        let StepState::Done { outcome } = &step.state else { return false };
        match outcome {
            StepOutcome::Succeeded { .. } => {
                self.give(index, Success::Clean, Some(json!({ "step": target, "repaired": true })));
            }
            StepOutcome::Failed { reason, .. } => {
                let why = format!("{target} stays failed: {}", reason.sentence());
                self.fail_because(index, StopReason::Part, why);
            }
            StepOutcome::Omitted { .. } | StepOutcome::Skipped { .. } | StepOutcome::Canceled => {
                self.fail(index, StopReason::Part);
            }
        }
        true
    }
}
