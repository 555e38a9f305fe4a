//! Lists of runs: what a row of a list shows, how it is filtered, and how a page is continued.
//!
//! Everything a list needs is copied into the run's row when the run moves, so no list reads a run's parts.
//! Deliberately absent: offsets (a page is continued after its last row, so new runs never shift it).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use mb_core::budget::MicroUsd;
use mb_core::failure::{Failure, FailureClass, FailureKind};
use mb_core::id::{RunId, TenantId};
use mb_core::run::{Run, RunOutcome, Step};
use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::db::{Row, Value};
use crate::error::StoreError;
use crate::json::{clean, encode};
use crate::sql;
use crate::store::Store;

/// Rows of one page at most.
const PAGE_MAX: u32 = 200;

/// Which runs to list. The default is all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// Words of states or outcomes (`failed`, `repaired`); a run fits with any of them. Empty: every run.
    pub words: BTreeSet<String>,
    /// The workflow's name.
    pub workflow: Option<String>,
    /// A part of the id, the project, the commit or the failure's summary, whatever its case.
    pub text: Option<String>,
    /// Created at or after.
    pub since: Option<Timestamp>,
    /// Created before.
    pub until: Option<Timestamp>,
}

/// One step in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCell {
    /// The step.
    pub name: String,
    /// The word of its state (`succeeded`).
    pub word: String,
    /// Attempts made or queued.
    pub attempts: u32,
    /// Repairs tried or queued.
    pub repairs: u32,
}

/// One run in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// Its id.
    pub id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The last part of the project's path; the workflow's name for a run without a project.
    pub project: String,
    /// The commit it runs on.
    pub commit: Option<String>,
    /// Who asked for it.
    pub actor: String,
    /// The process it is kept for, if any.
    pub affinity: Option<String>,
    /// The word of its state (`running`).
    pub state: String,
    /// How it ended.
    pub outcome: Option<RunOutcome>,
    /// Whether somebody asked to cancel it.
    pub canceling: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first task was claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How long it took, in milliseconds, once over.
    pub duration_ms: Option<u64>,
    /// Money spent.
    pub cost_microusd: MicroUsd,
    /// What is wrong with the first step that is failing or failed.
    pub kind: Option<FailureKind>,
    /// The class of that.
    pub class: Option<FailureClass>,
    /// One line about that.
    pub summary: Option<String>,
    /// Its steps, in order.
    pub steps: Vec<StepCell>,
    /// Repairs accepted.
    pub patches: u32,
}

/// Rows, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, in order.
    pub items: Vec<T>,
    /// After the last row; none when there is nothing behind it.
    pub next: Option<Cursor>,
}

/// A place in a list of runs. Its text is opaque: pass it back as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    created_at: Timestamp,
    id: RunId,
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that a list gave out")]
pub struct BadCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.created_at.as_micros(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (micros, id) = text.split_once('.').ok_or(BadCursor)?;
        let micros = u64::from_str_radix(micros, 16).map_err(|_| BadCursor)?.cast_signed();
        Ok(Self { created_at: Timestamp::from_micros(micros), id: id.parse().map_err(|_| BadCursor)? })
    }
}

impl Store {
    /// A page of runs, newest first. `limit` is brought into 1 to 200.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn run_list(
        &self,
        tenant: TenantId,
        filter: &RunFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<RunSummary>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let values = [
            Value::id(tenant),
            Value::Texts(filter.words.iter().map(|word| clean(word).into_owned()).collect()),
            Value::opt_text(filter.workflow.as_deref()),
            Value::opt_text(filter.text.as_deref().map(pattern).as_deref()),
            Value::opt_time(filter.since),
            Value::opt_time(filter.until),
            Value::opt_time(after.map(|cursor| cursor.created_at)),
            Value::Text(after.map(|cursor| cursor.id.to_string())),
            // One more, to know whether there is a next page.
            Value::int(limit + 1),
        ];
        let rows = self.read(sql::RUNS_LIST, &values).await?;
        let mut items = rows.iter().map(summary).collect::<Result<Vec<_>, _>>()?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let last = items.last().filter(|_| more);
        Ok(Page { next: last.map(|run| Cursor { created_at: run.created_at, id: run.id }), items })
    }

    /// How many runs there are per word of state. States without runs are absent.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn run_counts(&self, tenant: TenantId) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows = self.read(sql::RUNS_COUNTS, &[Value::id(tenant)]).await?;
        rows.iter().map(|row| Ok((row.text("state")?, row.count("n")?))).collect()
    }
}

