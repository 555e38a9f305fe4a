//! What every task of a run needs: its project, its frozen files, its patches, its secrets.

use std::path::PathBuf;
use std::time::Duration;

use mb_core::failure::{ExitCause, Failure};
use mb_core::run::Run;
use mb_core::task::{Fence, Work};
use mb_core::workflow::{Network, StepSpec};
use mb_runner::{Job, LogSink, Outcome, Patch, Project, ProjectError, Redactor, Snapshot, Worktree};
use mb_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::{Engine, Output};

/// Why a task could not do its work at all. Not a failure of the project: the task is given back or reported as
/// not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("the project's files cannot be prepared")]
    Project(#[from] ProjectError),
    #[error("the store does not answer")]
    Store(#[from] StoreError),
    #[error("the stored run cannot be read: {0}")]
    Corrupt(String),
    #[error("the log cannot be written")]
    Log(#[source] std::io::Error),
}

/// One grant of one task, with everything it may touch.
pub(crate) struct Context<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) run: &'a Run,
    pub(crate) work: &'a Work,
    pub(crate) fence: Fence,
    pub(crate) cancel: CancellationToken,
    pub(crate) output: Output,
    project: Project,
    snapshot: Snapshot,
    redactor: Redactor,
}

impl<'a> Context<'a> {
    pub(crate) async fn open(
        engine: &'a Engine,
        run: &'a Run,
        work: &'a Work,
        fence: Fence,
        cancel: CancellationToken,
        output: Output,
    ) -> Result<Context<'a>, TaskError> {
        let snapshot = serde_json::from_value(run.source.snapshot.clone()).map_err(|e| TaskError::Corrupt(e.to_string()))?;
        let project = Project::open(&PathBuf::from(&run.source.root)).await?;
        let redactor = Redactor::from_env(&run.workflow.redact).map_err(|e| TaskError::Corrupt(e.to_string()))?;
        Ok(Context { engine, run, work, fence, cancel, output, project, snapshot, redactor })
    }

    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The step this task is about.
    pub(crate) fn spec(&self) -> Result<&'a StepSpec, TaskError> {
        let name = self.work.step().unwrap_or_default();
        self.run.workflow.step(name).ok_or_else(|| TaskError::Corrupt(format!("the workflow has no step {name:?}")))
    }

    /// The log every command of this task is written to.
    pub(crate) fn log(&self) -> Result<LogSink, TaskError> {
        let path = self.engine.log_path(self.run.id, self.work);
        LogSink::create(&path, self.redactor.clone(), self.output.tee(self.work)).map_err(TaskError::Log)
    }

    /// Fresh files with these patches, in a folder of this grant's own; `part` tells several of one task apart.
    pub(crate) async fn worktree(&self, spec: &StepSpec, part: u32, patches: &[Patch]) -> Result<Worktree, TaskError> {
        let at = self.engine.data().worktree(self.run.id, self.work, self.fence).join(part.to_string());
        Ok(self.project.worktree(&self.snapshot, &at, patches, &spec.caches).await?)
    }

    /// Time left of the run's budget.
    pub(crate) fn time_left(&self) -> Duration {
        self.run.workflow.budget.time_left(self.run.spend_at(self.engine.env().now()))
    }

    /// Runs a command of a step in a worktree.
    pub(crate) async fn command(&self, spec: &StepSpec, argv: Vec<String>, network: Network, worktree: &Worktree, log: LogSink) -> Outcome {
        let mut env = spec.env.clone();
        for name in &spec.env_pass {
            if let Ok(value) = std::env::var(name) {
                env.entry(name.clone()).or_insert(value);
            }
        }
        let job = Job {
            argv,
            worktree,
            dir: &spec.dir,
            env,
            network,
            limits: spec.limits,
            writable: Vec::new(),
            sandbox: self.engine.sandbox(),
            log,
            cancel: self.cancel.clone(),
            deadline: Some(self.time_left()),
        };
        mb_runner::run(job).await
    }

    /// Runs a step's own command; the failure is none exactly when it succeeded.
    pub(crate) async fn check(&self, spec: &StepSpec, worktree: &Worktree, log: LogSink) -> (Outcome, Option<Failure>) {
        let path = log.path().to_owned();
        let outcome = self.command(spec, spec.command.argv(), spec.network, worktree, log).await;
        if outcome.exit.success() {
            return (outcome, None);
        }
        let failure = self.classify(spec, &outcome, &path).await;
        (outcome, Some(failure))
    }

    async fn classify(&self, spec: &StepSpec, outcome: &Outcome, log: &std::path::Path) -> Failure {
        let text = read_bounded(log).await;
        let stdout = String::from_utf8_lossy(&outcome.stdout.bytes).into_owned();
        let roots = [self.run.source.root.clone()];
        let (spec, exit, detail) = (spec.clone(), outcome.exit, outcome.detail.clone());
        // Reading up to 64 MiB of log is work for a thread of its own.
        let classified = tokio::task::spawn_blocking(move || {
            let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
            mb_repair::classify(&mb_repair::Observed {
                step: &spec,
                exit,
                stdout: &stdout,
                log: &text,
                files: &[],
                detail: detail.as_deref(),
                roots: &roots,
            })
        });
        classified.await.expect("classify never panics; it is tested on arbitrary text")
    }

    /// The accepted patches of the run so far.
    pub(crate) async fn patches(&self) -> Result<Vec<Patch>, TaskError> {
        let digests: Vec<&str> = self.run.patches.iter().map(|applied| applied.patch.digest.as_str()).collect();
        load(self.engine.store(), &digests).await
    }
}

/// Patches by digest, in that order.
pub(crate) async fn load(store: &Store, digests: &[&str]) -> Result<Vec<Patch>, TaskError> {
    let mut patches = Vec::with_capacity(digests.len());
    for digest in digests {
        let diff = store.patch(digest).await?.ok_or_else(|| TaskError::Corrupt(format!("patch {digest} is missing")))?;
        patches.push(Patch::parse(diff).map_err(|e| TaskError::Corrupt(e.to_string()))?);
    }
    Ok(patches)
}

/// The log as text: all of it up to 8 MiB, else its beginning and its end.
async fn read_bounded(path: &std::path::Path) -> String {
    const HALF: usize = 4 << 20;
    let bytes = tokio::fs::read(path).await.unwrap_or_default();
    if bytes.len() <= 2 * HALF {
        return String::from_utf8_lossy(&bytes).into_owned();
    }
    let (head, tail) = (&bytes[..HALF], &bytes[bytes.len() - HALF..]);
    format!("{}\n{}", String::from_utf8_lossy(head), String::from_utf8_lossy(tail))
}

/// How a command that never ran is reported.
pub(crate) const fn not_started() -> ExitCause {
    ExitCause::NotStarted
}
