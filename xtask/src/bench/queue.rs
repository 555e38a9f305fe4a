//! `cargo xtask bench queue`: the product's queue beside other engines, in one run on one machine.
//!
//! Every engine has its turn in each repetition, so that a busy moment of the machine hits all of them. Right before
//! each turn the raw rates of the same database are taken, since what a flush costs can change tenfold within minutes.
//! Deliberately absent: figures of other machines, and a verdict. Peers are found in the folder `PEERS` names; those
//! that are not there are said at the end.

mod column;
mod kill;
mod measure;
mod ours;
mod peers;
mod raw;
mod running;
mod server;
mod store;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use tempfile::TempDir;

use self::column::Sample;
use self::peers::{Driver, PEERS, Peer};
use self::server::BenchServer;
use self::store::{StoreKind, Stores};
use self::table::Row;
use super::product::Product;

/// What the product is called in the tables.
const OURS: &str = "meta-builder";
/// What the rates without an engine are called there.
const RAW: &str = "raw";
/// Names the folder of installed peers.
const INSTALLED: &str = "PEERS";
const HOW_TO: &str = "docs/how-to/measure-the-queue.md";

/// Options of `queue` and `kill` alone.
#[derive(Args)]
pub(crate) struct QueueArgs {
    /// Tasks of a bulk and a drain; slow peers get fewer
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    tasks: u32,
    /// Seconds of a latency measurement
    #[arg(long, default_value_t = 12, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=600))]
    latency_s: u32,
    /// Only these engines, by name; `meta-builder` is ours
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Only this kind of store
    #[arg(long, value_enum)]
    store: Option<StoreKind>,
    /// A PostgreSQL server that may make databases [default: a throw-away one]
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Where databases are made: a folder on a disk [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Longest time looked for killed tasks, in seconds
    #[arg(long, default_value_t = 120, value_name = "S", value_parser = clap::value_parser!(u64).range(5..=10_000))]
    watch_s: u64,
}

/// Where everything is measured.
pub(crate) struct Lab {
    stores: Stores,
    server: Option<BenchServer>,
    tasks: u32,
    latency_s: u32,
    _folder: TempDir,
}

impl Lab {
    fn open(args: &QueueArgs) -> Result<Lab> {
        let parent = args.folder.clone().unwrap_or_else(std::env::temp_dir);
        if store::is_in_memory(&parent) {
            eprintln!("warning: {} lies in memory, where a flush costs nothing; see --folder", parent.display());
        }
        let wanted = args.store.is_none_or(|kind| kind == StoreKind::Postgres);
        let server = wanted.then(|| BenchServer::open(args.postgres.as_deref(), &parent)).transpose()?;
        if let Some(server) = &server {
            eprintln!("PostgreSQL: {}", server.origin());
        }
        let folder =
            tempfile::Builder::new().prefix("mb-bench-").tempdir_in(&parent).context("no folder can be made")?;
        let postgres = server.as_ref().map(|server| server.url().to_owned());
        let stores = Stores { postgres, folder: folder.path().to_owned() };
        Ok(Lab { stores, server, tasks: args.tasks, latency_s: args.latency_s, _folder: folder })
    }

    /// Processor time of the server below this kind of store, where there is one and it can be seen.
    fn server_cpu_ms(&self, kind: StoreKind) -> Option<f64> {
        self.server.as_ref().filter(|_| kind == StoreKind::Postgres)?.cpu_ms()
    }
}

/// Who is measured.
enum Engine<'a> {
    Ours(&'a Product, StoreKind),
    Peer(&'a Peer, &'a Driver),
}

impl Engine<'_> {
    fn name(&self) -> &'static str {
        match self {
            Engine::Ours(..) => OURS,
            Engine::Peer(peer, _) => peer.name,
        }
    }

    fn store(&self) -> StoreKind {
        match self {
            Engine::Ours(_, kind) => *kind,
            Engine::Peer(peer, _) => peer.store,
        }
    }

    fn keeps_history(&self) -> bool {
        match self {
            Engine::Ours(..) => true,
            Engine::Peer(peer, _) => peer.keeps_history,
        }
    }

    /// All phases, once.
    fn measure(&self, lab: &Lab) -> Result<Sample> {
        match self {
            Engine::Ours(product, kind) => ours::measure(lab, product, *kind),
            Engine::Peer(peer, driver) => measure::peer(lab, peer, driver),
        }
    }
}

/// The peers wanted, those of them that are installed, and a line about each of the others.
struct Found {
    present: Vec<(&'static Peer, Driver)>,
    absent: Vec<String>,
}

impl Found {
    fn look(root: &Path, args: &QueueArgs) -> Result<Found> {
        let installed = std::env::var_os(INSTALLED).map(PathBuf::from);
        let mut found = Found { present: Vec::new(), absent: Vec::new() };
        for peer in PEERS.iter().filter(|peer| args.wants(peer.name, peer.store)) {
            let driver = installed.as_ref().map(|installed| peer.driver(root, installed)).transpose()?.flatten();
            match driver {
                Some(driver) => found.present.push((peer, driver)),
                None => found.absent.push(peer.name.to_owned()),
            }
        }
        found.absent.dedup();
        Ok(found)
    }

    /// Ours first, then peers in the order of their table.
    fn engines<'a>(&'a self, product: &'a Product, args: &QueueArgs) -> Vec<Engine<'a>> {
        let ours = args.stores().filter(|kind| args.wants(OURS, *kind)).map(|kind| Engine::Ours(product, kind));
        let peers = self.present.iter().map(|(peer, driver)| Engine::Peer(peer, driver));
        ours.chain(peers).collect()
    }

