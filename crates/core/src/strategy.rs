//! The strategies of repair, by name. What each does lives in `repair`; when each is asked, in `ladder`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A way to repair a failed step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum Strategy {
    /// Run the same command again with nothing changed: tells flaky and transient failures from real ones.
    Rerun,
    /// One of the step's own fixers.
    Fixer {
        /// Its name within the step.
        fixer: String,
    },
    /// Machine-applicable suggestions of the Rust compiler, rule by rule.
    RustcSuggestions,
    /// Declare a dependency that is used but not declared.
    MissingDependency,
    /// Bring a lock file back in step with its manifest.
    LockFile,
    /// A small edit that the diagnostic itself describes (unused import, missing import, did you mean).
    DiagnosticEdit,
}

impl Strategy {
    /// The word used in metrics and JSON filters; a fixer's own name is not part of it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Rerun => "rerun",
            Self::Fixer { .. } => "fixer",
            Self::RustcSuggestions => "rustc_suggestions",
            Self::MissingDependency => "missing_dependency",
            Self::LockFile => "lock_file",
            Self::DiagnosticEdit => "diagnostic_edit",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixer { fixer } => write!(f, "fixer `{fixer}`"),
            other => f.write_str(other.word()),
        }
    }
}
