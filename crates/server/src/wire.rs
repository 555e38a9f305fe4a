//! Rows of the store in their wire form. The command line uses the same functions when it reads a data folder itself.

use std::collections::BTreeSet;

use mb_api::run::{StepCell, Tally};
use mb_api::{RunSummary, Token};
use mb_core::run::RunOutcome;
use mb_core::scope::Scope;
use mb_core::time::{Timestamp, millis};
use mb_store::TokenRow;

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
