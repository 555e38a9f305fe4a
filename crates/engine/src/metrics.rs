//! Counters and gauges. A field's help text is what an operator reads on the metrics page.
//!
//! Names are those of the seed runbooks (`meta_builder_v4_*`). Label values are words of closed vocabularies, so
//! their number is bounded.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use mb_core::event::EventKind;
use mb_core::queue::Settled;
use mb_core::run::Run;
use mb_core::task::QueueClass;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::Engine;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Attempt {
    failure_class: String,
    strategy: String,
    verdict: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Class {
    failure_class: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Budget {
    budget_type: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Queue {
    queue: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QueueOutcome {
    queue: String,
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Edge {
    edge: String,
}

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    runs: Family<Outcome, Counter>,
    run_seconds: Histogram,
    repairs: Family<Attempt, Counter>,
    retries: Family<Class, Counter>,
    failures: Family<Class, Counter>,
    budget_exceeded: Family<Budget, Counter>,
    queue_depth: Family<Queue, Gauge>,
    schedule: ScheduleMetrics,
    slots_busy: Gauge,
    jobs: Jobs,
    panics: Family<Edge, Counter>,
    uptime: Gauge<f64, AtomicU64>,
}

/// Of schedules, triggers and the lead.
struct ScheduleMetrics {
    fires: Family<Outcome, Counter>,
    lag: Histogram,
    leader: Gauge,
}

impl ScheduleMetrics {
    fn new(registry: &mut Registry) -> ScheduleMetrics {
        let fires = Family::default();
        let lag = Histogram::new(exponential_buckets(0.01, 2.0, 16));
        let leader = Gauge::default();
        registry.register(
            "meta_builder_schedule_fires",
            "Starts that schedules and triggers led to, by what came of them",
            Family::clone(&fires),
        );
        registry.register(
            "meta_builder_schedule_lag_seconds",
            "Time from the moment a start belongs to until it was made; a schedule's jitter is part of it",
            lag.clone(),
        );
        registry.register("meta_builder_leader", "1 while this process schedules for all nodes", leader.clone());
        ScheduleMetrics { fires, lag, leader }
    }
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let mut registry = Registry::default();
        let runs = Family::default();
        let run_seconds = Histogram::new(exponential_buckets(0.05, 2.0, 16));
        let repairs = Family::default();
        let retries = Family::default();
        let failures = Family::default();
        let budget_exceeded = Family::default();
        let queue_depth = Family::default();
        let schedule = ScheduleMetrics::new(&mut registry);
        let slots_busy = Gauge::default();
        let jobs = Jobs::register(&mut registry);
        let panics = Family::default();
        let uptime = Gauge::default();
        registry.register("meta_builder_v4_runs", "Runs that ended, by outcome", Family::clone(&runs));
        registry.register("meta_builder_v4_run_duration_seconds", "Wall time of runs that ended", run_seconds.clone());
        registry.register(
            "meta_builder_v4_repair_attempts",
            "Repairs that ended, by failure class, strategy and verdict",
            Family::clone(&repairs),
        );
        registry.register(
            "meta_builder_v4_retry_attempts",
            "Re-runs with nothing changed, by failure class",
            Family::clone(&retries),
        );
        registry.register(
            "meta_builder_v4_failures",
            "Attempts that failed, by failure class",
            Family::clone(&failures),
        );
        registry.register(
            "meta_builder_v4_budget_exceeded",
            "Refusals by a budget, by its kind",
            Family::clone(&budget_exceeded),
        );
        registry.register(
            "meta_builder_v4_queue_depth",
            "Tasks ready to be claimed, by queue",
            Family::clone(&queue_depth),
        );
        registry.register("meta_builder_worker_slots_busy", "Tasks this process runs now", slots_busy.clone());
        registry.register("meta_builder_panics", "Panics caught, by edge", Family::clone(&panics));
        registry.register("meta_builder_uptime_seconds", "Seconds since this process started", uptime.clone());
        Metrics {
            registry,
            runs,
            run_seconds,
            repairs,
            retries,
            failures,
            budget_exceeded,
            queue_depth,
            schedule,
            slots_busy,
            jobs,
            panics,
            uptime,
        }
    }

    /// Lets another part of the process add its own metrics before they are first read.
    pub fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// A panic was caught at that edge (`request`, `task`, `loop`).
    pub fn panic(&self, edge: &str) {
        self.panics.get_or_create(&Edge { edge: edge.to_owned() }).inc();
    }

    /// Starts of schedules and triggers ended that way (`started`, `failed`, `missed`, `overlap`).
    pub(crate) fn fired(&self, outcome: &'static str, count: u64) {
        self.schedule.fires.get_or_create(&Outcome { outcome: outcome.to_owned() }).inc_by(count);
    }

    pub(crate) fn lag(&self, late: Duration) {
        self.schedule.lag.observe(late.as_secs_f64());
    }

    pub(crate) fn leads(&self, does: bool) {
        self.schedule.leader.set(i64::from(does));
    }

    pub(crate) fn busy(&self, slots: usize) {
        self.slots_busy.set(i64::try_from(slots).unwrap_or(i64::MAX));
    }

    /// Counts what the end of a try of a task that belongs to no run led to.
    pub(crate) fn task_ended(&self, class: QueueClass, settled: &Settled, took: Duration) {
        self.jobs.ended(class, settled, took);
    }

    /// Counts what an applied report led to.
    pub(crate) fn count(&self, run: &Run, events: &[EventKind]) {
        for event in events {
            match event {
                EventKind::RunFinished { outcome, spend } => {
                    self.runs.get_or_create(&Outcome { outcome: outcome.to_string() }).inc();
                    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a run fit a double exactly")]
                    self.run_seconds.observe(spend.time_ms as f64 / 1000.0);
                }
                EventKind::FailureClassified { class, .. } => {
                    self.failures.get_or_create(&Class { failure_class: class.to_string() }).inc();
                }
                EventKind::RepairFinished { step, strategy, verdict, .. } => {
                    let labels = Attempt {
                        failure_class: class(run, step),
                        strategy: strategy.word().to_owned(),
                        verdict: verdict.clone(),
                    };
                    self.repairs.get_or_create(&labels).inc();
                }
                EventKind::StepQueued { step, purpose: mb_core::attempt::Purpose::Rerun, .. } => {
                    self.retries.get_or_create(&Class { failure_class: class(run, step) }).inc();
                }
                EventKind::BudgetExceeded { axis, .. } => {
                    self.budget_exceeded.get_or_create(&Budget { budget_type: axis.to_string() }).inc();
                }
                _ => {}
            }
        }
    }

    /// Reads the gauges that need a query.
    pub(crate) async fn refresh(&self, engine: &Engine) {
        let now = engine.env().now();
        self.uptime.set(now.since(engine.started_at()).as_secs_f64());
        match engine.store().queue_stats(now).await {
            Ok(stats) => {
                for queue in stats {
                    let depth = i64::try_from(queue.ready).unwrap_or(i64::MAX);
                    self.queue_depth.get_or_create(&Queue { queue: queue.class.to_string() }).set(depth);
                }
            }
            Err(error) => tracing::warn!(error = %mb_core::error::chain(&error), "queue depth could not be read"),
        }
    }

    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// What is counted of tasks that belong to no run.
struct Jobs {
    processed: Family<QueueOutcome, Counter>,
    retries: Family<Queue, Counter>,
    seconds: Family<Queue, Histogram, fn() -> Histogram>,
}

impl Jobs {
    fn register(registry: &mut Registry) -> Jobs {
        let buckets: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 4.0, 10));
        let jobs = Jobs {
            processed: Family::default(),
            retries: Family::default(),
            seconds: Family::new_with_constructor(buckets),
        };
        registry.register(
            "jobs_processed",
            "Tasks of no run that ended here, by queue and outcome",
            Family::clone(&jobs.processed),
        );
        registry.register(
            "job_retries",
            "Tries of tasks of no run that will be made again, by queue",
            Family::clone(&jobs.retries),
        );
        registry.register(
            "job_duration_seconds",
            "Time of one try of a task of no run, by queue",
            Family::clone(&jobs.seconds),
        );
        jobs
    }

    fn ended(&self, class: QueueClass, settled: &Settled, took: Duration) {
        let queue = Queue { queue: class.to_string() };
        self.seconds.get_or_create(&queue).observe(took.as_secs_f64());
        match settled {
            Settled::Again { .. } => {
                self.retries.get_or_create(&queue).inc();
            }
            Settled::Finished(ending) => {
                let labels = QueueOutcome { queue: queue.queue, outcome: ending.fate.to_string() };
                self.processed.get_or_create(&labels).inc();
            }
        }
    }
}

fn class(run: &Run, step: &str) -> String {
    run.step(step)
        .and_then(|step| step.failure())
        .map_or_else(|| "unknown".into(), |failure| failure.class().to_string())
}
