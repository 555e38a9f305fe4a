//! The sub-workflow step: starts a run, and asks about it until it is over.
//!
//! The child is started under a key made of run, step and attempt, so a worker that vanishes in between starts no
//! second one. Each question is a claim of the same task, put back with a growing wait; the child's own end wakes it
//! (see `Store::finish`). A cancel, or the end of the step's time, is passed on before the step ends.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use mb_core::attempt::AttemptOutcome;
use mb_core::error::chain;
use mb_core::expression::{self, Scope};
use mb_core::failure::{Failure, FailureKind};
use mb_core::id::TenantId;
use mb_core::run::{Parent, Run, RunOutcome, Step};
use mb_core::task::Work;
use mb_core::time::millis;
use mb_core::workflow::{Call, Workflow};
use mb_store::StoreError;
use serde_json::{Map, Value};

use crate::context::{Context, TaskError};
use crate::plain;
use crate::start::{StartError, StartWorkflow};

const TOOL: &str = "workflow";

/// Finds a tenant's workflow by its name; none when there is no such.
pub type Resolver =
    Arc<dyn Fn(TenantId, String) -> BoxFuture<'static, Result<Option<Workflow>, StoreError>> + Send + Sync>;

/// Starts the child or asks about it.
pub(crate) async fn execute(context: &Context<'_>, call: &Call) -> Result<AttemptOutcome, TaskError> {
    let (step, ..) = context.part()?;
    let Work::Attempt { number, .. } = context.work else {
        return Err(TaskError::Corrupt(format!("{} is no attempt", context.work)));
    };
    let key = format!("step/{}/{}#{number}", context.run.id, step.name);
    let child = match context.engine.store().run_by_key(context.run.tenant, &key).await? {
        Some(child) => child,
        None if context.run.cancel.is_some() => return Ok(failed(*plain::canceled(TOOL))),
        None => match start(context, step, *number, call, key).await {
            Ok(child) => child,
            Err(StartError::Store(error)) => return Err(error.into()),
            Err(error) => return Ok(failed(*plain::failure(TOOL, FailureKind::ConfigCi, chain(&error)))),
        },
    };
    match child.state.outcome() {
        Some(outcome) => Ok(over(&child, outcome)),
        None => wait(context, step, &child).await,
    }
}

fn failed(failure: Failure) -> AttemptOutcome {
    AttemptOutcome::plain(0, Some(failure))
}

async fn start(context: &Context<'_>, step: &Step, number: u32, call: &Call, key: String) -> Result<Run, StartError> {
    let run = context.run;
    let workflow = context.engine.resolve(run.tenant, &call.workflow).await?;
    let scope = Scope::of(run, step);
    let inputs = call.inputs.iter().map(|(name, value)| Ok((name.clone(), expression::fill(value, &scope)?)));
    let inputs: Map<String, Value> = inputs.collect::<Result<_, _>>().map_err(StartError::Expression)?;
    let parent = Parent { run: run.id, step: step.name.clone(), number, depth: run.depth() + 1 };
    let ask = StartWorkflow {
        tenant: run.tenant,
        workflow,
        inputs: Value::Object(inputs),
        actor: format!("{}/{}", run.id, step.name),
        idempotency_key: Some(key),
        affinity: None,
        trigger: run.trigger.clone(),
        parent: Some(parent),
    };
    context.engine.start_workflow(ask).await
}

/// What the child's end means for the step.
fn over(child: &Run, outcome: RunOutcome) -> AttemptOutcome {
    let took_ms = child.finished_at.map_or(0, |at| millis(at.since(child.created_at)));
    if matches!(outcome, RunOutcome::Passed | RunOutcome::Repaired) {
        let output = child.outputs.clone().unwrap_or_else(|| Value::Object(Map::new()));
        return AttemptOutcome { output: Some(output), ..AttemptOutcome::plain(took_ms, None) };
    }
    let why = child.steps.iter().filter(|step| !step.satisfied()).find_map(Step::failure);
    let why = why.map(|failure| format!(": {}", failure.summary)).unwrap_or_default();
    let summary = format!("{} of workflow {} ended {}{why}", child.id, child.workflow.name, outcome.as_str());
    AttemptOutcome::plain(took_ms, Some(*plain::failure(TOOL, FailureKind::Unknown, summary)))
}

/// The child goes on. It is told to stop when nobody wants it any more.
async fn wait(context: &Context<'_>, step: &Step, child: &Run) -> Result<AttemptOutcome, TaskError> {
    let now = context.engine.env().now();
    let late = context.run.deadline_of(step).is_some_and(|deadline| now >= deadline);
    // Not the task's own switch: that also stops a task whose worker shuts down, and the child has nothing to do with it.
    let canceled = context.run.cancel.is_some();
    if (late || canceled) && child.cancel.is_none() {
        let by = if late { "its step's time was up" } else { "its parent was cancelled" };
        let by = format!("{}/{}: {by}", context.run.id, step.name);
        context.engine.store().cancel(now, context.run.tenant, child.id, &by).await?;
    }
    if late {
        let limit = step.since.map_or(0, |since| millis(now.since(since)));
        return Ok(failed(*plain::timed_out(TOOL, limit)));
    }
    Ok(AttemptOutcome { child: Some(child.id), ..AttemptOutcome::plain(0, None) })
}
