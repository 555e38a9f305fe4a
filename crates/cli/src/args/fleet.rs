//! The command line of servers, workers, queues and tasks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use mb_core::id::{TaskId, WorkerId};
use mb_core::queue::Priority;
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;

use crate::args::WorkArgs;
use crate::settings::fleet::{
    LEASE, POLL, QUEUE_SIZE_MAX, RETENTION, RUNNING_MAX, SLOTS_MAX, TASK_TIMEOUT, Weight, span,
};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// API and console; tasks are left to workers elsewhere
    Api,
    /// Tasks of every class; the same as `mb worker`
    Worker,
    /// Both
    All,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// What this process does
    #[arg(long, value_enum, default_value = "all", env = "MB_ROLE", value_name = "ROLE")]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// A server's.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// Addresses to listen on (repeat or separate by commas) [default: 127.0.0.1:8000]
    #[arg(long, env = "MB_LISTEN", value_delimiter = ',', value_name = "ADDR")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Address for probes and metrics without a token; loopback unless you say otherwise [default: none]
    #[arg(long, env = "MB_OPS_LISTEN", value_name = "ADDR")]
    pub(crate) ops_listen: Option<SocketAddr>,
    /// File that holds (or will hold) the first administrator's token
    #[arg(long, env = "MB_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Allow listening on addresses other machines can reach, without TLS in front
    #[arg(long, env = "MB_ALLOW_PUBLIC")]
    pub(crate) allow_public: bool,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
}

/// What a worker process does.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorkerStartArgs {
    /// Tasks of this class: cpu, io, llm, custom (repeat) [default: cpu, io and llm]
    #[arg(long, value_name = "CLASS", value_parser = class)]
    pub(crate) class: Vec<QueueClass>,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
    /// Address for probes and metrics [default: 127.0.0.1:9091, or the next free one up to 9099]
    #[arg(long, env = "MB_WORKER_LISTEN", value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Allow listening on addresses other machines can reach
    #[arg(long, env = "MB_ALLOW_PUBLIC")]
    pub(crate) allow_public: bool,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
}

/// How many workers there are and how much may wait. What is not given is asked of the settings file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Queues and workers")]
pub(crate) struct FleetArgs {
    /// Tasks of class cpu at once, if --slots does not say [default: 10]
    #[arg(long, env = "META_V4_CPU_WORKERS", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SLOTS_MAX))]
    pub(crate) cpu_workers: Option<u64>,
    /// Tasks of class io at once [default: 20]
    #[arg(long, env = "META_V4_IO_WORKERS", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SLOTS_MAX))]
    pub(crate) io_workers: Option<u64>,
    /// Tasks of class llm at once [default: 5]
    #[arg(long, env = "META_V4_LLM_WORKERS", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SLOTS_MAX))]
    pub(crate) llm_workers: Option<u64>,
    /// Tasks at once in this process, over all classes [default: 10]
    #[arg(long, env = "META_V4_MAX_TASKS_PER_WORKER", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=RUNNING_MAX))]
    pub(crate) max_tasks_per_worker: Option<u64>,
    /// How often a worker looks when nothing hints at work [default: 3s]
    #[arg(long, env = "WORKER_POLL_EVERY", value_name = "TIME", value_parser = |text: &str| span(text, POLL))]
    pub(crate) poll_every: Option<Duration>,
    /// Longest time of one try of a task that does not say otherwise [default: 15s]
    #[arg(long, env = "WORKER_TASK_TIMEOUT", value_name = "TIME", value_parser = |text: &str| span(text, TASK_TIMEOUT))]
    pub(crate) task_timeout: Option<Duration>,
    /// How long a claim holds without a heartbeat [default: 10s]
    #[arg(long, env = "MB_LEASE", value_name = "TIME", value_parser = |text: &str| span(text, LEASE))]
    pub(crate) lease: Option<Duration>,
    #[command(flatten)]
    pub(crate) queue: QueueArgs,
}

