//! Every example says what is wrong with it and what must come out, in words that mean something.
//!
//! The format is explained in `examples/README.md`. Whether it really comes out that way is for the tests of
//! the command line; this rule sees to it that they can read it.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{File, Problem, Tree};

const DIR: &str = "examples/";
/// Keys of `expected.toml`. The first three must be there.
const KEYS: &[&str] = &["outcome", "exit_code", "steps", "needs", "failure_kind", "strategy"];
const KEYS_REQUIRED: usize = 3;
/// How a run may end.
const OUTCOMES: &[&str] = &["passed", "repaired", "flaky", "failed"];
/// How a step may end.
const STATES: &[&str] = &["passed", "repaired", "flaky", "failed", "skipped"];
/// What a machine must have for an example to be run.
const NEEDS: &[&str] =
    &["cargo", "rustfmt", "clippy", "python3", "pytest", "ruff", "node", "npm", "gcc", "make", "network"];

/// Each example has a README and an `expected.toml` that can be read, and is listed in `examples/README.md`.
pub(super) fn complete(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in names(tree) {
        let Some(expected) = tree.get(&format!("{DIR}{name}/expected.toml")) else {
            problems.push(missing(tree, name, "expected.toml"));
            continue;
        };
        if tree.get(&format!("{DIR}{name}/README.md")).is_none() {
            problems.push(missing(tree, name, "README.md"));
        }
        let config = tree.get(&format!("{DIR}{name}/meta-builder.toml"));
        let index = tree.get(&format!("{DIR}README.md")).map_or("", |file| file.text.as_str());
        let mut wrong = wrong_in(&expected.text, config.map(|file| file.text.as_str()));
        if !index.contains(&format!("[{name}]({name}/)")) {
            wrong.push(format!("examples/README.md has no link [{name}]({name}/)"));
        }
        let mend = "see examples/README.md for the format";
        problems.extend(wrong.into_iter().map(|what| Problem::new(expected, 1, what, mend)));
    }
    problems
}

fn names(tree: &Tree) -> BTreeSet<&str> {
    let inside = tree.files.iter().filter_map(|file| file.path.strip_prefix(DIR));
    inside.filter_map(|path| path.split_once('/').map(|(name, _)| name)).collect()
}

fn missing(tree: &Tree, name: &str, what: &str) -> Problem {
    let inside = |file: &&File| file.path.starts_with(&format!("{DIR}{name}/"));
    let file = tree.files.iter().find(inside).expect("the name was taken from a file");
    Problem::new(file, 1, format!("example {name} has no {what}"), format!("write {DIR}{name}/{what}"))
}

/// Everything wrong with one `expected.toml`, given its `meta-builder.toml` if it has one.
fn wrong_in(expected: &str, config: Option<&str>) -> Vec<String> {
    let table: Table = match expected.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("not valid TOML: {}", toml::de::Error::message(&error))],
    };
    let mut wrong = Vec::new();
    wrong.extend(table.keys().filter(|key| !KEYS.contains(&key.as_str())).map(|key| format!("unknown key {key}")));
    let absent = KEYS[..KEYS_REQUIRED].iter().filter(|key| !table.contains_key(**key));
    wrong.extend(absent.map(|key| format!("no {key}")));
    wrong.extend(unknown("outcome", &words(table.get("outcome")), OUTCOMES));
    wrong.extend(unknown("need", &words(table.get("needs")), NEEDS));
    let steps = table.get("steps").and_then(Value::as_table).cloned().unwrap_or_default();
    for state in steps.values() {
        wrong.extend(unknown("state", &words(Some(state)), STATES));
    }
    if let Some(known) = config.and_then(steps_of) {
        let strange = steps.keys().filter(|step| !known.contains(*step));
        wrong.extend(strange.map(|step| format!("step {step} is not in meta-builder.toml")));
    }
    wrong
}

/// One word, or a list of them where chance or the machine decides.
fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(list)) => list.iter().map(|word| word.as_str().unwrap_or("not a word").to_owned()).collect(),
        Some(word) => vec![word.as_str().unwrap_or("not a word").to_owned()],
        None => Vec::new(),
    }
}

fn unknown(what: &str, words: &[String], known: &[&str]) -> Vec<String> {
    let strange = words.iter().filter(|word| !known.contains(&word.as_str()));
    strange.map(|word| format!("{what} {word:?} is not one of {}", known.join(", "))).collect()
}

/// The names of the steps, or nothing where the configuration is meant to be broken.
fn steps_of(config: &str) -> Option<BTreeSet<String>> {
    let table: Table = config.parse().ok()?;
    Some(table.get("steps")?.as_table()?.keys().cloned().collect())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;
    use super::*;

    #[test]
    fn an_example_is_complete() {
        check(
            complete,
            &[
                ("examples/README.md", "- [good](good/)\n- [bad](bad/)"),
                ("examples/good/README.md", "x"),
                (
                    "examples/good/expected.toml",
                    "outcome = [\"flaky\", \"passed\"]\nexit_code = 0\nneeds = [\"cargo\"]\n[steps]\ntest = \"passed\"",
                ),
                ("examples/good/meta-builder.toml", "[steps.test]\nrun = \"x\""),
                ("examples/bare/a.c", "x"),
                ("examples/unlisted/expected.toml", "outcome = \"failed\"\nexit_code = 1\nsteps = {}"),
                (
                    "examples/bad/expected.toml",
                    "outcome = \"mended\"\nneeds = [\"rust\"]\nkind = 1\n[steps]\nbuild = \"ok\"",
                ),
                ("examples/bad/README.md", "x"),
                ("examples/bad/meta-builder.toml", "[steps.test]\nrun = \"x\""),
            ],
            &expect![[r#"
                examples/bad/expected.toml:1: unknown key kind; mend: see examples/README.md for the format
                examples/bad/expected.toml:1: no exit_code; mend: see examples/README.md for the format
                examples/bad/expected.toml:1: outcome "mended" is not one of passed, repaired, flaky, failed; mend: see examples/README.md for the format
                examples/bad/expected.toml:1: need "rust" is not one of cargo, rustfmt, clippy, python3, pytest, ruff, node, npm, gcc, make, network; mend: see examples/README.md for the format
                examples/bad/expected.toml:1: state "ok" is not one of passed, repaired, flaky, failed, skipped; mend: see examples/README.md for the format
                examples/bad/expected.toml:1: step build is not in meta-builder.toml; mend: see examples/README.md for the format
                examples/bare/a.c:1: example bare has no expected.toml; mend: write examples/bare/expected.toml
                examples/unlisted/expected.toml:1: example unlisted has no README.md; mend: write examples/unlisted/README.md
                examples/unlisted/expected.toml:1: examples/README.md has no link [unlisted](unlisted/); mend: see examples/README.md for the format
            "#]],
        );
    }
}
