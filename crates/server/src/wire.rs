//! Rows of the store in their wire form. The command line uses the same functions when it reads a data folder itself.

use std::collections::BTreeSet;

use mb_api::run::{StepCell, Tally};
use mb_api::{Fire, RunSummary, Schedule, Token, Trigger, WorkflowVersion};
use mb_core::run::RunOutcome;
use mb_core::scope::Scope;
use mb_core::time::{Timestamp, millis};
use mb_store::{FireRow, FireState, ScheduleRow, TokenRow, TriggerRow, VersionRow};

/// A row of a list of runs, as it is at `now`.
pub fn run_summary(now: Timestamp, row: &mb_store::RunSummary) -> RunSummary {
    let running_ms = || row.started_at.map_or(0, |start| millis(now.since(start)));
    // Without a change, the only way to pass at a second try is a re-run.
    let flaky = row.outcome == Some(RunOutcome::Passed) && row.steps.iter().any(|cell| cell.attempts > 1);
    let cell = |cell: &mb_store::StepCell| StepCell {
        name: cell.name.clone(),
        state: cell.word.clone(),
        attempts: cell.attempts,
        repairs: cell.repairs,
    };
    let cells: Vec<StepCell> = row.steps.iter().map(cell).collect();
    RunSummary {
        id: row.id,
        workflow: row.workflow.clone(),
        project: row.project.clone(),
        commit: row.commit.clone(),
        state: row.state.clone(),
        outcome: row.outcome,
        flaky,
        failure_kind: row.kind,
        failure_class: row.class,
        summary: row.summary.clone(),
        tally: Tally::of(&cells),
        cells,
        changes: row.patches,
        cost_microusd: row.cost_microusd.0,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        duration_ms: row.duration_ms.unwrap_or_else(running_ms),
    }
}

/// A token, without its hash. Scopes that this version does not know are left out: they give no right.
pub fn token(row: &TokenRow) -> Token {
    let scopes: BTreeSet<Scope> = row.scopes.iter().filter_map(|word| Scope::from_word(word)).collect();
    Token {
        id: row.id,
        name: row.name.clone(),
        scopes,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    }
}

/// A version of a named workflow.
pub fn version(row: &VersionRow) -> WorkflowVersion {
    let (chosen_at, chosen_by) = row.chosen.clone().unzip();
    WorkflowVersion {
        name: row.name.clone(),
        version: row.version,
        digest: row.digest.clone(),
        created_at: row.created_at,
        actor: row.actor.clone(),
        current: row.is_current,
        chosen_at,
        chosen_by,
    }
}

/// A schedule.
pub fn schedule(row: &ScheduleRow) -> Schedule {
    let (set, timing) = (&row.set, &row.set.schedule.timing);
    let form = mb_core::schedule::Form::from(timing.clone());
    Schedule {
        id: set.id,
        name: set.name.clone(),
        workflow: set.workflow.clone(),
        version: set.version,
        inputs: set.inputs.clone(),
        timing: timing.describe(),
        cron: form.cron,
        zone: form.zone,
        every_s: form.every_s,
        anchor: form.anchor,
        jitter_s: set.schedule.jitter_s,
        catch_up: set.schedule.catch_up,
        catch_up_window_s: set.schedule.catch_up_window_s,
        catch_up_max: set.schedule.catch_up_max,
        overlap: set.schedule.overlap,
        actor: set.actor.clone(),
        created_at: row.created_at,
        updated_at: row.updated_at,
        revision: row.revision,
        paused: row.paused.clone(),
        waiting_at: row.waiting,
        next_at: row.next.filter(|_| row.paused.is_none()),
    }
}

/// A trigger.
pub fn trigger(row: &TriggerRow) -> Trigger {
    Trigger {
        id: row.id,
        name: row.name.clone(),
        workflow: row.workflow.clone(),
        version: row.version,
        on: row.trigger.on.clone(),
        when: row.trigger.on.describe(),
        inputs: row.trigger.inputs.clone(),
        actor: row.actor.clone(),
        created_at: row.created_at,
        paused: row.paused.clone(),
    }
}

/// A start that was decided, and what came of it.
pub fn fire(row: &FireRow) -> Fire {
    let (state, run, detail) = match &row.state {
        FireState::Pending => ("pending", None, None),
        FireState::Started(run) => ("started", Some(*run), None),
        FireState::Skipped(why) => ("skipped", None, Some(why.clone())),
        FireState::Failed(why) => ("failed", None, Some(why.clone())),
    };
    Fire {
        source: row.source.clone(),
        kind: row.kind,
        occasion: row.occasion.clone(),
        at: row.at,
        decided_at: row.decided_at,
        state: state.to_owned(),
        run,
        detail,
        depth: row.depth,
    }
}
