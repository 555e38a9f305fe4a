//! The virtual environment of a Python project that has neither one nor a manager's lock file: which command makes
//! it and what goes into it.
//!
//! A fresh clone has no environment, and the host's `python3` has whatever happens to lie there, so the project's
//! own folder `.venv` is made in the run's private copy of the files, as `python3 -m venv` and pip would by hand.
//! Optional lists (extras, dependency groups) are installed when they are for tests or name a tool that a step runs.
//!
//! Deliberately absent: versions of our own choosing, and what tox or nox would install; only declared lists are read.

use toml::{Table, Value};

use super::python::Project;
use crate::survey::Survey;

/// The folder, relative to the unit.
pub(super) const FOLDER: &str = ".venv";
/// Lists that are for testing, the narrower first; one of them is taken.
const TEST_LISTS: &[&str] = &["test", "tests", "testing", "dev"];
/// Requirement files beside the runtime ones, the narrower first; one of them is taken.
const TEST_FILES: &[&str] = &[
    "requirements-test.txt",
    "requirements-tests.txt",
    "requirements_test.txt",
    "test-requirements.txt",
    "requirements/test.txt",
    "requirements/tests.txt",
    "requirements/testing.txt",
    "requirements-dev.txt",
    "requirements_dev.txt",
    "dev-requirements.txt",
    "requirements/dev.txt",
];
/// Lists installed at most.
const LISTS_MAX: usize = 8;

/// What is installed besides the tools.
#[derive(Default)]
struct Wanted {
    extras: Vec<String>,
    groups: Vec<String>,
    files: Vec<&'static str>,
}

/// The command that makes the environment, with `tools` in it.
pub(super) fn command(project: &Project<'_>, tools: &[&str]) -> String {
    let wanted = Wanted::of(project, tools);
    let pip = format!("{FOLDER}/bin/python -m pip install -q --disable-pip-version-check");
    let make = format!("(test -x {FOLDER}/bin/python || python3 -m venv {FOLDER})");
    // Dependency groups need pip 25.1, which is newer than what most Pythons bring.
    let newer = if wanted.groups.is_empty() { String::new() } else { format!("{pip} -U pip && ") };
    let mut words = Vec::new();
    if project.is_installable() {
        let extras = wanted.extras.join(",");
        words.push(if extras.is_empty() { "-e .".to_owned() } else { format!("-e '.[{extras}]'") });
    }
    words.extend(wanted.groups.iter().map(|group| format!("--group {group}")));
    words.extend(wanted.files.iter().map(|file| format!("-r {file}")));
    words.extend(tools.iter().map(|tool| (*tool).to_owned()));
    format!("{make} && {newer}{pip} {}", words.join(" "))
}

/// Whether the project has requirement files that are installed.
pub(super) fn has_requirements(survey: &Survey, dir: &str) -> bool {
    !files(survey, dir).is_empty()
}

fn files(survey: &Survey, dir: &str) -> Vec<&'static str> {
    let filled = |file: &str| {
        let text = survey.text(dir, file);
        text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#'))
    };
    let runtime = ["requirements.txt"].into_iter().filter(|file| filled(file));
    let tests = TEST_FILES.iter().copied().find(|file| filled(file));
    runtime.chain(tests).collect()
}

impl Wanted {
    fn of(project: &Project<'_>, tools: &[&str]) -> Self {
        let pyproject = project.pyproject();
        let extras = pyproject.get("project").and_then(|project| project.get("optional-dependencies"));
        let extras = lists(extras.and_then(Value::as_table));
        let groups = lists(pyproject.get("dependency-groups").and_then(Value::as_table));
        let mut missing: Vec<&str> = tools.to_vec();
        let mut wanted = Self {
            groups: chosen(&groups, &mut missing),
            files: files(project.survey(), project.dir()),
            ..Self::default()
        };
        if project.is_installable() {
            wanted.extras = chosen(&extras, &mut missing);
        }
        wanted
    }
}

/// A list's name and the distributions it names, in lower case.
type List = (String, Vec<String>);

fn lists(table: Option<&Table>) -> Vec<List> {
    let plain = |name: &&String| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let table = table.into_iter().flatten().filter(|(name, _)| plain(name));
    table.map(|(name, list)| (name.clone(), distributions(list))).collect()
}

fn distributions(list: &Value) -> Vec<String> {
    let entries = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    let name = |entry: &str| {
        entry.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).next().map(str::to_lowercase)
    };
    entries.filter_map(name).collect()
}

/// The list for tests, and for each tool that is still missing the smallest list that names it.
fn chosen(lists: &[List], missing: &mut Vec<&str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut take = |(name, holds): &List, missing: &mut Vec<&str>| {
        names.push(name.clone());
        missing.retain(|tool| !holds.iter().any(|held| held == tool));
    };
    if let Some(list) = TEST_LISTS.iter().find_map(|name| lists.iter().find(|list| list.0 == *name)) {
        take(list, missing);
    }
    for _ in 0..LISTS_MAX {
        let names = |list: &&List, tool: &str| list.1.iter().any(|held| held == tool);
        let smallest = |tool: &&str| lists.iter().filter(|list| names(list, tool)).min_by_key(|list| list.1.len());
        let next = missing.iter().find_map(smallest);
        let Some(list) = next else { break };
        take(list, missing);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_for_tests_and_for_tools() {
        let check = |toml: &str, tools: &[&str], expected: &[&str]| {
            let table: Table = toml.parse().expect("TOML");
            assert_eq!(chosen(&lists(Some(&table)), &mut tools.to_vec()), expected, "{toml}");
        };
        check("dev = ['ruff']\ntests = ['pytest>=7']\ndocs = ['sphinx']", &["pytest", "ruff"], &["tests", "dev"]);
        check("all = ['ruff >= 1', 'pytest[x]']\ndocs = []", &["pytest"], &["all"]);
        check("docs = ['sphinx']", &["pytest"], &[]);
        check("test = [{ include-group = 'x' }, 'a']\n'b; rm' = ['pytest']", &["pytest"], &["test"]);
    }
}
