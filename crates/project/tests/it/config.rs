//! Reading `meta-builder.toml`: what it can say and every way it can be wrong.

use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};
use mb_core::workflow::{CommandLine, Network, StageKind};
use mb_project::{CONFIG_FILE, ConfigErrors, ConfigSource, Flag, Layers, Place, Problem, load, load_with};
use proptest::prelude::*;

use crate::fixtures::{self, plant};

fn wrong(dir: &Path, errors: &ConfigErrors) -> String {
    let dir = dir.canonicalize().expect("a folder");
    let lines = errors.0.iter().map(|error| format!("{error}\n  -> {}\n", error.mend()));
    lines.collect::<String>().replace(&format!("{}/", dir.display()), "").replace(&dir.display().to_string(), ".")
}

fn check_wrong(text: &str, expected: &Expect) {
    check_wrong_bytes(text.as_bytes(), expected);
}

fn check_wrong_bytes(bytes: &[u8], expected: &Expect) {
    let dir = plant(&[]);
    fs::write(dir.path().join(CONFIG_FILE), bytes).expect("writes");
    let errors = load(dir.path()).expect_err("the file is wrong");
    expected.assert_eq(&wrong(dir.path(), &errors));
}

const FULL: &str = r#"
version = 1
name = "ship"

[budget]
time = "1h30m"
cost_usd = 2.5
attempts = 3

[repair]
enabled = false
allow = ["src/"]
deny = ["*.lock"]
patch_max = "1MB"

[secrets]
pass = ["NPM_TOKEN"]
redact = ["tok_[a-z]+"]

[defaults]
timeout = "5m"
memory = "2GiB"

[steps.build]
run = ["make", "all"]
dir = "./native/"
caches = ["native/out/"]

[steps."web:check"]
stage = "lint"
run = "npm run check"
needs = ["build"]
env = { CI = "true" }
pass = ["HOME"]
network = "full"
timeout = "90s"

[[steps."web:check".fix]]
run = "npm run fix"
kinds = ["lint", "format"]
"#;

#[test]
fn a_full_file() {
    let dir = plant(&[(CONFIG_FILE, FULL)]);
    let loaded = load(dir.path()).expect("a valid file");
    let workflow = &loaded.workflow;
    assert_eq!(loaded.source, ConfigSource::File(dir.path().canonicalize().unwrap().join(CONFIG_FILE)));
    assert_eq!((workflow.name.as_str(), workflow.redact.as_slice()), ("ship", ["tok_[a-z]+".to_owned()].as_slice()));
    assert_eq!(
        (workflow.budget.time_ms, workflow.budget.cost_microusd.0, workflow.budget.attempts),
        (5_400_000, 2_500_000, 3)
    );
    assert_eq!(workflow.repair.deny, [".git/", "*.lock"]);
    assert_eq!((workflow.repair.enabled, workflow.repair.patch_bytes_max), (false, 1_000_000));
    let build = fixtures::command(workflow.step("build").unwrap().clone());
    assert_eq!(build.command, CommandLine::Argv(vec!["make".into(), "all".into()]));
    assert_eq!((build.stage, build.dir.as_str(), build.network), (StageKind::Build, "native", Network::None));
    assert_eq!((build.limits.timeout_ms, build.limits.memory_bytes_max), (300_000, 2 << 30));
    assert_eq!(build.caches.iter().collect::<Vec<_>>(), ["native/out"]);
    let web = fixtures::command(workflow.step("web:check").unwrap().clone());
    assert_eq!((web.stage, web.network, web.limits.timeout_ms), (StageKind::Lint, Network::Full, 90_000));
    assert_eq!(web.env_pass.iter().collect::<Vec<_>>(), ["HOME", "NPM_TOKEN"]);
    assert_eq!(web.env.get("CI").map(String::as_str), Some("true"));
    assert_eq!(web.fixers[0].name, "npm run fix");
}

#[test]
fn the_same_file_in_other_spellings() {
    let expected = load(plant(&[(CONFIG_FILE, FULL)]).path()).unwrap().workflow;
    let inline = r#"
name = "ship"
budget = { time = "1h30m", cost_usd = 2.5, attempts = 3 }
repair = { enabled = false, allow = ["src/"], deny = ["*.lock"], patch_max = "1MB" }
secrets.pass = ["NPM_TOKEN"]
secrets.redact = ["tok_[a-z]+"]
defaults = { timeout = "300s", memory = "2048MiB" }
steps.build = { run = ["make", "all"], dir = "native", caches = ["native/out"] }
steps."web:check" = { stage = "lint", run = "npm run check", needs = ["build"], env.CI = "true", pass = ["HOME"], network = "full", timeout = "1m30s", fix = [{ run = "npm run fix", kinds = ["lint", "format"] }] }
"#;
    for text in [inline.to_owned(), FULL.replace('\n', "\r\n"), format!("\u{feff}{FULL}")] {
        let dir = plant(&[(CONFIG_FILE, &text)]);
        let loaded = load(dir.path()).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(loaded.workflow, expected);
    }
}

