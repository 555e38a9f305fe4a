//! `mb run -- CMD`: a workflow of one step with what the project knows.

use mb_core::workflow::{CommandLine, Network, StageKind};
use mb_project::{CONFIG_FILE, CommandStep, Problem, for_command};

use crate::fixtures::{self, plant};

fn step(tree: &[(&str, &str)], dir: &str, argv: &[&str]) -> CommandStep {
    let root = plant(tree);
    let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
    let mut loaded = for_command(&root.path().join(dir), &argv).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.workflow.steps.len(), 1);
    fixtures::command(loaded.workflow.steps.remove(0))
}

fn fixers(step: &CommandStep) -> Vec<&str> {
    step.fixers.iter().map(|fixer| fixer.name.as_str()).collect()
}

#[test]
fn a_command_of_the_project_is_its_step_without_the_needs() {
    let step = step(fixtures::CARGO_WORKSPACE, "", &["cargo", "test", "--workspace"]);
    assert_eq!((step.name.as_str(), step.stage), ("test", StageKind::Test));
    assert!(step.needs.is_empty());
}

#[test]
fn a_strange_command_gets_the_fixers_and_caches_of_the_project() {
    let step = step(fixtures::CARGO, "", &["cargo", "test", "--lib"]);
    assert_eq!((step.name.as_str(), step.stage, step.network), ("cargo-test", StageKind::Test, Network::None));
    assert_eq!(
        fixers(&step),
        [
            "cargo fix --allow-dirty --allow-staged --workspace --all-targets",
            "cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code",
            "cargo update -w",
            "cargo fmt --all",
            "cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets",
        ]
    );
    assert_eq!(step.caches.iter().collect::<Vec<_>>(), ["target"]);
}

#[test]
fn fixers_of_a_folder_are_run_there() {
    let tree = &[(".git/HEAD", ""), ("go.mod", "module m\n"), ("cmd/x/main.go", "")];
    let step = step(tree, "cmd/x", &["go", "vet", "."]);
    assert_eq!(step.dir, "cmd/x");
    assert_eq!(fixers(&step), ["gofmt -w . in ../..", "go mod tidy in ../.."]);
    assert_eq!(step.fixers[0].command, CommandLine::Shell("cd ../.. && gofmt -w .".into()));
}

#[test]
fn restoring_dependencies_reaches_the_network_and_nothing_else_does() {
    for (argv, network) in [
        (&["npm", "ci"][..], Network::Full),
        (&["npm install && npm test"], Network::Full),
        (&["npm", "test"], Network::None),
        (&["./run.sh"], Network::None),
    ] {
        assert_eq!(step(&[], "", argv).network, network, "{argv:?}");
    }
}

#[test]
fn the_file_gives_budget_limits_and_network() {
    let text = "[budget]\nattempts = 1\n[defaults]\nnetwork = \"full\"\ntimeout = \"7s\"\n[secrets]\npass = [\"TOKEN\"]\n\
                [steps.other]\nrun = \"x\"\ncaches = [\"out\"]\n[[steps.other.fix]]\nrun = \"anything\"\n";
    let step = step(&[(CONFIG_FILE, text)], "", &["./check"]);
    assert_eq!((step.network, step.limits.timeout_ms, step.stage), (Network::Full, 7_000, StageKind::Test));
    assert_eq!(step.env_pass.iter().collect::<Vec<_>>(), ["TOKEN"]);
    assert_eq!(step.caches.iter().collect::<Vec<_>>(), ["out"]);
    // A fixer for every kind belongs to its own stage (custom), not to this one.
    assert_eq!(fixers(&step), [""; 0]);
}

#[test]
fn no_command_is_an_error() {
    let root = plant(&[]);
    for argv in [vec![], vec![String::new()]] {
        let errors = for_command(root.path(), &argv).unwrap_err();
        assert!(matches!(errors.0[0].problem, Problem::Workflow(_)), "{errors}");
    }
}
