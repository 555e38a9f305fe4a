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
mod places;
mod run_task;
mod runner;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mb_core::error::chain;
use mb_core::queue::Claim;
use mb_core::task::{QueueClass, Work};
use mb_store::Claimed;
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
    /// Tasks begun at once, over all classes.
    pub running_max: usize,
    /// Only runs with this label; none means this node's and tasks without one.
    pub affinity: Option<String>,
    /// What the process does, for those who look at the fleet (`api`, `worker`).
    pub roles: BTreeSet<String>,
    /// The name of the process on its node, if it is not the node's server.
    pub name: Option<String>,
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
            running_max: usize::MAX,
            affinity: None,
            roles: ["worker".to_owned()].into(),
            name: None,
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
        let mut places = places::Places::of(&self.engine, &self.options);
        loop {
            // Seen before looking: a change that comes while we look wakes us again.
            changes.borrow_and_update();
            // Not given up half way: a claim whose answer nobody reads holds its tasks until their leases end.
            let is_dry = self.look(&mut places).await;
            self.engine.metrics().busy(self.desk.running());
            let nap = async {
                if is_dry { tokio::time::sleep(self.nap(&places).await).await } else { std::future::pending().await }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = draining.cancelled() => return,
                () = self.desk.asked_to_end.cancelled() => return,
                () = self.desk.hungry() => {}
                _ = changes.changed() => self.desk.hope(),
                () = nap => self.desk.hope(),
            }
        }
    }

    /// Claims what the desk has room for. Says whether the queue has nothing more for it now.
    async fn look(&self, places: &mut places::Places) -> bool {
        let asked = self.desk.wanted();
        if asked.is_empty() {
            return self.desk.is_dry();
        }
        let (mut slots, mut claimed) = (asked.clone(), Vec::new());
        for affinity in places.next() {
            let claim = Claim {
                worker: self.engine.worker_id(),
                slots: slots.clone(),
                affinity: affinity.clone(),
                lease: self.options.lease,
            };
            match self.engine.store().claim(self.engine.env().now(), &claim).await {
                Ok(more) => claimed.extend(more),
                Err(error) => {
                    tracing::error!(error = %chain(&error), "no task could be claimed; trying again");
                    break;
                }
            }
            slots = left(&asked, &claimed);
            if slots.is_empty() {
                break;
            }
        }
        places.looked(slots.is_empty());
        self.desk.add(&asked, claimed);
        self.desk.is_dry()
    }

    /// Until the next look: the interval, or less when a task becomes ready sooner.
    async fn nap(&self, places: &places::Places) -> Duration {
        let now = self.engine.env().now();
        let mut nap = self.options.poll;
        for affinity in places.all() {
            // One that is ready now and was not given to us waits for something else than its time.
            match self.engine.store().next_ready_at(affinity.as_deref()).await {
                Ok(Some(at)) if at > now => nap = nap.min(at.since(now).max(Duration::from_millis(1))),
                Ok(_) | Err(_) => {}
            }
        }
        nap
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

/// What is still wanted of what was asked for.
fn left(asked: &BTreeMap<QueueClass, usize>, claimed: &[Claimed]) -> BTreeMap<QueueClass, usize> {
    let came = |class: QueueClass| claimed.iter().filter(|claimed| claimed.task.class == class).count();
    let left = asked.iter().map(|(&class, &count)| (class, count.saturating_sub(came(class))));
    left.filter(|(_, count)| *count > 0).collect()
}
