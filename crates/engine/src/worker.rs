//! The worker: claims tasks up to its slots, runs them, renews their leases, reports what came of them.
//!
//! Looking for work is triggered by a hint (a commit in this process, a notification), by a task that ended, or
//! by the interval; every look is the same look. A hint that is lost costs an interval, never a task.
//!
//! A task whose lease was lost is stopped and not reported: somebody else has it. A task whose report cannot be
//! stored is tried again until its lease would have ended.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use mb_core::error::chain;
use mb_core::failure::ExitCause;
use mb_core::repair::Verdict;
use mb_core::task::{Fence, Lease, QueueClass, TaskKey, Work};
use mb_store::{Beat, Claim, Claimed, Finished, Report, StoreError, WorkerRow};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, TaskError};
use crate::{Engine, attempt, lock, publish, repair};

/// Changes that come together are answered by one look at the leases.
const COALESCE: Duration = Duration::from_millis(100);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Tasks at once, by class.
    pub slots: BTreeMap<QueueClass, usize>,
    /// Only runs with this label; none means only runs without one.
    pub affinity: Option<String>,
    /// How long a claim holds without a heartbeat.
    pub lease: Duration,
    /// How often it looks for work when nothing hints at any.
    pub poll: Duration,
    /// How long running tasks may go on after a shutdown was asked for.
    pub drain: Duration,
    /// Where lines of output go as they are written, besides the log.
    pub output: Output,
}

/// A line some task printed.
#[derive(Debug, Clone)]
pub struct OutputLine {
    /// The task.
    pub work: Work,
    /// The line.
    pub line: mb_runner::LogLine,
}

/// Where output is shown live, if anywhere.
#[derive(Debug, Clone, Default)]
pub struct Output(Option<mpsc::Sender<OutputLine>>);

impl Output {
    /// Lines go to `sender`; when it is full they are left out there (never in the log).
    pub fn to(sender: mpsc::Sender<OutputLine>) -> Output {
        Output(Some(sender))
    }

    pub(crate) fn tee(&self, work: &Work) -> Option<mpsc::Sender<mb_runner::LogLine>> {
        let sender = self.0.clone()?;
        let (tee, mut lines) = mpsc::channel::<mb_runner::LogLine>(256);
        let work = work.clone();
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                let _ = sender.try_send(OutputLine { work: work.clone(), line });
            }
        });
        Some(tee)
    }
}

/// Leases this worker holds, with the switch that stops each.
type Held = Arc<Mutex<BTreeMap<Grant, (Lease, CancellationToken)>>>;

/// A task and the grant it is held under. The same task may come back while its lost grant is still stopping here.
type Grant = (TaskKey, Fence);

/// A worker of this process.
pub struct Worker {
    engine: Engine,
    options: WorkerOptions,
    held: Held,
    /// Cancelled when running commands are stopped because this worker ends, not because nobody wants them.
    leaving: CancellationToken,
}

impl Worker {
    /// A worker with these options; it starts with [`Worker::run`].
    pub fn new(engine: Engine, options: WorkerOptions) -> Worker {
        Worker { engine, options, held: Held::default(), leaving: CancellationToken::new() }
    }

    /// Works until `stop` (or the engine drains), then lets running tasks end within the drain time and gives the
    /// rest back.
    pub async fn run(self, stop: CancellationToken) {
        let beating = CancellationToken::new();
        let heart =
            tokio::spawn(beat(self.engine.clone(), Arc::clone(&self.held), self.options.clone(), beating.clone()));
        let mut tasks = JoinSet::new();
        self.work(&mut tasks, &stop).await;
        self.let_end(&mut tasks).await;
        beating.cancel();
        let _ = heart.await;
        if let Err(error) = self.engine.store().worker_gone(self.engine.env().now(), self.engine.worker_id()).await {
            tracing::warn!(error = %chain(&error), "this worker could not sign off");
        }
    }

