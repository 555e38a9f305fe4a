//! One repetition of a peer: single calls, the call for many, the drain, the latency, each on a fresh store.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Lab;
use super::column::{Column, Sample};
use super::peers::{Driver, Peer};
use super::running::Running;
use super::store::{Counter, Fresh};
use crate::bench::product::MIB;

/// Single calls from one caller and from eight.
const SINGLE_C1: u32 = 1_000;
const SINGLE_C8: u32 = 4_000;
/// Tasks a second when latency is measured: a rate every engine here bears.
const LATENCY_RATE: u32 = 50;
/// Longest a worker may take to start, and to drain what it was given.
const START_MAX: Duration = Duration::from_secs(60);
const DRAIN_MAX: Duration = Duration::from_secs(300);
/// Rest between a worker's start and the first task whose latency counts.
const SETTLE: Duration = Duration::from_secs(2);
/// How often the store is asked whether anything is left.
const ASK_EVERY: Duration = Duration::from_millis(3);

/// All phases of a peer, once.
pub(crate) fn peer(lab: &Lab, peer: &Peer, driver: &Driver) -> Result<Sample> {
    let mut sample = Sample::default();
    let bench = Bench { lab, peer, driver };
    bench.single(&mut sample).context("single calls")?;
    bench.bulk_and_drain(&mut sample).context("drain")?;
    bench.latency(&mut sample).context("latency")?;
    Ok(sample)
}

struct Bench<'a> {
    lab: &'a Lab,
    peer: &'a Peer,
    driver: &'a Driver,
}

impl Bench<'_> {
    /// A store with the peer's schema for one mode of `work`.
    fn fresh(&self, mode: &str) -> Result<Fresh> {
        let fresh = self.lab.stores.fresh(self.peer.store, self.peer.name)?;
        self.driver.set_up(&fresh, mode)?;
        Ok(fresh)
    }

    fn single(&self, sample: &mut Sample) -> Result<()> {
        let fresh = self.fresh("noop")?;
        for (column, tasks, callers) in [(Column::SingleC1, SINGLE_C1, "1"), (Column::SingleC8, SINGLE_C8, "8")] {
            let seconds = self.driver.enqueue(&fresh, &["one", &tasks.to_string(), callers])?;
            sample.put(column, f64::from(tasks) / seconds);
        }
        Ok(())
    }

    fn bulk_and_drain(&self, sample: &mut Sample) -> Result<()> {
        let fresh = self.fresh("noop")?;
        let tasks = self.lab.tasks.min(self.peer.tasks_max);
        let before = self.server_cpu_ms();
        let seconds = self.driver.enqueue(&fresh, &["bulk", &tasks.to_string()])?;
        sample.put(Column::Bulk, f64::from(tasks) / seconds);
        self.put_server_cpu(sample, Column::BulkServerCpu, before, tasks);
        fresh.settle()?;
        self.drain(sample, &fresh, tasks)
    }

    /// Processor time counts from the first task on, so that no engine pays here for its runtime's start.
    fn drain(&self, sample: &mut Sample, fresh: &Fresh, tasks: u32) -> Result<()> {
        let mut counter = fresh.counter()?;
        let left = counter.ask(self.peer.left)?;
        ensure!(left == u64::from(tasks), "{tasks} tasks were enqueued and {left} are there");
        let worker = self.driver.start(fresh, &["work", "noop", &tasks.to_string()])?;
        let first = worker.wait_for("first", START_MAX)?;
        let (worker_before, server_before) = (worker.usage()?.cpu_ms, self.server_cpu_ms());
        worker.wait_for("done", DRAIN_MAX)?;
        wait_until_nothing_is_left(&mut counter, self.peer.left)?;
        let seconds = (now_ms() - first["at_ms"].as_f64().context("`first` has no time")?) / 1_000.0;
        let usage = worker.usage()?;
        self.put_server_cpu(sample, Column::ServerCpu, server_before, tasks);
        sample.put(Column::WorkerCpu, (usage.cpu_ms - worker_before) * 1_000.0 / f64::from(tasks));
        sample.put(Column::Drain, f64::from(tasks) / seconds);
        sample.put(Column::Rss, usage.rss_bytes_max / MIB);
        worker.kill()
    }

    fn latency(&self, sample: &mut Sample) -> Result<()> {
        let fresh = self.fresh("lat")?;
        let seconds = self.lab.latency_s;
        let worker = self.driver.start(&fresh, &["work", "lat", &(LATENCY_RATE * seconds).to_string()])?;
        worker.wait_for("ready", START_MAX)?;
        thread::sleep(SETTLE);
        self.driver.enqueue(&fresh, &["lat", &LATENCY_RATE.to_string(), &seconds.to_string()])?;
        put_latency(sample, &worker)?;
        worker.kill()
    }

    fn server_cpu_ms(&self) -> Option<f64> {
        self.lab.server_cpu_ms(self.peer.store)
    }

    fn put_server_cpu(&self, sample: &mut Sample, column: Column, before: Option<f64>, tasks: u32) {
        if let (Some(before), Some(after)) = (before, self.server_cpu_ms()) {
            sample.put(column, (after - before) * 1_000.0 / f64::from(tasks));
        }
    }
}

fn put_latency(sample: &mut Sample, worker: &Running) -> Result<()> {
    let done = worker.wait_for("done", START_MAX)?;
    for (column, key) in [(Column::P50, "p50"), (Column::P95, "p95"), (Column::P99, "p99")] {
        let value = done.pointer(&format!("/latency_ms/{key}")).and_then(Value::as_f64);
        sample.put(column, value.with_context(|| format!("`done` has no {key}"))?);
    }
    Ok(())
}

/// Every handler has run; what counts is that the store knows it.
fn wait_until_nothing_is_left(counter: &mut Counter, left: &str) -> Result<()> {
    let deadline = Instant::now() + START_MAX;
    loop {
        let left = counter.ask(left)?;
        if left == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "all handlers have run, but {left} tasks are not finished in the store");
        thread::sleep(ASK_EVERY);
    }
}

/// Wall clock, which drivers use too.
fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1_000.0)
}
