//! The product beside its peers: `mb bench queue`, one process a phase.
//!
//! Rates, latency, memory and its own processor time are what it says of itself. The server's processor time is its
//! own figure too where it has one; else the difference between the phase that fills and drains and the one that only
//! fills, seen from outside. Deliberately absent: knowledge of its schema, which it makes and removes.

use std::fs::{self, File};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Lab;
use super::column::{Column, Sample};
use super::store::{Fresh, StoreKind};
use crate::bench::product::{MIB, Product};

/// Longest a phase may take.
const PHASE_MAX: Duration = Duration::from_secs(300);
/// Characters of its standard error in a reason.
const REASON_CHARS: usize = 600;

/// All phases, once.
pub(crate) fn measure(lab: &Lab, product: &Product, kind: StoreKind) -> Result<Sample> {
    let fresh = lab.stores.fresh(kind, "ours")?;
    let mut server_us = Vec::new();
    let mut figures = Vec::new();
    for phase in ["bulk", "single", "drain", "latency"] {
        let before = lab.server_cpu_ms(kind);
        let tasks = lab.tasks.to_string();
        let words = ["--tasks", &tasks, "--json", "--phase", phase];
        figures.push(run(&mut command(lab, product, &fresh, &words)).with_context(|| format!("phase {phase}"))?);
        let spent = lab.server_cpu_ms(kind).zip(before).map(|(after, before)| after - before);
        server_us.push(spent.map(|ms| ms * 1_000.0 / f64::from(lab.tasks)));
    }
    Ok(sample(&figures, server_us[0], server_us[2]))
}

/// `mb bench queue` on this store.
pub(crate) fn command(lab: &Lab, product: &Product, fresh: &Fresh, words: &[&str]) -> Command {
    let mut command = product.command(&["bench", "queue", "--store", &fresh.store_url()]);
    command.args(words).env("MB_DATA_DIR", lab.stores.folder.join("data")).current_dir(&lab.stores.folder);
    command
}

/// The object it prints.
pub(crate) fn run(command: &mut Command) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let (out, log) = (folder.path().join("out"), folder.path().join("log"));
    let mut child = command.stdout(File::create(&out)?).stderr(File::create(&log)?).spawn()?;
    let deadline = Instant::now() + PHASE_MAX;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let errors = fs::read_to_string(&log)?;
    let reason: String = errors.trim().chars().take(REASON_CHARS).collect();
    let status = status.with_context(|| format!("it did not end within {PHASE_MAX:?}: {reason}"))?;
    ensure!(status.success(), "it ended with {status}: {reason}");
    serde_json::from_slice(&fs::read(&out)?).context("it did not print one JSON object")
}

/// From what the phases printed, and the server's time for a task in the phases that fill, and fill and drain.
fn sample(figures: &[Value], bulk_us: Option<f64>, drain_us: Option<f64>) -> Sample {
    let keys = [
        (Column::Bulk, "/bulk_per_s", 1.0),
        (Column::SingleC1, "/single_per_s/c1", 1.0),
        (Column::SingleC8, "/single_per_s/c8", 1.0),
        (Column::Drain, "/drain_per_s", 1.0),
        (Column::WorkerCpu, "/drain_cpu_us_per_task", 1.0),
        (Column::ServerCpu, "/server_cpu_us_per_task", 1.0),
        (Column::P50, "/start_latency_ms/p50", 1.0),
        (Column::P95, "/start_latency_ms/p95", 1.0),
        (Column::P99, "/start_latency_ms/p99", 1.0),
        (Column::Rss, "/rss_bytes_max", MIB),
    ];
    let mut sample = Sample::default();
    for (column, key, unit) in keys {
        // A phase that was not asked for is absent or null in what the others print; memory is in all, and its most
        // is that of the drain, the heaviest.
        let values = figures.iter().filter_map(|figures| figures.pointer(key)?.as_f64());
        if let Some(value) = values.reduce(f64::max) {
            sample.put(column, value / unit);
        }
    }
    if let Some(us) = bulk_us {
        sample.put(Column::BulkServerCpu, us);
    }
    if let (None, Some(fill), Some(both)) = (sample.get(Column::ServerCpu), bulk_us, drain_us) {
        sample.put(Column::ServerCpu, (both - fill).max(0.0));
    }
    sample
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn phases(server: &Value) -> Vec<Value> {
        vec![
            json!({"tasks": 100, "bulk_per_s": 90_000.0, "rss_bytes_max": 1_048_576}),
            json!({"single_per_s": {"c1": 900.0, "c8": 4_000.0}, "drain_per_s": null}),
            json!({"drain_per_s": 70_000.0, "drain_cpu_us_per_task": 4.5, "server_cpu_us_per_task": server,
                "rss_bytes_max": 12_582_912}),
            json!({"start_latency_ms": {"rate": 50, "p50": 1.0, "p95": 2.0, "p99": 3.0}}),
        ]
    }

    #[test]
    fn the_phases_make_one_sample() {
        let sample = sample(&phases(&json!(14.0)), Some(6.0), Some(30.0));
        let columns = [Column::Bulk, Column::SingleC8, Column::Drain, Column::ServerCpu, Column::P99, Column::Rss];
        let values = columns.map(|column| sample.get(column).unwrap_or_default());
        assert_eq!(values, [90_000.0, 4_000.0, 70_000.0, 14.0, 3.0, 12.0]);
    }

    #[test]
    fn where_it_cannot_see_the_server_the_difference_of_two_phases_counts() {
        assert_eq!(sample(&phases(&Value::Null), Some(6.0), Some(30.0)).get(Column::ServerCpu), Some(24.0));
        assert_eq!(sample(&phases(&Value::Null), None, None).get(Column::ServerCpu), None);
    }

    #[test]
    fn what_is_no_object_is_an_error_with_its_reason() {
        let error =
            run(Command::new("sh").args(["-c", "echo 'no such option' >&2; exit 2"])).expect_err("it ends with 2");
        assert_eq!(error.to_string(), "it ended with exit status: 2: no such option");
        let error = run(Command::new("sh").args(["-c", "echo done"])).expect_err("that is no JSON");
        assert_eq!(error.to_string(), "it did not print one JSON object");
    }
}
