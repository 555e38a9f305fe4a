//! A step on the wire, with its attempts and repairs.

use mb_core::attempt::{Attempt as CoreAttempt, AttemptState, Purpose};
use mb_core::id::WorkerId;
use mb_core::repair::{PatchRef, Repair as CoreRepair, RepairState};
use mb_core::run::{Run as CoreRun, Step as CoreStep, StepOutcome, StepState, StopReason, Success};
use mb_core::time::{Timestamp, human};
use mb_core::workflow::{StageKind, StepSpec};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::failure::{Failure, TestCounts};
use crate::words;

/// One node of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[schema(schema_with = words::stage)]
    pub stage: StageKind,
    /// Its command as one would type it.
    pub command: String,
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

/// One repair tried on a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Repair {
    /// From 1, within the step.
    pub number: u32,
    /// The name of its log (`test!1`).
    pub work: String,
    /// How the change was made (``fixer `cargo fmt` ``).
    pub strategy: String,
    /// Where it stands.
    #[schema(schema_with = words::task_state)]
    pub state: String,
    /// When it began, or may begin while it is queued.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// What verification said, once over.
    #[schema(schema_with = words::verdict, required = false)]
    pub verdict: Option<String>,
    /// Why it was not kept.
    pub why: Option<String>,
    /// What was changed or tried.
    pub title: Option<String>,
    /// The change.
    pub patch: Option<Patch>,
    /// What was run to verify it, in order.
    pub verified: Vec<Verification>,
    /// Candidates looked at.
    pub candidates: u32,
    /// Money spent, in millionths of a US dollar.
    pub cost_microusd: u64,
    /// Wall time, in milliseconds.
    pub duration_ms: Option<u64>,
}

/// A change by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Patch {
    /// SHA-256 of the unified diff, in hex.
    pub digest: String,
    /// Files changed.
    pub files: Vec<String>,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
}

/// One command run to verify a repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// The step whose command it was.
    pub step: String,
    /// How it ended, in words.
    pub exit: String,
    /// Whether it succeeded.
    pub success: bool,
    /// Wall time, in milliseconds.
    pub duration_ms: u64,
}

impl Step {
    pub(crate) fn from_domain(now: Timestamp, run: &CoreRun, step: &CoreStep) -> Step {
        let spec = run.workflow.step(&step.name);
        let outcome = match &step.state {
            StepState::Done { outcome } => Some(outcome),
            _ => None,
        };
        Step {
            name: step.name.clone(),
            stage: spec.map_or(StageKind::Custom, |spec| spec.stage),
            command: spec.map(|spec| spec.command.display()).unwrap_or_default(),
            needs: spec.map(|spec| spec.needs.iter().cloned().collect()).unwrap_or_default(),
            state: step.word().to_owned(),
            how: outcome.and_then(|outcome| match outcome {
                StepOutcome::Succeeded { how } => Some(*how),
                _ => None,
            }),
            reason: outcome.and_then(|outcome| match outcome {
                StepOutcome::Failed { reason } => Some(*reason),
                _ => None,
            }),
            note: step_note(now, run, step, spec),
            failure: step.failure().map(Failure::from_domain),
            attempts: step.attempts.iter().map(|attempt| Attempt::from_domain(&step.name, attempt)).collect(),
            repairs: step.repairs.iter().map(|repair| Repair::from_domain(&step.name, repair)).collect(),
        }
    }
}

fn step_note(now: Timestamp, run: &CoreRun, step: &CoreStep, spec: Option<&StepSpec>) -> Option<String> {
    match &step.state {
        StepState::Blocked => {
            let open = spec?.needs.iter().filter(|need| !run.step(need).is_some_and(CoreStep::succeeded));
            let names = open.map(String::as_str).collect::<Vec<_>>().join(", ");
            (!names.is_empty()).then(|| format!("waits for {names}"))
        }
        StepState::Failing => Some("waits until the other steps are done, then repair begins".into()),
        StepState::Attempting | StepState::Repairing => {
            queued_since(step).map(|ready_at| wait_text(now, &step.name, ready_at))
        }
        StepState::Done { outcome } => match outcome {
            StepOutcome::Succeeded { how: Success::Clean } => None,
            StepOutcome::Succeeded { how: Success::Flaky } => Some("passed on a re-run with nothing changed".into()),
            StepOutcome::Succeeded { how: Success::Repaired } => Some("passes with the repair".into()),
            StepOutcome::Succeeded { how: Success::Rechecked } => Some("passes with the repair of another step".into()),
            StepOutcome::Failed { reason } => Some(reason.sentence().to_owned()),
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

impl Repair {
    fn from_domain(step: &str, repair: &CoreRepair) -> Repair {
        let outcome = repair.outcome();
        let (state, since, finished_at) = match &repair.state {
            RepairState::Queued { ready_at } => ("queued", Some(*ready_at), None),
            RepairState::Running { since, .. } => ("running", Some(*since), None),
            RepairState::Finished { since, at, .. } => ("finished", Some(*since), Some(*at)),
        };
        Repair {
            number: repair.number,
            work: format!("{step}!{}", repair.number),
            strategy: repair.strategy.to_string(),
            state: state.to_owned(),
            since,
            finished_at,
            verdict: outcome.map(|o| o.verdict.word().to_owned()),
            why: outcome.map(|o| o.verdict.why().to_owned()).filter(|why| !why.is_empty()),
            title: outcome.map(|o| o.title.clone()),
            patch: outcome.and_then(|o| o.patch.as_ref()).map(Patch::from_domain),
            verified: outcome.map(|o| o.verified.iter().map(Verification::from_domain).collect()).unwrap_or_default(),
            candidates: outcome.map_or(0, |o| o.candidates),
            cost_microusd: outcome.map_or(0, |o| o.cost_microusd.0),
            duration_ms: outcome.map(|o| o.duration_ms),
        }
    }
}

impl Patch {
    pub(crate) fn from_domain(patch: &PatchRef) -> Patch {
        Patch { digest: patch.digest.clone(), files: patch.files.clone(), added: patch.added, removed: patch.removed }
    }
}

impl Verification {
    fn from_domain(verification: &mb_core::repair::Verification) -> Verification {
        Verification {
            step: verification.step.clone(),
            exit: verification.exit.to_string(),
            success: verification.exit.success(),
            duration_ms: verification.duration_ms,
        }
    }
}

pub(crate) fn is_running(step: &CoreStep) -> bool {
    matches!(step.attempts.last().map(|a| &a.state), Some(AttemptState::Running { .. }))
        || matches!(step.repairs.last().map(|r| &r.state), Some(RepairState::Running { .. }))
}

/// When a queued task of the step may be claimed.
pub(crate) fn queued_since(step: &CoreStep) -> Option<Timestamp> {
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

pub(crate) fn wait_text(now: Timestamp, step: &str, ready_at: Timestamp) -> String {
    if ready_at > now {
        format!("{step} runs again in {} (backing off)", human(ready_at.since(now)))
    } else {
        format!("{step} waits for a free worker since {}", human(now.since(ready_at)))
    }
}
