//! A step of a run: where it stands, what it waits for, how it ended and what it gave.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attempt::{Attempt, AttemptState};
use crate::budget::Axis;
use crate::failure::Failure;
use crate::id::RunId;
use crate::repair::{Repair, RepairState, Verdict};
use crate::time::Timestamp;
use crate::words::words;

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
