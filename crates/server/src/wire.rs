//! Rows of the store in their wire form. The command line uses the same functions when it reads a data folder itself.

use std::collections::BTreeSet;

use std::time::Duration;

use mb_api::run::{StepCell, Tally};
use mb_api::{Queue, RunSummary, Token, Worker};
use mb_core::run::RunOutcome;
use mb_core::scope::Scope;
use mb_core::time::{Timestamp, millis};
use mb_store::{QueueStats, SeenWorker, TokenRow};

/// A worker not heard of for this long is not counted on.
pub const STALE: Duration = Duration::from_secs(60);

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

/// A worker, with the age of its last sign of life at `now`.
pub fn worker(now: Timestamp, seen: &SeenWorker) -> Worker {
    let (row, age) = (&seen.worker, now.since(seen.seen_at));
    Worker {
        id: row.id,
        node: row.node.clone(),
        pid: row.pid,
        version: row.version.clone(),
        state: row.state.clone(),
        slots: row.slots.iter().map(|(class, n)| (class.to_string(), *n as u64)).collect(),
        started_at: row.started_at,
        seen_at: seen.seen_at,
        seen_age_ms: millis(age),
        stale: age > STALE,
    }
}

/// A queue.
pub fn queue(stats: &QueueStats) -> Queue {
    Queue {
        class: stats.class,
        ready: stats.ready,
        delayed: stats.delayed,
        leased: stats.leased,
        oldest_ready_age_ms: stats.oldest_ready_age.map(millis),
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
