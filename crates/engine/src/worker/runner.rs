//! One slot: does one task after the other.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use mb_core::queue::{Outcome, Task};
use mb_core::task::QueueClass;
use mb_store::{Claimed, Report};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::WorkerOptions;
use super::completer::Ended;
use super::desk::Desk;
use super::run_task::{self, RunTask};
use crate::Engine;
use crate::handlers::Job;

/// A task that took less does not wait until its report is stored: the slot would be idle for longer than it was used.
const SHORT: Duration = Duration::from_millis(5);

pub(super) async fn run(
    engine: Engine,
    desk: Arc<Desk>,
    class: QueueClass,
    options: WorkerOptions,
    reports: mpsc::Sender<Ended>,
) {
    while let Some((claimed, cancel)) = desk.next(class).await {
        let lease = claimed.lease.clone();
        let work = carry_out(&engine, &desk, claimed, cancel, &options, &reports);
        if AssertUnwindSafe(work).catch_unwind().await.is_err() {
            // The lease runs out by itself and the task is given to somebody, a bounded number of times.
            desk.let_go([(lease.task, lease.fence)]);
            engine.metrics().panic("task");
            tracing::error!(task = %lease, "a task panicked; its lease will expire");
        }
        desk.ended(class);
    }
}

async fn carry_out(
    engine: &Engine,
    desk: &Desk,
    claimed: Claimed,
    cancel: CancellationToken,
    options: &WorkerOptions,
    reports: &mpsc::Sender<Ended>,
) {
    let grant = (claimed.lease.task, claimed.lease.fence);
    match of_run(claimed) {
        Ok(task) => {
            let (since, class) = (Instant::now(), task.class);
            // Boxed: the future of a build is large, and that of most tasks is not.
            Box::pin(run_task::carry_out(engine, &task, cancel, &desk.leaving, options)).await;
            desk.took(class, since.elapsed());
            desk.let_go([grant]);
        }
        Err(claimed) => {
            let since = Instant::now();
            let Claimed { lease, task, .. } = *claimed;
            let (class, kind) = (task.class, task.kind.clone());
            let outcome = execute(engine, task, cancel, desk, options).await;
            let took = since.elapsed();
            desk.took(class, took);
            let (heard, hears) = if took >= SHORT { Some(oneshot::channel()).unzip() } else { (None, None) };
            // The completer ends after all runners.
            let _ = reports.send(Ended { lease, class, kind, outcome, took, heard }).await;
            if let Some(hears) = hears {
                // Not the next one before this one is stored: what a killed worker did and could not report is done
                // again, and should be as little as can be.
                let _ = hears.await;
            }
        }
    }
}

fn of_run(claimed: Claimed) -> Result<RunTask, Box<Claimed>> {
    match claimed {
        Claimed { lease, task, run: Some(run) } if lease.key.is_some() => {
            let key = lease.key.clone().expect("just seen");
            Ok(RunTask { lease, key, class: task.class, run })
        }
        other => Err(Box::new(other)),
    }
}

async fn execute(
    engine: &Engine,
    task: Task,
    cancel: CancellationToken,
    desk: &Desk,
    options: &WorkerOptions,
) -> Outcome {
    let Some(handler) = options.handlers.get(&task.kind) else {
        let error = format!("this worker has no handler for tasks of kind {:?}", task.kind);
        return Outcome::Failed { error, is_permanent: false, retry_after: None };
    };
    let timeout = task.options.timeout_ms.map_or(options.task_timeout, Duration::from_millis);
    let job = Job { engine: engine.clone(), task, cancel: cancel.clone() };
    let done = tokio::select! {
        // First what it says itself: a handler that is told to stop may have something to say.
        biased;
        outcome = tokio::time::timeout(timeout, handler(job)) => outcome,
        () = stopped(&cancel) => return if desk.leaving.is_cancelled() { Outcome::GaveBack } else { Outcome::Canceled },
    };
    done.unwrap_or_else(|_| Outcome::Failed {
        error: format!("it took longer than {} ms", timeout.as_millis()),
        is_permanent: false,
        retry_after: None,
    })
}

/// A little after the handler was told to stop.
async fn stopped(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// Reports a task that was never begun.
pub(super) async fn give_back(
    engine: &Engine,
    options: &WorkerOptions,
    claimed: Claimed,
    reports: &mpsc::Sender<Ended>,
) {
    match of_run(claimed) {
        Ok(task) => run_task::store_report(engine, &task, Report::GaveBack, options.lease).await,
        Err(claimed) => {
            let Claimed { lease, task, .. } = *claimed;
            let ended = Ended {
                lease,
                class: task.class,
                kind: task.kind,
                outcome: Outcome::GaveBack,
                took: Duration::ZERO,
                heard: None,
            };
            let _ = reports.send(ended).await;
        }
    }
}
