//! Executing an attempt: a command in the files of its group (see [`mod@crate::workspace`]), a request, a question to
//! a model, a run of another workflow.

use std::collections::BTreeSet;

use mb_core::attempt::{AttemptOutcome, Purpose};
use mb_core::error::chain;
use mb_core::failure::{ExitCause, Failure, FailureKind};
use mb_core::time::millis;
use mb_core::workflow::Action;

use crate::context::{Checked, Context, TaskError};
use crate::workspace::{self, Workspace};
use crate::{child, http, llm, plain};

/// Runs the attempt. Trouble with the files or the log is the attempt's failure, so that a run always ends; only
/// trouble with the store is an error (the task is then given back).
pub(crate) async fn execute(context: &Context<'_>) -> Result<AttemptOutcome, TaskError> {
    match run(context).await {
        Err(error) if error.is_transient() => Err(error),
        Err(error) => Ok(could_not_start(&error)),
        Ok(outcome) => Ok(outcome),
    }
}

async fn run(context: &Context<'_>) -> Result<AttemptOutcome, TaskError> {
    let (step, _, action) = context.part()?;
    if step.attempts.last().is_some_and(|attempt| attempt.purpose == Purpose::Timer) {
        // The moment a step waits for has come; the run machine knows what that means.
        return Ok(AttemptOutcome::plain(0, None));
    }
    match action {
        Action::Shell(_) => shell(context).await,
        Action::Http(request) => http::execute(context, request).await,
        Action::Llm(question) => llm::execute(context, question).await,
        Action::Workflow(call) => child::execute(context, call).await,
        Action::Approval(_)
        | Action::Wait(_)
        | Action::Repair(_)
        | Action::Transform(_)
        | Action::Condition(_)
        | Action::Foreach(_) => Err(TaskError::Corrupt(format!("a {} step has no task", action.kind()))),
    }
}

/// A command, in the files of its group.
async fn shell(context: &Context<'_>) -> Result<AttemptOutcome, TaskError> {
    let step = context.commanded()?;
    let group = context.run.workflow.group_of(&step.spec.name);
    let mut place = context.engine.workspaces().lock(context.run.id, group, context.run.tree()).await;
    let workspace = match &mut *place {
        Some(workspace) => workspace,
        empty => {
            let worktree = context.worktree(0, &context.patches().await?).await?;
            empty.insert(Workspace { worktree, done: BTreeSet::new() })
        }
    };
    let mut notes = workspace.worktree.notes().to_vec();
    if let Some((need, checked)) = workspace::prepare(context, step, &workspace.worktree, &mut workspace.done).await? {
        notes.push(format!("{need}, which it needs, failed when it was run again"));
        return Ok(describe(checked, notes));
    }
    let checked = context.check(step, &workspace.worktree).await?;
    if checked.failure.is_none() {
        workspace.done.insert(step.name.to_owned());
    }
    Ok(describe(checked, notes))
}

fn describe(checked: Checked, mut notes: Vec<String>) -> AttemptOutcome {
    let Checked { outcome, failure, tests, output } = checked;
    notes.extend(outcome.notes);
    AttemptOutcome {
        exit: outcome.exit,
        cpu_ms: millis(outcome.cpu),
        rss_bytes_max: outcome.max_rss_bytes,
        log_lines: outcome.log.lines,
        log_bytes: outcome.log.bytes,
        sandbox: outcome.sandbox.to_string(),
        tests,
        notes,
        output,
        ..AttemptOutcome::plain(millis(outcome.duration), failure)
    }
}

/// The outcome of a command that never ran, with the whole chain of causes in its summary.
pub(crate) fn could_not_start(error: &TaskError) -> AttemptOutcome {
    let failure = plain::failure("meta-builder", FailureKind::ConfigCi, chain(error));
    let failure = Failure { exit: ExitCause::NotStarted, tool: None, ..*failure };
    AttemptOutcome::plain(0, Some(failure))
}
