//! A run: one execution of a workflow, its steps, their attempts and repairs.
//!
//! This is the whole state the planner sees. How it moves is [`mod@crate::advance`]; nothing else changes it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attempt::{Attempt, AttemptState};
use crate::budget::{Axis, Spend};
use crate::failure::Failure;
use crate::id::{RunId, TenantId, WorkerId};
use crate::repair::{PatchRef, Repair, RepairState, Verdict};
use crate::time::{Timestamp, millis};
use crate::words::words;
use crate::workflow::{Action, StepSpec, Workflow};

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

/// One node of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name in the workflow.
    pub name: String,
    /// Where it stands.
    pub state: StepState,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
    /// Every repair tried, in order.
    pub repairs: Vec<Repair>,
    /// How it came to be in the run.
    pub role: Role,
    /// What it gave, once it succeeded.
    pub output: Option<Value>,
    /// When it began: the first attempt was queued or it began to wait.
    pub since: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// How a step came to be in a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "role")]
pub enum Role {
    /// It is one of the workflow's.
    #[default]
    Step,
    /// It does the action of a foreach for one item.
    Item {
        /// The foreach.
        of: String,
        /// The place of the item, from 0.
        index: u32,
        /// The item.
        value: Value,
    },
    /// It undoes a step.
    Undo {
        /// The step.
        of: String,
    },
}

/// What a step waits for without using a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "on")]
pub enum Waiting {
    /// A person's decision.
    Approval {
        /// What is to be decided.
        prompt: String,
        /// Who may; empty means whoever has the scope.
        approvers: BTreeSet<String>,
        /// At the latest.
        until: Option<Timestamp>,
    },
    /// A time.
    Time {
        /// That time.
        until: Timestamp,
    },
    /// A signal.
    Signal {
        /// Its name.
        name: String,
        /// At the latest.
        until: Option<Timestamp>,
    },
    /// The end of a run it started.
    Child {
        /// That run.
        run: RunId,
        /// How often it was asked about.
        polls: u32,
    },
    /// The repair of another step.
    Repair {
        /// That step.
        target: String,
    },
    /// The steps of its items.
    Items,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum StepState {
    /// It waits for the steps it needs.
    Blocked,
    /// Its last attempt is queued or running.
    Attempting,
    /// Its last attempt failed; the ladder has yet to say what is next.
    Failing,
    /// Its last repair is queued or running.
    Repairing,
    /// It waits for something other than a worker.
    Waiting(Waiting),
    /// Over.
    Done {
        /// How.
        #[serde(flatten)]
        outcome: StepOutcome,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum StepOutcome {
    /// It succeeded.
    Succeeded {
        /// How it came to succeed.
        how: Success,
    },
    /// It failed for good.
    Failed {
        /// Why nothing more was tried.
        reason: StopReason,
        /// What exactly, where the reason alone does not say it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// Its condition was false: nothing was to be done, and what needs it goes on.
    Omitted {
        /// The condition.
        when: String,
    },
    /// A step it needs did not succeed.
    Skipped {
        /// That step.
        need: String,
    },
    /// The run was cancelled.
    Canceled,
}

words! {
    /// How a step came to succeed.
    Success {
        /// At once.
        Clean = "clean",
        /// On a re-run with nothing changed.
        Flaky = "flaky",
        /// By a repair of its own.
        Repaired = "repaired",
        /// By the repair of another step.
        Rechecked = "rechecked",
        /// On a retry its workflow asks for.
        Retried = "retried",
        /// In the run this one does again.
        Kept = "kept",
    }
}

words! {
    /// Why nothing more was tried.
    StopReason {
        /// Every strategy that fits was tried.
        Exhausted = "exhausted",
        /// No strategy fits this kind of failure.
        NoStrategy = "no_strategy",
        /// Repair is switched off for this project.
        RepairDisabled = "repair_disabled",
        /// A tool is not installed: no change to the files can mend that.
        ToolchainMissing = "toolchain_missing",
        /// A person has to decide (security, policy).
        NeedsHuman = "needs_human",
        /// The run's time is used up.
        BudgetTime = "budget_time",
        /// The run's money is used up.
        BudgetCost = "budget_cost",
        /// The run's attempts are used up.
        BudgetAttempts = "budget_attempts",
        /// Workers vanished again and again while running it.
        WorkerLost = "worker_lost",
        /// Trying again cannot help.
        Permanent = "permanent",
        /// It was tried as often as its workflow asks for.
        Retries = "retries",
        /// Its time was up.
        TimedOut = "timed_out",
        /// Somebody rejected it.
        Rejected = "rejected",
        /// An expression of it has no value.
        Expression = "expression",
        /// A part of it did not succeed: an item, a sub-workflow, the step to repair.
        Part = "part",
    }
}

impl From<Axis> for StopReason {
    fn from(axis: Axis) -> Self {
        match axis {
            Axis::Time => Self::BudgetTime,
            Axis::Cost => Self::BudgetCost,
            Axis::Attempts => Self::BudgetAttempts,
        }
    }
}

impl StopReason {
    /// Whether a budget was the reason.
    pub const fn is_budget(self) -> bool {
        matches!(self, Self::BudgetTime | Self::BudgetCost | Self::BudgetAttempts)
    }

    /// The reason as a sentence's end.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Exhausted => "every strategy that fits was tried",
            Self::NoStrategy => "no offline strategy fits this kind of failure",
            Self::RepairDisabled => "repair is switched off for this project",
            Self::ToolchainMissing => "a tool it needs is not installed",
            Self::NeedsHuman => "a person has to decide",
            Self::BudgetTime => "the run's time budget is used up",
            Self::BudgetCost => "the run's cost budget is used up",
            Self::BudgetAttempts => "the run's attempt budget is used up",
            Self::WorkerLost => "workers vanished while running it",
            Self::Permanent => "trying again cannot help",
            Self::Retries => "it was tried as often as the workflow asks for",
            Self::TimedOut => "its time was up",
            Self::Rejected => "it was rejected",
            Self::Expression => "an expression of it has no value",
            Self::Part => "a part of it did not succeed",
        }
    }
}

impl Step {
    /// Whether a task of this step is queued or running.
    pub const fn is_active(&self) -> bool {
        matches!(self.state, StepState::Attempting | StepState::Repairing)
    }

    /// Whether it ended well.
    pub const fn succeeded(&self) -> bool {
        matches!(self.state, StepState::Done { outcome: StepOutcome::Succeeded { .. } })
    }

    /// The word of the seed runbooks and of lists: `pending`, `running`, `succeeded`, `failed`, `skipped`, `canceled`.
    pub const fn word(&self) -> &'static str {
        match &self.state {
            StepState::Blocked => "pending",
            StepState::Attempting | StepState::Failing | StepState::Repairing | StepState::Waiting(_) => "running",
            StepState::Done { outcome } => match outcome {
                StepOutcome::Succeeded { .. } => "succeeded",
                StepOutcome::Failed { .. } => "failed",
                StepOutcome::Skipped { .. } | StepOutcome::Omitted { .. } => "skipped",
                StepOutcome::Canceled => "canceled",
            },
        }
    }

    /// The word expressions see: as [`Step::word`], but `waiting` and `omitted` have their own.
    pub const fn state_word(&self) -> &'static str {
        match &self.state {
            StepState::Waiting(_) => "waiting",
            StepState::Done { outcome: StepOutcome::Omitted { .. } } => "omitted",
            _ => self.word(),
        }
    }

