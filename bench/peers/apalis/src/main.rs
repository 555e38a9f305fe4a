//! apalis on PostgreSQL or SQLite, whichever `PEER_STORE` names: batches of 200 and a hundred at once in the drain,
//! its batch of ten and ten at once elsewhere; polled every 100 ms, on PostgreSQL woken by NOTIFY as well.

#[path = "../harness.rs"]
mod harness;

use std::error::Error;
use std::time::Duration;

use apalis::prelude::*;
use harness::{Payload, produce, say, set_body};
use serde_json::json;

const POLL: Duration = Duration::from_millis(100);
const QUEUE: &str = "q";

async fn task(payload: Payload) -> Result<(), BoxDynError> {
    harness::run(payload).await;
    Ok(())
}

/// Builds the worker for a backend and runs it; the two backends share no type.
macro_rules! work {
    ($args:expr, $slots:expr, $backend:expr) => {{
        set_body(&$args[1..]);
        say("ready", json!({}));
        let name = format!("worker-{}", std::process::id());
        let worker = WorkerBuilder::new(name).backend($backend).concurrency($slots).parallelize(tokio::spawn);
        worker.build(task).run().await?;
    }};
}

macro_rules! produce_with {
    ($args:expr, $storage:expr) => {{
        let (for_many, for_one) = ($storage.clone(), $storage);
        let many = move |tasks| {
            let mut storage = for_many.clone();
            async move { storage.push_bulk(tasks).await.expect("the tasks are added") }
        };
        let one = move |payload| {
            let mut storage = for_one.clone();
            async move { storage.push(payload).await.expect("the task is added") }
        };
        produce($args, many, one).await;
    }};
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let store = std::env::var("PEER_STORE")?;
    let is_drain = args[0] == "work" && args[1] == "noop";
    let (batch, slots) = match (is_drain, args.get(1).map(String::as_str)) {
        (true, _) => (200, 100),
        (false, Some("lat")) => (10, 100),
        (false, _) => (10, 10),
    };
    if store.starts_with("postgres") {
        on_postgres(&args, &store, batch, slots).await
    } else {
        on_sqlite(&args, &store, batch, slots).await
    }
}

async fn on_postgres(args: &[String], store: &str, batch: usize, slots: usize) -> Result<(), Box<dyn Error>> {
    use apalis_postgres::{Config, PgPool, PostgresStorage};
    let pool = PgPool::connect(store).await?;
    let config = Config::default().queue(QUEUE).batch_size(batch);
    let storage: PostgresStorage<Payload> = PostgresStorage::new(&pool).with_config(config);
    match args[0].as_str() {
        "setup" => PostgresStorage::setup(&pool).await?,
        "work" => work!(args, slots, storage.with_pubsub().poll_with_interval(POLL)),
        _ => produce_with!(args, storage),
    }
    Ok(())
}

async fn on_sqlite(args: &[String], store: &str, batch: usize, slots: usize) -> Result<(), Box<dyn Error>> {
    use apalis_sqlite::{Config, SqlitePool, SqliteStorage};
    let pool = SqlitePool::connect(&format!("sqlite://{store}?mode=rwc")).await?;
    let config = Config::default().queue(QUEUE).batch_size(batch);
    let storage: SqliteStorage<Payload> = SqliteStorage::new(&pool).with_config(config);
    match args[0].as_str() {
        "setup" => SqliteStorage::setup(&pool).await?,
        "work" => work!(args, slots, storage.poll_with_interval(POLL)),
        _ => produce_with!(args, storage),
    }
    Ok(())
}
