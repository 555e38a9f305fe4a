//! Named workflows on the wire: versions, which of them runs, and a wish for a run.

use mb_core::id::RunId;
use mb_core::time::Timestamp;
use mb_core::workflow::Workflow;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A version of a named workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowVersion {
    /// The workflow's name.
    #[schema(example = "nightly")]
    pub name: String,
    /// The version's number, from 1.
    pub version: u32,
    /// SHA-256 of its document: the same document is the same version.
    pub digest: String,
    /// When it was brought first.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// By whom.
    pub actor: String,
    /// Whether it is the one that runs.
    pub current: bool,
    /// When it was last chosen to run.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub chosen_at: Option<Timestamp>,
    /// By whom.
    pub chosen_by: Option<String>,
}

/// A version with its document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamedWorkflow {
    /// Which.
    #[serde(flatten)]
    pub version: WorkflowVersion,
    /// The document, as the workflow file has it.
    #[schema(value_type = Object)]
    pub document: Workflow,
}

/// What came of bringing a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// The workflow's name.
    pub name: String,
    /// The version the document is, and which runs from now on.
    pub version: u32,
    /// Its digest.
    pub digest: String,
    /// Whether the name had this document before.
    pub existed: bool,
    /// Whether anything changed: not when this version was current before.
    pub changed: bool,
}

/// A wish for another current version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Choose {
    /// Its number.
    #[schema(minimum = 1)]
    pub version: u32,
}

/// A wish for a run of a named workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartNamed {
    /// The inputs by name; those with a default may be left out.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub inputs: Value,
    /// Which version; the current one when it is absent.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub version: Option<u32>,
}

/// A run of a workflow, in the form of the operations runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Execution {
    /// The run.
    #[schema(value_type = String, example = "run_01jbx2m5k8e6t9h3v4n7q0r1sa")]
    pub execution_id: RunId,
    /// Where it stands.
    pub status: String,
}

/// A wish to pause a schedule or trigger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Why, in at most 500 characters.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: String,
}
