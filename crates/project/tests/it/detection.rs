//! What is detected in each fixture, and that it can be written down and read back.

use std::fs;

use expect_test::{Expect, expect};
use mb_core::workflow::{Network, StepSpec};
use mb_project::{CONFIG_FILE, ConfigSource, detect, init_toml, load};

use crate::fixtures::{self, Tree, plant};

fn line(step: &StepSpec) -> String {
    let mut text = format!("  {} [{}] {}\n", step.name, step.stage, step.command.display());
    let list = |items: &std::collections::BTreeSet<String>| items.iter().cloned().collect::<Vec<_>>().join(", ");
    let online = if step.network == Network::Full { " online" } else { "" };
    let env: Vec<String> = step.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let facts = format!("needs({}) caches({}) env({}){online}", list(&step.needs), list(&step.caches), env.join(" "));
    text.push_str(&format!("      {facts}\n").replace(" needs()", "").replace(" caches()", "").replace(" env()", ""));
    for fix in &step.fixers {
        let kinds: Vec<&str> = fix.kinds.iter().map(|kind| kind.as_str()).collect();
        let online = if fix.network == Network::Full { " online" } else { "" };
        text.push_str(&format!("      fix [{}] {}{online}\n", kinds.join(" "), fix.command.display()));
    }
    text.replace("      \n", "")
}

fn check(tree: Tree, expected: &Expect) {
    let dir = plant(tree);
    let found = detect(dir.path());
    let mut text = String::new();
    for unit in &found.units {
        text.push_str(&format!("{:?} {} ({})\n", unit.dir, unit.toolchain, unit.evidence.join(", ")));
        unit.stages.iter().for_each(|step| text.push_str(&line(step)));
    }
    found.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    expected.assert_eq(&text);
}

#[test]
fn a_crate_without_dependencies_fetches_nothing() {
    check(fixtures::CARGO, &expect![[""]]);
}

#[test]
fn a_cargo_workspace_is_one_unit_and_what_it_excludes_another() {
    check(fixtures::CARGO_WORKSPACE, &expect![[""]]);
}

#[test]
fn npm_scripts() {
    check(fixtures::NPM, &expect![[""]]);
}

#[test]
fn npm_workspaces_are_folded() {
    check(fixtures::NPM_WORKSPACES, &expect![[""]]);
}

#[test]
fn pnpm_workspaces_are_folded() {
    check(fixtures::PNPM, &expect![[""]]);
}

#[test]
fn yarn_is_named_by_the_package_manager_field() {
    check(fixtures::YARN, &expect![[""]]);
}

#[test]
fn python_tools_are_those_the_project_names() {
    check(fixtures::PYTHON, &expect![[""]]);
}

#[test]
fn plain_python_scripts() {
    check(fixtures::PYTHON_PLAIN, &expect![[""]]);
}

#[test]
fn python_with_uv() {
    check(fixtures::PYTHON_UV, &expect![[""]]);
}

#[test]
fn go_modules() {
    check(fixtures::GO, &expect![[""]]);
}

#[test]
fn makefiles() {
    check(fixtures::MAKE, &expect![[""]]);
}

#[test]
fn cmake() {
    check(fixtures::CMAKE, &expect![[""]]);
}

#[test]
fn a_monorepo_has_a_unit_per_toolchain_and_folder() {
    check(fixtures::MONOREPO, &expect![[""]]);
}

#[test]
fn nothing_known_is_no_unit() {
    check(&[("README.md", "hello")], &expect![[""]]);
}

#[test]
fn a_virtual_environment_is_used_and_carried() {
    let dir = plant(&[("pytest.ini", ""), (".venv/bin/python", ""), (".gitignore", ".venv\n")]);
    let found = detect(dir.path());
    let test = found.steps().find(|step| step.name == "test").expect("a test step");
    assert_eq!(test.command.display(), ".venv/bin/python -m pytest -q");
    assert_eq!(test.caches.iter().collect::<Vec<_>>(), [".venv"]);
}

#[test]
fn the_written_file_loads_back_to_the_same_workflow() {
    for (name, tree) in fixtures::ALL {
        let dir = plant(tree);
        let detected = load(dir.path()).expect(name);
        assert_eq!(detected.source, ConfigSource::Detected, "{name}");
        let text = init_toml(&detect(dir.path()));
        assert_eq!(text, init_toml(&detect(dir.path())), "{name}: not stable");
        fs::write(dir.path().join(CONFIG_FILE), &text).expect("writes");
        let written = load(dir.path()).unwrap_or_else(|errors| panic!("{name}: {errors}\n{text}"));
        assert_eq!(written.workflow, detected.workflow, "{name}");
        assert_eq!(written.workflow.digest(), detected.workflow.digest(), "{name}");
        assert!(matches!(written.source, ConfigSource::File(_)), "{name}");
    }
}

#[test]
fn the_written_file_reads_well() {
    let dir = plant(fixtures::NPM_WORKSPACES);
    expect![[""]].assert_eq(&init_toml(&detect(dir.path())));
}

#[test]
fn an_empty_detection_still_shows_what_a_step_looks_like() {
    let dir = plant(&[("README.md", "")]);
    let text = init_toml(&detect(dir.path()));
    assert!(text.contains("# [steps.test]"), "{text}");
}

#[test]
fn links_out_of_the_project_are_not_read() {
    let outside = plant(&[("package.json", r#"{"scripts": {"test": "secret"}}"#)]);
    let dir = plant(&[("README.md", "")]);
    std::os::unix::fs::symlink(outside.path().join("package.json"), dir.path().join("package.json")).expect("links");
    assert_eq!(detect(dir.path()).units, []);
}

#[test]
fn units_are_bounded_and_the_rest_is_counted() {
    let names: Vec<String> = (0..60).map(|n| format!("m{n}/go.mod")).collect();
    let tree: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "module m\n")).collect();
    let dir = plant(&tree);
    let found = detect(dir.path());
    assert_eq!(found.units.len(), 50);
    assert_eq!(found.notes, ["10 more units were left out; at most 50 are taken"]);
    load(dir.path()).expect("still a valid workflow");
}

#[test]
fn deep_folders_are_not_entered() {
    let dir = plant(&[("1/2/3/4/5/6/go.mod", "module a\n"), ("1/2/3/4/5/x/7/go.mod", "module b\n")]);
    let dirs: Vec<String> = detect(dir.path()).units.into_iter().map(|unit| unit.dir).collect();
    assert_eq!(dirs, ["1/2/3/4/5/6"]);
}