#[test]
fn settings_without_steps_keep_the_detected_ones() {
    let dir = plant(&[(CONFIG_FILE, "[defaults]\ntimeout = \"2m\"\n"), ("go.mod", "module m\n")]);
    let workflow = load(dir.path()).unwrap().workflow;
    assert_eq!(workflow.step("test").unwrap().as_shell().unwrap().limits.timeout_ms, 120_000);
}

#[test]
fn an_empty_file_is_like_none() {
    let dir = plant(&[(CONFIG_FILE, ""), ("go.mod", "module m\n")]);
    assert!(load(dir.path()).unwrap().workflow.step("build").is_some());
    check_wrong(
        "",
        &expect![[r#"
            meta-builder.toml: there is nothing to run: no step is written, and no toolchain was recognised
              -> write a meta-builder.toml with one step, or name a command to run
        "#]],
    );
    let nothing = plant(&[]);
    expect![[r#"
        .: there is nothing to run: no step is written, and no toolchain was recognised
          -> write a meta-builder.toml with one step, or name a command to run
    "#]]
    .assert_eq(&wrong(nothing.path(), &load(nothing.path()).unwrap_err()));
}

const WRONG: &str = r#"version = 2
nmae = "x"
[budget]
time = 90
cost_usd = "ten"
attempts = 1001
[repair]
allow = ["{a"]
enabled = "yes"
[secrets]
pass = ["A-B"]
redact = ["("]
[defaults]
memory = "1B"
network = "some"
[steps.test]
run = "cargo test"
tiemout = "5m"
needs = ["biuld"]
dir = "../x"
caches = ["/tmp"]
[steps.build]
stage = "biuld"
run = []
[steps.lint]
[[steps.lint.fix]]
kinds = ["lnit"]
"#;

#[test]
fn every_mistake_is_named_at_once() {
    check_wrong(
        WRONG,
        &expect![[r#"
            meta-builder.toml:1:11: `version` is not usable: this program reads version 1, not 2
              -> write version = 1, or use the program this file was written for
            meta-builder.toml:2:1: unknown key `nmae` in the file; did you mean `name`?
              -> write `name`, or remove the line
            meta-builder.toml:4:8: `budget.time` must be a duration such as "90s", "5m" or "1h30m", not 90
              -> write a duration such as "90s", "5m" or "1h30m"
            meta-builder.toml:5:12: `budget.cost_usd` must be an amount in US dollars such as 10.0, not "ten"
              -> write an amount in US dollars such as 10.0
            meta-builder.toml:6:12: `budget.attempts` must be between 0 and 1000, not 1001
              -> choose a value from 0 to 1000
            meta-builder.toml:8:9: `repair.allow` is not usable: "{a" is not a glob
              -> write it as in .gitignore (src/**/*.rs)
            meta-builder.toml:9:11: `repair.enabled` must be true or false, not "yes"
              -> write true or false
            meta-builder.toml:11:8: `secrets.pass` is not usable: "A-B" is not the name of a variable
              -> use letters, digits and _ (NPM_TOKEN)
            meta-builder.toml:12:10: `secrets.redact` is not usable: "(" is not a regular expression of reasonable size
              -> correct the pattern; a literal bracket is written \( in single quotes
            meta-builder.toml:14:10: `defaults.memory` must be between 16MiB and 4TiB, not 1B
              -> choose a value from 16MiB to 4TiB
            meta-builder.toml:15:11: `defaults.network` must be "none" or "full", not "some"
              -> write "none" or "full"
            meta-builder.toml:16:8: step "test" has dir "../x", which leaves the project
              -> correct the step
            meta-builder.toml:18:1: unknown key `tiemout` in [steps.test]; did you mean `timeout`?
              -> write `timeout`, or remove the line
            meta-builder.toml:19:9: `steps.test.needs` names `biuld`, which is not a step; did you mean `build`?
              -> write `build`, or add the step
            meta-builder.toml:21:10: `steps.test.caches` is not usable: "/tmp" is not a folder below the project
              -> write it relative to the root (web/dist)
            meta-builder.toml:22:8: step "build" has no command
              -> correct the step
            meta-builder.toml:23:9: `steps.build.stage` must be one of "lint", "format", "typecheck", "build", "test", "security", "custom", not "biuld"
              -> write one of "lint", "format", "typecheck", "build", "test", "security", "custom"
            meta-builder.toml:25:8: [steps.lint] has no `run`
              -> add `run` to [steps.lint]
            meta-builder.toml:26:1: [steps.lint.fix] has no `run`
              -> add `run` to [steps.lint.fix]
            meta-builder.toml:27:9: `steps.lint.fix.kinds` must be a list of failure kinds such as ["format", "lint"], not ["lnit"]
              -> write a list of failure kinds such as ["format", "lint"]
        "#]],
    );
}

#[test]
fn text_that_is_not_toml() {
    check_wrong(
        "name = \"a\"\nname = \"b\"\n[steps.t]\nrun = \"x\"\n[steps.t]\n",
        &expect![[r#"
        meta-builder.toml:2:1: duplicate key
          -> correct the TOML at this place; see https://toml.io
        meta-builder.toml:5:8: duplicate key
          -> correct the TOML at this place; see https://toml.io
    "#]],
    );
    check_wrong(
        "version = 1\n[steps.test\nrun = \"x\"\nstage = = 3\n",
        &expect![[r#"
            meta-builder.toml:2:12: unclosed table, expected `]`
              -> correct the TOML at this place; see https://toml.io
            meta-builder.toml:4:9: extra `=`, expected nothing
              -> correct the TOML at this place; see https://toml.io
            meta-builder.toml:4:11: unexpected key or value, expected newline, `#`
              -> correct the TOML at this place; see https://toml.io
        "#]],
    );
    check_wrong_bytes(
        b"version = 1\nname = \"caf\xe9\"\n",
        &expect![[r#"
        meta-builder.toml:2:12: is not valid UTF-8
          -> save the file as UTF-8
    "#]],
    );
}

#[test]
fn values_of_surprising_types() {
    check_wrong(
        "version = 1979-05-27\nsteps = 3\nbudget = []\n[defaults]\ntimeout = 07:32:00\npids = 0x7fff_ffff_ffff_ffff\n",
        &expect![[r#"
            meta-builder.toml:1:11: `version` must be a whole number such as 10, not the date 1979-05-27
              -> write a whole number such as 10
            meta-builder.toml:2:9: `steps` must be a table, not 3
              -> write a table
            meta-builder.toml:3:10: `budget` must be a table, not []
              -> write a table
            meta-builder.toml:5:11: `defaults.timeout` must be a duration such as "90s", "5m" or "1h30m", not the date 07:32:00
              -> write a duration such as "90s", "5m" or "1h30m"
            meta-builder.toml:6:8: `defaults.pids` must be between 1 and 1000000, not 9223372036854775807
              -> choose a value from 1 to 1000000
        "#]],
    );
    check_wrong(
        "[steps.a]\nrun = [\"a\", 1]\nfix = \"x\"\nenv = { A = 1 }\n",
        &expect![[r#"
            meta-builder.toml:2:7: `steps.a.run` must be a command such as "cargo test" or ["cargo", "test"], not ["a", 1]
              -> write a command such as "cargo test" or ["cargo", "test"]
            meta-builder.toml:3:7: `steps.a.fix` must be a list of tables, each begun by [[steps.a.fix]], not "x"
              -> write a list of tables, each begun by [[steps.a.fix]]
            meta-builder.toml:4:13: `steps.a.env.A` must be text in quotes such as "build", not 1
              -> write text in quotes such as "build"
        "#]],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(lines in prop::collection::vec(any_line(), 0..8)) {
        let text = lines.join("\n");
        let dir = plant(&[(CONFIG_FILE, &text)]);
        if let Err(ConfigErrors(errors)) = load(dir.path()) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                let Place::File { line, .. } = error.at else { panic!("{error}") };
                prop_assert!(line as usize <= lines.len() + 1, "{}", error);
                prop_assert!(!error.mend().is_empty());
            }
        }
    }
}

fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("[steps.a]".to_owned()),
        Just("[[steps.a.fix]]".to_owned()),
        "(steps|budget|defaults|repair)(\\.[a-z]{1,3})? = (\\{\\}|\\[\\]|1|\"x\")",
        "(run|stage|needs|env|fix|dir|caches|timeout|time) = (\\[\\]|\\[1\\]|\"\"|\"é\"|\\{ a = \"b\" \\}|-1|inf|0x1)",
        "\\PC{0,12}",
    ]
}

#[test]
fn a_file_too_large_is_refused() {
    check_wrong_bytes(
        &vec![b'#'; 10 << 20],
        &expect![[r#"
        meta-builder.toml: is larger than 1048576 bytes
          -> is this the right file? a configuration is a few kilobytes
    "#]],
    );
}

#[test]
fn a_folder_or_dangling_link_in_its_place() {
    let dir = plant(&[("meta-builder.toml/x", "")]);
    expect![[r#"
        meta-builder.toml: is not a regular file
          -> put a text file there
    "#]]
    .assert_eq(&wrong(dir.path(), &load(dir.path()).unwrap_err()));
    let dir = plant(&[("go.mod", "module m\n")]);
    std::os::unix::fs::symlink("nowhere", dir.path().join(CONFIG_FILE)).unwrap();
    expect![[r#"
        meta-builder.toml: cannot be read
          -> check that the file exists and that you may read it
    "#]]
    .assert_eq(&wrong(dir.path(), &load(dir.path()).unwrap_err()));
}

#[test]
fn a_circle_is_shown_where_it_begins() {
    check_wrong(
        "[steps.a]\nrun = \"a\"\nneeds = [\"b\"]\n[steps.b]\nrun = \"b\"\nneeds = [\"a\"]\n",
        &expect![[r#"
        meta-builder.toml:1:8: these steps need each other in a circle: a -> b
          -> remove one of these needs
    "#]],
    );
}

#[test]
fn the_file_of_an_ancestor_counts_up_to_the_repository() {
    let dir = plant(&[(CONFIG_FILE, "[steps.t]\nrun = \"t\"\n"), (".git/HEAD", ""), ("a/b/x", "")]);
    let top = dir.path().canonicalize().unwrap();
    assert_eq!(load(&dir.path().join("a/b")).unwrap().root, top);
    // Another repository inside does not see the outer file.
    fs::create_dir_all(dir.path().join("a/.git")).unwrap();
    let errors = load(&dir.path().join("a/b")).unwrap_err();
    assert!(matches!(errors.0[0].problem, Problem::NothingFound), "{errors}");
}

#[test]
fn a_folder_without_toolchain_belongs_to_the_project_around_it() {
    let dir = plant(&[("go.mod", "module m\n"), (".git/HEAD", ""), ("docs/guide/a.md", "")]);
    assert_eq!(load(&dir.path().join("docs/guide")).unwrap().root, dir.path().canonicalize().unwrap());
}

#[test]
fn flags_win_over_environment_over_file_over_default() {
    let dir = plant(&[(CONFIG_FILE, "budget.attempts = 2\n[steps.t]\nrun = \"t\"\n")]);
    let mut layers = Layers::default();
    let attempts = |layers: &Layers| load_with(dir.path(), layers).unwrap().workflow.budget.attempts;
    assert_eq!(attempts(&layers), 2);
    layers.env.insert("MB_BUDGET_ATTEMPTS".into(), String::new());
    assert_eq!(attempts(&layers), 2);
    layers.env.insert("MB_BUDGET_ATTEMPTS".into(), "3".into());
    assert_eq!(attempts(&layers), 3);
    layers.flags.push(Flag { key: "budget.attempts".into(), name: "--attempts".into(), value: "4".into() });
    assert_eq!(attempts(&layers), 4);
}

#[test]
fn an_override_can_be_wrong_too() {
    let dir = plant(&[(CONFIG_FILE, "[steps.t]\nrun = \"t\"\n")]);
    let mut layers = Layers::default();
    layers.env.insert("MB_BUDGET_TIME".into(), "soon".into());
    layers.flags.push(Flag { key: "budget.attempts".into(), name: "--attempts".into(), value: "5000".into() });
    expect![[r#"
        environment variable MB_BUDGET_TIME: `budget.time` must be a duration such as "90s", "5m" or "1h30m", not "soon"
          -> write a duration such as "90s", "5m" or "1h30m"
        --attempts: `budget.attempts` must be between 0 and 1000, not 5000
          -> choose a value from 0 to 1000
    "#]]
    .assert_eq(&wrong(dir.path(), &load_with(dir.path(), &layers).unwrap_err()));
}
