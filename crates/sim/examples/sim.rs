//! Plays seeds and says which fail: `cargo xtask sim` starts this, built for speed.
//!
//! Every seed is played twice and must give the same history. A seed that fails is printed with the command that plays
//! it again.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use mb_sim::model::Flaw;
use mb_sim::{Outcome, simulate};

/// Failing seeds after which it stops.
const FAILURES_MAX: usize = 10;

#[derive(Parser)]
struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one
    #[arg(long)]
    seed: Option<u64>,
    /// Print every event
    #[arg(long)]
    trace: bool,
    /// Put a mistake into the store
    #[arg(long, value_parser = flaw)]
    plant: Option<Flaw>,
    /// Threads
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    jobs: usize,
}

fn flaw(name: &str) -> Result<Flaw, String> {
    let names = || Flaw::ALL.iter().map(|flaw| flaw.as_str()).collect::<Vec<_>>().join(", ");
    let found = Flaw::ALL.iter().find(|flaw| flaw.as_str() == name);
    found.copied().ok_or_else(|| format!("there is no flaw of that name; there are {}", names()))
}

/// What came of all seeds so far.
#[derive(Default)]
struct Sum {
    events: u64,
    counts: BTreeMap<&'static str, u64>,
    failures: BTreeMap<u64, String>,
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.events += outcome.events;
        for (what, count) in outcome.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.failures.extend(outcome.violation.map(|wrong| (seed, wrong)));
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (from, seeds) = args.seed.map_or((args.from, args.seeds), |seed| (seed, 1));
    let (next, sum) = (AtomicU64::new(from), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| work(&args, &next, from + seeds, &sum));
        }
    });
    report(&args, seeds, &sum.into_inner().expect("no thread ends while it holds the sum"))
}

fn work(args: &Args, next: &AtomicU64, end: u64, sum: &Mutex<Sum>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let is_enough = sum.lock().expect("no thread ends while it holds the sum").failures.len() >= FAILURES_MAX;
        if seed >= end || is_enough {
            return;
        }
        let outcome = play(args, seed);
        for line in &outcome.trace {
            println!("{line}");
        }
        sum.lock().expect("no thread ends while it holds the sum").add(seed, outcome);
    }
}

/// Plays a seed twice; a difference between the two is a failure as well.
fn play(args: &Args, seed: u64) -> Outcome {
    let once = || std::panic::catch_unwind(|| simulate(seed, args.plant, args.trace));
    let Ok(mut outcome) = once() else {
        let violation = Some("the simulation panicked".to_owned());
        return Outcome { violation, ..Outcome::default() };
    };
    if once().map_or(0, |again| again.hash) != outcome.hash {
        outcome.violation = Some("played twice, it took two different courses".to_owned());
    }
    outcome
}

fn report(args: &Args, seeds: u64, sum: &Sum) -> ExitCode {
    for (what, count) in &sum.counts {
        eprintln!("{count:>12} {what}");
    }
    eprintln!("{:>12} events", sum.events);
    let plant = args.plant.map(|flaw| format!(" --plant {}", flaw.as_str())).unwrap_or_default();
    for (seed, wrong) in &sum.failures {
        println!("seed {seed}: {wrong}\n  again: cargo xtask sim --seed {seed}{plant} --trace");
    }
    if sum.failures.is_empty() {
        println!("{seeds} seeds, each played twice: nothing is wrong");
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}