    /// Last, so that nobody reads a table of few engines as one of all.
    fn say_who_is_absent(&self) {
        for name in &self.absent {
            eprintln!("not installed: {name}; set {INSTALLED} and run `bench/peers/install.sh {name}` (see {HOW_TO})");
        }
    }
}

impl QueueArgs {
    fn wants(&self, name: &str, store: StoreKind) -> bool {
        let named = self.only.is_empty() || self.only.iter().any(|only| only == name);
        named && self.store.is_none_or(|kind| kind == store)
    }

    fn stores(&self) -> impl Iterator<Item = StoreKind> {
        let only = self.store;
        [StoreKind::Postgres, StoreKind::Sqlite].into_iter().filter(move |kind| only.is_none_or(|only| only == *kind))
    }

    /// A name nobody has would measure nothing and look like success.
    fn check(&self) -> Result<()> {
        let known: Vec<&str> = PEERS.iter().map(|peer| peer.name).chain([OURS]).collect();
        for name in &self.only {
            ensure!(known.contains(&name.as_str()), "there is no engine {name}; there are {}", known.join(", "));
        }
        Ok(())
    }
}

/// Measures throughput, cost and latency of every engine, this often.
///
/// # Errors
/// The product fails, or what engines run on is missing. A peer that fails is a line in the tables.
pub(crate) fn run(root: &Path, product: &Product, runs: usize, args: &QueueArgs, as_json: bool) -> Result<()> {
    args.check()?;
    let found = Found::look(root, args)?;
    let lab = Lab::open(args)?;
    let engines = found.engines(product, args);
    let mut raw: Vec<Row> = args.stores().map(|kind| Row::new(RAW, kind, None)).collect();
    let row = |engine: &Engine| Row::new(engine.name(), engine.store(), Some(engine.keeps_history()));
    let mut rows: Vec<Row> = engines.iter().map(row).collect();
    let mut loads = Vec::new();
    for repetition in 1..=runs {
        for (engine, row) in engines.iter().zip(&mut rows) {
            let load = load().context("the machine's load cannot be read")?;
            let title = engine.store().title();
            eprintln!("repetition {repetition} of {runs}, load {load}: {} on {title}", engine.name());
            loads.push(load);
            let rates = raw::measure(&lab.stores, engine.store())?;
            row.add(engine.measure(&lab), &rates);
            raw.iter_mut().filter(|raw| raw.store == engine.store()).for_each(|raw| raw.samples.push(rates.clone()));
        }
    }
    let rows = [raw, rows].concat();
    if as_json {
        let rows = table::json(&rows);
        println!("{:#}", json!({"tasks_max": lab.tasks, "latency_s": lab.latency_s, "loads": loads, "rows": rows}));
    } else {
        print!("{}", table::text(&rows));
        println!("Medians of {runs}, in brackets the range. {}", table::loads(&loads));
    }
    found.say_who_is_absent();
    Ok(())
}

/// Kills a worker of every engine, all at the same time.
///
/// # Errors
/// What engines run on is missing. An engine that fails is a line on standard error.
pub(crate) fn run_kill(root: &Path, product: &Product, args: &QueueArgs, as_json: bool) -> Result<()> {
    args.check()?;
    let found = Found::look(root, args)?;
    let lab = Lab::open(args)?;
    let engines = found.engines(product, args);
    let watch = Duration::from_secs(args.watch_s);
    eprintln!("{} engines, {} s at most", engines.len(), args.watch_s);
    let results = thread::scope(|scope| {
        let lab = &lab;
        let start = |engine| scope.spawn(move || kill::once(lab, engine, watch));
        let handles: Vec<_> = engines.iter().map(start).collect();
        handles.into_iter().map(|handle| handle.join().expect("no measurement panics")).collect::<Vec<_>>()
    });
    let mut outcomes = Vec::new();
    for (engine, result) in engines.iter().zip(results) {
        match result {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => eprintln!("{} ({}) failed: {error:#}", engine.name(), engine.store().title()),
        }
    }
    if as_json {
        println!("{:#}", kill::json(&outcomes));
    } else {
        print!("{}", kill::text(&outcomes));
    }
    found.say_who_is_absent();
    Ok(())
}

/// How many processes wanted a processor, on average of the last minute.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: QueueArgs,
    }

    fn wanted(words: &[&str]) -> String {
        let args = Line::try_parse_from([&["queue"], words].concat()).expect("a command line").args;
        let product = Product::new("unused".into());
        let driver = || Driver::at("unused".into());
        let present = PEERS.iter().filter(|peer| args.wants(peer.name, peer.store)).map(|peer| (peer, driver()));
        let found = Found { present: present.collect(), absent: Vec::new() };
        let engines = found.engines(&product, &args);
        engines.iter().map(|engine| format!("{} {}\n", engine.name(), engine.store().word())).collect()
    }

    #[test]
    fn who_is_measured_can_be_chosen_by_name_and_by_store() {
        let check = |words: &[&str], expected: &str| assert_eq!(wanted(words), expected);
        check(&["--only", "apalis"], "apalis postgres\napalis sqlite\n");
        check(&["--only", "apalis,meta-builder", "--store", "sqlite"], "meta-builder sqlite\napalis sqlite\n");
        assert_eq!(wanted(&[]).lines().count(), PEERS.len() + 2);
    }

    #[test]
    fn a_name_nobody_has_is_refused() {
        let args = Line::try_parse_from(["queue", "--only", "meta-builder,sidekick"]).expect("a command line").args;
        let error = args.check().expect_err("there is no such engine").to_string();
        assert!(error.starts_with("there is no engine sidekick; there are "), "{error}");
    }
}
