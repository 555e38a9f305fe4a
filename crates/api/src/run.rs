//! A run on the wire: summary for lists, full form with steps, attempts, repairs, budget, and every wait explained.

use std::path::Path;

use mb_core::attempt::{Attempt as CoreAttempt, AttemptState, Purpose};
use mb_core::budget::{Budget as CoreBudget, Spend as CoreSpend};
use mb_core::failure::{FailureClass, FailureKind};
use mb_core::id::{RunId, WorkerId};
use mb_core::repair::RepairState;
use mb_core::run::{
    Role, Run as CoreRun, RunOutcome, RunState, Step as CoreStep, StepOutcome, StepState, StopReason, Success,
    TriggerKind,
};
use mb_core::time::{Timestamp, human};
use mb_core::workflow::{Action, ActionKind, StageKind, StepSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::failure::{Failure, TestCounts};
use crate::repair::{Patch, Repair};
use crate::waiting::Waiting;
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
    pub changes: u32,
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
    /// What it was started with.
    pub inputs: Value,
    /// What it gives, once it succeeded.
    #[schema(required = false)]
    pub outputs: Option<Value>,
    /// The run whose step started it.
    #[schema(value_type = Option<String>)]
    pub parent: Option<RunId>,
    /// The run it does again.
    #[schema(value_type = Option<String>)]
    pub retry_of: Option<RunId>,
    /// What started it, if not a person or a step.
    pub trigger: Option<Trigger>,
}

/// What started a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trigger {
    /// What kind of thing.
    #[schema(schema_with = words::trigger_kind)]
    pub kind: TriggerKind,
    /// Which.
    pub name: String,
    /// When it was due.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due_at: Option<Timestamp>,
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

/// One node of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[schema(schema_with = words::stage)]
    pub stage: StageKind,
    /// What kind of thing it does.
    #[schema(schema_with = words::action_kind)]
    pub kind: ActionKind,
    /// Its command as one would type it, or what it does in a line.
    pub command: String,
    /// The foreach it does an item of, or the step it undoes.
    pub of: Option<String>,
    /// Steps that must succeed first.
    pub needs: Vec<String>,
    /// Where it stands.
    #[schema(schema_with = words::step_state)]
    pub state: String,
    /// How it came to succeed.
    #[schema(schema_with = words::success, required = false)]
    pub how: Option<Success>,
    /// Why nothing more was tried.
    #[schema(schema_with = words::stop_reason, required = false)]
    pub reason: Option<StopReason>,
    /// What it waits for, or why it ended, in words.
    pub note: Option<String>,
    /// What it waits for without a worker.
    pub waiting: Option<Waiting>,
    /// What it gave.
    #[schema(required = false)]
    pub output: Option<Value>,
    /// The latest failure.
    pub failure: Option<Failure>,
    /// Every try.
    pub attempts: Vec<Attempt>,
    /// Every repair tried.
    pub repairs: Vec<Repair>,
}

