//! Which toolchains a repository uses, and what their users would run.
//!
//! A unit is one toolchain in one folder. Members of a Cargo or npm workspace are not units of their own, and
//! folders of samples and test data are not searched: what lies there is material of the tests, often broken on
//! purpose. Every toolchain's knowledge is one file here; this one only names, orders and bounds.
//!
//! Deliberately absent: security scanners nobody configured, and any step whose tool the repository does not
//! mention. A step that fails because of a guess of ours is worse than a missing one.

mod cargo;
mod draft;
mod go;
mod make;
mod native;
mod node;
mod python;
mod venv;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use crate::step::CommandStep;
use mb_core::workflow::STEPS_MAX;
use serde::Serialize;

use crate::survey::{Survey, depth, relative};
use draft::Draft;
pub(crate) use draft::safe_name;

/// Units one repository may have; the rest are counted in a note.
const UNITS_MAX: usize = 50;

/// Notes kept, the most important first.
const NOTES_MAX: usize = 20;

/// Manifests of one kind that are looked at; more than any repository's own, fewer than hurt.
const MANIFESTS_MAX: usize = 1_000;

/// Folders whose manifests are samples or copies, not projects of this repository.
const SAMPLES: &[&str] = &[
    "tests",
    "test",
    "testdata",
    "test-data",
    "test_data",
    "fixtures",
    "__fixtures__",
    "__tests__",
    "examples",
    "example",
    "samples",
    "templates",
    "template",
    "vendor",
    "third_party",
    "third-party",
    "benches",
    "fuzz",
];

/// A family of tools that builds a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Toolchain {
    /// Rust with Cargo.
    Cargo,
    /// JavaScript with npm.
    Npm,
    /// JavaScript with pnpm.
    Pnpm,
    /// JavaScript with Yarn.
    Yarn,
    /// Python.
    Python,
    /// Go modules.
    Go,
    /// CMake.
    CMake,
    /// A Makefile.
    Make,
}

impl Toolchain {
    /// The word used in step names and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Python => "python",
            Self::Go => "go",
            Self::CMake => "cmake",
            Self::Make => "make",
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One toolchain in one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unit {
    /// Folder relative to the root with `/`; empty for the root.
    pub dir: String,
    /// The tools.
    pub toolchain: Toolchain,
    /// The files that gave it away, relative to the root, most telling first.
    pub evidence: Vec<String>,
    /// Its steps with commands, fixers, caches and network, in an order in which each comes after its needs.
    pub stages: Vec<CommandStep>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Detection {
    /// The units, outer folders first.
    pub units: Vec<Unit>,
    /// What a person should know: what was left out, what could not be read.
    pub notes: Vec<String>,
}

impl Detection {
    /// Every step of every unit.
    pub fn steps(&self) -> impl Iterator<Item = &CommandStep> {
        self.units.iter().flat_map(|unit| &unit.stages)
    }
}

/// Finds the toolchains of the repository at `root`. Reads files only; a folder without anything known, or one
/// that cannot be read, gives no units and says so in the notes.
pub fn detect(root: &Path) -> Detection {
    let mut survey = Survey::take(root);
    let mut notes = std::mem::take(&mut survey.notes);
    let mut drafts = cargo::find(&survey, &mut notes);
    drafts.extend(node::find(&survey, &mut notes));
    drafts.extend(go::find(&survey));
    drafts.extend(python::find(&survey, &drafts, &mut notes));
    drafts.extend(native::find(&survey));
    drafts.extend(make::find(&survey, &drafts));
    drafts.retain(Draft::is_useful);
    drafts.sort_by_cached_key(|draft| (depth(&draft.dir), draft.dir.clone(), draft.toolchain));
    bound(&mut drafts, &mut notes);
    if notes.len() > NOTES_MAX {
        let more = notes.len() - NOTES_MAX;
        notes.truncate(NOTES_MAX);
        notes.push(format!("{more} more notes were left out"));
    }
    Detection { units: finish(drafts), notes }
}

fn bound(drafts: &mut Vec<Draft>, notes: &mut Vec<String>) {
    let mut steps = 0;
    let fits = drafts.iter().take(UNITS_MAX).take_while(|draft| {
        steps += draft.steps.len();
        steps <= STEPS_MAX
    });
    let kept = fits.count();
    if kept < drafts.len() {
        notes.insert(0, format!("{} more units were left out; at most {UNITS_MAX} are taken", drafts.len() - kept));
        drafts.truncate(kept);
    }
}

/// Gives each unit its prefix and turns drafts into steps. A prefix is the folder; a second toolchain in the same
/// folder adds its own name, so `test` is the first one's and `npm:test` the second's.
fn finish(drafts: Vec<Draft>) -> Vec<Unit> {
    let mut taken = BTreeSet::new();
    drafts
        .into_iter()
        .map(|draft| {
            let folder = safe_name(&draft.dir);
            let word = draft.toolchain.as_str();
            let second = if folder.is_empty() { word.to_owned() } else { format!("{folder}:{word}") };
            let numbered = (2..).map(|n| format!("{second}-{n}"));
            let prefix = [folder, second.clone()]
                .into_iter()
                .chain(numbered)
                .find(|prefix| taken.insert(prefix.clone()))
                .expect("an endless series has a free name");
            draft.finish(&prefix)
        })
        .collect()
}

/// Whether a folder is one of samples, test data or copies.
fn is_sample(dir: &str) -> bool {
    dir.split('/').any(|part| SAMPLES.contains(&part))
}

/// The folders that have `name` and are not samples, parents before children.
fn project_dirs(survey: &Survey, name: &str) -> Vec<String> {
    survey.dirs_with(name).into_iter().filter(|dir| !is_sample(dir)).take(MANIFESTS_MAX).collect()
}

/// Whether `dir` lies strictly below `parent`.
fn is_below(dir: &str, parent: &str) -> bool {
    dir != parent && relative(dir, parent).is_some()
}

/// Whether a workspace pattern (`packages/*`, `crates/**`, `a/b`) names `path`. Both are relative to the workspace.
fn glob_matches(pattern: &str, path: &str) -> bool {
    let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
    let mut builder = ignore::gitignore::GitignoreBuilder::new("");
    let added = builder.add_line(None, &format!("/{pattern}")).is_ok();
    added && builder.build().is_ok_and(|globs| globs.matched(path, true).is_ignore())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspace_patterns() {
        for (pattern, path, expected) in [
            ("packages/*", "packages/a", true),
            ("./packages/*/", "packages/a", true),
            ("packages/*", "packages/a/b", false),
            ("packages/**", "packages/a/b", true),
            ("a/b", "a/b", true),
            ("a/b", "x/a/b", false),
        ] {
            assert_eq!(glob_matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
