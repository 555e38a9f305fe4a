//! A Makefile: the targets people type, for the stages no other toolchain of the folder claims.
//!
//! `make format` usually rewrites files, so it is a fixer, never a check. Nested Makefiles count only when the
//! root has no unit: below a project they build documentation, images or parts of the outer one.

use std::collections::BTreeSet;

use mb_core::failure::FailureKind;
use mb_core::workflow::{Fixer, StageKind};

use super::draft::{Draft, Step, fixer};
use super::{Toolchain, is_below, native, project_dirs};
use crate::survey::Survey;

const NAMES: &[&str] = &["GNUmakefile", "Makefile", "makefile"];

pub(super) fn find(survey: &Survey, others: &[Draft]) -> Vec<Draft> {
    let root_is_taken = others.iter().any(|draft| draft.dir.is_empty() && draft.is_useful());
    let mut found: Vec<Draft> = Vec::new();
    for name in NAMES {
        for dir in project_dirs(survey, name) {
            let nested = found.iter().any(|draft| is_below(&dir, &draft.dir) || draft.dir == dir)
                || (root_is_taken && !dir.is_empty());
            if !nested {
                found.push(draft(survey, &dir, name, others));
            }
        }
    }
    found
}

fn draft(survey: &Survey, dir: &str, name: &str, others: &[Draft]) -> Draft {
    let targets = targets(&survey.text(dir, name));
    let beside: Vec<&Draft> = others.iter().filter(|draft| draft.dir == dir && draft.is_useful()).collect();
    let mut steps = steps(&targets, beside.is_empty());
    if !steps.iter().any(|step| step.stage == StageKind::Format) {
        steps.extend(native::format_step(survey, dir));
    }
    steps.retain(|step| !beside.iter().any(|draft| draft.claims(step.stage)));
    Draft { dir: dir.to_owned(), toolchain: Toolchain::Make, evidence: vec![name.to_owned()], steps }
}

/// The steps of a Makefile. `alone` says that no other toolchain builds this folder, so that the default target
/// is what builds it.
fn steps(targets: &Targets, alone: bool) -> Vec<Step> {
    let has = |name: &&str| targets.names.contains(*name);
    let pick = |names: &[&'static str]| names.iter().copied().find(|name| has(name));
    let reformat: Vec<Fixer> = pick(&["format", "fmt"])
        .map(|target| fixer(format!("make {target}"), &[FailureKind::Format]))
        .into_iter()
        .collect();
    let mut steps = Vec::new();
    if let Some(target) = pick(&["format-check", "check-format", "fmt-check", "check-fmt", "format_check"]) {
        steps.push(Step::new("format", StageKind::Format, format!("make {target}")).fix(reformat.clone()));
    }
    if let Some(target) = pick(&["lint"]) {
        steps.push(Step::new("lint", StageKind::Lint, format!("make {target}")).fix(reformat));
    }
    if let Some(target) = pick(&["typecheck", "type-check", "types"]) {
        steps.push(Step::new("typecheck", StageKind::Typecheck, format!("make {target}")));
    }
    let default = || targets.first.as_deref().filter(|first| alone && builds(first));
    match (pick(&["build", "all"]), default()) {
        (Some(target), _) => steps.push(Step::new("build", StageKind::Build, format!("make {target}"))),
        (None, Some(_)) => steps.push(Step::new("build", StageKind::Build, "make")),
        (None, None) => {}
    }
    // In the GNU world `check` runs the tests; beside `test` it is an alias or a linter we cannot tell apart.
    if let Some(target) = pick(&["test", "tests", "check"]) {
        steps.push(Step::new("test", StageKind::Test, format!("make {target}")).needs(&["build"]));
    }
    steps
}

/// Whether a default target looks like a product rather than a chore.
fn builds(target: &str) -> bool {
    const CHORES: &[&str] = &[
        "help", "clean", "install", "lint", "format", "fmt", "test", "tests", "check", "run", "dev", "deploy",
        "default",
    ];
    !CHORES.contains(&target)
}

/// What a Makefile can make.
struct Targets {
    /// The default target.
    first: Option<String>,
    /// Every explicit target.
    names: BTreeSet<String>,
}

/// Reads the rule lines of a Makefile: unindented, not an assignment, not a pattern, not a special target.
fn targets(text: &str) -> Targets {
    let mut found = Targets { first: None, names: BTreeSet::new() };
    for line in text.lines().filter(|line| !line.starts_with(['\t', ' ', '#', '.'])) {
        let Some((names, rest)) = line.split_once(':') else { continue };
        let assignment = names.contains('=') || rest.starts_with('=') || rest.starts_with(":=");
        if assignment || names.contains(['%', '$', '(']) {
            continue;
        }
        for name in names.split_whitespace() {
            found.first.get_or_insert_with(|| name.to_owned());
            found.names.insert(name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_from_assignments_and_patterns() {
        let text =
            "CC := gcc\nX = a:b\nY ::= 2\n.PHONY: all\nall lint: prog\n\techo a: b\n%.o: %.c\n$(OUT): x\ntest::\n";
        let found = targets(text);
        assert_eq!(found.first.as_deref(), Some("all"));
        assert_eq!(found.names.iter().map(String::as_str).collect::<Vec<_>>(), ["all", "lint", "test"]);
    }
}
