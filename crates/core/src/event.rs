//! The events of a run: one append-only stream. Timeline, audit and live updates are views of it.
//!
//! Every decision is an event, a refusal and a wait included, and every event can be read alone: [`EventKind::text`]
//! is the one sentence that command line, console and Markdown all show.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::attempt::Purpose;
use crate::budget::{Axis, Spend};
use crate::failure::{ExitCause, FailureClass, FailureKind, Fingerprint, Signal};
use crate::id::{RunId, WorkerId};
use crate::repair::PatchRef;
use crate::run::{Published, RunOutcome, StopReason, Success, Waiting};
use crate::strategy::Strategy;
use crate::time::{Timestamp, human};

/// A stored event. `seq` rises by commit within a store and is the id of the live stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the stream.
    pub seq: i64,
    /// The run.
    pub run: RunId,
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened. The `event` word is the name in JSON, filters and documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum EventKind {
    /// The run was accepted.
    #[serde(rename = "run.created")]
    RunCreated {
        /// The workflow's name.
        workflow: String,
        /// Its digest.
        digest: String,
        /// Steps in it.
        steps: u32,
    },
    /// Its first task was claimed.
    #[serde(rename = "run.started")]
    RunStarted,
    /// It is over.
    #[serde(rename = "run.finished")]
    RunFinished {
        /// How.
        outcome: RunOutcome,
        /// What it used.
        spend: Spend,
    },
    /// Somebody asked to cancel it.
    #[serde(rename = "run.cancel_requested")]
    CancelRequested {
        /// Who and why.
        by: String,
    },
    /// Its result was written.
    #[serde(rename = "run.published")]
    RunPublished {
        /// Where.
        published: Published,
    },
    /// A step's attempt was put on the queue.
    #[serde(rename = "step.queued")]
    StepQueued {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// Why.
        purpose: Purpose,
        /// Wait before it, in milliseconds, and for what.
        #[serde(default)]
        wait_ms: u64,
    },
    /// A worker runs it.
    #[serde(rename = "step.started")]
    StepStarted {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// The worker.
        worker: WorkerId,
    },
    /// An attempt ended.
    #[serde(rename = "step.attempted")]
    StepAttempted {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// How its process ended.
        exit: ExitCause,
        /// Wall time, in milliseconds.
        duration_ms: u64,
    },
    /// A failed attempt was classified.
    #[serde(rename = "failure.classified")]
    FailureClassified {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// The fine kind.
        kind: FailureKind,
        /// Its class.
        class: FailureClass,
        /// What decided.
        signal: Signal,
        /// The same for the same failure.
        fingerprint: Fingerprint,
        /// One line.
        summary: String,
    },
    /// A step succeeded for good.
    #[serde(rename = "step.succeeded")]
    StepSucceeded {
        /// The step.
        step: String,
        /// How it came to.
        how: Success,
    },
    /// A step failed for good.
    #[serde(rename = "step.failed")]
    StepFailed {
        /// The step.
        step: String,
        /// Why nothing more is tried.
        reason: StopReason,
        /// What exactly, where the reason alone does not say it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// A step's condition was false.
    #[serde(rename = "step.omitted")]
    StepOmitted {
        /// The step.
        step: String,
        /// The condition.
        when: String,
    },
    /// A step waits for something other than a worker.
    #[serde(rename = "step.waiting")]
    StepWaiting {
        /// The step.
        step: String,
        /// For what.
        waiting: Waiting,
    },
    /// A foreach has its items.
    #[serde(rename = "step.expanded")]
    StepExpanded {
        /// The step.
        step: String,
        /// How many.
        items: u32,
    },
    /// Somebody decided an approval.
    #[serde(rename = "step.decided")]
    StepDecided {
        /// The step.
        step: String,
        /// Which way.
        approved: bool,
        /// Who.
        by: String,
        /// Why, in their words.
        reason: String,
    },
    /// A signal came.
    #[serde(rename = "run.signaled")]
    RunSignaled {
        /// Its name.
        name: String,
        /// Who sent it.
        by: String,
        /// The step that waited for it; none when it is kept for one that will.
        taken_by: Option<String>,
    },
    /// What had succeeded is being undone.
    #[serde(rename = "run.compensating")]
    RunCompensating {
        /// The steps that will be undone, in that order.
        steps: Vec<String>,
    },
    /// An output of the run has no value.
    #[serde(rename = "run.output_failed")]
    RunOutputFailed {
        /// The output.
        output: String,
        /// Why not.
        why: String,
    },
    /// A step will not run.
    #[serde(rename = "step.skipped")]
    StepSkipped {
        /// The step.
        step: String,
        /// The step it needed.
        need: String,
    },
    /// A step was cancelled.
    #[serde(rename = "step.canceled")]
    StepCanceled {
        /// The step.
        step: String,
    },
    /// A repair was put on the queue.
    #[serde(rename = "repair.queued")]
    RepairQueued {
        /// The step.
        step: String,
        /// The repair.
        repair: u32,
        /// How.
        strategy: Strategy,
    },
    /// A worker tries it.
    #[serde(rename = "repair.started")]
    RepairStarted {
        /// The step.
        step: String,
        /// The repair.
        repair: u32,
        /// The worker.
        worker: WorkerId,
    },
    /// A repair ended.
    #[serde(rename = "repair.finished")]
    RepairFinished {
        /// The step.
        step: String,
        /// The repair.
        repair: u32,
        /// How it was made.
        strategy: Strategy,
        /// The verdict's word.
        verdict: String,
        /// What was changed or tried.
        title: String,
        /// Why it was not accepted; empty when it was.
        why: String,
        /// The change.
        patch: Option<PatchRef>,
        /// Wall time, in milliseconds.
        duration_ms: u64,
    },
    /// A worker vanished or gave a task back; it is on the queue again.
    #[serde(rename = "task.requeued")]
    TaskRequeued {
        /// The task.
        task: String,
        /// How often that happened.
        losses: u32,
    },
    /// Four fifths of a budget are used.
    #[serde(rename = "budget.warned")]
    BudgetWarned {
        /// Which.
        axis: Axis,
    },
    /// A budget refuses to go on.
    #[serde(rename = "budget.exceeded")]
    BudgetExceeded {
        /// Which.
        axis: Axis,
        /// What was refused.
        refused: String,
    },
}

/// One line of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something went well.
    Good,
    /// Something went wrong.
    Bad,
    /// Something to look at.
    Warn,
    /// Neither.
    Plain,
}

