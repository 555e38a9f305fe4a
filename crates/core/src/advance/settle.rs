//! What follows from an event: everything that can now be done is done, in a fixed order.

use super::{Effect, Turn};
use crate::attempt::{Attempt, AttemptState, Purpose};
use crate::budget::{Axis, Spend};
use crate::event::EventKind;
use crate::expression::{self, Scope};
use crate::failure::{Failure, FailureKind, Hint};
use crate::ladder::{self, Next};
use crate::repair::{Repair, RepairState};
use crate::run::{Role, RunOutcome, RunState, Step, StepOutcome, StepState, StopReason, Success, Waiting};
use crate::strategy::Strategy;
use crate::task::{QueueClass, TaskSpec, Work};
use crate::time::{Timestamp, millis};
use crate::workflow::Action;
use std::time::Duration;

/// The least any command takes, in milliseconds: with less than this left, nothing is started.
const LEAST_MS: u64 = 100;
/// Rounds of one settling. Each ends or starts a step, so a run ends long before; this only bounds a mistake of ours.
const ROUNDS_MAX: usize = 50_000;

/// Whether the steps a step needs have succeeded.
enum Needs {
    Met,
    Open,
    Broken(String),
}

impl Turn {
    /// Does everything that now can be done.
    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.round() {
                break;
            }
        }
        self.account();
    }

    /// One look at the whole run; says whether another may find more to do.
    fn round(&mut self) -> bool {
        if let RunState::Compensating { outcome } = self.run.state {
            return self.undo(outcome);
        }
        if self.run.cancel.is_some() {
            return self.settle_canceled();
        }
        self.settle_time();
        if self.start_ready() || self.settle_waiting() || self.settle_failing() {
            return true;
        }
        if self.run.steps.iter().any(|step| self.holds_files(step)) {
            return false;
        }
        if let Some(index) = self.run.steps.iter().position(|step| step.state == StepState::Failing) {
            self.climb(index);
            return true;
        }
        if self.run.steps.iter().all(|step| matches!(step.state, StepState::Done { .. })) {
            return self.end();
        }
        false
    }

    /// Whether a command of this step may be running: a repair must not change files under it.
    fn holds_files(&self, step: &Step) -> bool {
        match step.state {
            StepState::Repairing => true,
            StepState::Attempting => matches!(self.run.part(step), Some((_, Action::Shell(_))) | None),
            StepState::Blocked | StepState::Failing | StepState::Waiting(_) | StepState::Done { .. } => false,
        }
    }

    /// Time in which nothing runs is not charged to the run.
    fn account(&mut self) {
        let busy = self.run.state == RunState::Publishing || self.run.steps.iter().any(Step::is_active);
        let over = self.run.state.outcome().is_some();
        match self.run.idle_since {
            None if !busy && !over => self.run.idle_since = Some(self.now),
            Some(since) if busy || over => {
                let idle_ms = if self.run.started_at.is_some() { millis(self.now.since(since)) } else { 0 };
                self.run.waited_ms = self.run.waited_ms.saturating_add(idle_ms);
                self.run.idle_since = None;
            }
            _ => {}
        }
    }

    fn settle_canceled(&mut self) -> bool {
        for index in 0..self.run.steps.len() {
            match self.run.steps[index].state {
                StepState::Blocked | StepState::Failing => self.cancel_step(index),
                // The run it started is cancelled first; its end is this step's.
                StepState::Waiting(Waiting::Child { .. }) => {}
                StepState::Waiting(_) => {
                    self.drop_timer(index);
                    self.cancel_step(index);
                }
                StepState::Attempting | StepState::Repairing | StepState::Done { .. } => {}
            }
        }
        if self.run.steps.iter().all(|step| matches!(step.state, StepState::Done { .. })) {
            return self.finish_or_undo(RunOutcome::Canceled);
        }
        false
    }

    /// Nothing more is started once the time is used up.
    fn settle_time(&mut self) {
        let spent = self.run.spend_at(self.now);
        let least = Spend { time_ms: LEAST_MS, ..Spend::default() };
        let used_up = self.run.workflow.budget.admits(spent, least) == Err(Axis::Time);
        let late = self.run.deadline().is_some_and(|deadline| self.now >= deadline);
        if !used_up && !late {
            return;
        }
        for index in 0..self.run.steps.len() {
            match &self.run.steps[index].state {
                StepState::Blocked | StepState::Failing => {}
                StepState::Waiting(Waiting::Approval { .. } | Waiting::Time { .. } | Waiting::Signal { .. }) => {
                    self.drop_timer(index);
                }
                StepState::Waiting(_) | StepState::Attempting | StepState::Repairing | StepState::Done { .. } => {
                    continue;
                }
            }
            if late {
                self.fail(index, StopReason::TimedOut);
                continue;
            }
            let refused = self.run.steps[index].name.clone();
            self.events.push(EventKind::BudgetExceeded { axis: Axis::Time, refused });
            self.fail(index, StopReason::BudgetTime);
        }
    }

    /// When a step is out of time, if anything bounds it.
    pub(super) fn deadline(&self, index: usize) -> Option<Timestamp> {
        self.run.deadline_of(&self.run.steps[index])
    }

    fn start_ready(&mut self) -> bool {
        let mut started = false;
        for index in 0..self.run.steps.len() {
            if self.run.steps[index].state != StepState::Blocked {
                continue;
            }
            // Items begin with their foreach, and what undoes a step in its own turn.
            if self.run.steps[index].role == Role::Step {
                started |= self.start_if_ready(index);
            }
        }
        started
    }

    fn start_if_ready(&mut self, index: usize) -> bool {
        match self.needs_of(index) {
            Needs::Met => {
                if self.is_wanted(index) {
                    self.begin(index);
                }
            }
            Needs::Broken(need) => self.skip(index, need),
            Needs::Open => return false,
        }
        true
    }

    fn needs_of(&self, index: usize) -> Needs {
        let Some(spec) = self.run.workflow.step(&self.run.steps[index].name) else { return Needs::Open };
        let mut open = false;
        for need in &spec.needs {
            let Some(step) = self.run.step(need) else { return Needs::Broken(need.clone()) };
            match &step.state {
                StepState::Done { .. } if step.satisfied() => {}
                StepState::Done { .. } => return Needs::Broken(need.clone()),
                _ => open = true,
            }
        }
        if let Action::Repair(repair) = &spec.action {
            let target = self.run.step(&repair.target);
            open |= !target.is_some_and(|target| matches!(target.state, StepState::Done { .. }));
        }
        if open { Needs::Open } else { Needs::Met }
    }

    /// Asks a step's condition. One that is false, or has no value, ends the step here.
    fn is_wanted(&mut self, index: usize) -> bool {
        let step = &self.run.steps[index];
        let Some(when) = self.run.workflow.step(&step.name).and_then(|spec| spec.when.clone()) else { return true };
        match expression::holds(&when, &Scope::of(&self.run, step)) {
            Ok(true) => true,
            Ok(false) => {
                let step = &mut self.run.steps[index];
                self.events.push(EventKind::StepOmitted { step: step.name.clone(), when: when.clone() });
                self.done(index, StepOutcome::Omitted { when });
                false
            }
            Err(error) => {
                self.fail_because(index, StopReason::Expression, error.to_string());
                false
            }
        }
    }

    /// Steps that failed and are tried again because their workflow says so, and those nothing can repair.
    fn settle_failing(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.run.steps.len() {
            if self.run.steps[index].state == StepState::Failing {
                moved |= self.retry(index) || self.give_up(index);
            }
        }
        moved
    }

    /// Queues the next try of a step's own retry policy, if one is left and can help.
    pub(super) fn retry(&mut self, index: usize) -> bool {
        let step = &self.run.steps[index];
        let Some(policy) = self.run.part(step).and_then(|(spec, _)| spec.retry) else { return false };
        let tries = step.attempts.iter().filter(|attempt| attempt.purpose != Purpose::Timer).count();
        let tries = u32::try_from(tries).unwrap_or(u32::MAX);
        let permanent = step.failure().is_some_and(is_permanent);
        if permanent || tries >= policy.attempts_max || !step.repairs.is_empty() {
            return false;
        }
        let own = policy.wait(self.run.id, &step.name, tries);
        let wait = step.failure().and_then(asked_wait).map_or(own, |asked| asked.max(own));
        if self.deadline(index).is_some_and(|deadline| self.now + wait >= deadline) {
            self.fail(index, StopReason::TimedOut);
            return true;
        }
        self.attempt(index, Purpose::Retry, wait);
        true
    }

    /// Ends a failing step that is no command: nothing there can be repaired.
    pub(super) fn give_up(&mut self, index: usize) -> bool {
        let step = &self.run.steps[index];
        let Some((_, action)) = self.run.part(step) else { return false };
        let undoes = matches!(step.role, Role::Undo { .. });
        if matches!(action, Action::Shell(_)) && !undoes {
            return false;
        }
        let failure = step.failure();
        let late = self.deadline(index).is_some_and(|deadline| self.now >= deadline);
        let reason = match action {
            _ if late => StopReason::TimedOut,
            Action::Workflow(_) => StopReason::Part,
            _ if failure.is_some_and(is_permanent) => StopReason::Permanent,
            _ => StopReason::Retries,
        };
        let why = failure.map(|failure| failure.summary.clone()).unwrap_or_default();
        self.fail_because(index, reason, why);
        true
    }

    /// Asks the ladder about a failing step and does what it says, if the budget admits it.
    fn climb(&mut self, index: usize) {
        match self.next(index) {
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

    fn next(&self, index: usize) -> Next {
        let step = &self.run.steps[index];
        let Some((spec, Action::Shell(shell))) = self.run.part(step) else { return Next::Stop(StopReason::NoStrategy) };
        let is_late = self.deadline(index).is_some_and(|deadline| self.now >= deadline);
        let asked = self.run.steps.iter().any(
            |other| matches!(&other.state, StepState::Waiting(Waiting::Repair { target }) if *target == step.name),
        );
        match step.role {
            _ if is_late => Next::Stop(StopReason::TimedOut),
            // Without a project there are no files that a repair could keep.
            _ if self.run.source.is_none() => Next::Stop(StopReason::RepairDisabled),
            _ if !spec.repair && !asked => Next::Stop(StopReason::RepairDisabled),
            _ => ladder::next(step, shell, &self.run.workflow.repair),
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

    /// Queues an attempt. What a model may cost is asked of the budget first.
    pub(super) fn attempt(&mut self, index: usize, purpose: Purpose, wait: Duration) {
        if !self.affords(index) {
            return;
        }
        let ready_at = self.now + wait;
        let class = self.class_of(index);
        let tree = self.run.tree();
        let step = &mut self.run.steps[index];
        let number = step.attempts.last().map_or(0, |a| a.number) + 1;
        step.attempts.push(Attempt { number, purpose, tree, losses: 0, state: AttemptState::Queued { ready_at } });
        step.state = StepState::Attempting;
        step.since.get_or_insert(self.now);
        let wait_ms = millis(wait);
        self.events.push(EventKind::StepQueued { step: step.name.clone(), attempt: number, purpose, wait_ms });
        let work = Work::Attempt { step: step.name.clone(), number };
        self.effects.push(Effect::Enqueue(TaskSpec { work, class, ready_at }));
    }

    fn affords(&mut self, index: usize) -> bool {
        let price = |step: &Step| match self.run.part(step) {
            Some((_, Action::Llm(llm))) => llm.cost_microusd_max.0,
            _ => 0,
        };
        let asked = price(&self.run.steps[index]);
        let in_flight = self.run.steps.iter().filter(|step| step.is_active()).map(price).sum::<u64>();
        let mut spent = self.run.spend_at(self.now);
        spent.cost_microusd.0 = spent.cost_microusd.0.saturating_add(in_flight);
        let price = Spend { cost_microusd: crate::budget::MicroUsd(asked), ..Spend::default() };
        if asked == 0 || self.run.workflow.budget.admits(spent, price) != Err(Axis::Cost) {
            return true;
        }
        let refused = self.run.steps[index].name.clone();
        self.events.push(EventKind::BudgetExceeded { axis: Axis::Cost, refused });
        self.fail(index, StopReason::BudgetCost);
        false
    }

    /// The slots the tasks of a step need.
    pub(super) fn class_of(&self, index: usize) -> QueueClass {
        self.run.part(&self.run.steps[index]).map_or(QueueClass::Cpu, |(_, action)| action.class())
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

    pub(super) fn done(&mut self, index: usize, outcome: StepOutcome) {
        let step = &mut self.run.steps[index];
        step.state = StepState::Done { outcome };
        step.ended_at = Some(self.now);
    }

    pub(super) fn succeed(&mut self, index: usize, how: Success) {
        self.events.push(EventKind::StepSucceeded { step: self.run.steps[index].name.clone(), how });
        self.done(index, StepOutcome::Succeeded { how });
    }

    pub(super) fn fail(&mut self, index: usize, reason: StopReason) {
        self.fail_because(index, reason, String::new());
    }

    pub(super) fn fail_because(&mut self, index: usize, reason: StopReason, why: String) {
        let step = self.run.steps[index].name.clone();
        self.events.push(EventKind::StepFailed { step, reason, why: why.clone() });
        self.done(index, StepOutcome::Failed { reason, why });
    }

    pub(super) fn skip(&mut self, index: usize, need: String) {
        let step = self.run.steps[index].name.clone();
        self.events.push(EventKind::StepSkipped { step, need: need.clone() });
        self.done(index, StepOutcome::Skipped { need });
    }

    pub(super) fn cancel_step(&mut self, index: usize) {
        self.events.push(EventKind::StepCanceled { step: self.run.steps[index].name.clone() });
        self.done(index, StepOutcome::Canceled);
    }

    /// All steps are done: write the result if there is one, then finish. Says whether there is more to do.
    fn end(&mut self) -> bool {
        if !self.run.patches.is_empty() && self.run.published.is_none() {
            if self.run.state != RunState::Publishing {
                self.run.state = RunState::Publishing;
                self.effects.push(Effect::Enqueue(TaskSpec {
                    work: Work::Publish,
                    class: QueueClass::Cpu,
                    ready_at: self.now,
                }));
            }
            return false;
        }
        let outcome = if self.run.steps.iter().all(Step::satisfied) && self.give_outputs() {
            if self.run.patches.is_empty() { RunOutcome::Passed } else { RunOutcome::Repaired }
        } else if self.run.steps.iter().any(stopped_by_budget) {
            RunOutcome::BudgetExceeded
        } else {
            RunOutcome::Failed
        };
        self.finish_or_undo(outcome)
    }

    /// Fills in what the run gives. Says whether every output has a value.
    fn give_outputs(&mut self) -> bool {
        if self.run.workflow.outputs.is_empty() {
            return true;
        }
        let scope = Scope::of_run(&self.run);
        let mut given = serde_json::Map::new();
        for (name, value) in &self.run.workflow.outputs {
            match expression::fill(value, &scope) {
                Ok(value) => given.insert(name.clone(), value),
                Err(error) => {
                    let (output, why) = (name.clone(), error.to_string());
                    self.events.push(EventKind::RunOutputFailed { output, why });
                    return false;
                }
            };
        }
        self.run.outputs = Some(serde_json::Value::Object(given));
        true
    }

    pub(super) fn finish(&mut self, outcome: RunOutcome) {
        self.run.spend = self.run.spend_at(self.now);
        self.run.finished_at = Some(self.now);
        self.run.state = RunState::Done { outcome };
        self.events.push(EventKind::RunFinished { outcome, spend: self.run.spend });
    }
}

/// Whether trying the same again cannot help.
fn is_permanent(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        FailureKind::ToolchainMissing | FailureKind::ConfigCi | FailureKind::Security | FailureKind::Policy
    )
}

/// How long a remote service asked to wait.
fn asked_wait(failure: &Failure) -> Option<Duration> {
    failure.hints.iter().find_map(|hint| match hint {
        Hint::RetryAfter { wait_ms } => Some(Duration::from_millis(*wait_ms)),
        _ => None,
    })
}

fn stopped_by_budget(step: &Step) -> bool {
    matches!(step.state, StepState::Done { outcome: StepOutcome::Failed { reason, .. } } if reason.is_budget())
}

/// What the next try of a step will take, by its last one: the price asked of the time budget beforehand.
fn expected_ms(step: &Step) -> u64 {
    let last = step.attempts.iter().rev().find_map(Attempt::outcome);
    last.filter(|outcome| outcome.exit.shell_code() != 124).map_or(0, |outcome| outcome.duration_ms)
}