    async fn work(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken) {
        let draining = self.engine.draining();
        let mut changes = self.engine.store().changes();
        loop {
            // Seen before looking: a change that comes while we look wakes us again.
            changes.borrow_and_update();
            let full = self.claim(tasks).await;
            self.engine.metrics().busy(tasks.len());
            let nap = self.nap().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = draining.cancelled() => return,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => self.ended(&ended),
                _ = changes.changed(), if !full => {}
                () = tokio::time::sleep(nap), if !full => {}
            }
        }
    }

    /// Claims what fits into the free slots and starts it. Says whether every slot is taken.
    async fn claim(&self, tasks: &mut JoinSet<()>) -> bool {
        let slots = self.free();
        if slots.is_empty() {
            return true;
        }
        let claim = Claim {
            worker: self.engine.worker_id(),
            slots,
            affinity: self.options.affinity.clone(),
            lease: self.options.lease,
        };
        match self.engine.store().claim(self.engine.env().now(), &claim).await {
            Ok(claimed) => {
                for task in claimed {
                    self.begin(tasks, task);
                }
            }
            Err(error) => tracing::error!(error = %chain(&error), "no task could be claimed; trying again"),
        }
        self.free().is_empty()
    }

    fn free(&self) -> BTreeMap<QueueClass, usize> {
        // Every task of a run is of class cpu today, so what is held is held against that class.
        let held = lock(&self.held).len();
        let mut slots = self.options.slots.clone();
        if let Some(cpu) = slots.get_mut(&QueueClass::Cpu) {
            *cpu = cpu.saturating_sub(held);
        }
        slots.retain(|_, free| *free > 0);
        slots
    }

    fn begin(&self, tasks: &mut JoinSet<()>, claimed: Claimed) {
        let cancel = CancellationToken::new();
        let grant = (claimed.lease.key.clone(), claimed.lease.fence);
        lock(&self.held).insert(grant.clone(), (claimed.lease.clone(), cancel.clone()));
        let (engine, held, options) = (self.engine.clone(), Arc::clone(&self.held), self.options.clone());
        let leaving = self.leaving.clone();
        tasks.spawn(async move {
            let done = AssertUnwindSafe(carry_out(&engine, &claimed, cancel, &leaving, &options)).catch_unwind().await;
            lock(&held).remove(&grant);
            if done.is_err() {
                // The lease runs out by itself and the task is given to somebody, a bounded number of times.
                engine.metrics().panic("task");
                tracing::error!(task = %grant.0, "a task panicked; its lease will expire");
            }
        });
    }

    fn ended(&self, ended: &Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended {
            tracing::error!(%error, "a task's thread ended badly");
        }
    }

    /// Until the next look: the interval, or less when a task becomes ready sooner.
    async fn nap(&self) -> Duration {
        let now = self.engine.env().now();
        match self.engine.store().next_ready_at(self.options.affinity.as_deref()).await {
            Ok(Some(at)) => at.since(now).clamp(Duration::from_millis(5), self.options.poll),
            Ok(None) | Err(_) => self.options.poll,
        }
    }

    async fn let_end(&self, tasks: &mut JoinSet<()>) {
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.drain, all).await.is_ok() {
            return;
        }
        self.leaving.cancel();
        for (_, cancel) in lock(&self.held).values() {
            cancel.cancel();
        }
        // Each stops within its own grace; a task that does not is left to the lease.
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(15), all).await.is_err() {
            tracing::error!("some tasks did not stop; their leases will expire");
        }
    }
}

/// Renews the leases and says that this worker is alive, three times per lease. When something changed it asks
/// sooner, so that a command nobody wants any more is stopped at once and not at the next renewal.
async fn beat(engine: Engine, held: Held, options: WorkerOptions, stop: CancellationToken) {
    let mut tick = tokio::time::interval(options.lease / 3);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut changes = engine.store().changes();
    loop {
        let is_time = tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => true,
            () = changed(&mut changes) => false,
        };
        let now = engine.env().now();
        if is_time && let Err(error) = engine.store().worker_seen(now, &registration(&engine, &options)).await {
            tracing::warn!(error = %chain(&error), "this worker could not say that it is alive");
        }
        let leases: Vec<Lease> = lock(&held).values().map(|(lease, _)| lease.clone()).collect();
        if leases.is_empty() {
            continue;
        }
        match engine.store().heartbeat(now, &leases, options.lease).await {
            Ok(beats) => leases.iter().zip(beats).for_each(|(lease, beat)| take_beat(&held, lease, &beat)),
            Err(error) => tracing::warn!(error = %chain(&error), "leases could not be renewed"),
        }
    }
}

/// Waits for a change, and for those that come with it.
async fn changed(changes: &mut tokio::sync::watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        // The store is closing; the renewals go on until we are stopped.
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(COALESCE).await;
    changes.borrow_and_update();
}

fn take_beat(held: &Held, lease: &Lease, beat: &Beat) {
    let mut held = lock(held);
    let Some((mine, cancel)) = held.get_mut(&(lease.key.clone(), lease.fence)) else { return };
    match beat {
        Beat::Kept(until) => mine.until = *until,
        Beat::Interrupt => cancel.cancel(),
        Beat::Lost => {
            tracing::warn!(task = %lease.key, "its lease was lost; stopping it");
            cancel.cancel();
        }
    }
}

