//! A run's task: what it does, and its report to the run machine.
//!
//! A task whose report cannot be stored is tried again until its lease would have ended.

use std::time::Duration;

use mb_core::error::chain;
use mb_core::failure::ExitCause;
use mb_core::repair::Verdict;
use mb_core::run::Run;
use mb_core::task::{Lease, QueueClass, TaskKey, Work};
use mb_store::{Finished, Report, StoreError};
use tokio_util::sync::CancellationToken;

use super::WorkerOptions;
use crate::context::{Context, TaskError};
use crate::{Engine, attempt, publish, repair};

/// A granted task of a run.
pub(super) struct RunTask {
    pub(super) lease: Lease,
    pub(super) key: TaskKey,
    pub(super) class: QueueClass,
    pub(super) run: Box<Run>,
}

/// Runs a claimed task and reports it.
pub(super) async fn carry_out(
    engine: &Engine,
    claimed: &RunTask,
    cancel: CancellationToken,
    leaving: &CancellationToken,
    options: &WorkerOptions,
) {
    let key = &claimed.key;
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
    claimed: &RunTask,
    cancel: CancellationToken,
    options: &WorkerOptions,
) -> Result<Report, TaskError> {
    let work = &claimed.key.work;
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
pub(super) async fn store_report(engine: &Engine, claimed: &RunTask, report: Report, patience: Duration) {
    let deadline = engine.env().now() + patience;
    let mut wait = Duration::from_millis(50);
    loop {
        let now = engine.env().now();
        match engine.store().finish(now, &claimed.lease, report.clone()).await {
            Ok(finished) => return log_finished(engine, claimed, &finished),
            Err(error) if error.is_transient() && now < deadline => {
                tracing::warn!(task = %claimed.key, error = %chain(&error), "its report could not be stored; trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
            Err(error) => return log_lost(claimed, &error),
        }
    }
}

fn log_finished(engine: &Engine, claimed: &RunTask, finished: &Finished) {
    match finished {
        Finished::Applied { run, events } => {
            engine.metrics().count(run, events);
            let before = if run.state.outcome().is_some() { u32::MAX } else { run.tree() };
            engine.workspaces().forget(run.id, before);
        }
        Finished::StaleFence => {
            tracing::warn!(task = %claimed.key, "its report came too late and changed nothing");
        }
        Finished::Refused(why) => {
            tracing::warn!(task = %claimed.key, %why, "its report was refused");
        }
    }
}

fn log_lost(claimed: &RunTask, error: &StoreError) {
    tracing::error!(task = %claimed.key, error = %chain(error), "its report could not be stored; it will be run again");
}
