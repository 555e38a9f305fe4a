//! A run on the wire: summary for lists, full form with budget, steps, results, and every wait explained.

use std::path::Path;

use mb_core::budget::{Budget as CoreBudget, Spend as CoreSpend};
use mb_core::failure::{FailureClass, FailureKind};
use mb_core::id::RunId;
use mb_core::run::{Run as CoreRun, RunOutcome, RunState, Step as CoreStep};
use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use crate::step::{Attempt, Patch, Repair, Step, Verification};
use crate::step::{is_running, queued_since, wait_text};
use crate::words;

/// A wish for a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// Absolute path of the project on the server's machine.
    pub root: String,
    /// Run only this command, as program and arguments; absent runs the project's workflow.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Run only these steps and what they need; empty runs all.
    #[serde(default)]
    pub only: Vec<String>,
    /// `false` switches repair off for this run.
    #[serde(default)]
    pub repair: Option<bool>,
    /// Bounds of this run instead of the workflow's, axis by axis.
    #[serde(default)]
    pub budget: Limits,
}

/// Bounds that replace those of a workflow; an absent one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Wall time, in milliseconds.
    #[serde(default)]
    pub time_ms: Option<u64>,
    /// Money, in millionths of a US dollar.
    #[serde(default)]
    pub cost_microusd: Option<u64>,
    /// Re-runs and repairs.
    #[serde(default)]
    pub attempts: Option<u32>,
}

/// The answer to a wish for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Created {
    /// The run.
    #[schema(value_type = String, example = "run_01jbx2m5k8e6t9h3v4n7q0r1sa")]
    pub id: RunId,
    /// Whether the same `Idempotency-Key` had already made it.
    pub existed: bool,
}

/// The answer to a wish to cancel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Canceling {
    /// The run.
    #[schema(value_type = String)]
    pub id: RunId,
    /// `cancel_requested`; the run is over once its commands have stopped.
    pub status: String,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// Its id.
    #[schema(value_type = String, example = "run_01jbx2m5k8e6t9h3v4n7q0r1sa")]
    pub id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The project's folder name.
    pub project: String,
    /// The commit it is based on.
    pub commit: Option<String>,
    /// Where it stands.
    #[schema(schema_with = words::run_state)]
    pub state: String,
    /// How it ended, once over.
    #[schema(schema_with = words::run_outcome, required = false)]
    pub outcome: Option<RunOutcome>,
    /// Whether a step only passed on a re-run.
    pub flaky: bool,
    /// What is wrong with the first step that is failing or failed.
    #[schema(schema_with = words::failure_kind, required = false)]
    pub failure_kind: Option<FailureKind>,
    /// Its class.
    #[schema(schema_with = words::failure_class, required = false)]
    pub failure_class: Option<FailureClass>,
    /// The failure in one line.
    pub summary: Option<String>,
    /// Its steps, counted.
    #[serde(flatten)]
    pub tally: Tally,
    /// Its steps in short, in order.
    pub cells: Vec<StepCell>,
    /// Changes kept.
    pub patches_kept: u32,
    /// Money spent, in millionths of a US dollar.
    pub cost_microusd: u64,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its first task was claimed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// From the first claim to the end or to now, in milliseconds.
    pub duration_ms: u64,
}

/// A step in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepCell {
    /// The step.
    pub name: String,
    /// Where it stands.
    #[schema(schema_with = words::step_state)]
    pub state: String,
    /// Tries at its command, made or queued.
    pub attempts: u32,
    /// Repairs, tried or queued.
    pub repairs: u32,
}

/// The steps of a run, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tally {
    /// Steps in the workflow.
    pub steps_total: u32,
    /// Steps that are over.
    pub steps_done: u32,
    /// Steps that failed for good.
    pub steps_failed: u32,
    /// Tries at commands, first ones included.
    pub attempts: u32,
    /// Repairs.
    pub repairs: u32,
}

impl Tally {
    /// Counts.
    pub fn of(cells: &[StepCell]) -> Tally {
        let count =
            |is: fn(&StepCell) -> bool| u32::try_from(cells.iter().filter(|c| is(c)).count()).unwrap_or(u32::MAX);
        Tally {
            steps_total: count(|_| true),
            steps_done: count(|cell| !matches!(cell.state.as_str(), "pending" | "running")),
            steps_failed: count(|cell| cell.state == "failed"),
            attempts: cells.iter().map(|cell| cell.attempts).sum(),
            repairs: cells.iter().map(|cell| cell.repairs).sum(),
        }
    }
}

