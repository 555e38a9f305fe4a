//! What every Rust driver shares: the tasks' body, the producers, the words on standard output. The protocol is in
//! `../README.md`. Included by `#[path]`, since each driver is built in a folder of its own.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const PER_BATCH: usize = 1000;
/// Tasks a second before the counted ones, so that connections and caches are warm.
const WARM_UP_S: usize = 1;

/// What a task carries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Payload {
    pub i: usize,
    #[serde(default)]
    pub at: f64,
    #[serde(default)]
    pub warm: bool,
}

pub fn now_ms() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    since.as_secs_f64() * 1_000.0
}

pub fn say(event: &str, mut fields: Value) {
    fields["event"] = event.into();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{fields}").and_then(|()| out.flush()).expect("somebody reads our output");
}

fn percentiles(mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((share * values.len() as f64) as usize).min(values.len() - 1)];
    json!({"p50": at(0.5), "p95": at(0.95), "p99": at(0.99)})
}

/// The body of a task, for `work noop N`, `work lat N` and `work file PATH MS`.
pub struct Body {
    started: AtomicBool,
    count: AtomicUsize,
    kind: Kind,
}

enum Kind {
    Count { total: usize },
    Time { total: usize, latencies: Mutex<Vec<f64>> },
    Write { file: File, sleep: Duration },
}

/// Handlers are plain functions in every peer, so the body is the process's.
static BODY: OnceLock<Body> = OnceLock::new();

/// Reads `MODE N` or `file PATH MS`, once, before the worker starts.
pub fn set_body(args: &[String]) {
    let total = || args[1].parse().expect("a number of tasks");
    let kind = match args[0].as_str() {
        "noop" => Kind::Count { total: total() },
        "lat" => Kind::Time { total: total(), latencies: Mutex::default() },
        "file" => Kind::Write {
            file: OpenOptions::new().append(true).create(true).open(&args[1]).expect("the file can be opened"),
            sleep: Duration::from_millis(args[2].parse().expect("milliseconds")),
        },
        mode => panic!("no such mode: {mode}"),
    };
    let body = Body { started: AtomicBool::new(false), count: AtomicUsize::new(0), kind };
    assert!(BODY.set(body).is_ok(), "the body is set once");
}

/// What a handler does.
pub async fn run(task: Payload) {
    BODY.get().expect("the body is set before the worker starts").run(&task).await;
}

impl Body {
    async fn run(&self, task: &Payload) {
        let at = now_ms();
        if let Kind::Write { file, sleep } = &self.kind {
            write_mark(file, 'S', task.i);
            tokio::time::sleep(*sleep).await;
            write_mark(file, 'E', task.i);
            return;
        }
        if !self.started.swap(true, Ordering::Relaxed) {
            say("first", json!({"at_ms": at}));
        }
        if !task.warm {
            self.count_one(at - task.at);
        }
    }

    fn count_one(&self, latency_ms: f64) {
        let total = match &self.kind {
            Kind::Count { total } => *total,
            Kind::Time { total, latencies } => {
                latencies.lock().expect("no holder panics").push(latency_ms);
                *total
            }
            Kind::Write { .. } => return,
        };
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == total {
            say("done", self.result());
        }
    }

    fn result(&self) -> Value {
        match &self.kind {
            Kind::Time { latencies, .. } => {
                json!({"latency_ms": percentiles(latencies.lock().expect("no holder panics").clone())})
            }
            Kind::Count { .. } | Kind::Write { .. } => json!({}),
        }
    }
}

/// One line in one call, so that lines of several threads do not mix.
fn write_mark(mut file: &File, mark: char, i: usize) {
    let line = format!("{mark} {i} {}\n", now_ms());
    file.write_all(line.as_bytes()).expect("the file takes a line");
}

/// Carries out `bulk`, `one` and `lat` with a peer's two ways to enqueue.
pub async fn produce<Many, One, ManyDone, OneDone>(args: &[String], many: Many, one: One)
where
    Many: Fn(Vec<Payload>) -> ManyDone,
    ManyDone: Future<Output = ()>,
    One: Fn(Payload) -> OneDone + Clone + Send + 'static,
    OneDone: Future<Output = ()> + Send + 'static,
{
    let number = |at: usize| args.get(at).map_or(0, |word| word.parse().expect("a number"));
    let began = Instant::now();
    match args[0].as_str() {
        "bulk" => {
            for from in (0..number(1)).step_by(PER_BATCH) {
                let batch = from..(from + PER_BATCH).min(number(1));
                many(batch.map(|i| Payload { i, ..Payload::default() }).collect()).await;
            }
        }
        "one" => from_callers(number(1), number(2), one).await,
        "lat" => paced(number(1), number(2), one).await,
        command => panic!("no such command: {command}"),
    }
    say("enqueued", json!({"seconds": began.elapsed().as_secs_f64()}));
}

async fn from_callers<One, Done>(total: usize, callers: usize, one: One)
where
    One: Fn(Payload) -> Done + Clone + Send + 'static,
    Done: Future<Output = ()> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let caller = || {
        let (next, one) = (Arc::clone(&next), one.clone());
        async move {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= total {
                    break;
                }
                one(Payload { i, ..Payload::default() }).await;
            }
        }
    };
    join((0..callers).map(|_| tokio::spawn(caller())).collect()).await;
}

/// At a fixed rate, whether or not earlier ones have been acknowledged.
async fn paced<One, Done>(rate: usize, seconds: usize, one: One)
where
    One: Fn(Payload) -> Done + Clone + Send + 'static,
    Done: Future<Output = ()> + Send + 'static,
{
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate).expect("a rate"));
    let mut pending = Vec::new();
    for i in 0..rate * (seconds + WARM_UP_S) {
        tick.tick().await;
        pending.push(tokio::spawn(one(Payload { i, at: now_ms(), warm: i < rate * WARM_UP_S })));
    }
    join(pending).await;
}

async fn join(handles: Vec<tokio::task::JoinHandle<()>>) {
    for handle in handles {
        handle.await.expect("no caller panics");
    }
}
