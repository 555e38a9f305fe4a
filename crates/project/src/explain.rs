//! Where a value comes from.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// The layer that set a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "layer")]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The repository shows it.
    Detected {
        /// The files or words that show it.
        evidence: String,
    },
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u32,
    },
    /// An environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// A command-line flag.
    Flag {
        /// Its name with dashes.
        name: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Detected { evidence } => write!(f, "detected from {evidence}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env { name } => f.write_str(name),
            Self::Flag { name } => f.write_str(name),
        }
    }
}

/// One setting: its key, its value as one would write it, and who set it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The key (`steps.test.timeout`).
    pub key: String,
    /// The value (`5m`).
    pub value: String,
    /// The layer that set it.
    pub source: Source,
}
