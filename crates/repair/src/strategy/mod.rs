//! Built-in strategies: what could be changed so that a failed step passes, without a model and without a network.
//!
//! A strategy looks at the failure and at the files and answers with proposals: edits and commands as data, most
//! promising first. It may be wrong, because every proposal is tried in a worktree of its own and kept only when the
//! step passes. It may not be clever: one idea a proposal, so that a bad idea cannot sink a good one.

mod files;
mod go;
mod lock;
mod manifest;
mod missing;
mod native;
mod python;
mod rust;
mod rustc;
mod source;
mod typescript;

use mb_core::failure::Failure;
use mb_core::strategy::Strategy;
use mb_core::workflow::{Network, Shell};

pub use self::files::{DirFiles, Files};
pub use self::rustc::{rustc_suggestions, suggestions_command};

/// Proposals one strategy may make.
pub const PROPOSALS_MAX: usize = 50;

/// One change of a file. Paths are relative to the project root, with `/`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// The whole new content of a file.
    Write {
        /// The file.
        path: String,
        /// What it will hold.
        content: String,
    },
    /// The file goes away.
    Delete {
        /// The file.
        path: String,
    },
}

/// A command of a proposal, run in the worktree after its edits.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Folder relative to the project root; empty means the root.
    pub dir: String,
    /// What it has to reach.
    pub network: Network,
}

impl Command {
    pub(crate) fn new(line: &str, dir: &str, network: Network) -> Self {
        Self { argv: line.split_whitespace().map(str::to_owned).collect(), dir: dir.to_owned(), network }
    }
}

/// One thing to try. Without edits and commands it means: run the step again as it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Proposal {
    /// What it does, for a person, as an imperative (`remove the unused import os`).
    pub title: String,
    /// Changes of files, applied first.
    pub edits: Vec<Edit>,
    /// Commands, run afterwards in this order.
    pub commands: Vec<Command>,
}

impl Proposal {
    pub(crate) fn edits(title: String, edits: Vec<Edit>) -> Self {
        Self { title, edits, commands: Vec::new() }
    }

    pub(crate) fn command(command: Command) -> Self {
        Self { title: format!("run `{}`", command.argv.join(" ")), edits: Vec::new(), commands: vec![command] }
    }
}

/// What the strategy would try, most promising first, at most [`PROPOSALS_MAX`]; empty means it has no candidate.
///
/// [`Strategy::RustcSuggestions`] needs the compiler's JSON, which a failure does not keep: run
/// [`suggestions_command`] and give its standard output to [`rustc_suggestions`]. Here it falls back to cargo's own
/// all-or-nothing `--fix`.
pub fn propose(strategy: &Strategy, failure: &Failure, step: &Shell, files: &dyn Files) -> Vec<Proposal> {
    let mut proposals = match strategy {
        Strategy::Rerun => {
            vec![Proposal { title: "run again unchanged".into(), edits: Vec::new(), commands: Vec::new() }]
        }
        Strategy::Fixer { fixer } => fixer_proposal(fixer, step).into_iter().collect(),
        Strategy::RustcSuggestions => vec![rustc::fix_proposal(failure, step)],
        Strategy::MissingDependency => missing::propose(failure, step, files),
        Strategy::LockFile => lock::propose(failure, step, files),
        Strategy::DiagnosticEdit => diagnostic_edits(failure, files),
    };
    proposals.truncate(PROPOSALS_MAX);
    proposals
}

fn fixer_proposal(name: &str, step: &Shell) -> Option<Proposal> {
    let fixer = step.fixers.iter().find(|fixer| fixer.name == name)?;
    let command = Command { argv: fixer.command.argv(), dir: step.dir.clone(), network: fixer.network };
    Some(Proposal { title: format!("run the fixer `{name}`"), edits: Vec::new(), commands: vec![command] })
}

/// Every family's edits; all of them together first, because a step with two findings passes only without both.
fn diagnostic_edits(failure: &Failure, files: &dyn Files) -> Vec<Proposal> {
    let mut changes: Vec<source::Change> = Vec::new();
    for family in [python::changes, rust::changes, native::changes, typescript::changes, go::changes] {
        changes.extend(family(failure, files));
    }
    source::proposals(changes, files)
}
