//! `cargo xtask sim`: the simulator, built for speed, with as many seeds as wanted.
//!
//! The simulator itself is `crates/sim`, where a few hundred seeds run with every other test. Here it only gets its
//! numbers; a seed that fails makes it, and so this command, fail.

use std::path::Path;

use anyhow::Result;
use clap::Args;

use crate::process::{cargo, run as run_command};

/// Which histories are played.
#[derive(Args)]
pub(crate) struct SimArgs {
    /// How many seeds
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print every event
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Put a mistake into the store, by name, and see it found
    #[arg(long, value_name = "NAME")]
    plant: Option<String>,
}

/// Plays the seeds, each twice.
///
/// # Errors
/// A seed failed, or the simulator could not be built.
pub(crate) fn run(root: &Path, args: &SimArgs) -> Result<()> {
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--release", "--package", "mb-sim", "--example", "sim", "--"]);
    match args.seed {
        Some(seed) => command.args(["--seed", &seed.to_string()]),
        None => command.args(["--seeds", &args.seeds.to_string(), "--from", &args.from.to_string()]),
    };
    if args.trace {
        command.arg("--trace");
    }
    if let Some(plant) = &args.plant {
        command.args(["--plant", plant]);
    }
    run_command(&mut command)
}
