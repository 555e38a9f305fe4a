//! The repository's own rules and chores as code: `cargo xtask tidy`, `test`, `ci`, `crash`, `sim`,
//! `bench` and `third-party`.
//!
//! Deliberately absent: anything a user of Meta-Builder needs. This is for people who change it, and it depends
//! on none of its crates, so that it builds in seconds and works when they do not compile.

mod bench;
mod ci;
mod crash;
mod postgres;
mod process;
mod sim;
mod test;
mod third_party;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Repository rules and chores")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check the repository's own rules: dependency direction, headers, error pages, words
    Tidy,
    /// Run every test and doctest, with PostgreSQL where there is one
    Test {
        /// Arguments for the test runner, in place of `--workspace`; doctests are then left out
        #[arg(last = true)]
        runner_args: Vec<String>,
    },
    /// Kill `up` at random moments of runs and show that every run resumes and ends the same
    Crash {
        /// How often
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        kills: u32,
        /// Chooses the moments; the same seed chooses the same ones
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Keep the state in a scratch schema of this server instead of SQLite
        #[arg(long, value_name = "URL")]
        postgres: Option<String>,
    },
    /// Look for orders of events that the queue does not survive: crashes, lost answers, wrong clocks
    Sim(sim::SimArgs),
    /// What continuous integration runs: fmt, clippy, tidy, cargo-deny, test
    Ci {
        /// Leave the tests to a `cargo xtask test` of their own
        #[arg(long)]
        checks_only: bool,
    },
    /// Measure start, overhead, memory and idle costs of the release binary
    Bench(bench::BenchArgs),
    /// Try `mb run` on projects from package registries, as downloaded and with defects put in
    ThirdParty(third_party::ThirdPartyArgs),
}

fn main() -> ExitCode {
    let root = root();
    let result = match Args::parse().task {
        Task::Tidy => tidy::run(&root),
        Task::Test { runner_args } => test::run(&root, &runner_args),
        Task::Crash { kills, seed, postgres } => crash::run(&root, kills, seed, postgres.as_deref()),
        Task::Sim(args) => sim::run(&root, &args),
        Task::Ci { checks_only } => ci::run(&root, checks_only),
        Task::Bench(args) => bench::run(&root, &args),
        Task::ThirdParty(args) => third_party::run(&root, &args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's top folder: the one above this crate's.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the repository's top folder").to_owned()
}