impl EventKind {
    /// The event's name, as in JSON (`step.failed`).
    pub fn word(&self) -> &'static str {
        match self {
            Self::RunCreated { .. } => "run.created",
            Self::RunStarted => "run.started",
            Self::RunFinished { .. } => "run.finished",
            Self::CancelRequested { .. } => "run.cancel_requested",
            Self::RunPublished { .. } => "run.published",
            Self::StepQueued { .. } => "step.queued",
            Self::StepStarted { .. } => "step.started",
            Self::StepAttempted { .. } => "step.attempted",
            Self::FailureClassified { .. } => "failure.classified",
            Self::StepSucceeded { .. } => "step.succeeded",
            Self::StepFailed { .. } => "step.failed",
            Self::StepOmitted { .. } => "step.omitted",
            Self::StepWaiting { .. } => "step.waiting",
            Self::StepExpanded { .. } => "step.expanded",
            Self::StepDecided { .. } => "step.decided",
            Self::RunSignaled { .. } => "run.signaled",
            Self::RunCompensating { .. } => "run.compensating",
            Self::RunOutputFailed { .. } => "run.output_failed",
            Self::StepSkipped { .. } => "step.skipped",
            Self::StepCanceled { .. } => "step.canceled",
            Self::RepairQueued { .. } => "repair.queued",
            Self::RepairStarted { .. } => "repair.started",
            Self::RepairFinished { .. } => "repair.finished",
            Self::TaskRequeued { .. } => "task.requeued",
            Self::BudgetWarned { .. } => "budget.warned",
            Self::BudgetExceeded { .. } => "budget.exceeded",
        }
    }

    /// The step it is about, if any.
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::StepQueued { step, .. }
            | Self::StepStarted { step, .. }
            | Self::StepAttempted { step, .. }
            | Self::FailureClassified { step, .. }
            | Self::StepSucceeded { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepOmitted { step, .. }
            | Self::StepWaiting { step, .. }
            | Self::StepExpanded { step, .. }
            | Self::StepDecided { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::StepCanceled { step }
            | Self::RepairQueued { step, .. }
            | Self::RepairStarted { step, .. }
            | Self::RepairFinished { step, .. } => Some(step),
            Self::RunCreated { .. }
            | Self::RunStarted
            | Self::RunFinished { .. }
            | Self::CancelRequested { .. }
            | Self::RunPublished { .. }
            | Self::RunSignaled { .. }
            | Self::RunCompensating { .. }
            | Self::RunOutputFailed { .. }
            | Self::TaskRequeued { .. }
            | Self::BudgetWarned { .. }
            | Self::BudgetExceeded { .. } => None,
        }
    }

    /// How a reader should take it.
    pub fn tone(&self) -> Tone {
        match self {
            Self::StepSucceeded { how: Success::Flaky, .. } | Self::TaskRequeued { .. } | Self::BudgetWarned { .. } => {
                Tone::Warn
            }
            Self::StepSucceeded { .. } => Tone::Good,
            Self::RunFinished { outcome, .. } => match outcome {
                RunOutcome::Passed | RunOutcome::Repaired => Tone::Good,
                RunOutcome::Failed | RunOutcome::BudgetExceeded => Tone::Bad,
                RunOutcome::Canceled => Tone::Warn,
            },
            Self::RepairFinished { verdict, .. } => match verdict.as_str() {
                "accepted" => Tone::Good,
                "improved" => Tone::Warn,
                _ => Tone::Plain,
            },
            Self::StepDecided { approved: true, .. } => Tone::Good,
            Self::FailureClassified { .. }
            | Self::StepFailed { .. }
            | Self::StepDecided { approved: false, .. }
            | Self::RunOutputFailed { .. }
            | Self::BudgetExceeded { .. } => Tone::Bad,
            Self::StepSkipped { .. }
            | Self::StepCanceled { .. }
            | Self::RunCompensating { .. }
            | Self::CancelRequested { .. } => Tone::Warn,
            Self::RunCreated { .. }
            | Self::RunStarted
            | Self::RunPublished { .. }
            | Self::StepQueued { .. }
            | Self::StepStarted { .. }
            | Self::StepAttempted { .. }
            | Self::StepOmitted { .. }
            | Self::StepWaiting { .. }
            | Self::StepExpanded { .. }
            | Self::RunSignaled { .. }
            | Self::RepairQueued { .. }
            | Self::RepairStarted { .. } => Tone::Plain,
        }
    }

    /// One sentence that can be read alone.
    pub fn text(&self) -> String {
        match self {
            Self::RunCreated { workflow, steps, .. } => {
                format!("run of workflow {workflow} accepted: {}", count(*steps, "step"))
            }
            Self::RunStarted => "started".into(),
            Self::RunFinished { outcome, spend } => finished(*outcome, *spend),
            Self::CancelRequested { by } => format!("cancel requested: {by}"),
            Self::RunPublished { published } => published_text(published),
            Self::StepQueued { step, attempt, purpose, wait_ms } => queued(step, *attempt, *purpose, *wait_ms),
            Self::StepStarted { step, attempt, .. } => format!("{step}: attempt {attempt} started"),
            Self::StepAttempted { step, attempt, exit, duration_ms } => {
                format!("{step}: attempt {attempt} ended, {exit} after {}", ms(*duration_ms))
            }
            Self::FailureClassified { step, kind, signal, summary, .. } => {
                format!("{step} failed: {kind} (decided by {}): {summary}", signal.as_str().replace('_', " "))
            }
            Self::StepSucceeded { step, how } => match how {
                Success::Clean => format!("{step} passed"),
                Success::Flaky => format!("{step} passed on a re-run with nothing changed: flaky"),
                Success::Repaired => format!("{step} passes with the repair"),
                Success::Rechecked => format!("{step} passes with the repair of another step"),
                Success::Retried => format!("{step} passed on a retry"),
                Success::Kept => format!("{step} is kept from the run that is done again"),
            },
            Self::StepFailed { step, reason, why } if why.is_empty() => {
                format!("{step} stays failed: {}", reason.sentence())
            }
            Self::StepFailed { step, reason, why } => format!("{step} stays failed: {}: {why}", reason.sentence()),
            Self::StepOmitted { step, when } => format!("{step} is not wanted: {when} is false"),
            Self::StepWaiting { step, waiting } => format!("{step} is {waiting}"),
            Self::StepExpanded { step, items } => format!("{step} has {}", count(*items, "item")),
            Self::StepDecided { step, approved, by, reason } => decided(step, *approved, by, reason),
            Self::RunSignaled { name, by, taken_by: Some(step) } => format!("signal {name} from {by} taken by {step}"),
            Self::RunSignaled { name, by, taken_by: None } => format!("signal {name} from {by} kept"),
            Self::RunCompensating { steps } => format!("undoing {}", steps.join(", ")),
            Self::RunOutputFailed { output, why } => format!("output {output} has no value: {why}"),
            Self::StepSkipped { step, need } => format!("{step} skipped: it needs {need}"),
            Self::StepCanceled { step } => format!("{step} canceled"),
            Self::RepairQueued { step, repair, strategy } => format!("{step}: repair {repair} will try {strategy}"),
            Self::RepairStarted { step, repair, .. } => format!("{step}: repair {repair} started"),
            Self::RepairFinished { .. } => self.repair_text(),
            Self::TaskRequeued { task, losses: 0 } => format!("{task} is on the queue again: its worker gave it back"),
            Self::TaskRequeued { task, losses } => {
                format!("{task} is on the queue again; workers vanished over it {}", count(*losses, "time"))
            }
            Self::BudgetWarned { axis } => format!("80 % of the {axis} budget is used"),
            Self::BudgetExceeded { axis, refused } => format!("{axis} budget is used up: {refused} was not started"),
        }
    }

    fn repair_text(&self) -> String {
        let Self::RepairFinished { step, repair, strategy, verdict, title, why, patch, duration_ms } = self else {
            return String::new();
        };
        let size = patch.as_ref().map_or(String::new(), |p| {
            format!(
                " ({}, +{} -{})",
                count(u32::try_from(p.files.len()).unwrap_or(u32::MAX), "file"),
                p.added,
                p.removed
            )
        });
        let what = if title.is_empty() { strategy.to_string() } else { title.clone() };
        let took = ms(*duration_ms);
        match verdict.as_str() {
            "accepted" => format!("{step}: repair {repair} accepted and verified in {took}: {what}{size}"),
            "improved" => format!("{step}: repair {repair} helps, not enough yet: {what}{size}; left: {why}"),
            "no_candidate" => format!("{step}: repair {repair} has nothing to propose ({strategy}): {why}"),
            "refused" => format!("{step}: repair {repair} refused by the gate: {what}: {why}"),
            "rejected" => format!("{step}: repair {repair} rolled back: {what}{size}: {why}"),
            _ => format!("{step}: repair {repair} could not be made: {what}: {why}"),
        }
    }
}

