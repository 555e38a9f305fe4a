//! The product beside its peers: `mb bench queue`, one process a phase, over one scratch schema.
//!
//! Rates, latency, memory and its own processor time are what it says of itself; the server's processor time is seen
//! from outside, as it is for peers. The schema is made by the first phase, so that no other pays for it.
//! Deliberately absent: knowledge of that schema. It goes with the database it lies in.

use std::collections::BTreeMap;
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
/// The name of its schema, kept between its commands.
pub(crate) const SCRATCH: &str = "ours";
/// Characters of its standard error in a reason.
const REASON_CHARS: usize = 600;

/// All phases, once.
pub(crate) fn measure(lab: &Lab, product: &Product, kind: StoreKind) -> Result<Sample> {
    let fresh = lab.stores.fresh(kind, "ours")?;
    let (tasks, seconds) = (lab.tasks.to_string(), lab.latency_s.to_string());
    let mut phases = BTreeMap::new();
    for phase in ["single", "bulk", "drain", "latency"] {
        let words = ["--scratch", SCRATCH, "--phase", phase, "--json", "--tasks", &tasks, "--seconds", &seconds];
        let before = lab.server_cpu_ms(kind);
        let figures = run(&mut command(lab, product, &fresh, &words)).with_context(|| format!("phase {phase}"))?;
        let spent = lab.server_cpu_ms(kind).zip(before).map(|(after, before)| after - before);
        let server_us = spent.map(|ms| ms * 1_000.0 / f64::from(lab.tasks));
        phases.insert(phase, Phase { figures, server_us });
        if phase == "bulk" {
            fresh.settle()?;
        }
    }
    Ok(sample(&phases))
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

/// What a phase printed, and what it cost the server for a task, where that can be seen.
struct Phase {
    figures: Value,
    server_us: Option<f64>,
}

fn sample(phases: &BTreeMap<&str, Phase>) -> Sample {
    let printed = [
        (Column::SingleC1, "single", "/single_per_s/c1"),
        (Column::SingleC8, "single", "/single_per_s/c8"),
        (Column::Bulk, "bulk", "/bulk_per_s"),
        (Column::Drain, "drain", "/drain_per_s"),
        (Column::WorkerCpu, "drain", "/drain_cpu_us_per_task"),
        (Column::Rss, "drain", "/rss_bytes_max"),
        (Column::P50, "latency", "/start_latency_ms/p50"),
        (Column::P95, "latency", "/start_latency_ms/p95"),
        (Column::P99, "latency", "/start_latency_ms/p99"),
    ];
    let mut sample = Sample::default();
    for (column, phase, key) in printed {
        let value = phases.get(phase).and_then(|phase| phase.figures.pointer(key)?.as_f64());
        if let Some(value) = value {
            sample.put(column, if column == Column::Rss { value / MIB } else { value });
        }
    }
    for (column, phase) in [(Column::BulkServerCpu, "bulk"), (Column::ServerCpu, "drain")] {
        if let Some(us) = phases.get(phase).and_then(|phase| phase.server_us) {
            sample.put(column, us);
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_figure_is_that_of_its_phase() {
        let phase = |figures, server_us| Phase { figures, server_us };
        let phases = BTreeMap::from([
            ("single", phase(json!({"single_per_s": {"c1": 900.0, "c8": 4_000.0}, "rss_bytes_max": 9}), Some(50.0))),
            ("bulk", phase(json!({"bulk_per_s": 90_000.0, "rss_bytes_max": 50_000_000}), Some(6.0))),
            (
                "drain",
                phase(
                    json!({"drain_per_s": 70_000.0, "drain_cpu_us_per_task": 4.5, "rss_bytes_max": 12_582_912}),
                    None,
                ),
            ),
        ]);
        let sample = sample(&phases);
        let columns =
            [Column::Bulk, Column::SingleC8, Column::Drain, Column::WorkerCpu, Column::BulkServerCpu, Column::Rss];
        let values = columns.map(|column| sample.get(column).unwrap_or_default());
        assert_eq!(values, [90_000.0, 4_000.0, 70_000.0, 4.5, 6.0, 12.0]);
        assert_eq!((sample.get(Column::ServerCpu), sample.get(Column::P50)), (None, None));
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
