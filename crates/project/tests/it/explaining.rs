//! Where values come from.

use std::collections::BTreeMap;
use std::path::Path;

use expect_test::{Expect, expect};
use mb_project::{CONFIG_FILE, explain, for_command, load};

use crate::fixtures::{self, plant};

fn check(dir: &Path, key: Option<&str>, expected: &Expect) {
    let env = BTreeMap::from([("MB_BUDGET_TIME".to_owned(), "45m".to_owned())]);
    let text = match explain(dir, &env, key) {
        Ok(values) => values.iter().map(|v| format!("{} = {:?} ({})\n", v.key, v.value, v.source)).collect(),
        Err(errors) => format!("{errors}\n"),
    };
    let root = dir.canonicalize().expect("a folder");
    expected.assert_eq(&text.replace(&format!("{}/", root.display()), ""));
}

#[test]
fn every_layer_is_named() {
    let text = "[budget]\nattempts = 3\n[defaults]\ntimeout = \"5m\"\n[steps.test]\nrun = \"cargo test\"\nmemory = \"1GiB\"\n\
                [[steps.test.fix]]\nrun = \"cargo fix\"\n";
    let dir = plant(&[(CONFIG_FILE, text)]);
    check(
        dir.path(),
        None,
        &expect![[r#"
            version = "1" (default)
            name = "build" (default)
            budget.time = "45m" (MB_BUDGET_TIME)
            budget.cost_usd = "10.0" (default)
            budget.attempts = "3" (meta-builder.toml:2)
            repair.enabled = "true" (default)
            repair.allow = "" (default)
            repair.deny = ".git/, .gitattributes, .gitmodules, .env, .env.*, *.pem, *.key, id_rsa*, secrets/, .github/, .gitlab-ci.yml, .circleci/, meta-builder.toml" (default)
            repair.patch_max = "10MiB" (default)
            secrets.pass = "" (default)
            secrets.redact = "" (default)
            defaults.timeout = "5m" (meta-builder.toml:4)
            defaults.grace = "10s" (default)
            defaults.output = "64MiB" (default)
            defaults.memory = "8GiB" (default)
            defaults.pids = "4096" (default)
            defaults.disk = "10GiB" (default)
            defaults.network = "none" (default)
            steps.test.run = "cargo test" (meta-builder.toml:6)
            steps.test.stage = "test" (detected from the step's name)
            steps.test.dir = "" (default)
            steps.test.needs = "" (default)
            steps.test.pass = "" (default)
            steps.test.timeout = "5m" (meta-builder.toml:4)
            steps.test.grace = "10s" (default)
            steps.test.output = "64MiB" (default)
            steps.test.memory = "1GiB" (meta-builder.toml:7)
            steps.test.pids = "4096" (default)
            steps.test.disk = "10GiB" (default)
            steps.test.network = "none" (default)
            steps.test.caches = "" (default)
            steps.test.fix = "cargo fix" (meta-builder.toml:8)
        "#]],
    );
}

#[test]
fn detected_values_name_their_evidence() {
    let dir = plant(fixtures::GO);
    check(
        dir.path(),
        Some("steps.lint"),
        &expect![[r#"
        steps.lint.run = "go vet ./..." (detected from go.mod, go.sum)
        steps.lint.stage = "lint" (detected from go.mod, go.sum)
        steps.lint.dir = "" (detected from go.mod, go.sum)
        steps.lint.needs = "fetch" (detected from go.mod, go.sum)
        steps.lint.caches = "" (detected from go.mod, go.sum)
        steps.lint.fix = "" (detected from go.mod, go.sum)
        steps.lint.network = "none" (detected from go.mod, go.sum)
        steps.lint.pass = "" (default)
        steps.lint.timeout = "30m" (default)
        steps.lint.grace = "10s" (default)
        steps.lint.output = "64MiB" (default)
        steps.lint.memory = "8GiB" (default)
        steps.lint.pids = "4096" (default)
        steps.lint.disk = "10GiB" (default)
    "#]],
    );
    check(
        dir.path(),
        Some("steps.test.timeout"),
        &expect![[r#"
        steps.test.timeout = "30m" (default)
    "#]],
    );
    check(
        dir.path(),
        Some("steps.tset.timeout"),
        &expect![[r#"
        request: there is no setting `steps.tset.timeout`; did you mean `steps.test.timeout`?
    "#]],
    );
}

#[test]
fn a_folder_without_project_still_has_its_settings() {
    let dir = plant(&[]);
    check(
        dir.path(),
        Some("budget"),
        &expect![[r#"
        budget.time = "45m" (MB_BUDGET_TIME)
        budget.cost_usd = "10.0" (default)
        budget.attempts = "10" (default)
    "#]],
    );
}

#[test]
fn every_step_of_a_workflow_is_explained_once() {
    for (name, tree) in fixtures::ALL {
        let dir = plant(tree);
        let loaded = load(dir.path()).expect(name);
        for step in &loaded.workflow.steps {
            let key = format!("steps.{}.run", step.name);
            assert_eq!(loaded.values.iter().filter(|value| value.key == key).count(), 1, "{name}: {key}");
        }
    }
    let dir = plant(fixtures::GO);
    let loaded = for_command(dir.path(), &["true".to_owned()]).unwrap();
    let runs: Vec<&str> = loaded.values.iter().filter(|v| v.key.ends_with(".run")).map(|v| v.value.as_str()).collect();
    assert_eq!(runs, ["true"]);
}
