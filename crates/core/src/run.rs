//! A run: one execution of a workflow, its steps, their attempts and repairs.
//!
//! This is the whole state the planner sees. How it moves is [`mod@crate::advance`]; nothing else changes it.

mod step;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::budget::Spend;
use crate::id::{RunId, TenantId, WorkerId};
use crate::repair::PatchRef;
use crate::time::{Timestamp, millis};
use crate::words::words;
use crate::workflow::{Action, StepSpec, Workflow};
pub use step::{Role, Step, StepOutcome, StepState, StopReason, Success, Waiting};

/// One execution of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The workflow it began with, and keeps.
    pub workflow: Workflow,
    /// What it runs on; none for a workflow without a project, whose commands begin in an empty private folder.
    pub source: Option<Source>,
    /// What it was started with, checked against the workflow's inputs.
    pub inputs: Value,
    /// The step of another run that started it.
    pub parent: Option<Parent>,
    /// The run it does again.
    pub retry_of: Option<RunId>,
    /// What started it, if not a person.
    pub trigger: Option<Trigger>,
    /// Where it stands.
    pub state: RunState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first task was claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it has used of its budget.
    pub spend: Spend,
    /// Who asked to cancel it, and why.
    pub cancel: Option<String>,
    /// Its steps, in the order of the workflow.
    pub steps: Vec<Step>,
    /// The accepted repairs, in order: together with the source they are the files of every later attempt.
    pub patches: Vec<AppliedPatch>,
    /// Where the result was put.
    pub published: Option<Published>,
    /// What it gives, once over.
    pub outputs: Option<Value>,
    /// Signals it was sent and no step has taken yet, oldest first.
    pub signals: Vec<Signal>,
    /// How long it only waited for people, times and signals, in milliseconds: that is not charged to its time.
    pub waited_ms: u64,
    /// Since when it does nothing but that.
    pub idle_since: Option<Timestamp>,
}

/// Signals kept for steps that have yet to ask for them.
pub const SIGNALS_MAX: usize = 100;
/// Largest output of one step, and payload of one signal, as JSON, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// A message to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// What a waiting step names.
    pub name: String,
    /// What it carries.
    pub payload: Value,
    /// Who sent it.
    pub by: String,
}

/// The step that started a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: String,
    /// Its attempt.
    pub number: u32,
    /// How many runs are above this one: 1 for the child of a run that nobody started from a step.
    pub depth: u32,
}

words! {
    /// What kind of thing started a run.
    TriggerKind {
        /// A schedule.
        Schedule = "schedule",
        /// An event from outside.
        Event = "event",
        /// The end of another run.
        Run = "run",
    }
}

/// What started a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// What kind of thing.
    pub kind: TriggerKind,
    /// Which: the name or id of the schedule or trigger.
    pub name: String,
    /// Triggers in a row that led to this run, to end a circle of them.
    #[serde(default)]
    pub depth: u32,
    /// When it was due, for a schedule.
    #[serde(default)]
    pub due_at: Option<Timestamp>,
}

/// What a run works on: the frozen files of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Absolute path of the project on the machine that runs it.
    pub root: String,
    /// The frozen files, as the runner wrote them down (opaque here).
    pub snapshot: Value,
    /// The commit they are based on, if the project is a repository with one.
    pub commit: Option<String>,
}

/// An accepted repair's change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedPatch {
    /// The step it repaired.
    pub step: String,
    /// The number of the repair within the step.
    pub repair: u32,
    /// What was changed, in one line.
    pub title: String,
    /// The change.
    pub patch: PatchRef,
}

/// Where the result of a repaired run was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The branch and the commit it points to, when the project is a repository.
    pub branch: Option<(String, String)>,
    /// The patch file.
    pub patch_file: Option<String>,
    /// Why something could not be written.
    pub problem: Option<String>,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RunState {
    /// Nothing has been claimed yet.
    Pending,
    /// At least one task was claimed.
    Running,
    /// All steps are done; the result is being written.
    Publishing,
    /// It failed or was cancelled; what had succeeded is being undone, last first.
    Compensating {
        /// How it will end.
        outcome: RunOutcome,
    },
    /// Over.
    Done {
        /// How.
        outcome: RunOutcome,
    },
}

words! {
    /// How a run ended.
    RunOutcome {
        /// Every step succeeded on the files as they were.
        Passed = "passed",
        /// Every step succeeds with the accepted repairs.
        Repaired = "repaired",
        /// A step failed and could not be repaired.
        Failed = "failed",
        /// The budget ended it.
        BudgetExceeded = "budget_exceeded",
        /// Somebody cancelled it.
        Canceled = "canceled",
    }
}

impl RunState {
    /// The word of the seed runbooks: `pending`, `running`, `succeeded`, `failed`, `canceled`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running | Self::Publishing | Self::Compensating { .. } => "running",
            Self::Done { outcome: RunOutcome::Passed | RunOutcome::Repaired } => "succeeded",
            Self::Done { outcome: RunOutcome::Failed | RunOutcome::BudgetExceeded } => "failed",
            Self::Done { outcome: RunOutcome::Canceled } => "canceled",
        }
    }

    /// The outcome, once over.
    pub const fn outcome(&self) -> Option<RunOutcome> {
        match self {
            Self::Done { outcome } => Some(*outcome),
            Self::Pending | Self::Running | Self::Publishing | Self::Compensating { .. } => None,
        }
    }
}

