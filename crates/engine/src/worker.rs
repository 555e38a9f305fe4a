//! The worker: claims tasks up to its slots (and a little ahead of them, when they are short), does them, renews their
//! leases, reports what came of them.
//!
//! Looking for work is triggered by a hint (a commit in this process, a notification), by a desk that runs empty, or
//! by the interval; every look is the same look. A hint that is lost costs an interval, never a task.
//!
//! ```text
//! queue ─claim, many at once─► desk ─one at a time─► runners, one a slot ─► completer ─many at once─► queue
//!                               └───────── heart: leases renewed, interrupts heard ─────────┘
//! ```
//!
//! A task whose lease was lost is stopped and not reported: somebody else has it.

mod completer;
mod desk;
mod heart;
mod run_task;
mod runner;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mb_core::error::chain;
use mb_core::queue::Claim;
use mb_core::task::{QueueClass, Work};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::handlers::Handlers;
use desk::Desk;

/// After the drain time running tasks are told to stop; those that have not after this are left to their leases.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Tasks at once, by class.
    pub slots: BTreeMap<QueueClass, usize>,
    /// Tasks held at once by class, those that wait here for a slot included; at least the slots. Reached only while tasks
    /// are so short that fetching them is what takes the time.
    pub ahead_max: usize,
    /// Only runs with this label; none means only tasks without one.
    pub affinity: Option<String>,
    /// How long a claim holds without a heartbeat.
    pub lease: Duration,
    /// How often it looks for work when nothing hints at any.
    pub poll: Duration,
    /// How long running tasks may go on after a shutdown was asked for.
    pub drain: Duration,
    /// Longest time of one try of a task that belongs to no run and does not say otherwise.
    pub task_timeout: Duration,
    /// What does the tasks that belong to no run.
    pub handlers: Handlers,
    /// Where lines of output go as they are written, besides the log.
    pub output: Output,
}

impl Default for WorkerOptions {
    /// One slot of each class, leases of ten seconds, a look every second.
    fn default() -> Self {
        Self {
            slots: QueueClass::ALL.iter().map(|&class| (class, 1)).collect(),
            ahead_max: 2_000,
            affinity: None,
            lease: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            drain: Duration::from_secs(30),
            task_timeout: Duration::from_secs(15),
            handlers: Handlers::builtin(),
            output: Output::default(),
        }
    }
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

/// A worker of this process.
pub struct Worker {
    engine: Engine,
    options: WorkerOptions,
    desk: Arc<Desk>,
}

impl Worker {
    /// A worker with these options; it starts with [`Worker::run`].
    pub fn new(engine: Engine, options: WorkerOptions) -> Worker {
        let desk = Arc::new(Desk::new(&options));
        Worker { engine, options, desk }
    }

    /// Works until `stop` (or the engine drains), then lets running tasks end within the drain time and gives the
    /// rest back.
    pub async fn run(self, stop: CancellationToken) {
        let beating = CancellationToken::new();
        let heart = heart::beat(self.engine.clone(), Arc::clone(&self.desk), self.options.clone(), beating.clone());
        let heart = tokio::spawn(heart);
        let (reports, completer) = completer::start(self.engine.clone(), Arc::clone(&self.desk), self.options.lease);
        let mut runners = JoinSet::new();
        for (&class, &slots) in &self.options.slots {
            for _ in 0..slots {
                let (engine, desk) = (self.engine.clone(), Arc::clone(&self.desk));
                runners.spawn(runner::run(engine, desk, class, self.options.clone(), reports.clone()));
            }
        }
        self.work(&stop).await;
        self.let_end(&mut runners, &reports).await;
        drop(reports);
        let _ = completer.await;
        beating.cancel();
        let _ = heart.await;
        if let Err(error) = self.engine.store().worker_gone(self.engine.env().now(), self.engine.worker_id()).await {
            tracing::warn!(error = %chain(&error), "this worker could not sign off");
        }
    }

    /// Keeps the desk full.
    async fn work(&self, stop: &CancellationToken) {
        let draining = self.engine.draining();
        let mut changes = self.engine.store().changes();
        loop {
            // Seen before looking: a change that comes while we look wakes us again.
            changes.borrow_and_update();
            // Not given up half way: a claim whose answer nobody reads holds its tasks until their leases end.
            let is_dry = self.look().await;
            self.engine.metrics().busy(self.desk.running());
            let nap = async {
                if is_dry { tokio::time::sleep(self.nap().await).await } else { std::future::pending().await }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = draining.cancelled() => return,
                () = self.desk.hungry() => {}
                _ = changes.changed() => self.desk.hope(),
                () = nap => self.desk.hope(),
            }
        }
    }

    /// Claims what the desk has room for. Says whether the queue has nothing more for it now.
    async fn look(&self) -> bool {
        let slots = self.desk.wanted();
        if slots.is_empty() {
            return self.desk.is_dry();
        }
        let claim = Claim {
            worker: self.engine.worker_id(),
            slots: slots.clone(),
            affinity: self.options.affinity.clone(),
            lease: self.options.lease,
        };
        match self.engine.store().claim(self.engine.env().now(), &claim).await {
            Ok(claimed) => self.desk.add(&slots, claimed),
            Err(error) => {
                tracing::error!(error = %chain(&error), "no task could be claimed; trying again");
                self.desk.add(&slots, Vec::new());
            }
        }
        self.desk.is_dry()
    }

    /// Until the next look: the interval, or less when a task becomes ready sooner.
    async fn nap(&self) -> Duration {
        let now = self.engine.env().now();
        match self.engine.store().next_ready_at(self.options.affinity.as_deref()).await {
            // One that is ready now and was not given to us waits for something else than its time.
            Ok(Some(at)) if at > now => at.since(now).clamp(Duration::from_millis(1), self.options.poll),
            Ok(_) | Err(_) => self.options.poll,
        }
    }

    async fn let_end(&self, runners: &mut JoinSet<()>, reports: &mpsc::Sender<completer::Ended>) {
        let never_begun = self.desk.close();
        for claimed in never_begun {
            runner::give_back(&self.engine, &self.options, claimed, reports).await;
        }
        let all = async { while runners.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.drain, all).await.is_ok() {
            return;
        }
        self.desk.stop_all();
        // Each stops within its own grace; a task that does not is left to the lease.
        let all = async { while runners.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, all).await.is_err() {
            tracing::error!("some tasks did not stop; their leases will expire");
            runners.abort_all();
        }
    }
}
