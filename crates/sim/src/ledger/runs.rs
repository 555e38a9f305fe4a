//! What always holds of runs: `ARCHITECTURE.md`, invariants 1, 2, 5 and 6.

use std::collections::BTreeSet;

use mb_core::advance::{self, RunEvent};
use mb_core::attempt::Attempt;
use mb_core::id::RunId;
use mb_core::run::{Run, RunState, Step, StepState};
use mb_core::task::{Progress, TaskKey, Work};

use super::{Check, Ledger, hold};
use crate::model::{Change, Model};

impl Ledger {
    /// Checks the runs that have moved since the last time.
    pub(super) fn follow_runs(&mut self, model: &Model) -> Check {
        let moved: BTreeSet<RunId> = model.changes()[self.changes_seen..].iter().map(|change| change.run).collect();
        self.changes_seen = model.changes().len();
        for id in moved {
            let Some(run) = model.runs().get(&id) else { return Err(format!("{id} is lost")) };
            let Some((_, before)) = self.runs.get(&id) else { return Err(format!("{id} appeared from nowhere")) };
            nothing_recorded_changes(before, run)?;
            within_budget(run)?;
            tasks_fit(run, model)?;
            if let Some((_, seen)) = self.runs.get_mut(&id) {
                *seen = run.clone();
            }
            if run.state.outcome().is_some() {
                self.count("run over");
            }
        }
        Ok(())
    }

    /// Plays every run again from its beginning: the run machine and nothing else has changed it.
    pub(crate) fn replay(&self, model: &Model) -> Check {
        for (id, (made, _)) in &self.runs {
            let mut run = made.clone();
            for Change { at, event, .. } in model.changes().iter().filter(|change| change.run == *id) {
                let event: RunEvent = event.clone();
                run = advance::apply(*at, run, event).map_err(|illegal| format!("{id}: {illegal}"))?.next;
            }
            hold!(model.runs().get(id) == Some(&run), "{id} was changed by something else than the run machine");
        }
        Ok(())
    }
}

/// No attempt is recorded twice, and what is recorded stays.
fn nothing_recorded_changes(before: &Run, run: &Run) -> Check {
    hold!(before.state.outcome().is_none() || before == run, "{} moved after its end", run.id);
    for (old, step) in before.steps.iter().zip(&run.steps) {
        let numbers = step.attempts.iter().map(|attempt| attempt.number);
        hold!(
            numbers.eq(1..=step.attempts.len() as u32),
            "{}: attempts of {} are not numbered once each",
            run.id,
            step.name
        );
        let recorded = |attempt: &&Attempt| attempt.outcome().is_some();
        for attempt in old.attempts.iter().filter(recorded) {
            let now = step.attempts.iter().find(|now| now.number == attempt.number);
            hold!(now == Some(attempt), "{}: attempt {}#{} was recorded twice", run.id, step.name, attempt.number);
        }
    }
    Ok(())
}

fn within_budget(run: &Run) -> Check {
    let (spent, most) = (run.spend.attempts, run.workflow.budget.attempts);
    hold!(spent <= most, "{}: {spent} attempts of {most} are spent", run.id);
    Ok(())
}

/// Each active step has its one task, where the run believes it to be; nothing else of an open run is on the queue.
fn tasks_fit(run: &Run, model: &Model) -> Check {
    if run.state.outcome().is_some() {
        return Ok(());
    }
    let mut expected: BTreeSet<TaskKey> = BTreeSet::new();
    for step in run.steps.iter().filter(|step| step.is_active()) {
        let Some((work, is_running)) = in_flight(step) else {
            return Err(format!("{}: {} waits for nothing", run.id, step.name));
        };
        let key = TaskKey { run: run.id, work };
        let Some(entry) = model.task(key.id()) else { return Err(format!("{key} is in flight and has no task")) };
        hold!(entry.holder().is_some() == is_running, "{key} runs: {is_running}, and its task is {:?}", entry.place);
        expected.insert(key);
    }
    if run.state == RunState::Publishing {
        expected.insert(TaskKey { run: run.id, work: Work::Publish });
    }
    let there: BTreeSet<TaskKey> =
        model.tasks().filter_map(|entry| entry.key.clone()).filter(|key| key.run == run.id).collect();
    hold!(there == expected, "{}: tasks {there:?} where {expected:?} belong", run.id);
    hold!(!expected.is_empty(), "{} is open and waits for nothing", run.id);
    Ok(())
}

/// The task a step has in flight, and whether somebody works on it.
fn in_flight(step: &Step) -> Option<(Work, bool)> {
    let name = step.name.clone();
    if step.state == StepState::Attempting {
        let attempt = step.attempts.last().filter(|attempt| attempt.outcome().is_none())?;
        let is_running = matches!(attempt.state, Progress::Running { .. });
        return Some((Work::Attempt { step: name, number: attempt.number }, is_running));
    }
    let repair = step.repairs.last().filter(|repair| repair.outcome().is_none())?;
    let is_running = matches!(repair.state, Progress::Running { .. });
    Some((Work::Repair { step: name, number: repair.number }, is_running))
}
