//! `cargo xtask bench`: how long the product takes to start, what it adds to a command, what it costs when idle; and its
//! queue beside other engines.
//!
//! Everything is measured from outside, on the release binary, in data folders made for the purpose: wall time of
//! processes, and what the kernel accounts to them. What is compared is run in turns, so that a busy moment of the
//! machine hits both. Figures are medians with their range; an aim that is missed is marked and is no error, because
//! a figure depends on the machine (mostly on what an fsync takes there, which is why that is measured too).
//!
//! Deliberately absent: micro-benchmarks, and a history of figures.

mod figure;
mod idle;
mod product;
mod queue;
mod run;
mod start;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::process::{cargo, run as run_command};

use product::Product;
use queue::QueueArgs;

/// Rounds of each measurement when nothing else is asked for.
const RUNS: usize = 20;
/// The same of engines side by side, each of which takes half a minute a round.
const QUEUE_RUNS: usize = 3;

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// What to measure
    #[arg(value_enum, default_value_t)]
    part: Part,
    /// How often each thing is measured [default: 20; of `queue` 3]
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// Measure this binary instead of building one (to compare with an earlier build)
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Write JSON to standard output
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "Options of `queue` and `kill`")]
    queue: QueueArgs,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Time until `up` is healthy, and of commands that only print
    Start,
    /// What `mb run -- true` takes longer than `true`
    Run,
    /// Memory, processor time and writes of `up` with nothing to do and after a hundred runs
    Idle,
    /// These three
    #[default]
    All,
    /// The queue beside other engines: throughput, cost, latency, memory
    Queue,
    /// SIGKILL of a worker, ours and other engines'
    Kill,
}

/// Builds the release binary and measures it.
///
/// # Errors
/// It does not build, or does not do what is measured.
pub(crate) fn run(root: &Path, args: &BenchArgs) -> Result<()> {
    let product = Product::new(match &args.binary {
        Some(binary) => binary.canonicalize().with_context(|| format!("there is no {}", binary.display()))?,
        None => build(root)?,
    });
    let runs = |default| args.runs.unwrap_or(default).clamp(1, 1_000);
    match args.part {
        Part::Queue => return queue::run(root, &product, runs(QUEUE_RUNS), &args.queue, args.json),
        Part::Kill => return queue::run_kill(root, &product, &args.queue, args.json),
        Part::Start | Part::Run | Part::Idle | Part::All => {}
    }
    let runs = runs(RUNS);
    let wanted = |part| args.part == part || args.part == Part::All;
    let mut figures = vec![product.size()?, figure::fsync(runs).context("no file could be synced")?];
    if wanted(Part::Start) {
        figures.extend(start::measure(&product, runs)?);
    }
    if wanted(Part::Run) {
        figures.extend(run::measure(&product, runs)?);
    }
    if wanted(Part::Idle) {
        figures.extend(idle::measure(&product)?);
    }
    if args.json {
        println!("{}", figure::json(&figures)?);
    } else {
        print!("{}", figure::table(&figures));
    }
    Ok(())
}

fn build(root: &Path) -> Result<PathBuf> {
    run_command(cargo(root).args(["build", "--release", "--package", "meta-builder"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    Ok(target.join("release/meta-builder"))
}