/// One try at a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// From 1, within the step.
    pub number: u32,
    /// The name of its log (`test#2`).
    pub work: String,
    /// Why it was made.
    #[schema(schema_with = words::purpose)]
    pub purpose: Purpose,
    /// How many accepted repairs its files contained.
    pub tree: u32,
    /// Where it stands.
    #[schema(schema_with = words::task_state)]
    pub state: String,
    /// Who runs it.
    #[schema(value_type = Option<String>)]
    pub worker: Option<WorkerId>,
    /// When it began, or may begin while it is queued.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// Whether it succeeded, once over.
    pub success: Option<bool>,
    /// How its process ended, in words.
    pub exit: Option<String>,
    /// Wall time of the command, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Lines in its log.
    pub log_lines: Option<u64>,
    /// The sandbox it ran in.
    pub sandbox: Option<String>,
    /// Tests, where the output counted them.
    pub tests: Option<TestCounts>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Things an operator should know.
    pub notes: Vec<String>,
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
            root: run.source.as_ref().map_or(String::new(), |source| source.root.clone()),
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
            inputs: run.inputs.clone(),
            outputs: run.outputs.clone(),
            parent: run.parent.as_ref().map(|parent| parent.run),
            retry_of: run.retry_of,
            trigger: run.trigger.as_ref().map(|trigger| Trigger {
                kind: trigger.kind,
                name: trigger.name.clone(),
                due_at: trigger.due_at,
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
            project: run.source.as_ref().map_or(String::new(), |source| project_name(&source.root)),
            commit: run.source.as_ref().and_then(|source| source.commit.clone()),
            state: run.state.word().to_owned(),
            outcome: run.state.outcome(),
            flaky: run.is_flaky(),
            failure_kind: failure.map(|f| f.kind),
            failure_class: failure.map(mb_core::failure::Failure::class),
            summary: failure.map(|f| f.summary.clone()),
            tally: Tally::of(&cells),
            cells,
            changes: run.tree(),
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
    let waits = run.steps.iter().find_map(|step| match &step.state {
        StepState::Waiting(waiting) => Some(format!("{} is {waiting}", step.name)),
        _ => None,
    });
    let queued = || {
        let attempting = run.steps.iter().filter(|step| step.is_active());
        attempting.filter_map(|step| Some((step, queued_since(step)?))).next()
    };
    match queued() {
        Some((step, ready_at)) => Some(wait_text(now, &step.name, ready_at)),
        None => waits,
    }
}

fn is_running(step: &CoreStep) -> bool {
    matches!(step.attempts.last().map(|a| &a.state), Some(AttemptState::Running { .. }))
        || matches!(step.repairs.last().map(|r| &r.state), Some(RepairState::Running { .. }))
}

/// When a queued task of the step may be claimed.
fn queued_since(step: &CoreStep) -> Option<Timestamp> {
    let attempt = step.attempts.last().and_then(|a| match a.state {
        AttemptState::Queued { ready_at } => Some(ready_at),
        _ => None,
    });
    let repair = step.repairs.last().and_then(|r| match r.state {
        RepairState::Queued { ready_at } => Some(ready_at),
        _ => None,
    });
    attempt.or(repair)
}

fn wait_text(now: Timestamp, step: &str, ready_at: Timestamp) -> String {
    if ready_at > now {
        format!("{step} runs again in {} (backing off)", human(ready_at.since(now)))
    } else {
        format!("{step} waits for a free worker since {}", human(now.since(ready_at)))
    }
}

impl Budget {
    fn from_domain(budget: CoreBudget) -> Budget {
        Budget { time_ms: budget.time_ms, cost_microusd: budget.cost_microusd.0, attempts: budget.attempts }
    }

    fn from_spend(spend: CoreSpend) -> Budget {
        Budget { time_ms: spend.time_ms, cost_microusd: spend.cost_microusd.0, attempts: spend.attempts }
    }
}

impl Step {
    fn from_domain(now: Timestamp, run: &CoreRun, step: &CoreStep) -> Step {
        let (spec, action) = run.part(step).unzip();
        let outcome = match &step.state {
            StepState::Done { outcome } => Some(outcome),
            _ => None,
        };
        Step {
            name: step.name.clone(),
            stage: match action {
                Some(Action::Shell(shell)) => shell.stage,
                _ => StageKind::Custom,
            },
            kind: action.map_or(ActionKind::Shell, Action::kind),
            command: action.map(Action::display).unwrap_or_default(),
            of: match &step.role {
                Role::Step => None,
                Role::Item { of, .. } | Role::Undo { of } => Some(of.clone()),
            },
            needs: spec.map(|spec| spec.needs.iter().cloned().collect()).unwrap_or_default(),
            state: step.word().to_owned(),
            how: outcome.and_then(|outcome| match outcome {
                StepOutcome::Succeeded { how } => Some(*how),
                _ => None,
            }),
            reason: outcome.and_then(|outcome| match outcome {
                StepOutcome::Failed { reason, .. } => Some(*reason),
                _ => None,
            }),
            note: step_note(now, run, step, spec),
            waiting: match &step.state {
                StepState::Waiting(waiting) => Some(Waiting::from_domain(waiting)),
                _ => None,
            },
            output: step.output.clone(),
            failure: step.failure().map(Failure::from_domain),
            attempts: step.attempts.iter().map(|attempt| Attempt::from_domain(&step.name, attempt)).collect(),
            repairs: step.repairs.iter().map(|repair| Repair::from_domain(&step.name, repair)).collect(),
        }
    }
}

fn step_note(now: Timestamp, run: &CoreRun, step: &CoreStep, spec: Option<&StepSpec>) -> Option<String> {
    match &step.state {
        StepState::Blocked => {
            let open = spec?.needs.iter().filter(|need| !run.step(need).is_some_and(CoreStep::satisfied));
            let names = open.map(String::as_str).collect::<Vec<_>>().join(", ");
            (!names.is_empty()).then(|| format!("waits for {names}"))
        }
        StepState::Waiting(on) => Some(on.to_string()),
        StepState::Failing => Some("waits until the other steps are done, then repair begins".into()),
        StepState::Attempting | StepState::Repairing => {
            queued_since(step).map(|ready_at| wait_text(now, &step.name, ready_at))
        }
        StepState::Done { outcome } => match outcome {
            StepOutcome::Succeeded { how: Success::Clean } => None,
            StepOutcome::Succeeded { how: Success::Retried } => Some("passed on a retry".into()),
            StepOutcome::Succeeded { how: Success::Kept } => Some("kept from the run that is done again".into()),
            StepOutcome::Succeeded { how: Success::Flaky } => Some("passed on a re-run with nothing changed".into()),
            StepOutcome::Succeeded { how: Success::Repaired } => Some("passes with the repair".into()),
            StepOutcome::Succeeded { how: Success::Rechecked } => Some("passes with the repair of another step".into()),
            StepOutcome::Failed { reason, why } if why.is_empty() => Some(reason.sentence().to_owned()),
            StepOutcome::Failed { reason, why } => Some(format!("{}: {why}", reason.sentence())),
            StepOutcome::Omitted { when } => Some(format!("not wanted: {when}")),
            StepOutcome::Skipped { need } => Some(format!("it needs {need}")),
            StepOutcome::Canceled => None,
        },
    }
}

impl Attempt {
    fn from_domain(step: &str, attempt: &CoreAttempt) -> Attempt {
        let outcome = attempt.outcome();
        let (state, worker, since, finished_at) = match &attempt.state {
            AttemptState::Queued { ready_at } => ("queued", None, Some(*ready_at), None),
            AttemptState::Running { worker, since } => ("running", Some(*worker), Some(*since), None),
            AttemptState::Finished { since, at, .. } => ("finished", None, Some(*since), Some(*at)),
        };
        Attempt {
            number: attempt.number,
            work: format!("{step}#{}", attempt.number),
            purpose: attempt.purpose,
            tree: attempt.tree,
            state: state.to_owned(),
            worker,
            since,
            finished_at,
            success: outcome.map(mb_core::attempt::AttemptOutcome::success),
            exit: outcome.map(|o| o.exit.to_string()),
            duration_ms: outcome.map(|o| o.duration_ms),
            log_lines: outcome.map(|o| o.log_lines),
            sandbox: outcome.map(|o| o.sandbox.clone()),
            tests: outcome.and_then(|o| o.tests).map(TestCounts::from_domain),
            failure: outcome.and_then(|o| o.failure.as_ref()).map(Failure::from_domain),
            notes: outcome.map(|o| o.notes.clone()).unwrap_or_default(),
        }
    }
}
