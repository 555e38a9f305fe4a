//! What the product holds and uses: a server with nothing to do and after runs, a command that prints without end.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::figure::Figure;
use super::product::{MIB, Product, Server, Usage, folder};
use super::run::project;
use super::start::timed;

/// Time before the first look, so that what a start does once is over; and time looked at.
const SETTLE: Duration = Duration::from_secs(10);
const WATCH: Duration = Duration::from_secs(20);
/// Runs a server is given, in this many turns with a look after each.
const RUNS: usize = 100;
const LOOKS: usize = 4;
/// What the printing command prints.
const PRINTED_BYTES: &str = "1000000000";
/// Longest it may take.
const PRINT_DEADLINE: Duration = Duration::from_secs(120);

/// Memory, processor time and writes of one server, then the memory of a run that prints a gigabyte.
pub(crate) fn measure(product: &Product) -> Result<Vec<Figure>> {
    let data = folder()?;
    let (server, _) = product.up(data.path())?;
    thread::sleep(SETTLE);
    let begin = Usage::of(server.pid())?;
    thread::sleep(WATCH);
    let end = Usage::of(server.pid())?;
    let per_minute = |amount: f64| vec![amount * 60.0 / WATCH.as_secs_f64()];
    let after = after_runs(product, &server, &fs::read_to_string(data.path().join("admin-token"))?)?;
    Ok(vec![
        Figure::new("memory of up, 10 s after start", "MiB", vec![begin.rss_bytes / MIB]).under(40.0),
        Figure::new("processor time of an idle up, a minute", "ms", per_minute(end.cpu_ms - begin.cpu_ms)),
        Figure::new("wake-ups of an idle up, a minute", "", per_minute(end.wakes - begin.wakes)),
        Figure::new("writing calls of an idle up, a minute", "", per_minute(end.writes - begin.writes)),
        Figure::new("memory of up after 25, 50, 75, 100 runs", "MiB", after),
        Figure::new("most memory of mb run, 1 GB printed", "MiB", vec![printing(product)? / MIB]),
    ])
}

/// Gives a server runs one after the other; its memory after each quarter of them.
fn after_runs(product: &Product, server: &Server, token: &str) -> Result<Vec<f64>> {
    let dir = project(true)?;
    let mut seen = Vec::new();
    for _ in 0..LOOKS {
        for _ in 0..RUNS / LOOKS {
            let mut command = product.command(&["run", "--", "true"]);
            command.current_dir(dir.path()).env("MB_SERVER", server.url()).env("MB_TOKEN", token.trim());
            timed(&mut command)?;
        }
        seen.push(Usage::of(server.pid())?.rss_bytes / MIB);
    }
    Ok(seen)
}

/// The most memory of an `mb run` whose command prints a gigabyte of lines, in bytes.
fn printing(product: &Product) -> Result<f64> {
    let (dir, data) = (project(false)?, folder()?);
    let line = format!("yes 'a line as a compiler might print it, of some length' | head -c {PRINTED_BYTES}");
    let mut command = product.command(&["run", "--", "sh", "-c", &line]);
    command.current_dir(dir.path()).env("MB_DATA_DIR", data.path());
    let mut child = command.spawn()?;
    let (began, mut most) = (Instant::now(), 0.0_f64);
    while child.try_wait()?.is_none() {
        if began.elapsed() > PRINT_DEADLINE {
            child.kill().context("the run cannot be stopped")?;
            child.wait()?;
        }
        ensure!(began.elapsed() <= PRINT_DEADLINE, "a run that prints did not end within {PRINT_DEADLINE:?}");
        // Unreadable for a moment while it ends.
        most = Usage::of(child.id()).map_or(most, |usage| most.max(usage.rss_bytes_max));
        thread::sleep(Duration::from_millis(5));
    }
    Ok(most)
}