/// `1 step`, `2 steps`.
pub fn count(n: u32, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

fn ms(duration_ms: u64) -> String {
    human(Duration::from_millis(duration_ms))
}

fn finished(outcome: RunOutcome, spend: Spend) -> String {
    let word = outcome.as_str().replace('_', " ");
    format!("{word} in {}, {}, {}", ms(spend.time_ms), spend.cost_microusd, count(spend.attempts, "repair attempt"))
}

fn queued(step: &str, attempt: u32, purpose: Purpose, wait_ms: u64) -> String {
    let why = match purpose {
        Purpose::Check => "queued",
        Purpose::Rerun => "runs again with nothing changed",
        Purpose::Recheck => "runs again on the repaired files",
        Purpose::Retry => "is a retry",
        Purpose::Timer => "is its clock",
    };
    let wait = if wait_ms > 0 { format!(", after waiting {}", ms(wait_ms)) } else { String::new() };
    format!("{step}: attempt {attempt} {why}{wait}")
}

fn decided(step: &str, approved: bool, by: &str, reason: &str) -> String {
    let word = if approved { "approved" } else { "rejected" };
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("{step} {word} by {by}{reason}")
}

fn published_text(published: &Published) -> String {
    let mut parts = Vec::new();
    if let Some((branch, commit)) = &published.branch {
        parts.push(format!("branch {branch} at {}", commit.get(..12).unwrap_or(commit)));
    }
    if let Some(file) = &published.patch_file {
        parts.push(format!("patch {file}"));
    }
    if let Some(problem) = &published.problem {
        parts.push(format!("not everything could be written: {problem}"));
    }
    format!("result: {}", if parts.is_empty() { "nothing to write".to_owned() } else { parts.join(", ") })
}
