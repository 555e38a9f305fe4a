//! A unit and its steps while they are being described: short names, paths relative to the unit, needs that may
//! not exist. [`Draft::finish`] turns them into checked-by-construction [`CommandStep`]s.

use std::collections::{BTreeMap, BTreeSet};

use crate::step::CommandStep;
use mb_core::failure::FailureKind;
use mb_core::workflow::{CommandLine, Fixer, Limits, Network, StageKind};

use super::{Toolchain, Unit};
use crate::survey::join;

/// A unit being described.
pub(super) struct Draft {
    pub(super) dir: String,
    pub(super) toolchain: Toolchain,
    /// Relative to `dir`.
    pub(super) evidence: Vec<String>,
    pub(super) steps: Vec<Step>,
}

/// A step being described.
#[derive(Clone)]
pub(super) struct Step {
    name: String,
    pub(super) stage: StageKind,
    run: String,
    needs: &'static [&'static str],
    network: Network,
    fixers: Vec<Fixer>,
    caches: Vec<String>,
    env: Vec<(&'static str, &'static str)>,
}

impl Step {
    /// A step without network, needs, fixers or caches.
    pub(super) fn new(name: &str, stage: StageKind, run: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            stage,
            run: run.into(),
            needs: &[],
            network: Network::None,
            fixers: Vec::new(),
            caches: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Names of steps of the same unit that come first; those the unit does not have are dropped.
    pub(super) fn needs(mut self, names: &'static [&'static str]) -> Self {
        self.needs = names;
        self
    }

    /// Lets it reach the network.
    pub(super) fn online(mut self) -> Self {
        self.network = Network::Full;
        self
    }

    /// What may repair it, after those already named.
    pub(super) fn fix(mut self, fixers: impl IntoIterator<Item = Fixer>) -> Self {
        self.fixers.extend(fixers);
        self
    }

    /// A folder carried into worktrees, relative to the unit.
    pub(super) fn cache(mut self, folder: Option<&str>) -> Self {
        self.caches.extend(folder.map(str::to_owned));
        self
    }

    /// One variable.
    pub(super) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }
}

/// A fixer without network; it is named by its command.
pub(super) fn fixer(run: impl Into<String>, kinds: &[FailureKind]) -> Fixer {
    let run = run.into();
    Fixer {
        name: run.clone(),
        command: CommandLine::Shell(run),
        kinds: kinds.iter().copied().collect(),
        network: Network::None,
    }
}

/// A fixer that may reach the network.
pub(super) fn online_fixer(run: impl Into<String>, kinds: &[FailureKind]) -> Fixer {
    Fixer { network: Network::Full, ..fixer(run, kinds) }
}

impl Draft {
    /// Whether it has anything beyond restoring dependencies.
    pub(super) fn is_useful(&self) -> bool {
        self.steps.iter().any(|step| step.stage != StageKind::Custom)
    }

    /// Whether it has a step of that stage.
    pub(super) fn claims(&self, stage: StageKind) -> bool {
        self.steps.iter().any(|step| step.stage == stage)
    }

    /// The unit, its steps named `prefix:name`, or `name` when the prefix is empty.
    pub(super) fn finish(self, prefix: &str) -> Unit {
        let Self { dir, toolchain, evidence, steps } = self;
        let named = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}:{name}") };
        let own: BTreeSet<String> = steps.iter().map(|step| step.name.clone()).collect();
        let stages = steps
            .into_iter()
            .map(|step| CommandStep {
                name: named(&step.name),
                stage: step.stage,
                command: CommandLine::Shell(step.run),
                dir: dir.clone(),
                needs: step.needs.iter().filter(|need| own.contains(**need)).map(|need| named(need)).collect(),
                env: step.env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
                env_pass: BTreeSet::new(),
                network: step.network,
                limits: Limits::DEFAULT,
                fixers: step.fixers,
                caches: step.caches.iter().map(|folder| join(&dir, folder)).collect(),
            })
            .collect();
        let evidence = evidence.iter().map(|file| join(&dir, file)).collect();
        Unit { dir, toolchain, evidence, stages }
    }
}

/// A text with everything a step name may not hold replaced by `-`, at most 60 characters, from its end.
pub(crate) fn safe_name(text: &str) -> String {
    let chars: Vec<char> =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_./".contains(c) { c } else { '-' }).collect();
    chars[chars.len().saturating_sub(60)..].iter().collect()
}