/// A run in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// What lists show of it.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// Absolute path of the project on the machine that runs it.
    pub root: String,
    /// What it waits for, if it waits.
    pub waiting: Option<String>,
    /// Its bounds.
    pub budget: Budget,
    /// What it has used of them.
    pub spend: Budget,
    /// Who asked to cancel it, and why.
    pub cancel: Option<String>,
    /// Its steps, each after the ones it needs.
    pub steps: Vec<Step>,
    /// The accepted repairs, in order.
    pub patches: Vec<AppliedPatch>,
    /// Where the result was put.
    pub published: Option<Published>,
}

/// The three axes of a budget: bounds, or what was used of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Wall time, in milliseconds.
    pub time_ms: u64,
    /// Money, in millionths of a US dollar.
    pub cost_microusd: u64,
    /// Re-runs and repairs.
    pub attempts: u32,
}

/// An accepted repair's change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppliedPatch {
    /// The step it repaired.
    pub step: String,
    /// The repair's number within the step.
    pub repair: u32,
    /// What was changed, in one line.
    pub title: String,
    /// The change.
    pub patch: Patch,
}

/// Where the result of a repaired run was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Published {
    /// The branch.
    pub branch: Option<String>,
    /// The commit it points to.
    pub commit: Option<String>,
    /// The patch file.
    pub patch_file: Option<String>,
    /// Why something could not be written.
    pub problem: Option<String>,
}

impl Run {
    /// The wire form of a run as it is at `now`.
    pub fn from_domain(now: Timestamp, run: &CoreRun) -> Run {
        Run {
            summary: RunSummary::from_domain(now, run),
            root: run.source.root.clone(),
            waiting: waiting(now, run),
            budget: Budget::from_domain(run.workflow.budget),
            spend: Budget::from_spend(run.spend_at(now)),
            cancel: run.cancel.clone(),
            steps: run.steps.iter().map(|step| Step::from_domain(now, run, step)).collect(),
            patches: run
                .patches
                .iter()
                .map(|applied| AppliedPatch {
                    step: applied.step.clone(),
                    repair: applied.repair,
                    title: applied.title.clone(),
                    patch: Patch::from_domain(&applied.patch),
                })
                .collect(),
            published: run.published.as_ref().map(|published| Published {
                branch: published.branch.as_ref().map(|(branch, _)| branch.clone()),
                commit: published.branch.as_ref().map(|(_, commit)| commit.clone()),
                patch_file: published.patch_file.clone(),
                problem: published.problem.clone(),
            }),
        }
    }
}

impl RunSummary {
    /// What lists show of a run as it is at `now`.
    pub fn from_domain(now: Timestamp, run: &CoreRun) -> RunSummary {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let spend = run.spend_at(now);
        let failure = run.steps.iter().filter(|step| !step.succeeded()).find_map(CoreStep::failure);
        let cell = |step: &CoreStep| StepCell {
            name: step.name.clone(),
            state: step.word().to_owned(),
            attempts: count(step.attempts.len()),
            repairs: count(step.repairs.len()),
        };
        let cells: Vec<StepCell> = run.steps.iter().map(cell).collect();
        RunSummary {
            id: run.id,
            workflow: run.workflow.name.clone(),
            project: project_name(&run.source.root),
            commit: run.source.commit.clone(),
            state: run.state.word().to_owned(),
            outcome: run.state.outcome(),
            flaky: run.is_flaky(),
            failure_kind: failure.map(|f| f.kind),
            failure_class: failure.map(mb_core::failure::Failure::class),
            summary: failure.map(|f| f.summary.clone()),
            tally: Tally::of(&cells),
            cells,
            patches_kept: run.tree(),
            cost_microusd: spend.cost_microusd.0,
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            duration_ms: spend.time_ms,
        }
    }
}

/// The name of the project's folder.
pub fn project_name(root: &str) -> String {
    Path::new(root).file_name().map_or_else(|| root.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What a run waits for, in words; none while something of it runs, or once it is over.
fn waiting(now: Timestamp, run: &CoreRun) -> Option<String> {
    if matches!(run.state, RunState::Publishing) {
        return Some("the result is being written".into());
    }
    if run.state.outcome().is_some() || run.steps.iter().any(is_running) {
        return None;
    }
    if run.cancel.is_some() {
        return Some("its commands are being stopped".into());
    }
    run.steps.iter().find_map(|step| queued_since(step).map(|ready_at| wait_text(now, &step.name, ready_at)))
}

impl Budget {
    fn from_domain(budget: CoreBudget) -> Budget {
        Budget { time_ms: budget.time_ms, cost_microusd: budget.cost_microusd.0, attempts: budget.attempts }
    }

    fn from_spend(spend: CoreSpend) -> Budget {
        Budget { time_ms: spend.time_ms, cost_microusd: spend.cost_microusd.0, attempts: spend.attempts }
    }
}
