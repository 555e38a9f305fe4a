//! `cargo xtask bench kill`: SIGKILL of a worker in mid-run, and what becomes of the tasks it held.
//!
//! A thousand tasks of 50 ms, ten at once; the worker is killed as soon as three hundred have ended and three run, which
//! meets an engine that starts tasks before ended ones are stored at its worst; a second later another one starts. Each
//! task appends a line when it starts and one when it ends, so the file is the truth, whatever an engine says. Every
//! engine has its default settings, and all wait at the same time, since waiting is most of it.
//! Deliberately absent: a verdict. How long a lease should be is a choice; that nothing is lost is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::running::Running;
use super::store::{Fresh, StoreKind};
use super::{Engine, Lab, ours};

const TASKS: usize = 1_000;
const SLEEP_MS: &str = "50";
const SLOTS: &str = "10";
/// Tasks that have ended when the worker is killed, and the least that run at that moment.
const ENDED_BEFORE: usize = 300;
const RUNNING_MIN: usize = 3;
/// Longest the first worker may take to get there.
const FIRST_MAX: Duration = Duration::from_secs(90);
/// Time between the kill and the next worker.
const DOWN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What became of the tasks.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) store: StoreKind,
    /// Started and not ended when the worker was killed.
    in_flight: usize,
    ended: usize,
    /// Of those in flight, how many have not ended.
    missing: usize,
    /// From the kill until the last of those in flight had ended, in seconds; none if none did.
    back_s: Option<f64>,
    started_twice: usize,
    ended_twice: usize,
    /// How long we looked.
    watched_s: f64,
}

/// Kills an engine's worker and looks for this long at most.
///
/// # Errors
/// It does not work at all. Tasks that are not back in time are an outcome.
pub(crate) fn once(lab: &Lab, engine: &Engine, watch: Duration) -> Result<Outcome> {
    let name = format!("{}-{}", engine.name(), engine.store().word());
    let fresh = lab.stores.fresh(engine.store(), &format!("kill_{}", engine.name()))?;
    let file = lab.stores.folder.join(format!("{name}.txt"));
    fill(lab, engine, &fresh).context("filling")?;
    let first = work(lab, engine, &fresh, &file)?;
    let is_mid_run = |marks: &Marks| marks.ends.len() >= ENDED_BEFORE && marks.in_flight().len() >= RUNNING_MIN;
    if !wait_until(FIRST_MAX, &file, is_mid_run)? {
        let marks = Marks::read(&file)?;
        bail!("after {FIRST_MAX:?} {} tasks had started and {} ended", marks.starts.len(), marks.ends.len());
    }
    first.kill()?;
    let (killed, killed_ms) = (Instant::now(), now_ms());
    let in_flight = Marks::read(&file)?.in_flight();
    thread::sleep(DOWN);
    let second = work(lab, engine, &fresh, &file)?;
    wait_until(watch.saturating_sub(DOWN), &file, |marks| marks.ends.len() >= TASKS)?;
    let watched_s = killed.elapsed().as_secs_f64();
    second.kill()?;
    Ok(Marks::read(&file)?.outcome(engine, &in_flight, killed_ms, watched_s))
}

fn fill(lab: &Lab, engine: &Engine, fresh: &Fresh) -> Result<()> {
    let tasks = TASKS.to_string();
    match engine {
        Engine::Ours(product, _) => {
            let words = ["--scratch", ours::SCRATCH, "--phase", "fill", "--tasks", &tasks, "--json"];
            ours::run(&mut ours::command(lab, product, fresh, &words)).map(|_| ())
        }
        Engine::Peer(_, driver) => {
            driver.set_up(fresh, "file")?;
            driver.enqueue(fresh, &["bulk", &tasks]).map(|_| ())
        }
    }
}

fn work(lab: &Lab, engine: &Engine, fresh: &Fresh, file: &Path) -> Result<Running> {
    let path = file.to_str().context("the folder's name is no text")?;
    match engine {
        Engine::Ours(product, _) => {
            let words = ["--scratch", ours::SCRATCH, "--phase", "work", "--file", path];
            let more = ["--sleep-ms", SLEEP_MS, "--slots", SLOTS];
            let mut command = ours::command(lab, product, fresh, &[&words[..], &more].concat());
            Running::start(&mut command, file.with_extension("log"))
        }
        Engine::Peer(_, driver) => driver.start(fresh, &["work", "file", path, SLEEP_MS]),
    }
}

/// When each task started and ended, in milliseconds.
#[derive(Debug, Default)]
struct Marks {
    starts: BTreeMap<usize, Vec<f64>>,
    ends: BTreeMap<usize, Vec<f64>>,
}

