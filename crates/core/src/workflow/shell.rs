//! The shell step: a command with its environment, limits and fixers.
//!
//! Deliberately absent: templates in the command line. Data from outside reaches a command through variables only
//! ([`Shell::env_from`]), so that no input can become a part of the program.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::failure::FailureKind;
use crate::words::words;

words! {
    /// What a step is for. It is the first thing asked when a failure is classified.
    StageKind {
        /// Lint.
        Lint = "lint",
        /// Formatting check.
        Format = "format",
        /// Type check.
        Typecheck = "typecheck",
        /// Build or compile.
        Build = "build",
        /// Tests.
        Test = "test",
        /// Security checks.
        Security = "security",
        /// Anything else.
        Custom = "custom",
    }
}

/// How a command is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub enum CommandLine {
    /// One line for `sh -c`.
    Shell(String),
    /// A program and its arguments, no shell.
    Argv(Vec<String>),
}

impl CommandLine {
    /// The program and arguments to start.
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Shell(line) => vec!["sh".into(), "-c".into(), line.clone()],
            Self::Argv(argv) => argv.clone(),
        }
    }

    /// The command as one would type it (quoted where needed).
    pub fn display(&self) -> String {
        match self {
            Self::Shell(line) => line.clone(),
            Self::Argv(argv) => argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Shell(line) => line.trim().is_empty(),
            Self::Argv(argv) => argv.first().is_none_or(String::is_empty),
        }
    }
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

words! {
    /// What of the network a step may reach.
    Network {
        /// Nothing, not even loopback of the host.
        None = "none",
        /// Everything the host reaches (restoring dependencies needs it).
        Full = "full",
    }
}

/// Limits of one command. Every one has a unit in its name and a bound. One that is left out has its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Wall time, in milliseconds.
    pub timeout_ms: u64,
    /// Time between SIGTERM and SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// Output kept and allowed, in bytes; the command is stopped above it.
    pub output_bytes_max: u64,
    /// Resident memory of the whole tree, in bytes.
    pub memory_bytes_max: u64,
    /// Processes and threads of the whole tree.
    pub pids_max: u64,
    /// Bytes written below the worktree and its private temporary folder.
    pub disk_bytes_max: u64,
}

impl Limits {
    /// The defaults: 30 minutes, 10 s of grace, 64 MiB of output, 8 GiB of memory, 4,096 processes, 10 GiB of disk.
    pub const DEFAULT: Limits = Limits {
        timeout_ms: 30 * 60 * 1000,
        grace_ms: 10_000,
        output_bytes_max: 64 << 20,
        memory_bytes_max: 8 << 30,
        pids_max: 4_096,
        disk_bytes_max: 10 << 30,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A command that may repair a step: it changes files, we keep the difference only if it verifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixer {
    /// Its name, unique within the step (`cargo fmt`).
    pub name: String,
    /// What to run in the worktree.
    pub command: CommandLine,
    /// Which kinds of failure it is tried for; empty means every kind.
    #[serde(default)]
    pub kinds: BTreeSet<FailureKind>,
    /// What it may reach.
    #[serde(default = "network_none")]
    pub network: Network,
}

fn network_none() -> Network {
    Network::None
}

/// A command in the files of the run's project, or in an empty private folder when the run has none.
///
/// Its output is the JSON it writes into the file that `$MB_OUTPUT` names; none when it writes nothing there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shell {
    /// What it is for.
    #[serde(default = "stage_custom")]
    pub stage: StageKind,
    /// What to run.
    pub command: CommandLine,
    /// Folder relative to the project root; empty means the root.
    #[serde(default)]
    pub dir: String,
    /// Extra environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Extra environment from the run's data: variable to template. What is no text is given as JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env_from: BTreeMap<String, String>,
    /// Names of host variables passed through (everything else is scrubbed).
    #[serde(default)]
    pub env_pass: BTreeSet<String>,
    /// What it may reach.
    #[serde(default = "network_none")]
    pub network: Network,
    /// Limits of each of its commands.
    #[serde(default)]
    pub limits: Limits,
    /// What may repair it, in order of trying.
    #[serde(default)]
    pub fixers: Vec<Fixer>,
    /// Folders of build products and installed dependencies that are carried into a worktree copy-on-write
    /// although version control ignores them (`target`, `node_modules`, `.venv`), relative to the root.
    #[serde(default)]
    pub caches: BTreeSet<String>,
}

fn stage_custom() -> StageKind {
    StageKind::Custom
}

impl Shell {
    /// A command with every default.
    pub fn new(command: CommandLine) -> Shell {
        Shell {
            stage: StageKind::Custom,
            command,
            dir: String::new(),
            env: BTreeMap::new(),
            env_from: BTreeMap::new(),
            env_pass: BTreeSet::new(),
            network: Network::None,
            limits: Limits::DEFAULT,
            fixers: Vec::new(),
            caches: BTreeSet::new(),
        }
    }
}
