//! What a step does: one enum, every kind with its own fields and nothing else.
//!
//! Strings called *template* may hold `{{ expressions }}` over the run's data, fields called *expression* are one
//! expression without braces, and a JSON value whose text is a single `{{ expression }}` becomes that expression's
//! value with its type (see [`mod@crate::expression`]).
//!
//! Deliberately absent: how an action is carried out. Transform, condition, waiting and foreach are decided in
//! [`mod@crate::advance`]; commands, requests and models are the engine's.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Shell;
use crate::budget::MicroUsd;
use crate::task::QueueClass;
use crate::words::words;

/// Items one foreach may have.
pub const ITEMS_MAX: usize = 1_000;
/// Nesting of sub-workflows: a run at this depth starts no further one.
pub const DEPTH_MAX: u32 = 5;

/// What a step does. In documents its word is the step's `kind`; without one a step is a `shell` step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// Runs a command.
    Shell(Shell),
    /// Makes an HTTP request.
    Http(Http),
    /// Asks a language model.
    Llm(Llm),
    /// Repairs a shell step that failed.
    Repair(Repair),
    /// Waits for a person to approve.
    Approval(Approval),
    /// Waits for a time or a signal.
    Wait(Wait),
    /// Runs another workflow.
    Workflow(Call),
    /// Computes a value.
    Transform(Transform),
    /// Computes true or false.
    Condition(Condition),
    /// Does an action for each item of a list.
    Foreach(Foreach),
}

words! {
    /// The word of an action.
    ActionKind {
        /// A command.
        Shell = "shell",
        /// An HTTP request.
        Http = "http",
        /// A question to a model.
        Llm = "llm",
        /// A repair of another step.
        Repair = "repair",
        /// A person's decision.
        Approval = "approval",
        /// A time or a signal.
        Wait = "wait",
        /// A sub-workflow.
        Workflow = "workflow",
        /// A computed value.
        Transform = "transform",
        /// A computed truth.
        Condition = "condition",
        /// An action for each item.
        Foreach = "foreach",
    }
}

words! {
    /// An HTTP method.
    Method {
        /// GET.
        Get = "get",
        /// HEAD.
        Head = "head",
        /// POST.
        Post = "post",
        /// PUT.
        Put = "put",
        /// PATCH.
        Patch = "patch",
        /// DELETE.
        Delete = "delete",
    }
}

/// An HTTP request. Its output is `{status, headers, body}`; the body is JSON when the answer says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The method.
    #[serde(default = "method_get")]
    pub method: Method,
    /// Template: where to.
    pub url: String,
    /// Templates: the headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What is sent: a template as it is, anything else as JSON with its templates filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Statuses that are a success; empty means 200 to 299.
    #[serde(default)]
    pub expect: BTreeSet<u16>,
    /// Time for one request with its redirects, in milliseconds.
    #[serde(default = "request_timeout")]
    pub request_timeout_ms: u64,
    /// Largest body read, in bytes.
    #[serde(default = "response_bytes")]
    pub response_bytes_max: u64,
    /// Redirects followed.
    #[serde(default = "redirects")]
    pub redirects_max: u32,
    /// Names of host variables the templates see as `secrets.NAME`; their values are taken out of logs and output.
    #[serde(default)]
    pub secrets: BTreeSet<String>,
}

fn method_get() -> Method {
    Method::Get
}

fn request_timeout() -> u64 {
    30_000
}

fn response_bytes() -> u64 {
    128 << 10
}

fn redirects() -> u32 {
    5
}

/// A question to a model with an OpenAI-compatible chat endpoint. Its output is `{text, model, usage, cost_microusd}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Llm {
    /// Template: the question.
    pub prompt: String,
    /// Template: what the model is told beforehand.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// The model; empty means the worker's setting.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Longest answer, in tokens.
    #[serde(default = "answer_tokens")]
    pub tokens_max: u32,
    /// The most one request may cost. The budget is asked for it beforehand; what it did cost is charged.
    #[serde(default = "request_cost")]
    pub cost_microusd_max: MicroUsd,
    /// Time for one request, in milliseconds.
    #[serde(default = "answer_timeout")]
    pub request_timeout_ms: u64,
}

fn answer_tokens() -> u32 {
    1_024
}

fn request_cost() -> MicroUsd {
    MicroUsd(100_000)
}

fn answer_timeout() -> u64 {
    120_000
}

