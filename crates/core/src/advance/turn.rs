//! What each event does to a run, before anything follows from it.
//!
//! Deliberately absent: what happens next ([`mod@super::settle`]). An event only writes down what has happened.

use super::{Effect, Illegal, LOSSES_MAX};
use crate::attempt::{Attempt, AttemptOutcome, AttemptState, Purpose};
use crate::event::EventKind;
use crate::id::WorkerId;
use crate::repair::{PatchRef, Repair, RepairOutcome, RepairState, Verdict};
use crate::run::{AppliedPatch, Published, Run, RunState, Step, StepOutcome, StepState, StopReason, Success, Waiting};
use crate::task::{QueueClass, TaskSpec, Work};
use crate::time::Timestamp;
use crate::workflow::Action;

/// One application of an event: the run being changed and what follows from it.
pub(super) struct Turn {
    pub(super) now: Timestamp,
    pub(super) run: Run,
    pub(super) effects: Vec<Effect>,
    pub(super) events: Vec<EventKind>,
}

/// What came of a task that ended: the step's index, and when it began.
struct Ended {
    index: usize,
    since: Timestamp,
}

impl Turn {
    pub(super) fn created(&mut self) {
        let kept = self.run.steps.iter().filter_map(|step| match &step.state {
            StepState::Done { outcome: StepOutcome::Succeeded { how } } => {
                Some(EventKind::StepSucceeded { step: step.name.clone(), how: *how })
            }
            _ => None,
        });
        let kept: Vec<EventKind> = kept.collect();
        self.events.push(EventKind::RunCreated {
            workflow: self.run.workflow.name.clone(),
            digest: self.run.workflow.digest(),
            steps: u32::try_from(self.run.steps.len()).unwrap_or(u32::MAX),
        });
        self.events.extend(kept);
    }

    pub(super) fn claimed(&mut self, work: &Work, worker: WorkerId) -> Result<(), Illegal> {
        let (now, before) = (self.now, self.events.len());
        match work {
            Work::Attempt { step, number } => {
                let attempt = self.last_attempt(step, *number, "claimed")?;
                let AttemptState::Queued { .. } = attempt.state else { return Err(not_queued(work)) };
                attempt.state = AttemptState::Running { worker, since: now };
                let purpose = attempt.purpose;
                let index = self.index(step, "claimed")?;
                // A clock that has run down, and a question about another run, are no news.
                if purpose != Purpose::Timer && self.run.steps[index].state == StepState::Attempting {
                    self.events.push(EventKind::StepStarted { step: step.clone(), attempt: *number, worker });
                }
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
            self.events.insert(before, EventKind::RunStarted);
        }
        Ok(())
    }

    pub(super) fn attempted(&mut self, step: &str, number: u32, outcome: AttemptOutcome) -> Result<(), Illegal> {
        let Ended { index, since } = self.attempt_running(step, number)?;
        if let Some(child) = outcome.child {
            self.poll_later(index, child);
            return Ok(());
        }
        let target = &mut self.run.steps[index];
        let last = target.attempts.last_mut().expect("attempt_running found the last attempt");
        if last.purpose == Purpose::Timer {
            last.state = AttemptState::Finished { since, at: self.now, outcome: Box::new(outcome) };
            self.expired(index);
            return Ok(());
        }
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
        let output = outcome.output.clone();
        self.run.spend.cost_microusd.0 = self.run.spend.cost_microusd.0.saturating_add(outcome.cost_microusd.0);
        let target = &mut self.run.steps[index];
        let last = target.attempts.last_mut().expect("attempt_running found the last attempt");
        let purpose = last.purpose;
        last.state = AttemptState::Finished { since, at: self.now, outcome: Box::new(outcome) };
        if success {
            let how = match purpose {
                Purpose::Check | Purpose::Timer => Success::Clean,
                Purpose::Rerun => Success::Flaky,
                Purpose::Recheck => Success::Rechecked,
                Purpose::Retry => Success::Retried,
            };
            self.give(index, how, output);
        } else {
            target.state = StepState::Failing;
        }
        Ok(())
    }

    pub(super) fn repaired(&mut self, step: &str, number: u32, outcome: RepairOutcome) -> Result<(), Illegal> {
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
            let is_command = matches!(self.run.part(&self.run.steps[other]), Some((_, Action::Shell(_))));
            let is_failed = matches!(
                self.run.steps[other].state,
                StepState::Failing
                    | StepState::Done {
                        outcome: StepOutcome::Failed { reason: StopReason::Exhausted | StopReason::NoStrategy, .. }
                    }
            );
            if is_failed && is_command {
                self.run.steps[other].ended_at = None;
                self.attempt(other, Purpose::Recheck, std::time::Duration::ZERO);
            } else if matches!(self.run.steps[other].state, StepState::Done { outcome: StepOutcome::Skipped { .. } }) {
                self.run.steps[other].state = StepState::Blocked;
                self.run.steps[other].ended_at = None;
            }
        }
        self.reopen();
    }