fn registration(engine: &Engine, options: &WorkerOptions) -> WorkerRow {
    WorkerRow {
        id: engine.worker_id(),
        // An embedded run is no part of the node's server: a server that starts must not take its tasks.
        node: match &options.affinity {
            Some(affinity) => format!("{}/{affinity}", engine.data().node()),
            None => engine.data().node().to_owned(),
        },
        pid: std::process::id(),
        version: Engine::version().version.to_owned(),
        roles: ["worker".to_owned()].into(),
        slots: options.slots.clone(),
        affinity: options.affinity.clone(),
        started_at: engine.started_at(),
        state: if engine.is_draining() { "draining" } else { "active" }.to_owned(),
    }
}

/// Runs a claimed task and reports it.
async fn carry_out(
    engine: &Engine,
    claimed: &Claimed,
    cancel: CancellationToken,
    leaving: &CancellationToken,
    options: &WorkerOptions,
) {
    let key = &claimed.lease.key;
    let report = match execute(engine, claimed, cancel, options).await {
        Ok(report) if leaving.is_cancelled() && was_cut_short(&report) => Report::GaveBack,
        Ok(report) => report,
        Err(error) => {
            tracing::error!(task = %key, error = %chain(&error), "the task could not be carried out; giving it back");
            Report::GaveBack
        }
    };
    store_report(engine, claimed, report, options.lease).await;
}

/// Whether a report may only say that its commands were stopped. That a worker ended is no failure of the project:
/// it would use up an attempt, and without repairs fail the run.
fn was_cut_short(report: &Report) -> bool {
    match report {
        Report::Attempted(outcome) => outcome.exit == ExitCause::Canceled,
        // Stopped in the middle of a verification it reads like any candidate that was turned down.
        Report::Repaired { outcome, .. } => outcome.verdict != Verdict::Accepted,
        Report::Published(_) | Report::GaveBack => false,
    }
}

async fn execute(
    engine: &Engine,
    claimed: &Claimed,
    cancel: CancellationToken,
    options: &WorkerOptions,
) -> Result<Report, TaskError> {
    let work = &claimed.lease.key.work;
    let context = Context::open(engine, &claimed.run, work, claimed.lease.fence, cancel, options.output.clone()).await;
    let report = match (work, context) {
        (_, Err(error)) if error.is_transient() => return Err(error),
        (Work::Attempt { .. }, Err(error)) => Report::Attempted(attempt::could_not_start(&error)),
        (Work::Repair { .. }, Err(error)) => {
            Report::Repaired { outcome: repair::broken(chain(&error)), patches: Vec::new() }
        }
        (Work::Publish, Err(error)) => Report::Published(publish::failed(&error)),
        (Work::Attempt { .. }, Ok(context)) => Report::Attempted(attempt::execute(&context).await?),
        (Work::Repair { .. }, Ok(context)) => {
            let (outcome, patches) = repair::execute(&context).await?;
            Report::Repaired { outcome, patches }
        }
        (Work::Publish, Ok(context)) => Report::Published(publish::execute(&context).await?),
    };
    Ok(report)
}

/// Stores a report, again and again while it may still count.
async fn store_report(engine: &Engine, claimed: &Claimed, report: Report, patience: Duration) {
    let deadline = engine.env().now() + patience;
    let mut wait = Duration::from_millis(50);
    loop {
        let now = engine.env().now();
        match engine.store().finish(now, &claimed.lease, report.clone()).await {
            Ok(finished) => return log_finished(engine, claimed, &finished),
            Err(error) if error.is_transient() && now < deadline => {
                tracing::warn!(task = %claimed.lease.key, error = %chain(&error), "its report could not be stored; trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
            Err(error) => return log_lost(claimed, &error),
        }
    }
}

fn log_finished(engine: &Engine, claimed: &Claimed, finished: &Finished) {
    match finished {
        Finished::Applied { run, events } => {
            engine.metrics().count(run, events);
            let before = if run.state.outcome().is_some() { u32::MAX } else { run.tree() };
            engine.workspaces().forget(run.id, before);
        }
        Finished::StaleFence => {
            tracing::warn!(task = %claimed.lease.key, "its report came too late and changed nothing");
        }
        Finished::Refused(why) => {
            tracing::warn!(task = %claimed.lease.key, %why, "its report was refused");
        }
    }
}

fn log_lost(claimed: &Claimed, error: &StoreError) {
    tracing::error!(task = %claimed.lease.key, error = %chain(error), "its report could not be stored; it will be run again");
}
