//! Every folder of `examples/` comes out as its `expected.toml` says, as a repository and without one, and the
//! project's own files stay as they were.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{World, copy, files};

macro_rules! examples {
    ($($test:ident $folder:literal,)*) => {
        $(#[test]
        fn $test() {
            check($folder);
        })*

        #[test]
        fn every_example_is_here() {
            let listed: BTreeSet<String> = [$($folder.to_owned(),)*].into();
            let entries = std::fs::read_dir(examples()).unwrap().map(Result::unwrap);
            let folders = entries.filter(|e| e.file_type().unwrap().is_dir()).map(|e| e.file_name().into_string().unwrap());
            assert_eq!(folders.collect::<BTreeSet<_>>(), listed);
        }
    };
}

examples! {
    broken_config "broken-config",
    c_make "c-make",
    javascript_missing_dependency "javascript-missing-dependency",
    javascript_test "javascript-test",
    monorepo "monorepo",
    python_flaky "python-flaky",
    python_lint "python-lint",
    python_missing_import "python-missing-import",
    rust_demo "rust-demo",
    rust_format "rust-format",
    timeout "timeout",
    typescript_type "typescript-type",
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// One word, or a list of which any will do.
fn one_of(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::Array(words) => words.iter().flat_map(one_of).collect(),
        word => vec![word.as_str().unwrap().to_owned()],
    }
}

/// The name in `MB_TEST_REQUIRE` under which `cargo xtask test` looks for a tool.
fn requirement(tool: &str) -> &str {
    match tool {
        "node" | "npm" => "node",
        "python3" => "python",
        "gcc" | "make" => "make",
        other => other,
    }
}

fn has(tool: &str) -> bool {
    let line = match tool {
        "cargo" => return true, // it runs this test
        "network" => ["npm", "ping"],
        tool => [tool, "--version"],
    };
    let mut command = Command::new(line[0]);
    command.arg(line[1]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether the machine has what the example needs. What `MB_TEST_REQUIRE` names must be there.
fn ready(folder: &str, expected: &toml::Table) -> bool {
    let required = std::env::var("MB_TEST_REQUIRE").unwrap_or_default();
    let missing: Vec<String> = one_of(&expected["needs"]).into_iter().filter(|tool| !has(tool)).collect();
    for tool in &missing {
        assert!(!required.split(',').any(|name| name.trim() == requirement(tool)), "{folder} needs {tool}");
        eprintln!("left out: example {folder} (needs {tool})");
    }
    missing.is_empty()
}

fn check(folder: &str) {
    let source = examples().join(folder);
    let expected: toml::Table = std::fs::read_to_string(source.join("expected.toml")).unwrap().parse().unwrap();
    if !ready(folder, &expected) {
        return;
    }
    for repository in [true, false] {
        let world = World::new();
        copy(&source, &world.project);
        if repository {
            world.git_init();
        }
        let before = files(&world.project);
        let ended = world.mb(&["run", "--json"]);
        assert_eq!(ended.code.map(i64::from), expected["exit_code"].as_integer(), "{}\n{}", ended.out, ended.err);
        let report = ended.json();
        compare(&report, &expected);
        assert_eq!(files(&world.project), before, "the project's files were touched");
        published(&world, &report, repository);
    }
}

fn compare(report: &Value, expected: &toml::Table) {
    let flaky = report["flaky"] == true && report["outcome"] == "passed";
    let outcome = if flaky { "flaky" } else { report["outcome"].as_str().unwrap() };
    assert!(one_of(&expected["outcome"]).contains(&outcome.to_owned()), "outcome {outcome}: {report:#}");
    let steps = report["steps"].as_array().unwrap();
    for (name, states) in expected["steps"].as_table().unwrap() {
        let step = steps.iter().find(|step| step["name"] == **name).unwrap_or_else(|| panic!("no step {name}"));
        let state = match (step["state"].as_str().unwrap(), step["how"].as_str().unwrap()) {
            ("succeeded", "clean") => "passed",
            ("succeeded", how) => how,
            (state, _) => state,
        };
        assert!(one_of(states).contains(&state.to_owned()), "step {name} is {state}: {report:#}");
    }
    let failures: Vec<&str> = steps.iter().filter_map(|step| step["failure"]["kind"].as_str()).collect();
    if outcome != "passed" {
        let kinds = one_of(&expected["failure_kind"]);
        let fits = !failures.is_empty() && failures.iter().all(|kind| kinds.contains(&(*kind).to_owned()));
        assert!(fits, "failure kinds {failures:?}: {report:#}");
    }
    let changes = report["changes"].as_array().unwrap().len();
    let tried = steps.iter().flat_map(|step| step["tried"].as_array().unwrap());
    let accepted =
        tried.filter(|tried| tried["verdict"] == "accepted").map(|tried| tried["strategy"].as_str().unwrap());
    let accepted: Vec<&str> = accepted.collect();
    match expected.get("strategy").map(one_of).filter(|_| outcome == "repaired") {
        Some(strategies) => {
            let fits = |used: &&str| strategies.iter().any(|s| used.split([' ', ':']).next() == Some(s));
            assert!(!accepted.is_empty() && accepted.iter().all(fits), "repaired by {accepted:?}");
        }
        None => assert_eq!((changes, accepted.len()), (0, 0), "something was changed: {report:#}"),
    }
}

/// The result is a branch in a repository, a patch file everywhere, and nothing when nothing was repaired.
fn published(world: &World, report: &Value, repository: bool) {
    let run = report["run"].as_str().unwrap();
    let repaired = report["outcome"] == "repaired";
    assert_eq!(world.data.join(format!("results/{run}.patch")).is_file(), repaired);
    assert_eq!(report["published"]["problem"], Value::Null);
    if !repository {
        return;
    }
    assert_eq!(world.git(&["status", "--porcelain"]), "");
    assert_eq!(world.git(&["branch", "--show-current"]).trim(), "main");
    let branch = world.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/meta-builder"]);
    assert_eq!(branch.trim(), if repaired { format!("meta-builder/{run}") } else { String::new() });
    assert_eq!(world.git(&["worktree", "list"]).lines().count(), 1);
}
