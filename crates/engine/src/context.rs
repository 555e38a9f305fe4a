//! What every task of a run needs: its project, its frozen files, its patches, its secrets.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use mb_core::error::chain;
use mb_core::expression::{self, BadExpression, Scope};
use mb_core::failure::{Failure, FailureKind, TestCounts};
use mb_core::run::{Run, Step};
use mb_core::task::{Fence, Work};
use mb_core::time::Timestamp;
use mb_core::workflow::{Action, Shell, StepSpec};
use mb_repair::Command;
use mb_runner::{BadPattern, Job, LogSink, Outcome, Patch, Project, ProjectError, Redactor, Snapshot, Worktree};
use mb_store::{Store, StoreError};
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::outputs::{self, Outputs};
use crate::workspace::{Lent, Workspace};
use crate::{Engine, Output, http, logs, plain, reports};

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
    #[error("no empty folder can be made")]
    Blank(#[source] std::io::Error),
    #[error("a value of the step cannot be computed")]
    Expression(#[from] BadExpression),
    #[error("the log cannot be written")]
    Log(#[source] std::io::Error),
}

impl TaskError {
    /// Whether the task should be tried again as it is: the store will answer some other time. Everything else would
    /// fail the same way again, so it is reported and the run goes on.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, TaskError::Store(error) if error.is_transient())
    }
}

/// A step that runs a command: one of the workflow's, an item of a foreach, or what undoes a step.
#[derive(Clone, Copy)]
pub(crate) struct Commanded<'a> {
    /// The step's name in the run.
    pub(crate) name: &'a str,
    /// The workflow's step that it is or belongs to.
    pub(crate) spec: &'a StepSpec,
    /// The command.
    pub(crate) shell: &'a Shell,
}

impl<'a> Commanded<'a> {
    /// A step of the workflow, if it runs a command.
    pub(crate) fn of(spec: &'a StepSpec) -> Option<Commanded<'a>> {
        spec.as_shell().map(|shell| Commanded { name: &spec.name, spec, shell })
    }
}

/// One grant of one task, with everything it may touch.
pub(crate) struct Context<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) run: &'a Run,
    pub(crate) work: &'a Work,
    pub(crate) fence: Fence,
    pub(crate) cancel: CancellationToken,
    output: Output,
    /// None for a task that needs no files.
    files: Option<(Project, Snapshot)>,
    redactor: Redactor,
}