impl Marks {
    /// Nothing has been written when there is no file.
    fn read(file: &Path) -> Result<Marks> {
        match fs::read_to_string(file) {
            Ok(text) => Ok(Marks::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Marks::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Lines `S NUMBER MS` and `E NUMBER MS`. A kill may cut the last one off, and what cannot be read is not counted.
    fn parse(text: &str) -> Marks {
        let mut marks = Marks::default();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let mut words = line.split_whitespace();
            let (Some(mark), Some(task), Some(at)) = (words.next(), words.next(), words.next()) else { continue };
            let (Ok(task), Ok(at)) = (task.parse(), at.parse()) else { continue };
            match mark {
                "S" => marks.starts.entry(task).or_default().push(at),
                "E" => marks.ends.entry(task).or_default().push(at),
                _ => {}
            }
        }
        marks
    }

    fn in_flight(&self) -> BTreeSet<usize> {
        self.starts.keys().filter(|task| !self.ends.contains_key(task)).copied().collect()
    }

    fn outcome(&self, engine: &Engine, in_flight: &BTreeSet<usize>, killed_ms: f64, watched_s: f64) -> Outcome {
        let back = in_flight.iter().filter_map(|task| self.ends.get(task)?.first());
        let twice = |marks: &BTreeMap<usize, Vec<f64>>| marks.values().filter(|times| times.len() > 1).count();
        Outcome {
            name: engine.name().to_owned(),
            store: engine.store(),
            in_flight: in_flight.len(),
            ended: self.ends.len(),
            missing: in_flight.iter().filter(|task| !self.ends.contains_key(task)).count(),
            back_s: back.copied().reduce(f64::max).map(|at| (at - killed_ms) / 1_000.0),
            started_twice: twice(&self.starts),
            ended_twice: twice(&self.ends),
            watched_s,
        }
    }
}

/// Whether the file said enough within the limit.
fn wait_until(limit: Duration, file: &Path, enough: impl Fn(&Marks) -> bool) -> Result<bool> {
    let began = Instant::now();
    while began.elapsed() < limit {
        if enough(&Marks::read(file)?) {
            return Ok(true);
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(false)
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1_000.0)
}

/// A Markdown table, quickest first.
pub(crate) fn text(outcomes: &[Outcome]) -> String {
    let mut outcomes: Vec<&Outcome> = outcomes.iter().collect();
    outcomes.sort_by(|a, b| recovery(a).total_cmp(&recovery(b)));
    let mut text =
        "| engine | in flight at the kill | back and ended after | ended of 1,000 | started twice | ended twice |\n\
                    |---|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for outcome in outcomes {
        let back = match outcome.back_s {
            Some(back_s) if outcome.missing == 0 => format!("{back_s:.1} s"),
            _ => format!("{} not in {:.0} s", outcome.missing, outcome.watched_s),
        };
        let Outcome { name, in_flight, ended, started_twice, ended_twice, .. } = outcome;
        let store = outcome.store.title();
        writeln!(text, "| {name} ({store}) | {in_flight} | {back} | {ended} | {started_twice} | {ended_twice} |")
            .expect("a string takes every line");
    }
    text
}

/// What is missing comes last.
fn recovery(outcome: &Outcome) -> f64 {
    if outcome.missing == 0 { outcome.back_s.unwrap_or(0.0) } else { f64::INFINITY }
}

pub(crate) fn json(outcomes: &[Outcome]) -> Value {
    let one = |outcome: &Outcome| {
        json!({
            "engine": outcome.name, "store": outcome.store.word(), "tasks": TASKS, "in_flight": outcome.in_flight,
            "ended": outcome.ended, "missing": outcome.missing, "back_s": outcome.back_s,
            "started_twice": outcome.started_twice, "ended_twice": outcome.ended_twice, "watched_s": outcome.watched_s,
        })
    };
    outcomes.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::bench::product::Product;

    const BEFORE: &str = "S 1 1000\nE 1 1050\nS 2 1040\nS 3 1045\nS 4 10";

    fn outcome(after: &str) -> Outcome {
        let in_flight = Marks::parse(BEFORE).in_flight();
        let product = Product::new("unused".into());
        let engine = Engine::Ours(&product, StoreKind::Sqlite);
        Marks::parse(&format!("{BEFORE}{after}")).outcome(&engine, &in_flight, 1_060.0, 9.0)
    }

    #[test]
    fn a_task_in_flight_is_back_when_it_has_ended() {
        let back = outcome("\nS 2 3000\nS 3 3000\nE 3 3050\nE 2 4060\nE 1 4070\n");
        let found = (back.in_flight, back.ended, back.missing, back.back_s, back.started_twice, back.ended_twice);
        assert_eq!(found, (2, 3, 0, Some(3.0), 2, 1));
        let lost = outcome("\nS 2 3000\nE 2 4060\n");
        assert_eq!((lost.missing, lost.back_s), (1, Some(3.0)));
    }

    #[test]
    fn what_is_missing_stands_last() {
        let outcomes = [outcome("\nE 2 4060\n"), outcome("\nE 2 4060\nE 3 4060\n")];
        expect![[r"
            | engine | in flight at the kill | back and ended after | ended of 1,000 | started twice | ended twice |
            |---|--:|--:|--:|--:|--:|
            | meta-builder (SQLite) | 2 | 3.0 s | 3 | 0 | 0 |
            | meta-builder (SQLite) | 2 | 1 not in 9 s | 2 | 0 | 0 |
        "]]
        .assert_eq(&text(&outcomes));
    }
}
