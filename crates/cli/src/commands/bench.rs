//! `mb bench queue`: what the queue does on this store, for sizing one and for us.
//!
//! Measured are the verbs and the worker the product uses, with history kept and its own defaults, on a schema or file
//! of their own. Deliberately absent: comparisons with others (`cargo xtask bench`) and figures kept for later.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mb_core::id::TenantId;
use mb_core::queue::{Bounds, NewTask, Outcome};
use mb_core::task::QueueClass;
use mb_engine::{DataDir, Engine, Env, Handlers, Job, Reaper, Worker, WorkerOptions};
use mb_runner::{Sandbox, SandboxLevel};
use mb_store::{SCRATCH_PREFIX, Store, StoreOptions, StoreUrl};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::args::{BenchPhase, BenchQueueArgs, Global};
use crate::exit::{Exit, Failure};

/// Tasks of one call in the bulk phase.
const BULK: u32 = 5_000;
/// Time of each part of the single phase.
const SINGLE: Duration = Duration::from_secs(2);
/// Callers of its second part.
const CALLERS: usize = 8;
/// Longest time a phase may take.
const PHASE_TIMEOUT: Duration = Duration::from_secs(3_600);
const CLASS: QueueClass = QueueClass::Io;

pub(crate) async fn queue(global: &Global, args: &BenchQueueArgs) -> Result<Exit, Failure> {
    let bench = Bench::open(global, args).await.map_err(|error| Failure::new(Exit::Unreachable, error))?;
    let measured = bench.measure(args).await;
    if args.scratch.is_none() {
        bench.engine.store().remove_scratch(&bench.url).await.context("the scratch space could not be removed")?;
    }
    let figures = measured.context("the measurement failed")?;
    if global.json {
        println!("{figures}");
    } else {
        show(&figures);
    }
    Ok(Exit::Ok)
}

struct Bench {
    engine: Engine,
    url: StoreUrl,
    options: StoreOptions,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn open(global: &Global, args: &BenchQueueArgs) -> anyhow::Result<Bench> {
        let name = args.scratch.clone().unwrap_or_else(|| std::process::id().to_string());
        let name = format!("{SCRATCH_PREFIX}{name}");
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let url: StoreUrl = match &global.store {
            Some(url) => url.parse().context("the store's address cannot be read")?,
            None => StoreUrl::Sqlite(std::env::current_dir()?.join("mb.db")),
        };
        // Beside the store that is meant: another disk would be measured otherwise.
        let (url, pg_schema) = match url {
            StoreUrl::Sqlite(path) => (StoreUrl::Sqlite(path.with_file_name(format!("{name}.db"))), None),
            postgres @ StoreUrl::Postgres(_) => (postgres, Some(name)),
        };
        let options = StoreOptions { pg_schema, ..StoreOptions::default() };
        let env = Env::system()?;
        let store = Store::open(&url, options.clone()).await.with_context(|| format!("{url} cannot be opened"))?;
        store.migrate(env.now()).await.context("the schema cannot be made")?;
        let data = DataDir::open(folder.path())?;
        let engine = Engine::new(env, store, data, Sandbox::with_level(SandboxLevel::None)?);
        Ok(Bench { engine, url, options, _folder: folder })
    }

    async fn measure(&self, args: &BenchQueueArgs) -> anyhow::Result<Value> {
        let mut figures = json!({ "store": self.engine.store().kind(), "tasks": args.tasks });
        let mut phases = args.phase.clone();
        // Single calls leave nothing behind; what bulk leaves is for drain.
        phases.sort();
        for phase in phases {
            let part = match phase {
                BenchPhase::Bulk => self.bulk(args.tasks).await?,
                BenchPhase::Single => self.single().await?,
                BenchPhase::Drain => self.drain(args).await?,
                BenchPhase::Latency => self.latency(args).await?,
                BenchPhase::Fill => self.fill(args.tasks).await?,
                BenchPhase::Work => self.work(args).await?,
            };
            if let (Value::Object(all), Value::Object(part)) = (&mut figures, part) {
                all.extend(part);
            }
        }
        figures["rss_bytes_max"] = json!(rss_bytes_max());
        Ok(figures)
    }

    fn task(&self, kind: &str, payload: String) -> NewTask {
        let mut task = NewTask::new(self.engine.env().task_id(), TenantId::DEFAULT, kind, CLASS);
        task.payload = payload;
        task
    }

    async fn enqueue(&self, tasks: &[NewTask]) -> anyhow::Result<()> {
        let now = self.engine.env().now();
        self.engine.store().enqueue(now, tasks, &Bounds::default()).await.context("a task was not enqueued")?;
        Ok(())
    }

    async fn enqueue_all(&self, kind: &str, count: u32) -> anyhow::Result<()> {
        for first in (0..count).step_by(BULK as usize) {
            let numbers = first..count.min(first + BULK);
            let tasks: Vec<NewTask> = numbers.map(|i| self.task(kind, format!("{{\"i\":{i}}}"))).collect();
            self.enqueue(&tasks).await?;
        }
        Ok(())
    }

