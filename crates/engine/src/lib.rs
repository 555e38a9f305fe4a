//! The running control plane: takes runs in, executes their tasks, repairs what fails, keeps the rest in order.
//!
//! The same engine runs inside `mb run` (embedded, one run), inside `mb up` and inside every worker; only the
//! loops that are started differ. Every loop is snapshot → decision in `core` → execution → report, takes no
//! input, and treats signals as mere hints to look sooner.
//!
//! Deliberately absent: HTTP, the command line, SQL, and any decision about what a run does next
//! (`mb_core::advance`).

mod attempt;
mod child;
mod context;
mod data;
mod env;
mod fleet;
mod handlers;
mod http;
mod leader;
mod llm;
mod logs;
mod maintenance;
mod metrics;
mod net;
mod outbound;
mod outputs;
mod plain;
mod probes;
mod publish;
mod reaper;
mod repair;
mod reports;
mod scheduler;
mod start;
mod triggers;
mod worker;
mod workspace;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mb_core::id::WorkerId;
use mb_core::probe::ProbeReport;
use mb_core::time::Timestamp;
use mb_store::Store;
use tokio_util::sync::CancellationToken;

pub use child::Resolver;
pub use data::{DataDir, DataError, NodeLock};
pub use env::Env;
pub use fleet::{EngineOptions, REQUEUE_MAX};
pub use handlers::{Handlers, Job};
pub use leader::LEAD_TTL;
pub use logs::{LogLine, LogPage};
pub use maintenance::Maintenance;
pub use mb_project::{Flag, Layers};
pub use mb_runner::{Sandbox, SandboxLevel};
pub use metrics::Metrics;
pub use outbound::{MOCK, ModelSettings, Outbound};
pub use reaper::Reaper;
pub use scheduler::Scheduler;
pub use start::{Frozen, RetryRun, RunNamed, StartError, StartRun, StartWorkflow};
pub use triggers::{SendError, SendEvent, Sent};
pub use worker::{Output, OutputLine, Worker, WorkerOptions};

/// Locks, whatever became of the one before: a panic is counted at its edge, and what our locks guard is whole after
/// every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The control plane of one process. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    env: Env,
    store: Store,
    data: DataDir,
    sandbox: Sandbox,
    options: EngineOptions,
    metrics: Metrics,
    probes: probes::Probes,
    workspaces: workspace::Workspaces,
    leadership: leader::Leadership,
    started_at: Timestamp,
    worker: WorkerId,
    draining: CancellationToken,
    outbound: OnceLock<Outbound>,
    resolver: OnceLock<Resolver>,
    /// For the requests of workflows; made when the first is.
    client: OnceLock<reqwest::Client>,
    model_client: OnceLock<reqwest::Client>,
}

/// What this binary is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The release (`0.1.0`).
    pub version: &'static str,
    /// The commit it was built from; `unknown` outside a repository.
    pub commit: &'static str,
}

impl Engine {
    /// An engine over a migrated store and a data folder. Starts nothing.
    pub fn new(env: Env, store: Store, data: DataDir, sandbox: Sandbox) -> Engine {
        Engine::with_options(env, store, data, sandbox, EngineOptions::default())
    }

    /// The same with what an operator has set.
    pub fn with_options(env: Env, store: Store, data: DataDir, sandbox: Sandbox, options: EngineOptions) -> Engine {
        let started_at = env.now();
        let worker = env.worker_id();
        let metrics = Metrics::new();
        let draining = CancellationToken::new();
        let probes = probes::Probes::default();
        let workspaces = workspace::Workspaces::default();
        // No command of a project may see the store, the tokens or the logs of others.
        let sandbox = sandbox.hide(data.root());
        let leadership = leader::Leadership::default();
        let (outbound, resolver) = (OnceLock::new(), OnceLock::new());
        let (client, model_client) = (OnceLock::new(), OnceLock::new());
        let inner = Inner {
            env,
            store,
            data,
            sandbox,
            options,
            metrics,
            probes,
            workspaces,
            leadership,
            started_at,
            worker,
            draining,
            outbound,
            resolver,
            client,
            model_client,
        };
        Engine { inner: Arc::new(inner) }
    }

    /// The one source of time, ids and randomness.
    pub fn env(&self) -> &Env {
        &self.inner.env
    }

    /// Durable state.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Where this node keeps its files.
    pub fn data(&self) -> &DataDir {
        &self.inner.data
    }

    /// The sandbox commands run in.
    pub fn sandbox(&self) -> &Sandbox {
        &self.inner.sandbox
    }

    pub(crate) fn leadership(&self) -> &leader::Leadership {
        &self.inner.leadership
    }