impl Run {
    /// A new run: nothing claimed, every step blocked, no inputs.
    pub fn new(now: Timestamp, id: RunId, tenant: TenantId, workflow: Workflow, source: Option<Source>) -> Run {
        let steps = workflow.steps.iter().map(|spec| Step::new(spec.name.clone(), Role::Step)).collect();
        Run {
            id,
            tenant,
            workflow,
            source,
            inputs: Value::Object(serde_json::Map::new()),
            parent: None,
            retry_of: None,
            trigger: None,
            state: RunState::Pending,
            created_at: now,
            started_at: None,
            finished_at: None,
            spend: Spend::default(),
            cancel: None,
            steps,
            patches: Vec::new(),
            published: None,
            outputs: None,
            signals: Vec::new(),
            waited_ms: 0,
            idle_since: None,
        }
    }

    /// What the workflow says about a step: its spec and its own action. An item of a foreach has the foreach's spec
    /// and the inner action, an undoing step the undone step's spec and what undoes it.
    pub fn part(&self, step: &Step) -> Option<(&StepSpec, &Action)> {
        match &step.role {
            Role::Step => self.workflow.step(&step.name).map(|spec| (spec, &spec.action)),
            Role::Item { of, .. } => {
                let spec = self.workflow.step(of)?;
                match &spec.action {
                    Action::Foreach(each) => Some((spec, &*each.action)),
                    _ => None,
                }
            }
            Role::Undo { of } => {
                let spec = self.workflow.step(of)?;
                spec.compensate.as_ref().map(|action| (spec, action))
            }
        }
    }

    /// When the run as a whole is out of time, if anything bounds it.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.workflow.timeout_ms.map(|ms| self.created_at + Duration::from_millis(ms))
    }

    /// When a step is out of time, if anything bounds it. What undoes a step has its step's time for itself.
    pub fn deadline_of(&self, step: &Step) -> Option<Timestamp> {
        let since = match &step.role {
            Role::Item { of, .. } => self.step(of).and_then(|each| each.since),
            Role::Step | Role::Undo { .. } => step.since,
        };
        let timeout_ms = self.part(step).and_then(|(spec, _)| spec.timeout_ms);
        let own = since.zip(timeout_ms).map(|(since, ms)| since + Duration::from_millis(ms));
        let whole = self.deadline().filter(|_| !matches!(step.role, Role::Undo { .. }));
        own.into_iter().chain(whole).min()
    }

    /// Time left for a command of a step: of the run's budget and of the step's own. What undoes a step is not ended
    /// by the budget.
    pub fn time_left(&self, now: Timestamp, step: Option<&Step>) -> Duration {
        let undoes = step.is_some_and(|step| matches!(step.role, Role::Undo { .. }));
        let budget = self.workflow.budget.time_left(self.spend_at(now));
        let budget = if undoes { Duration::MAX } else { budget };
        let own = step.and_then(|step| self.deadline_of(step)).map(|deadline| deadline.since(now));
        own.unwrap_or(Duration::MAX).min(budget)
    }

    /// How many runs are above this one.
    pub fn depth(&self) -> u32 {
        self.parent.as_ref().map_or(0, |parent| parent.depth)
    }

    /// The step of that name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Whether some step only succeeded on a re-run.
    pub fn is_flaky(&self) -> bool {
        self.steps
            .iter()
            .any(|s| matches!(s.state, StepState::Done { outcome: StepOutcome::Succeeded { how: Success::Flaky } }))
    }

    /// The workers that hold its tasks now.
    pub fn workers(&self) -> BTreeSet<WorkerId> {
        let attempts = self.steps.iter().flat_map(|step| &step.attempts).filter_map(|attempt| attempt.state.running());
        let repairs = self.steps.iter().flat_map(|step| &step.repairs).filter_map(|repair| repair.state.running());
        attempts.chain(repairs).map(|(worker, _)| worker).collect()
    }

    /// The names of the accepted changes, in order.
    pub fn changes(&self) -> Vec<&str> {
        self.patches.iter().map(|applied| applied.patch.digest.as_str()).collect()
    }

    /// The version of the files: how many repairs they contain.
    pub fn tree(&self) -> u32 {
        u32::try_from(self.patches.len()).unwrap_or(u32::MAX)
    }

    /// What it has used at `now`.
    pub fn spend_at(&self, now: Timestamp) -> Spend {
        let end = self.finished_at.unwrap_or(now);
        let waits = self.idle_since.map_or(0, |since| millis(end.since(since)));
        let waited_ms = self.waited_ms.saturating_add(waits);
        let time_ms = self.started_at.map_or(0, |start| millis(end.since(start)).saturating_sub(waited_ms));
        Spend { time_ms, ..self.spend }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