    async fn bulk(&self, count: u32) -> anyhow::Result<Value> {
        let (since, server) = (Instant::now(), server_cpu());
        self.enqueue_all("noop", count).await?;
        let took = since.elapsed();
        Ok(json!({
            "bulk_per_s": per_second(u64::from(count), took),
            "bulk_server_cpu_us_per_task": server_cpu_since(server, u64::from(count)),
        }))
    }

    async fn fill(&self, count: u32) -> anyhow::Result<Value> {
        self.enqueue_all("file", count).await?;
        Ok(json!({ "filled": count }))
    }

    async fn single(&self) -> anyhow::Result<Value> {
        let (one, eight) = (self.callers(1).await?, self.callers(CALLERS).await?);
        Ok(json!({ "single_per_s": { "c1": one, "c8": eight } }))
    }

    /// Acknowledged enqueueings a second. What they leave is done before the next phase.
    async fn callers(&self, count: usize) -> anyhow::Result<f64> {
        let (since, done) = (Instant::now(), AtomicU64::new(0));
        let caller = || async {
            while since.elapsed() < SINGLE {
                self.enqueue(&[self.task("noop", "{}".to_owned())]).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        };
        futures_util::future::try_join_all((0..count).map(|_| caller())).await?;
        let rate = per_second(done.load(Ordering::Relaxed), since.elapsed());
        let slots = 24;
        self.until_empty(slots, Handlers::builtin()).await?;
        Ok(rate)
    }

    async fn drain(&self, args: &BenchQueueArgs) -> anyhow::Result<Value> {
        self.engine.store().tidy().await.context("the database could not be tidied")?;
        let waiting = self.waiting().await?;
        if waiting == 0 {
            bail!("nothing waits: the phase bulk has to come first");
        }
        let (own, server) = (own_cpu(), server_cpu());
        let took = self.until_empty(args.slots as usize, Handlers::builtin()).await?;
        // Counting ends at a hundred thousand; whoever enqueued knows better.
        let count = if waiting >= 100_000 { u64::from(args.tasks) } else { waiting };
        Ok(json!({
            "drain_per_s": per_second(count, took),
            "drain_cpu_us_per_task": micros_each(own_cpu().saturating_sub(own), count),
            "server_cpu_us_per_task": server_cpu_since(server, count),
        }))
    }

    async fn waiting(&self) -> anyhow::Result<u64> {
        let stats = self.engine.store().queue_stats(self.engine.env().now()).await?;
        Ok(stats.iter().map(|queue| queue.waiting() + queue.leased).sum())
    }

    fn worker(&self, engine: &Engine, slots: usize, handlers: Handlers) -> Worker {
        let slots = BTreeMap::from([(CLASS, slots)]);
        Worker::new(engine.clone(), WorkerOptions { slots, handlers, ..WorkerOptions::default() })
    }

    /// Works until the store says that nothing is left; the time until it did.
    async fn until_empty(&self, slots: usize, handlers: Handlers) -> anyhow::Result<Duration> {
        let (stop, since) = (CancellationToken::new(), Instant::now());
        let worker = tokio::spawn(self.worker(&self.engine, slots, handlers).run(stop.clone()));
        let reaper = Reaper::new(self.engine.clone(), Duration::from_secs(1), Duration::from_secs(60));
        let reaper = tokio::spawn(reaper.run(stop.clone()));
        let mut wait = Duration::from_millis(2);
        // Counting costs the database more than the tasks do, so it is asked last.
        while self.engine.store().next_ready_at(None).await?.is_some() || self.waiting().await? > 0 {
            if since.elapsed() > PHASE_TIMEOUT {
                bail!("the queue is not empty after an hour");
            }
            // Asking costs the store something, too.
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(20));
        }
        let took = since.elapsed();
        stop.cancel();
        worker.await.context("the worker ended badly")?;
        reaper.await.context("the reaper ended badly")?;
        Ok(took)
    }

