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
    let root = dir.canonicalize().unwrap();
    expected.assert_eq(&text.replace(&format!("{}/", root.display()), ""));
}

#[test]
fn every_layer_is_named() {
    let text = "[budget]\nattempts = 3\n[defaults]\ntimeout = \"5m\"\n[steps.test]\nrun = \"cargo test\"\nmemory = \"1GiB\"\n\
                [[steps.test.fix]]\nrun = \"cargo fix\"\n";
    let dir = plant(&[(CONFIG_FILE, text)]);
    check(dir.path(), None, &expect![[""]]);
}

#[test]
fn detected_values_name_their_evidence() {
    let dir = plant(fixtures::GO);
    check(dir.path(), Some("steps.lint"), &expect![[""]]);
    check(dir.path(), Some("steps.test.timeout"), &expect![[""]]);
    check(dir.path(), Some("steps.tset.timeout"), &expect![[""]]);
}

#[test]
fn a_folder_without_project_still_has_its_settings() {
    let dir = plant(&[]);
    check(dir.path(), Some("budget"), &expect![[""]]);
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