    /// Whether it is over and what needs it may go on.
    pub const fn satisfied(&self) -> bool {
        self.succeeded() || matches!(self.state, StepState::Done { outcome: StepOutcome::Omitted { .. } })
    }

    /// The latest failure: of the last attempt, or what an improving repair left of it.
    pub fn failure(&self) -> Option<&Failure> {
        let left = self.tentative().last().and_then(|repair| match &repair.outcome()?.verdict {
            Verdict::Improved { left } => Some(&**left),
            _ => None,
        });
        left.or_else(|| self.attempts.iter().rev().find_map(|a| a.outcome()?.failure.as_ref()))
    }

    /// Repairs that improved the step since its last attempt and are held for the next to build on.
    pub fn tentative(&self) -> Vec<&Repair> {
        let Some(last) = self.attempts.last() else { return Vec::new() };
        let AttemptState::Finished { at: finished, .. } = &last.state else { return Vec::new() };
        self.repairs
            .iter()
            .filter(|repair| match &repair.state {
                RepairState::Finished { since, outcome, .. } => {
                    since >= finished && matches!(outcome.verdict, Verdict::Improved { .. })
                }
                _ => false,
            })
            .collect()
    }
}

impl Step {
    /// A step nothing has happened to.
    pub const fn new(name: String, role: Role) -> Step {
        Step {
            name,
            state: StepState::Blocked,
            attempts: Vec::new(),
            repairs: Vec::new(),
            role,
            output: None,
            since: None,
            ended_at: None,
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

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval { approvers, until, .. } => {
                f.write_str("waiting for approval")?;
                if !approvers.is_empty() {
                    let names: Vec<&str> = approvers.iter().map(String::as_str).collect();
                    write!(f, " by {}", names.join(" or "))?;
                }
                until.map_or(Ok(()), |until| write!(f, ", at the latest until {until}"))
            }
            Self::Time { until } => write!(f, "waiting until {until}"),
            Self::Signal { name, until } => {
                write!(f, "waiting for signal {name}")?;
                until.map_or(Ok(()), |until| write!(f, ", at the latest until {until}"))
            }
            Self::Child { run, .. } => write!(f, "waiting for {run}"),
            Self::Repair { target } => write!(f, "waiting for the repair of {target}"),
            Self::Items => f.write_str("waiting for its items"),
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