    /// Says what workflows may reach and which model they ask. To be called before anything runs; until then, and
    /// without it, neither a private address nor a model is there. The first call counts.
    pub fn set_outbound(&self, outbound: Outbound) {
        let _ = self.inner.outbound.set(outbound);
    }

    /// What workflows may reach.
    pub fn outbound(&self) -> &Outbound {
        self.inner.outbound.get_or_init(Outbound::default)
    }

    /// Says where the workflows are that steps name. The first call counts.
    pub fn set_resolver(&self, resolver: Resolver) {
        let _ = self.inner.resolver.set(resolver);
    }

    pub(crate) fn resolver(&self) -> Option<&Resolver> {
        self.inner.resolver.get()
    }

    /// The client of HTTP steps.
    pub(crate) fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        if let Some(client) = self.inner.client.get() {
            return Ok(client.clone());
        }
        let client = http::client(self.outbound().allow_private)?;
        Ok(self.inner.client.get_or_init(|| client).clone())
    }

    /// The client for the model, whose address is the operator's.
    pub(crate) fn model_client(&self) -> Result<reqwest::Client, reqwest::Error> {
        if let Some(client) = self.inner.model_client.get() {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder().connect_timeout(std::time::Duration::from_secs(10)).build()?;
        Ok(self.inner.model_client.get_or_init(|| client).clone())
    }

    pub(crate) fn options(&self) -> &EngineOptions {
        &self.inner.options
    }

    pub(crate) fn workspaces(&self) -> &workspace::Workspaces {
        &self.inner.workspaces
    }

    /// This process as a worker; a new id at every start.
    pub fn worker_id(&self) -> WorkerId {
        self.inner.worker
    }

    /// When this engine was made.
    pub fn started_at(&self) -> Timestamp {
        self.inner.started_at
    }

    /// Takes over an embedded run: from now on only workers with this label may execute it, and what its dead
    /// process held is on the queue again.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn take_over(&self, run: &mb_core::run::Run, affinity: &str) -> Result<(), mb_store::StoreError> {
        // Worktrees are named by their grant. What a dead process left must not be in the way of ours.
        self.sweep().await;
        self.store().set_affinity(run.id, Some(affinity)).await?;
        for worker in run.workers() {
            self.store().worker_gone(self.env().now(), worker).await?;
        }
        Ok(())
    }

    /// Takes back what an earlier process of this node (or of its worker process of that name) held, and clears away its
    /// worktrees. To be called by the holder of that lock, which proves that process dead.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn recover_node(&self, name: Option<&str>) -> Result<Vec<mb_core::task::Lease>, mb_store::StoreError> {
        self.sweep().await;
        // Nor need anybody wait for the end of a lead that nobody holds.
        self.store().resign_node(self.env().now(), self.data().node(), self.worker_id()).await?;
        self.store().release_node(self.env().now(), &self.data().worker_node(name), self.worker_id()).await
    }

    /// Removes worktrees that no process holds: what processes left that were killed, or ended before they had done so.
    pub async fn sweep(&self) {
        if let Err(error) = mb_runner::Project::sweep(&self.data().worktrees()).await {
            tracing::warn!(error = %mb_core::error::chain(&error), "old worktrees could not be cleared away");
        }
    }

    /// Waits until the worktrees of tasks that have ended are removed, at most 30 seconds. The last thing a process does.
    pub async fn clear_up(&self) {
        self.workspaces().cleared().await;
    }

    /// What this binary is.
    pub fn version() -> Version {
        Version { version: env!("CARGO_PKG_VERSION"), commit: option_env!("MB_BUILD_COMMIT").unwrap_or("unknown") }
    }

    /// Counters and gauges of this process.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// All metrics in the OpenMetrics text format, gauges read now.
    pub async fn encode_metrics(&self) -> String {
        self.inner.metrics.refresh(self).await;
        self.inner.metrics.encode()
    }

    /// Asks every probe (at most once a second; in between the last answer is given with its age).
    pub async fn probe(&self) -> ProbeReport {
        self.inner.probes.report(self).await
    }

    /// Stops claiming work. What is running goes on until the worker's own deadline.
    pub fn drain(&self) {
        self.inner.draining.cancel();
    }

    /// Whether [`Engine::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    /// Cancelled by [`Engine::drain`].
    pub fn draining(&self) -> CancellationToken {
        self.inner.draining.clone()
    }

    /// Where the log of a task is (it may not exist yet, or be on another node).
    pub fn log_path(&self, run: mb_core::id::RunId, work: &mb_core::task::Work) -> PathBuf {
        self.inner.data.log(run, &work.to_string())
    }
}