/// `text` anywhere, with LIKE's own signs taken literally.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn summary(row: &Row) -> Result<RunSummary, StoreError> {
    Ok(RunSummary {
        id: row.parse("id")?,
        workflow: row.text("workflow")?,
        project: row.text("project")?,
        commit: row.opt_text("commit_id")?,
        actor: row.text("actor")?,
        affinity: Some(row.text("affinity")?).filter(|affinity| !affinity.is_empty()),
        state: row.text("state")?,
        outcome: row.opt_word("outcome", RunOutcome::from_word)?,
        canceling: row.int("canceling")? != 0,
        created_at: row.time("created_at")?,
        started_at: row.opt_time("started_at")?,
        finished_at: row.opt_time("finished_at")?,
        duration_ms: row.opt_int("duration_ms")?.map(|ms| ms.max(0).cast_unsigned()),
        cost_microusd: MicroUsd(row.count("cost_microusd")?),
        kind: row.opt_word("kind", FailureKind::from_word)?,
        class: row.opt_word("class", FailureClass::from_word)?,
        summary: row.opt_text("summary")?,
        steps: row.json("cells")?,
        patches: row.count("patches")?,
    })
}

/// The last part of the project's path; the workflow's name for one without a project, so that every list has a word.
pub(crate) fn project(run: &Run) -> &str {
    let Some(source) = &run.source else { return &run.workflow.name };
    let root = source.root.trim_end_matches('/');
    root.rsplit('/').next().unwrap_or(root)
}

/// What a list shows of the steps.
pub(crate) fn cells(run: &Run) -> Result<Json, StoreError> {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let cell = |step: &Step| StepCell {
        name: step.name.clone(),
        word: step.word().to_owned(),
        attempts: count(step.attempts.len()),
        repairs: count(step.repairs.len()),
    };
    encode(&run.steps.iter().map(cell).collect::<Vec<_>>())
}

/// The mutable columns of a run's row.
pub(crate) fn columns(run: &Run, head: &Json) -> Result<Json, StoreError> {
    let failure = run.steps.iter().filter(|step| !step.succeeded()).find_map(Step::failure);
    let outcome = run.state.outcome();
    Ok(json!({
        "id": run.id,
        "head": head,
        "state": run.state.word(),
        "outcome": outcome,
        "canceling": u8::from(run.cancel.is_some() && outcome.is_none()),
        "started_at": run.started_at.map(Timestamp::as_micros),
        "finished_at": run.finished_at.map(Timestamp::as_micros),
        "duration_ms": outcome.map(|_| bounded(run.spend.time_ms)),
        "cost_microusd": bounded(run.spend.cost_microusd.0),
        "kind": failure.map(|failure| failure.kind),
        "class": failure.map(Failure::class),
        "summary": failure.map(|failure| clean(&failure.summary)),
        "cells": cells(run)?,
        "patches": run.patches.len(),
        "search": search(run, failure),
    }))
}

/// Lower case in Rust, because the databases disagree about what that means beyond ASCII.
fn search(run: &Run, failure: Option<&Failure>) -> String {
    let id = run.id.to_string();
    let commit = run.source.as_ref().and_then(|source| source.commit.as_deref());
    let summary = failure.map(|failure| failure.summary.as_str());
    let parts = [&id, project(run), commit.unwrap_or_default(), summary.unwrap_or_default()];
    clean(&parts.join("\n")).to_lowercase()
}

/// A column is a signed number.
fn bounded(n: u64) -> u64 {
    n.min(i64::MAX.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_nothing_else_is_one() {
        for micros in [0, -1, 1_700_000_000_123_456, i64::MIN, i64::MAX] {
            let cursor = Cursor { created_at: Timestamp::from_micros(micros), id: RunId::from_bytes([7; 16]) };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in ["", ".", "zz.run_00000000000000000000000000", "1", "1.run_1"] {
            assert_eq!(text.parse::<Cursor>(), Err(BadCursor), "{text}");
        }
    }

    #[test]
    fn the_signs_of_like_are_taken_literally() {
        assert_eq!(pattern("50%_Ä!"), "%50!%!_ä!!%");
    }
}
