//! A step of a project: always a command. What a workflow has beside commands is in workflow files.

use std::collections::{BTreeMap, BTreeSet};

use mb_core::workflow::{Action, CommandLine, Fixer, Limits, Network, Shell, StageKind, StepSpec};
use serde::Serialize;

/// A command of a project, with what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandStep {
    /// Unique name.
    pub name: String,
    /// What it is for.
    pub stage: StageKind,
    /// What to run.
    pub command: CommandLine,
    /// Folder relative to the root.
    pub dir: String,
    /// Steps that must succeed first.
    pub needs: BTreeSet<String>,
    /// Extra environment.
    pub env: BTreeMap<String, String>,
    /// Host variables passed through.
    pub env_pass: BTreeSet<String>,
    /// What it may reach.
    pub network: Network,
    /// Limits of its commands.
    pub limits: Limits,
    /// What may repair it.
    pub fixers: Vec<Fixer>,
    /// Folders of build products and dependencies.
    pub caches: BTreeSet<String>,
}

impl From<CommandStep> for StepSpec {
    fn from(step: CommandStep) -> StepSpec {
        let CommandStep { name, stage, command, dir, needs, env, env_pass, network, limits, fixers, caches } = step;
        let shell =
            Shell { stage, command, dir, env, env_from: BTreeMap::new(), env_pass, network, limits, fixers, caches };
        StepSpec { needs, ..StepSpec::new(name, Action::Shell(shell)) }
    }
}
