//! The Rust port of graphile-worker: fast settings (local queue, completions in batches) in the drain, its defaults
//! elsewhere.

#[path = "../harness.rs"]
mod harness;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use graphile_worker::{IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions};
use harness::{Payload, produce, say, set_body};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;

#[derive(Clone, Serialize, Deserialize)]
struct Task(Payload);

impl TaskHandler for Task {
    const IDENTIFIER: &'static str = "task";

    async fn run(self, _context: WorkerContext) -> impl IntoTaskHandlerResult {
        harness::run(self.0).await;
        Ok::<(), String>(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let pool = PgPoolOptions::new().max_connections(12).connect(&std::env::var("PEER_STORE")?).await?;
    let is_worker = args[0] == "work";
    let mode = if is_worker { args[1].as_str() } else { "" };
    let slots = if mode == "file" { 10 } else { 24 };
    let mut options = WorkerOptions::default().concurrency(slots).define_job::<Task>().pg_pool(pool);
    if mode == "noop" {
        let queue = LocalQueueConfig::default().with_size(500);
        options = options.local_queue(queue).complete_job_batch_delay(Duration::from_millis(1));
    }
    let worker = options.init().await?;
    if is_worker {
        set_body(&args[1..]);
        say("ready", json!({}));
        worker.run().await?;
    } else if args[0] != "setup" {
        let utils = Arc::new(worker.create_utils());
        let for_one = Arc::clone(&utils);
        let many = |tasks: Vec<Payload>| {
            let utils = Arc::clone(&utils);
            async move {
                let spec = JobSpec::default();
                let jobs: Vec<_> = tasks.into_iter().map(|task| (Task(task), &spec)).collect();
                utils.add_jobs::<Task>(&jobs).await.expect("the jobs are added");
            }
        };
        let one = move |task| {
            let utils = Arc::clone(&for_one);
            async move {
                utils.add_job(Task(task), JobSpec::default()).await.expect("the job is added");
            }
        };
        produce(&args, many, one).await;
    }
    Ok(())
}
