//! Workers: how much they do at once, whose tasks they take, when they end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mb_core::id::TenantId;
use mb_core::queue::{NewTask, Outcome};
use mb_core::run::RunOutcome;
use mb_core::task::QueueClass;
use mb_engine::{DataDir, Engine, EngineOptions, Env, Handlers, Maintenance, Worker, WorkerOptions};
use mb_runner::Sandbox;
use mb_store::{Retention, Store, StoreOptions, StoreUrl, TaskView};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::world::{World, wait};

/// Longest any wait of these tests may take.
const DEADLINE: Duration = Duration::from_secs(60);

fn task(engine: &Engine, kind: &str, class: QueueClass) -> NewTask {
    NewTask::new(engine.env().task_id(), TenantId::DEFAULT, kind, class)
}

fn options(slots: &[(QueueClass, usize)], running_max: usize, handlers: Handlers) -> WorkerOptions {
    let poll = Duration::from_millis(50);
    WorkerOptions { slots: slots.iter().copied().collect(), running_max, handlers, poll, ..WorkerOptions::default() }
}

/// Waits until the condition holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let met = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, met).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Counts tasks that run at once and holds each until it may go on.
#[derive(Clone)]
struct Gate {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
    go: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Gate {
        let count = Arc::<AtomicUsize>::default;
        Gate { running: count(), most: count(), done: count(), go: Arc::new(Semaphore::new(0)) }
    }