    /// A foreach that failed over an item that now runs again waits for its items again.
    fn reopen(&mut self) {
        for index in 0..self.run.steps.len() {
            let step = &self.run.steps[index];
            let failed =
                matches!(step.state, StepState::Done { outcome: StepOutcome::Failed { reason: StopReason::Part, .. } });
            let is_open = |&item: &usize| !matches!(self.run.steps[item].state, StepState::Done { .. });
            if failed && self.items_of(&step.name).iter().any(is_open) {
                self.run.steps[index].state = StepState::Waiting(Waiting::Items);
                self.run.steps[index].ended_at = None;
            }
        }
    }

    pub(super) fn published(&mut self, published: Published) -> Result<(), Illegal> {
        if self.run.state != RunState::Publishing {
            return Err(Illegal { event: "published", why: "nothing is being published".into() });
        }
        self.events.push(EventKind::RunPublished { published: published.clone() });
        self.run.published = Some(published);
        Ok(())
    }

    /// Puts a task back on the queue; `losses` is 1 when its worker vanished, 0 when it gave the task back.
    pub(super) fn lost(&mut self, work: &Work, losses: u32) -> Result<(), Illegal> {
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
            Some(index) if losses >= LOSSES_MAX => self.fail(index, StopReason::WorkerLost),
            Some(index) if self.stops(index) => self.cancel_step(index),
            index => {
                let timer = index.is_some_and(|index| matches!(self.run.steps[index].state, StepState::Waiting(_)));
                let class = index.map_or(QueueClass::Cpu, |index| self.class_of(index));
                let class = if timer { QueueClass::Io } else { class };
                self.effects.push(Effect::Enqueue(TaskSpec { work: work.clone(), class, ready_at: now }));
            }
        }
        Ok(())
    }

    /// Whether a step of a cancelled run is over as soon as nothing of it runs. One that started another run has to
    /// cancel that first.
    fn stops(&self, index: usize) -> bool {
        let action = self.run.part(&self.run.steps[index]).map(|(_, action)| action);
        let undoes = matches!(self.run.state, RunState::Compensating { .. });
        self.run.cancel.is_some() && !undoes && !matches!(action, Some(Action::Workflow(_)))
    }

    pub(super) fn cancel(&mut self, by: String) {
        if self.run.cancel.is_some() {
            return;
        }
        self.events.push(EventKind::CancelRequested { by: by.clone() });
        self.run.cancel = Some(by);
        if self.run.state == RunState::Publishing {
            self.effects.push(Effect::Withdraw(Work::Publish));
        }
        if matches!(self.run.state, RunState::Compensating { .. }) {
            return;
        }
        for index in 0..self.run.steps.len() {
            let Some((work, queued)) = in_flight(&self.run.steps[index]) else { continue };
            if !queued {
                self.effects.push(Effect::Interrupt(work));
            } else if self.stops(index) {
                self.effects.push(Effect::Withdraw(work));
                self.cancel_step(index);
            } else {
                self.hurry(index, work);
            }
        }
    }

    /// Has a queued task done now.
    fn hurry(&mut self, index: usize, work: Work) {
        let ready_at = self.now;
        if let Some(last) = self.run.steps[index].attempts.last_mut() {
            last.state = AttemptState::Queued { ready_at };
        }
        let class = self.class_of(index);
        self.effects.push(Effect::Enqueue(TaskSpec { work, class, ready_at }));
    }

    fn index(&self, step: &str, event: &'static str) -> Result<usize, Illegal> {
        let found = self.run.steps.iter().position(|s| s.name == step);
        found.ok_or_else(|| Illegal { event, why: format!("there is no step {step:?}") })
    }

    fn last_attempt(&mut self, step: &str, number: u32, event: &'static str) -> Result<&mut Attempt, Illegal> {
        let index = self.index(step, event)?;
        let target = &mut self.run.steps[index];
        let fits = matches!(target.state, StepState::Attempting | StepState::Waiting(_));
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
        let running = self.last_attempt(step, number, "attempted")?.state.running();
        let illegal = || Illegal { event: "attempted", why: format!("attempt {step}#{number} is not running") };
        running.map(|(_, since)| Ended { index, since }).ok_or_else(illegal)
    }

    fn repair_running(&mut self, step: &str, number: u32) -> Result<Ended, Illegal> {
        let index = self.index(step, "repaired")?;
        let running = self.last_repair(step, number, "repaired")?.state.running();
        let illegal = || Illegal { event: "repaired", why: format!("repair {step}!{number} is not running") };
        running.map(|(_, since)| Ended { index, since }).ok_or_else(illegal)
    }
}

fn not_queued(work: &Work) -> Illegal {
    Illegal { event: "claimed", why: format!("{work} is not queued") }
}

/// The task a step has in flight, and whether it is still unclaimed.
fn in_flight(step: &Step) -> Option<(Work, bool)> {
    match step.state {
        StepState::Attempting | StepState::Waiting(Waiting::Child { .. }) => {
            let last = step.attempts.last()?;
            let queued = matches!(last.state, AttemptState::Queued { .. });
            Some((Work::Attempt { step: step.name.clone(), number: last.number }, queued))
        }
        StepState::Repairing => {
            let last = step.repairs.last()?;
            let queued = matches!(last.state, RepairState::Queued { .. });
            Some((Work::Repair { step: step.name.clone(), number: last.number }, queued))
        }
        StepState::Blocked | StepState::Failing | StepState::Waiting(_) | StepState::Done { .. } => None,
    }
}
