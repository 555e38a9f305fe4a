//! `cargo xtask test`: every test of the workspace, on whatever machine this is.
//!
//! What a test needs from outside (a PostgreSQL server, a sandbox, other languages) is looked for once, here. A
//! machine that lacks one still passes, and the last lines say what was left out and how to add it; where
//! `MB_TEST_REQUIRE` names it (continuous integration does) its absence is an error instead. Tests themselves
//! ask only whether `MB_TEST_POSTGRES` is set.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::postgres::{self, Server};
use crate::process::{cargo, on_path, run as run_command, succeeds};

/// Names of what must be there, separated by commas.
const REQUIRE: &str = "MB_TEST_REQUIRE";

/// Something some tests need from outside.
struct Need {
    /// Its name in `MB_TEST_REQUIRE`.
    name: &'static str,
    /// The tests that need it.
    tests: &'static str,
    /// What to do when it is missing.
    mend: &'static str,
    present: bool,
}

/// Runs doctests and tests; the test runner's summary comes after everything else that cargo prints.
///
/// # Errors
/// Something required is missing, or a test failed. All tests run before it says so.
pub(crate) fn run(root: &Path, runner_args: &[String]) -> Result<()> {
    let server = postgres::find();
    let needs = needs(server.as_ref());
    require(&needs, &std::env::var(REQUIRE).unwrap_or_default())?;
    if let Some(server) = &server {
        eprintln!("PostgreSQL for tests: {}", server.origin);
    }
    let doctests = if runner_args.is_empty() { run_command(&mut doctests(root)) } else { Ok(()) };
    let tests = run_command(&mut tests(root, runner_args, server.as_ref()));
    for line in left_out(&needs) {
        eprintln!("{line}");
    }
    tests.and(doctests)
}

fn doctests(root: &Path) -> Command {
    let mut command = cargo(root);
    command.args(["test", "--doc", "--workspace", "--quiet"]);
    command
}

fn tests(root: &Path, runner_args: &[String], server: Option<&Server>) -> Command {
    let mut command = cargo(root);
    if succeeds(cargo(root).args(["nextest", "--version"])) {
        command.args(["nextest", "run"]);
        if std::env::var_os("CI").is_some() {
            command.args(["--profile", "ci"]);
        }
    } else {
        command.args(["test", "--no-fail-fast"]);
        if runner_args.is_empty() {
            // Doctests have already run. Targets that are not tests (benches, examples) are still compiled.
            command.arg("--all-targets");
        }
    }
    if runner_args.is_empty() {
        command.arg("--workspace");
    }
    if let Some(server) = server {
        command.env(postgres::URL, &server.url);
    }
    command.args(runner_args);
    command
}

fn needs(server: Option<&Server>) -> Vec<Need> {
    let chromium = ["chromium", "chromium-browser", "google-chrome"].iter().any(|name| on_path(name).is_some());
    let answers = |program: &str| succeeds(Command::new(program).arg("--version"));
    let need = |name, present, tests, mend| Need { name, tests, mend, present };
    vec![
        need(
            "postgres",
            server.is_some(),
            "postgres conformance",
            "no server found; apt-get install postgresql, or set MB_TEST_POSTGRES=postgres://user@host/database",
        ),
        need("bubblewrap", sandbox_works(), "bubblewrap sandbox", "bwrap cannot start; apt-get install bubblewrap"),
        need("chromium", chromium, "console in a browser", "no browser found; apt-get install chromium"),
        need("node", answers("node"), "console scripts and JavaScript examples", "apt-get install nodejs npm"),
        need("python", answers("python3"), "Python examples", "apt-get install python3"),
        need("ruff", answers("ruff"), "linted Python example", "pip install ruff"),
        need("make", answers("make") && answers("gcc"), "C examples", "apt-get install build-essential"),
        need("network", npm_registry(), "examples that install packages", "npm ping does not succeed"),
    ]
}

/// Whether packages can be had. Asked only where npm is, which is what the examples install with.
fn npm_registry() -> bool {
    on_path("npm").is_some() && succeeds(Command::new("npm").arg("ping"))
}

/// Whether bubblewrap may make its namespaces here. Many containers have the program and forbid them.
fn sandbox_works() -> bool {
    succeeds(Command::new("bwrap").args(["--ro-bind", "/", "/", "--unshare-net", "--unshare-pid", "true"]))
}

/// Refuses to begin when something named in `required` is missing, or is a name that means nothing.
fn require(needs: &[Need], required: &str) -> Result<()> {
    for name in required.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match needs.iter().find(|need| need.name == name) {
            None => {
                let known: Vec<_> = needs.iter().map(|need| need.name).collect();
                bail!("{REQUIRE} names {name:?}, which is not one of {}", known.join(", "));
            }
            Some(need) if !need.present => bail!("{REQUIRE} names {name}, which is missing: {}", need.mend),
            Some(_) => {}
        }
    }
    Ok(())
}

fn left_out(needs: &[Need]) -> Vec<String> {
    let missing = needs.iter().filter(|need| !need.present);
    missing.map(|need| format!("left out: {} ({})", need.tests, need.mend)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_needs() -> Vec<Need> {
        vec![
            Need { name: "a", tests: "a tests", mend: "install a", present: true },
            Need { name: "b", tests: "b tests", mend: "install b", present: false },
        ]
    }

    #[test]
    fn what_is_missing_is_said_with_its_mend() {
        assert_eq!(left_out(&some_needs()), ["left out: b tests (install b)"]);
    }

    #[test]
    fn what_is_required_must_be_there() {
        let check = |required, expected: &str| {
            let got = require(&some_needs(), required).map_or_else(|error| error.to_string(), |()| "ok".to_owned());
            assert_eq!(got, expected);
        };
        check("", "ok");
        check(" a ,", "ok");
        check("a,b", "MB_TEST_REQUIRE names b, which is missing: install b");
        check("c", "MB_TEST_REQUIRE names \"c\", which is not one of a, b");
    }

    #[test]
    fn the_runner_is_told_where_postgres_is() {
        let server = Server::at("postgres://there/db", "here");
        let command = tests(Path::new("."), &[], Some(&server));
        let url = command.get_envs().find(|(name, _)| *name == postgres::URL).and_then(|(_, value)| value);
        assert_eq!(url.and_then(|value| value.to_str()), Some("postgres://there/db"));
    }
}
