//! Steps, fixtures and projects for the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mb_core::failure::{ExitCause, Failure};
use mb_core::workflow::{CommandLine, Limits, Network, Shell, StageKind};
use mb_repair::{Edit, Files, Observed, Proposal, classify};

pub(crate) fn step(stage: StageKind, command: &str) -> Shell {
    Shell {
        stage,
        command: CommandLine::Shell(command.into()),
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

/// Output of a real tool, recorded in `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn observe(step: &Shell, exit: ExitCause, log: &str) -> Failure {
    classify(&Observed {
        name: step.stage.as_str(),
        step,
        exit,
        stdout: log,
        log,
        files: &[],
        detail: None,
        roots: &["/project"],
    })
}

/// A failure on a few lines.
pub(crate) fn shown(failure: &Failure) -> String {
    let tool = failure.tool.as_deref().unwrap_or("-");
    let mut out = format!("{} by {} of {tool}: {}\n", failure.kind, failure.signal, failure.summary);
    for d in failure.diagnostics.iter().take(4) {
        let place = d.position.as_ref().map_or("-".to_owned(), ToString::to_string);
        let _ = writeln!(out, "  {} {} [{}] {}", d.kind, place, d.rule, d.message);
    }
    for hint in &failure.hints {
        let _ = writeln!(out, "  {hint:?}");
    }
    if let Some(t) = failure.tests {
        let _ = writeln!(out, "  tests: {} passed, {} failed, {} skipped", t.passed, t.failed, t.skipped);
    }
    let lines: Vec<String> = failure.evidence.iter().map(|line| line.line.to_string()).collect();
    let _ = writeln!(out, "  lines: {}", lines.join(" "));
    out
}

/// Files in memory.
pub(crate) struct Project(pub(crate) BTreeMap<String, String>);

impl Project {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }
}

impl Files for Project {
    fn read(&self, path: &str) -> Option<String> {
        self.0.get(path).cloned()
    }

    fn list(&self, suffix: &str) -> Vec<String> {
        self.0.keys().filter(|path| path.ends_with(suffix)).cloned().collect()
    }
}

/// Proposals as titles, differences and commands.
pub(crate) fn proposed(proposals: &[Proposal], files: &dyn Files) -> String {
    let mut out = String::new();
    for proposal in proposals {
        let _ = writeln!(out, "* {}", proposal.title);
        for edit in &proposal.edits {
            let (path, new) = match edit {
                Edit::Write { path, content } => (path, content.as_str()),
                Edit::Delete { path } => (path, ""),
            };
            let old = files.read(path).unwrap_or_default();
            let (before, after): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
            let same = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
            let rest = before[same..].iter().rev().zip(after[same..].iter().rev()).take_while(|(a, b)| a == b).count();
            let _ = writeln!(out, "  {path}:{}", same + 1);
            before[same..before.len() - rest].iter().for_each(|line| out.push_str(&format!("  -{line}\n")));
            after[same..after.len() - rest].iter().for_each(|line| out.push_str(&format!("  +{line}\n")));
        }
        for command in &proposal.commands {
            let _ = writeln!(out, "  $ {} (network {})", command.argv.join(" "), command.network);
        }
    }
    out
}