/// A command that has ended, and what failed if it failed.
pub(crate) struct Checked {
    pub(crate) outcome: Outcome,
    /// None exactly when it succeeded.
    pub(crate) failure: Option<Failure>,
    pub(crate) tests: Option<TestCounts>,
    /// What it put out.
    pub(crate) output: Option<Value>,
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
        let corrupt = |error: &dyn std::error::Error| TaskError::Corrupt(chain(error));
        let files = if needs_files(run, work) { Some(files(engine, run).await?) } else { None };
        let redactor = redactor(run).map_err(|e| corrupt(&e))?;
        let log = engine.log_path(run.id, work);
        if let Some(folder) = log.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(TaskError::Log)?;
        }
        // An earlier grant of the same task may have left a part of its log.
        match tokio::fs::remove_file(&log).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(TaskError::Log(error)),
            _ => {}
        }
        Ok(Context { engine, run, work, fence, cancel, output, files, redactor })
    }

    pub(crate) fn project(&self) -> Result<&Project, TaskError> {
        self.files().map(|(project, _)| project)
    }

    pub(crate) fn snapshot(&self) -> Result<&Snapshot, TaskError> {
        self.files().map(|(_, snapshot)| snapshot)
    }

    fn files(&self) -> Result<&(Project, Snapshot), TaskError> {
        self.files.as_ref().ok_or_else(|| TaskError::Corrupt(format!("{} was opened without files", self.work)))
    }

    /// The step this task is about: itself, what the workflow says about it, and its own action.
    pub(crate) fn part(&self) -> Result<(&'a Step, &'a StepSpec, &'a Action), TaskError> {
        let name = self.work.step().unwrap_or_default();
        let missing = || TaskError::Corrupt(format!("the workflow has no step {name:?}"));
        let step = self.run.step(name).ok_or_else(missing)?;
        let (spec, action) = self.run.part(step).ok_or_else(missing)?;
        Ok((step, spec, action))
    }

    /// The same, when it runs a command.
    pub(crate) fn commanded(&self) -> Result<Commanded<'a>, TaskError> {
        let (step, spec, action) = self.part()?;
        match action {
            Action::Shell(shell) => Ok(Commanded { name: &step.name, spec, shell }),
            other => Err(TaskError::Corrupt(format!("{} is no command but {}", step.name, other.kind()))),
        }
    }

    /// The task's log, for the next command.
    fn log(&self) -> Result<LogSink, TaskError> {
        let path = self.engine.log_path(self.run.id, self.work);
        LogSink::append(&path, self.redactor.clone(), self.output.tee(self.work)).map_err(TaskError::Log)
    }

    /// Writes a line of our own into the task's log.
    pub(crate) fn note(&self, text: &str) -> Result<(), TaskError> {
        self.log()?.note(text);
        Ok(())
    }

    /// Where the project is; empty without one.
    fn root(&self) -> &'a str {
        self.run.source.as_ref().map_or("", |source| &source.root)
    }

    /// Fresh files with these patches; `part` tells several of one grant apart.
    pub(crate) async fn worktree(&self, part: u32, patches: &[Patch]) -> Result<Lent, TaskError> {
        let at = self.engine.data().worktree(self.run.id, self.work, self.fence, part);
        let caches = self.run.workflow.caches();
        let worktree = self.project()?.worktree(self.snapshot()?, &at, patches, &caches).await?;
        Ok(self.engine.workspaces().lend(worktree))
    }

    /// The step's worktree with what has been installed and built in it, if copy-on-write mounts can lend that to
    /// others and nobody is at work there.
    pub(crate) fn idle_workspace(&self, step: Commanded<'_>) -> Option<OwnedMutexGuard<Option<Workspace>>> {
        let lends = self.engine.sandbox().report().overlays;
        let group = self.run.workflow.group_of(&step.spec.name);
        lends.then(|| self.engine.workspaces().idle(self.run.id, group, self.run.tree())).flatten()
    }

    /// Time left of the run's budget and of the step's own time.
    pub(crate) fn time_left(&self) -> Duration {
        let step = self.work.step().and_then(|name| self.run.step(name));
        self.run.time_left(self.engine.env().now(), step)
    }

    fn without_secrets(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redact(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.without_secrets(item)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, value)| (name, self.without_secrets(value))).collect()
            }
            other => other,
        }
    }

    /// A text without the secrets that are known.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }

    /// Runs a command with a step's environment and limits in a worktree.
    pub(crate) async fn command(
        &self,
        step: Commanded<'_>,
        command: &Command,
        worktree: &Worktree,
    ) -> Result<Outcome, TaskError> {
        self.started(step, command, worktree).await.map(|(outcome, _)| outcome)
    }

    /// The same, with what it put out.
    async fn started(
        &self,
        step: Commanded<'_>,
        command: &Command,
        worktree: &Worktree,
    ) -> Result<(Outcome, Outputs), TaskError> {
        let mut env = step.shell.env.clone();
        for name in &step.shell.env_pass {
            if let Ok(value) = std::env::var(name) {
                env.entry(name.clone()).or_insert(value);
            }
        }
        self.given(step, &mut env)?;
        let outputs = self.outputs().await?;
        env.insert(outputs::VARIABLE.to_owned(), outputs.file().to_string_lossy().into_owned());
        let job = Job {
            argv: command.argv.clone(),
            worktree: worktree.path(),
            source_root: self.project()?.root(),
            dir: &command.dir,
            env,
            network: command.network,
            limits: step.shell.limits,
            writable: vec![outputs.folder().to_owned()],
            sandbox: self.engine.sandbox(),
            log: self.log()?,
            cancel: self.cancel.clone(),
            deadline: Some(self.time_left()),
        };
        Ok((mb_runner::run(job).await, outputs))
    }

    /// Adds the variables a command has from the run's data.
    fn given(&self, step: Commanded<'_>, env: &mut BTreeMap<String, String>) -> Result<(), TaskError> {
        let Some(of) = self.run.step(step.name).filter(|_| !step.shell.env_from.is_empty()) else { return Ok(()) };
        let scope = Scope::of(self.run, of);
        for (name, template) in &step.shell.env_from {
            let value = expression::fill(&Value::String(template.clone()), &scope)?;
            env.insert(name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        Ok(())
    }

    /// Where a command puts its output.
    async fn outputs(&self) -> Result<Outputs, TaskError> {
        Outputs::make(self.engine.data().output(self.run.id, self.work, self.fence)).await.map_err(TaskError::Log)
    }

    /// Runs a step's own command and says what failed, if it failed.
    pub(crate) async fn check(&self, step: Commanded<'_>, worktree: &Worktree) -> Result<Checked, TaskError> {
        let Shell { command, dir, network, .. } = step.shell;
        let command = Command { argv: command.argv(), dir: dir.clone(), network: *network };
        let from_line = self.lines().await + 1;
        let began = self.engine.env().now();
        let (outcome, outputs) = self.started(step, &command, worktree).await?;
        let text = self.text(from_line).await;
        if outcome.exit.success() {
            let tests = mb_repair::test_counts(&text);
            let (output, failure) = match outputs::read(&outputs.file()) {
                Ok(output) => (output.map(|output| self.without_secrets(output)), None),
                Err(error) => (None, Some(*plain::failure("meta-builder", FailureKind::ConfigCi, chain(&error)))),
            };
            return Ok(Checked { outcome, failure, tests, output });
        }
        let failure = self.classify(step, &outcome, text, worktree, began).await?;
        Ok(Checked { tests: failure.tests, failure: Some(failure), outcome, output: None })
    }

    async fn classify(
        &self,
        step: Commanded<'_>,
        outcome: &Outcome,
        text: String,
        worktree: &Worktree,
        began: Timestamp,
    ) -> Result<Failure, TaskError> {
        let stdout = String::from_utf8_lossy(&outcome.stdout.bytes).into_owned();
        let roots = [self.root().to_owned(), worktree.path().to_string_lossy().into_owned()];
        let root = worktree.path().to_owned();
        let (name, shell) = (step.name.to_owned(), step.shell.clone());
        let (exit, detail) = (outcome.exit, outcome.detail.clone());
        // Reading up to 8 MiB of log is work for a thread of its own.
        let classified = tokio::task::spawn_blocking(move || {
            let roots: Vec<&str> = roots.iter().map(String::as_str).filter(|root| !root.is_empty()).collect();
            let files = reports::collect(&root, began);
            mb_repair::classify(&mb_repair::Observed {
                name: &name,
                step: &shell,
                exit,
                stdout: &stdout,
                log: &text,
                files: &files,
                detail: detail.as_deref(),
                roots: &roots,
            })
        });
        let classified = classified.await;
        let mut failure =
            classified.map_err(|error| TaskError::Corrupt(format!("the failure could not be classified: {error}")))?;
        // It may quote the command, which has not been through the log.
        failure.summary = self.redactor.redact(&failure.summary).into_owned();
        Ok(failure)
    }

    /// Lines in the task's log so far.
    pub(crate) async fn lines(&self) -> u64 {
        let path = self.engine.log_path(self.run.id, self.work);
        let counted = tokio::task::spawn_blocking(move || mb_runner::count_log_lines(&path)).await;
        counted.ok().and_then(Result::ok).unwrap_or(0)
    }

    /// What the log says from that line on.
    async fn text(&self, from_line: u64) -> String {
        let path = self.engine.log_path(self.run.id, self.work);
        tokio::task::spawn_blocking(move || logs::text(&path, from_line)).await.unwrap_or_default()
    }

    /// The accepted patches of the run so far.
    pub(crate) async fn patches(&self) -> Result<Vec<Patch>, TaskError> {
        load(self.engine.store(), &self.run.changes()).await
    }
}

/// Whether a task works on files. Opening a project for every request and every question would be most of its cost.
fn needs_files(run: &Run, work: &Work) -> bool {
    let step = work.step().and_then(|name| run.step(name));
    match step.and_then(|step| run.part(step)) {
        Some((_, action)) => matches!(action, Action::Shell(_)),
        None => true,
    }
}

async fn files(engine: &Engine, run: &Run) -> Result<(Project, Snapshot), TaskError> {
    let project = match engine.workspaces().project(run.id) {
        Some(project) => project,
        None => {
            let project = match &run.source {
                Some(source) => Project::open(Path::new(&source.root)).await?,
                None => Project::open_plain(&engine.data().blank().map_err(TaskError::Blank)?)?,
            };
            engine.workspaces().remember(run.id, project.clone());
            project
        }
    };
    let snapshot = match &run.source {
        Some(source) => serde_json::from_value(source.snapshot.clone()).map_err(|e| TaskError::Corrupt(chain(&e)))?,
        None => project.snapshot(&engine.data().snapshots(), &run.workflow.caches()).await?,
    };
    Ok((project, snapshot))
}

/// What is taken out of a run's logs: secrets of the host's environment and those its steps set themselves.
fn redactor(run: &Run) -> Result<Redactor, BadPattern> {
    let set = run.workflow.steps.iter().filter_map(StepSpec::as_shell).flat_map(|shell| shell.env.clone());
    let named = http::secrets(&run.workflow).into_iter().map(|(name, value)| (format!("{name}_SECRET"), value));
    Redactor::from_host_env(set.chain(named), &run.workflow.redact)
}

/// Patches by digest, in that order.
pub(crate) async fn load(store: &Store, digests: &[&str]) -> Result<Vec<Patch>, TaskError> {
    let diffs = store.patches(digests).await?.into_iter();
    diffs.map(|diff| Patch::parse(diff).map_err(|e| TaskError::Corrupt(e.to_string()))).collect()
}
