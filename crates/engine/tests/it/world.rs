//! A world for one test: a project, a data folder, an engine, a worker.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use mb_core::event::EventKind;
use mb_core::id::{RunId, TenantId};
use mb_core::run::Run;
use mb_core::task::QueueClass;
use mb_engine::{DataDir, Engine, Env, Layers, Output, StartRun, Worker, WorkerOptions};
use mb_runner::Sandbox;
use mb_store::{Store, StoreOptions, StoreUrl};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest any run of these tests may take.
const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) project: PathBuf,
    _dir: TempDir,
}

impl World {
    /// A project of these files; a repository with one commit when `git` is true.
    pub(crate) async fn new(files: &[(&str, &str)], git: bool) -> World {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let project = dir.path().join("project");
        for (name, text) in files {
            let path = project.join(name);
            std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        if git {
            for args in [
                &["init", "-q", "-b", "main"][..],
                &["add", "-A"],
                &["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "first"],
            ] {
                let done = Command::new("git").args(args).current_dir(&project).status().expect("git runs");
                assert!(done.success(), "git {args:?}");
            }
        }
        let data = DataDir::open(&dir.path().join("data")).expect("a data folder");
        let engine = engine(&data).await;
        World { engine, project, _dir: dir }
    }

    pub(crate) async fn start(&self) -> RunId {
        let ask = StartRun {
            tenant: TenantId::DEFAULT,
            root: self.project.clone(),
            command: None,
            only: Vec::new(),
            idempotency_key: None,
            actor: "test".into(),
            affinity: None,
            layers: Layers::default(),
            repair: true,
        };
        self.engine.start(ask).await.expect("the run is taken in").id
    }

    /// Works until the run is over.
    pub(crate) async fn work(&self, id: RunId) -> Run {
        work(&self.engine, id).await
    }

    /// Runs the project to its end.
    pub(crate) async fn run(&self) -> Run {
        let id = self.start().await;
        self.work(id).await
    }

    /// The names of the decisions of a run, without the noise of queueing.
    pub(crate) async fn decisions(&self, id: RunId) -> String {
        let events = self.engine.store().events(TenantId::DEFAULT, Some(id), 0, 1_000).await.expect("events");
        let told = events.iter().filter(|event| {
            !matches!(
                event.kind,
                EventKind::RunCreated { .. }
                    | EventKind::RunStarted
                    | EventKind::StepQueued { .. }
                    | EventKind::StepStarted { .. }
                    | EventKind::RepairQueued { .. }
                    | EventKind::RepairStarted { .. }
                    | EventKind::StepAttempted { .. }
            )
        });
        told.map(|event| format!("{} {}\n", event.kind.word(), event.kind.step().unwrap_or("-"))).collect()
    }
}

/// An engine over a data folder, as a new process would make it.
pub(crate) async fn engine(data: &DataDir) -> Engine {
    let env = Env::system().expect("randomness");
    let store = Store::open(&StoreUrl::Sqlite(data.database()), StoreOptions::default()).await.expect("a store");
    store.migrate(env.now()).await.expect("migrated");
    Engine::new(env, store, data.clone(), Sandbox::detect())
}

pub(crate) async fn work(engine: &Engine, id: RunId) -> Run {
    let (worker, stop) = worker(engine, Duration::from_secs(10), Duration::from_secs(5));
    let over = wait(engine, id, |run| run.state.outcome().is_some()).await;
    stop.cancel();
    worker.await.expect("the worker ends well");
    over
}

/// A worker that works until the token is cancelled.
pub(crate) fn worker(engine: &Engine, lease: Duration, drain: Duration) -> (JoinHandle<()>, CancellationToken) {
    let options = WorkerOptions {
        slots: BTreeMap::from([(QueueClass::Cpu, 2), (QueueClass::Io, 4), (QueueClass::Llm, 2)]),
        affinity: None,
        lease,
        poll: Duration::from_millis(100),
        drain,
        output: Output::default(),
        ..WorkerOptions::default()
    };
    let stop = CancellationToken::new();
    (tokio::spawn(Worker::new(engine.clone(), options).run(stop.clone())), stop)
}

/// The run, once it is as wished.
pub(crate) async fn wait(engine: &Engine, id: RunId, is_met: impl Fn(&Run) -> bool) -> Run {
    let mut changes = engine.store().changes();
    let met = async {
        loop {
            let run = engine.store().run(TenantId::DEFAULT, id).await.expect("readable").expect("there");
            if is_met(&run) {
                return run;
            }
            let _ = tokio::time::timeout(Duration::from_millis(200), changes.changed()).await;
        }
    };
    tokio::time::timeout(DEADLINE, met).await.expect("the run comes that far in time")
}
