//! Bringing a lock file back in step with its manifest, by the package manager's own command.

use mb_core::failure::{Failure, Hint};
use mb_core::workflow::{Network, Shell};

use super::{Command, Files, Proposal};

/// Ecosystem, lock file, and the commands worth trying, the most careful first.
type Refresh = (&'static str, &'static str, &'static [(&'static str, Network)]);

const REFRESHES: &[Refresh] = &[
    (
        "cargo",
        "Cargo.lock",
        &[
            ("cargo update --workspace --offline", Network::None),
            ("cargo update --workspace", Network::Full),
            ("cargo generate-lockfile", Network::Full),
        ],
    ),
    (
        "npm",
        "package-lock.json",
        &[("npm install --package-lock-only --ignore-scripts --no-audit --no-fund", Network::Full)],
    ),
    ("pnpm", "pnpm-lock.yaml", &[("pnpm install --lockfile-only --no-frozen-lockfile", Network::Full)]),
    (
        "yarn",
        "yarn.lock",
        &[("yarn install --mode=update-lockfile", Network::Full), ("yarn install --ignore-scripts", Network::Full)],
    ),
    ("poetry", "poetry.lock", &[("poetry lock --no-update", Network::Full), ("poetry lock", Network::Full)]),
    ("uv", "uv.lock", &[("uv lock --offline", Network::None), ("uv lock", Network::Full)]),
    ("bundler", "Gemfile.lock", &[("bundle lock", Network::Full)]),
    ("go", "go.sum", &[("go mod tidy", Network::Full)]),
];

pub(crate) fn propose(failure: &Failure, step: &Shell, files: &dyn Files) -> Vec<Proposal> {
    let stale = failure.hints.iter().filter_map(|hint| match hint {
        Hint::StaleLock { ecosystem } => Some(ecosystem.as_str()),
        _ => None,
    });
    stale.flat_map(|ecosystem| refresh(ecosystem, &step.dir, files)).collect()
}

/// The refreshes of an ecosystem, in the step's folder if its lock file (or manifest) is there, else in the root.
pub(crate) fn refresh(ecosystem: &str, dir: &str, files: &dyn Files) -> Vec<Proposal> {
    let Some((_, lock, commands)) = REFRESHES.iter().find(|(name, ..)| *name == ecosystem) else { return Vec::new() };
    let here = dir.is_empty() || files.read(&format!("{dir}/{lock}")).is_some();
    let dir = if here || files.read(lock).is_none() { dir } else { "" };
    commands.iter().map(|(line, network)| Proposal::command(Command::new(line, dir, *network))).collect()
}
