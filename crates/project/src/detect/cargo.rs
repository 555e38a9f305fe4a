//! Rust: one unit per workspace (or package outside any), as `cargo` itself sees it.
//!
//! A `fetch` step exists only when something comes from a registry or from git; it is the only step with a
//! network, so everything after it also works on a machine that is offline and has the crates already.

use mb_core::failure::FailureKind;
use mb_core::workflow::StageKind;
use toml::{Table, Value};

use super::draft::{Draft, Step, fixer, online_fixer};
use super::{Toolchain, glob_matches, is_below, is_sample, project_dirs};
use crate::survey::{Survey, join, relative};

const MANIFEST: &str = "Cargo.toml";
/// Members of a workspace whose dependencies are read when there is no lock file.
const MEMBERS_MAX: usize = 500;

pub(super) fn find(survey: &Survey, notes: &mut Vec<String>) -> Vec<Draft> {
    let mut roots: Vec<(String, Table)> = Vec::new();
    for dir in project_dirs(survey, MANIFEST) {
        let manifest = match survey.text(&dir, MANIFEST).parse::<Table>() {
            Ok(manifest) => manifest,
            Err(_) => {
                notes.push(format!("{} could not be parsed; its steps are listed all the same", join(&dir, MANIFEST)));
                Table::new()
            }
        };
        let folded = !manifest.contains_key("workspace")
            && roots.iter().any(|(root, workspace)| is_below(&dir, root) && is_member(workspace, root, &dir));
        if !folded {
            roots.push((dir, manifest));
        }
    }
    roots.iter().map(|(dir, manifest)| draft(survey, dir, manifest)).collect()
}

/// Cargo refuses a package below a workspace that is neither member nor excluded, so "not excluded" decides.
fn is_member(workspace: &Table, root: &str, dir: &str) -> bool {
    let Some(workspace) = workspace.get("workspace") else { return false };
    let path = relative(dir, root).unwrap_or(dir);
    let excluded = workspace.get("exclude").and_then(Value::as_array).is_some_and(|patterns| {
        patterns.iter().filter_map(Value::as_str).any(|p| glob_matches(p, path) || is_below(path, p))
    });
    !excluded
}

fn draft(survey: &Survey, dir: &str, manifest: &Table) -> Draft {
    use FailureKind::{Compile, Dependency, Format, Lint};
    // Without `--broken-code` the result compiles or nothing changes, so that one goes first.
    let targets = targets(survey, dir);
    let fix = format!("cargo fix --allow-dirty --allow-staged --workspace {targets}");
    let fix_code = || [fixer(&fix, &[Compile, Lint]), fixer(format!("{fix} --broken-code"), &[Compile])];
    let fix_lock = || online_fixer("cargo update -w", &[Dependency]);
    let deny = if denies_warnings(survey, dir) { " -- -D warnings" } else { "" };
    let target = Some("target");

    let mut steps = Vec::new();
    if needs_fetch(survey, dir, manifest) {
        steps.push(Step::new("fetch", StageKind::Custom, "cargo fetch").online().fix([fix_lock()]));
    }
    steps.push(
        Step::new("format", StageKind::Format, "cargo fmt --all -- --check").fix([fixer("cargo fmt --all", &[Format])]),
    );
    steps.push(
        Step::new("lint", StageKind::Lint, format!("cargo clippy --workspace {targets}{deny}"))
            .needs(&["fetch"])
            .fix([fixer(format!("cargo clippy --fix --allow-dirty --allow-staged --workspace {targets}"), &[Lint])])
            .fix(fix_code())
            .cache(target),
    );
    steps.push(
        Step::new("build", StageKind::Build, format!("cargo build --workspace {targets}"))
            .needs(&["fetch"])
            .fix(fix_code())
            .fix([fix_lock()])
            .cache(target),
    );
    steps.push(
        Step::new("test", StageKind::Test, "cargo test --workspace")
            .needs(&["build"])
            .fix(fix_code())
            .fix([fix_lock()])
            .cache(target),
    );
    if survey.has(dir, "deny.toml") {
        steps.push(Step::new("deny", StageKind::Security, "cargo deny check").needs(&["fetch"]).online());
    }
    if survey.has(dir, ".cargo/audit.toml") {
        steps.push(Step::new("audit", StageKind::Security, "cargo audit").online());
    }
    let evidence =
        [MANIFEST, "Cargo.lock", "deny.toml", ".cargo/audit.toml"].into_iter().filter(|name| survey.has(dir, name));
    Draft { dir: dir.to_owned(), toolchain: Toolchain::Cargo, evidence: evidence.map(str::to_owned).collect(), steps }
}

/// The targets to check: all, but no benches that use the nightly harness, which no stable compiler accepts.
fn targets(survey: &Survey, dir: &str) -> &'static str {
    let mut benches =
        survey.below(dir).filter(|file| file.ends_with(".rs") && format!("/{file}").contains("/benches/"));
    let pinned = ["rust-toolchain.toml", "rust-toolchain"].iter().any(|f| survey.text(dir, f).contains("nightly"));
    let nightly = !pinned
        && benches.any(|file| survey.text(dir, file).lines().any(|line| line.trim_start().starts_with("#![feature(")));
    match (nightly, survey.has(dir, "src/lib.rs")) {
        (false, _) => "--all-targets",
        (true, true) => "--lib --bins --tests --examples",
        (true, false) => "--bins --tests --examples",
    }
}

/// Whether anything is not on this disk: the lock file knows best, the manifests below tell otherwise.
fn needs_fetch(survey: &Survey, dir: &str, manifest: &Table) -> bool {
    if survey.has(dir, ".cargo/config.toml") && survey.text(dir, ".cargo/config.toml").contains("vendored-sources") {
        return false;
    }
    if survey.has(dir, "Cargo.lock") {
        return survey.text(dir, "Cargo.lock").lines().any(|line| line.starts_with("source = "));
    }
    let members = survey.below(dir).filter(|file| file.ends_with("/Cargo.toml") && !is_sample(file)).take(MEMBERS_MAX);
    has_remote(manifest)
        || members.filter_map(|file| survey.text(dir, file).parse::<Table>().ok()).any(|member| has_remote(&member))
}

fn has_remote(table: &Table) -> bool {
    table.iter().any(|(key, value)| match value {
        Value::Table(inner) if key.ends_with("dependencies") => inner.values().any(is_remote),
        Value::Table(inner) if key == "target" || key == "workspace" || key.starts_with("cfg(") => has_remote(inner),
        _ => false,
    })
}

fn is_remote(dependency: &Value) -> bool {
    match dependency {
        Value::Table(spec) => !spec.contains_key("path") && !spec.contains_key("workspace"),
        _ => true,
    }
}

/// Whether the project's own automation treats warnings as errors; only then do we.
fn denies_warnings(survey: &Survey, dir: &str) -> bool {
    let says = |dir: &str, file: &str| {
        let text = survey.text(dir, file);
        text.contains("clippy") && (text.contains("-D warnings") || text.contains("-Dwarnings"))
    };
    let scripts = ["Makefile", "justfile", "Makefile.toml", ".cargo/config.toml", ".gitlab-ci.yml"];
    let actions = survey.below("").filter(|file| file.starts_with(".github/workflows/")).take(50);
    scripts.iter().any(|file| says(dir, file)) || actions.into_iter().any(|file| says("", file))
}