/// Repairs a shell step that failed. It begins when that step is over and succeeds when that step passes at last;
/// its output is `{step, repaired}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// The step to repair.
    pub target: String,
}

words! {
    /// What happens when the time of a waiting step is up.
    OnTimeout {
        /// The step fails.
        Fail = "fail",
        /// It goes on as if what it waits for had come (an approval: as if approved).
        Continue = "continue",
        /// An approval counts as rejected.
        Reject = "reject",
    }
}

fn on_timeout_fail() -> OnTimeout {
    OnTimeout::Fail
}

/// Waits for a person. Its output is `{approved, by, reason}`; a rejection fails the step. The step's `timeout_ms`
/// bounds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Template: what is to be decided.
    pub prompt: String,
    /// Who may decide, by the name their token or session shows; empty means whoever has the scope.
    #[serde(default)]
    pub approvers: BTreeSet<String>,
    /// What an expired wait means.
    #[serde(default = "on_timeout_fail")]
    pub on_timeout: OnTimeout,
}

/// Waits: exactly one of the three is given. The step's `timeout_ms` bounds a wait for a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// For so long, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Template: until this time (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// For the signal of that name; its payload is in the output `{signal, payload, by}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// What an expired wait for a signal means.
    #[serde(default = "on_timeout_fail")]
    pub on_timeout: OnTimeout,
}

/// Runs another workflow as a run of its own; its outputs are this step's output. Cancelling either side's run is
/// passed on, a failure of the child is a failure of the step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The workflow's name.
    pub workflow: String,
    /// Its inputs, with templates filled in.
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
}

/// Computes a value: JSON with templates filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// The value.
    pub value: Value,
}

/// Computes true or false for `when` of later steps. It always succeeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Expression.
    pub test: String,
}

/// Does an action for each item, as steps named `NAME/0`, `NAME/1`…; its output is the list of their outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreach {
    /// The items: a list, or a template that gives one. At most 1,000.
    pub items: Value,
    /// How many at once.
    #[serde(default = "concurrency")]
    pub concurrency: u32,
    /// What is done for each; `item` and `index` are in its data.
    pub action: Box<Action>,
}

fn concurrency() -> u32 {
    10
}

impl Action {
    /// Its word.
    pub const fn kind(&self) -> ActionKind {
        match self {
            Self::Shell(_) => ActionKind::Shell,
            Self::Http(_) => ActionKind::Http,
            Self::Llm(_) => ActionKind::Llm,
            Self::Repair(_) => ActionKind::Repair,
            Self::Approval(_) => ActionKind::Approval,
            Self::Wait(_) => ActionKind::Wait,
            Self::Workflow(_) => ActionKind::Workflow,
            Self::Transform(_) => ActionKind::Transform,
            Self::Condition(_) => ActionKind::Condition,
            Self::Foreach(_) => ActionKind::Foreach,
        }
    }

    /// The slots its tasks need.
    pub const fn class(&self) -> QueueClass {
        match self {
            Self::Shell(_) | Self::Repair(_) => QueueClass::Cpu,
            Self::Llm(_) => QueueClass::Llm,
            Self::Http(_)
            | Self::Approval(_)
            | Self::Wait(_)
            | Self::Workflow(_)
            | Self::Transform(_)
            | Self::Condition(_)
            | Self::Foreach(_) => QueueClass::Io,
        }
    }

    /// What it does in one line, as a person would say it.
    pub fn display(&self) -> String {
        match self {
            Self::Shell(shell) => shell.command.display(),
            Self::Http(http) => format!("{} {}", http.method.as_str().to_uppercase(), http.url),
            Self::Llm(llm) => format!("ask {}", if llm.model.is_empty() { "the model" } else { &llm.model }),
            Self::Repair(repair) => format!("repair {}", repair.target),
            Self::Approval(approval) => format!("approve: {}", approval.prompt),
            Self::Wait(Wait { duration_ms: Some(ms), .. }) => {
                format!("wait for {}", crate::time::human(std::time::Duration::from_millis(*ms)))
            }
            Self::Wait(Wait { until: Some(until), .. }) => format!("wait until {until}"),
            Self::Wait(wait) => format!("wait for signal {}", wait.signal.as_deref().unwrap_or_default()),
            Self::Workflow(call) => format!("workflow {}", call.workflow),
            Self::Transform(_) => "compute a value".into(),
            Self::Condition(condition) => format!("test {}", condition.test),
            Self::Foreach(each) => format!("for each: {}", each.action.display()),
        }
    }
}