    /// Enqueued by one store and done by another, so that a wake-up on PostgreSQL takes the way it takes between nodes.
    /// On SQLite both are one process, as in production.
    async fn latency(&self, args: &BenchQueueArgs) -> anyhow::Result<Value> {
        let waits = Arc::new(Mutex::new(Vec::new()));
        let (seen, env) = (Arc::clone(&waits), self.engine.env().clone());
        let handlers = Handlers::default().with("timed", move |job: Job| {
            let now = env.now();
            let since: i64 = serde_json::from_str(&job.task.payload).unwrap_or(i64::MAX);
            let wait = now.since(mb_core::time::Timestamp::from_micros(since));
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(wait);
            std::future::ready(Outcome::Succeeded)
        });
        let other = self.other_node().await?;
        let stop = CancellationToken::new();
        let worker = tokio::spawn(self.worker(&other, args.slots as usize, handlers).run(stop.clone()));
        let (warm_up, total) = (args.rate, args.rate * (args.seconds + 1));
        let mut tick = tokio::time::interval(Duration::from_secs(1) / args.rate);
        for _ in 0..total {
            tick.tick().await;
            let since = self.engine.env().now().as_micros();
            self.enqueue(&[self.task("timed", since.to_string())]).await?;
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        let count = || waits.lock().unwrap_or_else(PoisonError::into_inner).len();
        while count() < total as usize && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.cancel();
        worker.await.context("the worker ended badly")?;
        let mut waits = waits.lock().unwrap_or_else(PoisonError::into_inner).split_off(warm_up as usize);
        waits.sort();
        let at = |share: f64| milliseconds(waits.get(index(share, waits.len())).copied().unwrap_or_default());
        Ok(json!({
            "start_latency_ms": { "rate": args.rate, "count": waits.len(), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99) },
        }))
    }

    async fn other_node(&self) -> anyhow::Result<Engine> {
        if self.engine.store().kind() == "sqlite" {
            return Ok(self.engine.clone());
        }
        let store = Store::open(&self.url, self.options.clone()).await?;
        Ok(Engine::new(self.engine.env().clone(), store, self.engine.data().clone(), self.engine.sandbox().clone()))
    }

    /// For killing: every begin and end is written down.
    async fn work(&self, args: &BenchQueueArgs) -> anyhow::Result<Value> {
        let path = args.file.clone().context("phase work needs --file")?;
        let (env, sleep) = (self.engine.env().clone(), Duration::from_millis(args.sleep_ms));
        let handlers = Handlers::default().with("file", move |job: Job| {
            let (path, env) = (path.clone(), env.clone());
            async move {
                let said = say(&path, &env, 'S', &job);
                tokio::time::sleep(sleep).await;
                match said.and_then(|()| say(&path, &env, 'E', &job)) {
                    Ok(()) => Outcome::Succeeded,
                    Err(error) => Outcome::Failed { error: error.to_string(), is_permanent: false, retry_after: None },
                }
            }
        });
        let took = self.until_empty(args.slots as usize, handlers).await?;
        Ok(json!({ "worked_s": took.as_secs_f64() }))
    }
}

fn say(path: &PathBuf, env: &Env, what: char, job: &Job) -> std::io::Result<()> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        i: u64,
    }
    let Numbered { i } = serde_json::from_str(&job.task.payload)?;
    let line = format!("{what} {i} {} {}\n", env.now().as_micros() / 1_000, std::process::id());
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(line.as_bytes())
}

#[allow(clippy::cast_precision_loss, reason = "counts of tasks fit a double exactly")]
fn per_second(count: u64, took: Duration) -> f64 {
    (count as f64 / took.as_secs_f64()).round()
}

#[allow(clippy::cast_precision_loss, reason = "counts of tasks fit a double exactly")]
fn micros_each(time: Duration, count: u64) -> f64 {
    (time.as_secs_f64() * 1e7 / count.max(1) as f64).round() / 10.0
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length"
)]
fn index(share: f64, length: usize) -> usize {
    ((length as f64 * share) as usize).min(length.saturating_sub(1))
}

/// A clock tick of `/proc`: `USER_HZ` is 100 on Linux, on every architecture in use.
const TICK: Duration = Duration::from_millis(10);

/// Name and processor time of a process, by the line in its `stat` (proc(5): fields 2, 14 and 15).
fn cpu_of(stat: &str) -> Option<(&str, Duration)> {
    let (name, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    Some((name.split_once('(')?.1, TICK.saturating_mul(ticks)))
}

/// Processor time of this process; none where that is not told.
fn own_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    cpu_of(&stat).map_or(Duration::ZERO, |(_, time)| time)
}

/// Processor time of every PostgreSQL process of this machine; none when there are none to be seen.
fn server_cpu() -> Option<Duration> {
    let mut total = None;
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some(("postgres", time)) = cpu_of(&stat) {
            *total.get_or_insert(Duration::ZERO) += time;
        }
    }
    total
}

fn server_cpu_since(before: Option<Duration>, count: u64) -> Option<f64> {
    Some(micros_each(server_cpu()?.saturating_sub(before?), count))
}

/// The most memory this process ever had resident, in bytes; 0 where that is not told.
fn rss_bytes_max() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()).map_or(0, |kib| kib * 1_024)
}

fn show(figures: &Value) {
    let Value::Object(figures) = figures else { return };
    for (name, value) in figures {
        match value {
            Value::Object(parts) => {
                let parts: Vec<String> = parts.iter().map(|(part, value)| format!("{part} {value}")).collect();
                println!("{name:<28} {}", parts.join("   "));
            }
            other => println!("{name:<28} {other}"),
        }
    }
}