/// How much may wait, and how long it is remembered.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct QueueArgs {
    /// Tasks of class cpu that may wait [default: 100]
    #[arg(long, env = "META_V4_CPU_QUEUE_SIZE", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=QUEUE_SIZE_MAX))]
    pub(crate) cpu_queue_size: Option<u64>,
    /// Tasks of class io that may wait [default: 200]
    #[arg(long, env = "META_V4_IO_QUEUE_SIZE", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=QUEUE_SIZE_MAX))]
    pub(crate) io_queue_size: Option<u64>,
    /// Tasks of class llm that may wait [default: 50]
    #[arg(long, env = "META_V4_LLM_QUEUE_SIZE", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=QUEUE_SIZE_MAX))]
    pub(crate) llm_queue_size: Option<u64>,
    /// Tasks of high priority that may wait [default: 50]
    #[arg(long, env = "META_V4_HIGH_PRIORITY_QUEUE_SIZE", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=QUEUE_SIZE_MAX))]
    pub(crate) high_priority_queue_size: Option<u64>,
    /// Tasks of normal priority that may wait [default: 200]
    #[arg(long, env = "META_V4_NORMAL_PRIORITY_QUEUE_SIZE", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=QUEUE_SIZE_MAX))]
    pub(crate) normal_priority_queue_size: Option<u64>,
    /// Tasks of low priority that may wait [default: 500]
    #[arg(long, env = "META_V4_LOW_PRIORITY_QUEUE_SIZE", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=QUEUE_SIZE_MAX))]
    pub(crate) low_priority_queue_size: Option<u64>,
    /// How long records of ended tasks are kept [default: 7d]
    #[arg(long, env = "MB_TASK_RETENTION", value_name = "TIME", value_parser = |text: &str| span(text, RETENTION))]
    pub(crate) task_retention: Option<Duration>,
    /// Shares of a tenant in the queue (repeat or separate by commas) [default: 1 each]
    #[arg(long, env = "MB_TENANT_WEIGHTS", value_name = "TENANT=N", value_delimiter = ',')]
    pub(crate) tenant_weight: Vec<Weight>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct WorkerArgs {
    #[command(subcommand)]
    pub(crate) command: Option<WorkerCommand>,
    #[command(flatten)]
    pub(crate) start: WorkerStartArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List workers
    Ls,
    /// Let workers finish what they do and end; on any node
    Drain {
        /// Worker id
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        worker: Option<WorkerId>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

/// Which classes a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClassArgs {
    /// cpu, io, llm, custom
    #[arg(required_unless_present = "all", conflicts_with = "all", value_parser = class, value_name = "CLASS")]
    pub(crate) class: Vec<QueueClass>,
    /// Every class
    #[arg(long)]
    pub(crate) all: bool,
}

impl ClassArgs {
    /// The classes named.
    pub(crate) fn classes(&self) -> &[QueueClass] {
        if self.all { QueueClass::ALL } else { &self.class }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Depth and age of each class
    Ls,
    /// Take tasks in, give none out
    Pause(ClassArgs),
    /// Give tasks out again
    Resume(ClassArgs),
    /// Give tasks out, take none in
    Drain(ClassArgs),
    /// Do everything again, after a pause or a drain
    Restart(ClassArgs),
    /// Take back tasks whose workers vanished
    ClearStuck,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Put a task on the queue
    Add(Box<TaskAddArgs>),
    /// Where a task is
    Show {
        /// Task id
        task: TaskId,
    },
    /// Cancel a task that belongs to no run
    Cancel {
        /// Task id
        task: TaskId,
    },
    /// List tasks that failed for good, latest first
    Dead {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// Where to go on
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
    /// Put tasks that failed for good on the queue again
    Requeue {
        /// Task ids
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        task: Vec<TaskId>,
        /// All of them, 10,000 at a time
        #[arg(long)]
        all: bool,
        /// Only say how many
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TaskAddArgs {
    /// Which handler does it (noop, sleep)
    pub(crate) kind: String,
    /// What it is about
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json)]
    pub(crate) payload: serde_json::Value,
    /// cpu, io, llm, custom
    #[arg(long, value_name = "CLASS", default_value = "io", value_parser = class)]
    pub(crate) class: QueueClass,
    /// high, normal, low
    #[arg(long, value_name = "PRIORITY", default_value = "normal", value_parser = priority)]
    pub(crate) priority: Priority,
    /// Not before: a moment (2026-01-05T09:00:00Z) or a time from now (10m)
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(crate) at: Option<When>,
    /// While a task with this key waits or runs, no second one is added
    #[arg(long, value_name = "KEY")]
    pub(crate) unique: Option<String>,
    /// The same key again, ever, is the same task
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// At most N tasks with this key at once
    #[arg(long, value_name = "KEY=N", value_parser = concurrency)]
    pub(crate) concurrency: Option<mb_core::queue::limit::Concurrency>,
    /// At most N tasks with this key begin in PERIOD (api=10/1s)
    #[arg(long, value_name = "KEY=N/PERIOD", value_parser = rate)]
    pub(crate) rate: Option<mb_core::queue::limit::Rate>,
    /// Tries in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(mb_core::queue::ATTEMPTS_MAX)))]
    pub(crate) attempts: Option<u32>,
    /// Longest time of one try
    #[arg(long, value_name = "TIME", value_parser = |text: &str| span(text, TASK_TIMEOUT))]
    pub(crate) timeout: Option<Duration>,
}

/// A moment, or a time from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    At(Timestamp),
    In(Duration),
}

fn class(text: &str) -> Result<QueueClass, String> {
    QueueClass::from_word(text).ok_or_else(|| "the classes are cpu, io, llm and custom".to_owned())
}

fn priority(text: &str) -> Result<Priority, String> {
    Priority::from_word(text).ok_or_else(|| "the priorities are high, normal and low".to_owned())
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

fn when(text: &str) -> Result<When, String> {
    if let Ok(after) = span(text, RETENTION) {
        return Ok(When::In(after));
    }
    let moment = text.parse::<jiff::Timestamp>();
    let moment = moment.map_err(|_| "give a moment (2026-01-05T09:00:00Z) or a time from now (10m)".to_owned())?;
    Ok(When::At(Timestamp::from_micros(moment.as_microsecond())))
}

fn concurrency(text: &str) -> Result<mb_core::queue::limit::Concurrency, String> {
    let wrong = || "give KEY=N, N from 1".to_owned();
    let (key, max) = text.rsplit_once('=').ok_or_else(wrong)?;
    let max = max.parse().ok().filter(|max| *max > 0).ok_or_else(wrong)?;
    Ok(mb_core::queue::limit::Concurrency { key: key.to_owned(), max })
}

fn rate(text: &str) -> Result<mb_core::queue::limit::Rate, String> {
    let wrong = || "give KEY=N/PERIOD, such as api=10/1s".to_owned();
    let (key, pace) = text.rsplit_once('=').ok_or_else(wrong)?;
    let (count, per) = pace.split_once('/').ok_or_else(wrong)?;
    let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    let per = span(per, (Duration::from_millis(1), Duration::from_secs(30 * 24 * 60 * 60)))?;
    Ok(mb_core::queue::limit::Rate { key: key.to_owned(), count, per_ms: mb_core::time::millis(per), burst: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_mistakes_named() {
        assert_eq!(concurrency("a=b=3").unwrap(), mb_core::queue::limit::Concurrency { key: "a=b".into(), max: 3 });
        let pace = rate("api=10/1m").unwrap();
        assert_eq!((pace.key.as_str(), pace.count, pace.per_ms), ("api", 10, 60_000));
        for wrong in ["", "a", "a=", "a=0", "a=-1"] {
            assert!(concurrency(wrong).is_err(), "{wrong}");
        }
        for wrong in ["a=1", "a=0/1s", "a=1/", "a=1/0s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert_eq!(when("10m"), Ok(When::In(Duration::from_secs(600))));
        assert_eq!(when("1970-01-01T00:00:01Z"), Ok(When::At(Timestamp::from_micros(1_000_000))));
        assert!(when("tomorrow").is_err());
    }
}