    fn handlers(&self) -> Handlers {
        let gate = self.clone();
        Handlers::builtin().with("gate", move |_job| {
            let gate = gate.clone();
            async move {
                let running = gate.running.fetch_add(1, Ordering::SeqCst) + 1;
                gate.most.fetch_max(running, Ordering::SeqCst);
                gate.go.acquire().await.expect("the gate stays").forget();
                gate.running.fetch_sub(1, Ordering::SeqCst);
                gate.done.fetch_add(1, Ordering::SeqCst);
                Outcome::Succeeded
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_tasks_run_at_once_than_may() {
    let world = World::new(&[], false).await;
    let engine = &world.engine;
    let classes = [QueueClass::Cpu, QueueClass::Io, QueueClass::Llm];
    let tasks: Vec<NewTask> = (0..30).map(|n| task(engine, "gate", classes[n % 3])).collect();
    engine.enqueue(&tasks).await.expect("enqueued");
    let (gate, stop) = (Gate::new(), CancellationToken::new());
    let slots = classes.map(|class| (class, 4));
    let worker = Worker::new(engine.clone(), options(&slots, 4, gate.handlers()));
    let worker = tokio::spawn(worker.run(stop.clone()));
    until("four run", async || gate.running.load(Ordering::SeqCst) == 4).await;
    for let_through in 1..=30 {
        gate.go.add_permits(1);
        until("one more is done", async || gate.done.load(Ordering::SeqCst) >= let_through).await;
    }
    assert_eq!(gate.most.load(Ordering::SeqCst), 4);
    stop.cancel();
    worker.await.expect("the worker ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_with_much_to_do_leaves_places_to_others() {
    let world = World::new(&[], false).await;
    let engine = &world.engine;
    let busy = |_| NewTask { payload: "{\"ms\": 20}".into(), ..task(engine, "sleep", QueueClass::Cpu) };
    let busy: Vec<NewTask> = (0..100).map(busy).collect();
    engine.enqueue(&busy).await.expect("enqueued");
    let other = task(engine, "noop", QueueClass::Llm);
    engine.enqueue(std::slice::from_ref(&other)).await.expect("enqueued");
    let stop = CancellationToken::new();
    let slots = [(QueueClass::Cpu, 4), (QueueClass::Io, 4), (QueueClass::Llm, 4)];
    let worker = tokio::spawn(Worker::new(engine.clone(), options(&slots, 1, Handlers::builtin())).run(stop.clone()));
    until("the lone task of another class is done", async || {
        let view = engine.store().task(TenantId::DEFAULT, other.id).await.expect("readable");
        matches!(view, Some(TaskView::Finished(_)))
    })
    .await;
    let stats = engine.store().queue_stats(engine.env().now()).await.expect("stats");
    assert!(stats[0].ready > 50, "it did not wait until the others were done: {stats:?}");
    stop.cancel();
    worker.await.expect("the worker ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_gives_all_it_can_is_not_the_end_of_the_queue() {
    let world = World::new(&[], false).await;
    let engine = &world.engine;
    let tasks: Vec<NewTask> = (0..6_000).map(|_| task(engine, "noop", QueueClass::Io)).collect();
    engine.store().enqueue(engine.env().now(), &tasks, &mb_core::queue::Bounds::default()).await.expect("enqueued");
    let stop = CancellationToken::new();
    // Nothing hints at work and the next look by itself is an hour away.
    let poll = Duration::from_secs(3_600);
    let patient = WorkerOptions { poll, ..options(&[(QueueClass::Io, 20)], 10, Handlers::builtin()) };
    let worker = tokio::spawn(Worker::new(engine.clone(), patient).run(stop.clone()));
    until("all are done", async || {
        let stats = engine.store().queue_stats(engine.env().now()).await.expect("stats");
        stats.iter().all(|class| class.ready + class.leased == 0)
    })
    .await;
    stop.cancel();
    worker.await.expect("the worker ends well");
}

async fn node(folder: &std::path::Path, database: &std::path::Path) -> Engine {
    let env = Env::system().expect("randomness");
    let store = Store::open(&StoreUrl::Sqlite(database.into()), StoreOptions::default()).await.expect("a store");
    store.migrate(env.now()).await.expect("migrated");
    let data = DataDir::open(folder).expect("a data folder");
    Engine::with_options(env, store, data, Sandbox::detect(), EngineOptions::default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_done_where_its_files_are_and_other_tasks_anywhere() {
    let config = "[steps.check]\nrun = \"true\"\n";
    let world = World::new(&[("meta-builder.toml", config)], false).await;
    let here = &world.engine;
    let other = tempfile::tempdir().expect("a folder");
    let there = node(other.path(), &here.data().database()).await;
    let run = world.start().await;
    let anybody = task(here, "noop", QueueClass::Cpu);
    here.enqueue(std::slice::from_ref(&anybody)).await.expect("enqueued");

    let slots = [(QueueClass::Cpu, 2)];
    let stop = CancellationToken::new();
    let foreign = Worker::new(there.clone(), options(&slots, 10, Handlers::builtin()));
    let foreign = tokio::spawn(foreign.run(stop.clone()));
    until("the other node does what is anybody's", async || {
        let view = there.store().task(TenantId::DEFAULT, anybody.id).await.expect("readable");
        matches!(view, Some(TaskView::Finished(_)))
    })
    .await;
    let waiting = here.store().run(TenantId::DEFAULT, run).await.expect("readable").expect("there");
    assert_eq!(waiting.state, mb_core::run::RunState::Pending, "it leaves alone what needs files it does not have");

    let own = Worker::new(here.clone(), options(&slots, 10, Handlers::builtin()));
    let own = tokio::spawn(own.run(stop.clone()));
    let done = wait(here, run, |run| run.state.outcome().is_some()).await;
    assert_eq!(done.state.outcome(), Some(RunOutcome::Passed));
    stop.cancel();
    own.await.expect("ends well");
    foreign.await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_asked_to_end_finishes_what_it_holds() {
    let world = World::new(&[], false).await;
    let engine = &world.engine;
    let gate = Gate::new();
    let worker = Worker::new(engine.clone(), options(&[(QueueClass::Io, 1)], 10, gate.handlers()));
    let tasks = [task(engine, "gate", QueueClass::Io), task(engine, "gate", QueueClass::Io)];
    engine.enqueue(&tasks).await.expect("enqueued");
    let worker = tokio::spawn(worker.run(CancellationToken::new()));
    until("one runs", async || gate.running.load(Ordering::SeqCst) == 1).await;
    assert_eq!(engine.end_workers("test", None).await.expect("asked"), 1);
    until("it says that it drains", async || {
        let workers = engine.store().workers(engine.env().now()).await.expect("workers");
        workers.iter().all(|seen| seen.worker.state == "draining")
    })
    .await;
    assert!(!worker.is_finished(), "it does not leave its task");
    gate.go.add_permits(1);
    tokio::time::timeout(DEADLINE, worker).await.expect("in time").expect("ends well");
    assert!(engine.store().workers(engine.env().now()).await.expect("workers").is_empty(), "it signed off");
    let views = [tasks[0].id, tasks[1].id].map(|id| engine.store().task(TenantId::DEFAULT, id));
    let views = futures_util::future::join_all(views).await;
    let words: BTreeMap<bool, usize> = views.into_iter().fold(BTreeMap::new(), |mut words, view| {
        *words.entry(matches!(view, Ok(Some(TaskView::Finished(_))))).or_default() += 1;
        words
    });
    assert_eq!(words, BTreeMap::from([(true, 1), (false, 1)]), "one is done, the other waits for somebody else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_records_are_removed_and_young_ones_kept() {
    let world = World::new(&[], false).await;
    let env = Env::manual(mb_core::time::Timestamp::from_micros(1_700_000_000_000_000), 1);
    let store = world.engine.store().clone();
    let kept = EngineOptions { task_retention: Duration::from_secs(60), ..EngineOptions::default() };
    let engine = Engine::with_options(env, store, world.engine.data().clone(), Sandbox::detect(), kept);
    let canceled = async |engine: &Engine| {
        let task = task(engine, "noop", QueueClass::Io);
        engine.enqueue(std::slice::from_ref(&task)).await.expect("enqueued");
        engine.cancel_task("test", TenantId::DEFAULT, task.id).await.expect("canceled");
        task.id
    };
    let old = canceled(&engine).await;
    engine.env().advance(Duration::from_secs(61));
    let young = canceled(&engine).await;
    let stop = CancellationToken::new();
    let loops = tokio::spawn(Maintenance::new(engine.clone()).run(stop.clone()));
    let is_there = async |id| engine.store().task(TenantId::DEFAULT, id).await.expect("readable").is_some();
    until("the old record is gone", async || !is_there(old).await).await;
    assert!(is_there(young).await);
    stop.cancel();
    loops.await.expect("ends well");
    let now = engine.env().now() + Duration::from_secs(1);
    let all = Retention { finished_before: now, keys_before: now };
    assert_eq!(engine.store().purge_tasks(&all).await.expect("purged"), 1);
}
