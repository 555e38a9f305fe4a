//! Taking a run in: read the project, freeze its files, write the run down.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mb_core::affinity;
use mb_core::again::NotAgain;
use mb_core::expression::BadExpression;
use mb_core::id::{RunId, TenantId};
use mb_core::queue::Bounds;
use mb_core::run::{Parent, Run, Source, Trigger};
use mb_core::workflow::{BadInputs, BadWorkflow, DEPTH_MAX, Workflow};
use mb_project::{ConfigErrors, Layers, Loaded};
use mb_runner::{Project, ProjectError};
use mb_store::{Created, NewRun, StoreError};

use crate::{DataDir, Engine};

/// A wish for a run.
#[derive(Debug, Clone)]
pub struct StartRun {
    /// Whose.
    pub tenant: TenantId,
    /// The project's folder on this machine.
    pub root: PathBuf,
    /// One command to run instead of the project's workflow.
    pub command: Option<Vec<String>>,
    /// Steps to run (with what they need) instead of all; empty means all.
    pub only: Vec<String>,
    /// The same key again is the same run.
    pub idempotency_key: Option<String>,
    /// Who asks.
    pub actor: String,
    /// Only a worker with this label may run it (an embedded run keeps to its own process); none is this node.
    pub affinity: Option<String>,
    /// What replaces values of the project's configuration: environment and flags.
    pub layers: Layers,
    /// Whether to repair; the project's setting unless switched off here.
    pub repair: bool,
}

/// A wish for a run of a workflow that belongs to no project. Its commands begin in an empty private folder.
#[derive(Debug, Clone)]
pub struct StartWorkflow {
    /// Whose.
    pub tenant: TenantId,
    /// What to run; it is checked again.
    pub workflow: Workflow,
    /// What it gets: an object of names and values, or null for none.
    pub inputs: serde_json::Value,
    /// Who asks.
    pub actor: String,
    /// The same key again is the same run.
    pub idempotency_key: Option<String>,
    /// Only a worker with this label may run it. A child of a run without one has its parent's.
    pub affinity: Option<String>,
    /// What asks, if not a person.
    pub trigger: Option<Trigger>,
    /// The step that asks, if one does.
    pub parent: Option<Parent>,
}

/// A wish for a run of a named workflow.
#[derive(Debug, Clone)]
pub struct RunNamed {
    /// Whose.
    pub tenant: TenantId,
    /// The workflow's name.
    pub workflow: String,
    /// Which version of it; the current one when there is none.
    pub version: Option<u32>,
    /// What it gets: an object of names and values, or null for none.
    pub inputs: serde_json::Value,
    /// Who asks.
    pub actor: String,
    /// The same key again is the same run.
    pub idempotency_key: Option<String>,
    /// Only a worker with this label may run it.
    pub affinity: Option<String>,
    /// What asks, if not a person.
    pub trigger: Option<Trigger>,
}

/// A wish for a run to be done again.
#[derive(Debug, Clone)]
pub struct RetryRun {
    /// Whose.
    pub tenant: TenantId,
    /// The run, which is over.
    pub run: RunId,
    /// The step to begin from; none means what did not succeed.
    pub from: Option<String>,
    /// Who asks.
    pub actor: String,
    /// The same key again is the same run.
    pub idempotency_key: Option<String>,
    /// Only a worker with this label may run it.
    pub affinity: Option<String>,
}

/// Why a run was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The project's configuration is wrong.
    #[error("the project's configuration is not valid")]
    Config(#[source] ConfigErrors),
    /// A step was named that does not exist.
    #[error("there is no step {name:?}; the steps are {}", .steps.join(", "))]
    NoSuchStep {
        /// The name.
        name: String,
        /// The steps there are.
        steps: Vec<String>,
    },
    /// The project cannot be read or frozen.
    #[error("the project cannot be read")]
    Project(#[source] ProjectError),
    /// The workflow is not valid.
    #[error("the workflow is not valid")]
    Workflow(#[source] BadWorkflow),
    /// Its inputs do not fit.
    #[error("the inputs do not fit workflow {workflow}")]
    Inputs {
        /// The workflow.
        workflow: String,
        /// What does not fit.
        #[source]
        source: BadInputs,
    },
    /// There is no workflow of that name, or it has no such version.
    #[error("there is no workflow named {name:?}{}", .version.map(|n| format!(" with version {n}")).unwrap_or_default())]
    NoSuchWorkflow {
        /// The name.
        name: String,
        /// The version, when one was named.
        version: Option<u32>,
    },
    /// An input has no value.
    #[error("an input has no value")]
    Expression(#[source] BadExpression),
    /// It cannot be done again.
    #[error(transparent)]
    NotAgain(#[from] NotAgain),
    /// Too many runs above it.
    #[error("runs are nested at most {DEPTH_MAX} deep")]
    Depth,
    /// The store did not take it.
    #[error("the run could not be stored")]
    Store(#[source] StoreError),
}

/// A project as a run will have it: its workflow and its files, frozen.
#[derive(Debug, Clone)]
pub struct Frozen {
    workflow: Workflow,
    source: Source,
    project: Project,
}

impl StartRun {
    /// Reads the project and freezes its files. Needs neither store nor sandbox, so that a command that starts can get
    /// those ready at the same time.
    ///
    /// # Errors
    /// [`StartError`], all but [`StartError::Store`].
    pub async fn freeze(&self, data: &DataDir) -> Result<Frozen, StartError> {
        let loaded = match &self.command {
            Some(argv) => mb_project::for_command_with(&self.root, argv, &self.layers),
            None => mb_project::load_with(&self.root, &self.layers),
        };
        let Loaded { mut workflow, root, .. } = loaded.map_err(StartError::Config)?;
        workflow.repair.enabled &= self.repair;
        restrict(&mut workflow, &self.only)?;
        let project = Project::open(&root).await.map_err(StartError::Project)?;
        let snapshot = project.snapshot(&data.snapshots(), &workflow.caches()).await.map_err(StartError::Project)?;
        let source = Source {
            root: project.root().to_string_lossy().into_owned(),
            commit: snapshot.base_commit.clone(),
            snapshot: serde_json::to_value(&snapshot).expect("a snapshot is plain data and serialises"),
        };
        Ok(Frozen { workflow, source, project })
    }
}

impl Engine {
    /// Takes a run in. When this returns, the run is durable and will be executed by whoever may claim it.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was stored then.
    pub async fn start(&self, ask: StartRun) -> Result<Created, StartError> {
        let frozen = ask.freeze(self.data()).await?;
        self.accept(ask, frozen).await
    }

    /// Takes a run of a workflow in. When this returns, the run is durable; a key that is known gives the run it has.
    ///
    /// # Errors
    /// [`StartError::Workflow`], [`StartError::Inputs`], [`StartError::Depth`], [`StartError::Store`]; nothing was
    /// stored then.
    pub async fn start_workflow(&self, ask: StartWorkflow) -> Result<Run, StartError> {
        let workflow = ask.workflow.validate().map_err(StartError::Workflow)?;
        let bad = |source| StartError::Inputs { workflow: workflow.name.clone(), source };
        let inputs = workflow.bind(ask.inputs).map_err(bad)?;
        if ask.parent.as_ref().is_some_and(|parent| parent.depth > DEPTH_MAX) {
            return Err(StartError::Depth);
        }
        let now = self.env().now();
        let mut run = Run::new(now, self.env().run_id(), ask.tenant, workflow, None);
        run.inputs = inputs;
        run.parent = ask.parent;
        run.trigger = ask.trigger;
        let new = NewRun { run, idempotency_key: ask.idempotency_key, affinity: ask.affinity, actor: ask.actor };
        self.create(ask.tenant, new).await
    }

    /// Takes a run of a named workflow in: the version that was asked for, else the one that is current now.
    ///
    /// # Errors
    /// [`StartError::NoSuchWorkflow`], and as [`Engine::start_workflow`].
    pub async fn start_named(&self, ask: RunNamed) -> Result<Run, StartError> {
        let RunNamed { tenant, workflow: name, version, inputs, actor, idempotency_key, affinity, trigger } = ask;
        let found = self.store().workflow(tenant, &name, version).await.map_err(StartError::Store)?;
        let (_, workflow) = found.ok_or(StartError::NoSuchWorkflow { name, version })?;
        let ask = StartWorkflow { tenant, workflow, inputs, actor, idempotency_key, affinity, trigger, parent: None };
        self.start_workflow(ask).await
    }

    /// Does a run again as a new one: from the step named, or else from what did not succeed. None when the tenant has
    /// no such run.
    ///
    /// # Errors
    /// [`StartError::NotAgain`], [`StartError::Store`]; nothing was stored then.
    pub async fn retry(&self, ask: RetryRun) -> Result<Option<Run>, StartError> {
        let Some(old) = self.store().run(ask.tenant, ask.run).await.map_err(StartError::Store)? else {
            return Ok(None);
        };
        let run = old.again(self.env().now(), self.env().run_id(), ask.from.as_deref())?;
        let RetryRun { tenant, actor, idempotency_key, affinity, .. } = ask;
        self.create(tenant, NewRun { run, idempotency_key, affinity, actor }).await.map(Some)
    }

    /// A tenant's workflow by its name.
    pub(crate) async fn resolve(&self, tenant: TenantId, name: &str) -> Result<Workflow, StartError> {
        let found = match self.resolver() {
            Some(resolver) => resolver(tenant, name.to_owned()).await.map_err(StartError::Store)?,
            None => {
                let named = self.store().workflow(tenant, name, None).await.map_err(StartError::Store)?;
                named.map(|(_, workflow)| workflow)
            }
        };
        found.ok_or_else(|| StartError::NoSuchWorkflow { name: name.to_owned(), version: None })
    }

    /// Stores a run, and gives it as it is stored.
    pub(crate) async fn create(&self, tenant: TenantId, new: NewRun) -> Result<Run, StartError> {
        let now = self.env().now();
        // A sub-workflow is part of a run that was admitted.
        let within = if new.run.parent.is_some() { &Bounds::default() } else { self.bounds() };
        let created = self.store().create_run_within(now, new, within).await.map_err(StartError::Store)?;
        let run = self.store().run(tenant, created.id).await.map_err(StartError::Store)?;
        let gone = || StoreError::Invalid { what: format!("run {} is gone", created.id), source: None };
        run.ok_or_else(|| StartError::Store(gone()))
    }

    /// Takes a run in whose project is frozen already.
    ///
    /// # Errors
    /// [`StartError::Store`]; nothing was stored then.
    pub async fn accept(&self, ask: StartRun, frozen: Frozen) -> Result<Created, StartError> {
        let Frozen { workflow, source, project } = frozen;
        let now = self.env().now();
        let run = Run::new(now, self.env().run_id(), ask.tenant, workflow, Some(source));
        let id = run.id;
        // Before it is stored: from then on a worker may ask.
        self.workspaces().remember(id, project);
        // A run that is carried by the command that asks for it waits for nobody and is in nobody's way. Every other one
        // is kept for the node that has its files.
        let (affinity, bounds) = match ask.affinity {
            Some(affinity) => (affinity, &Bounds::default()),
            None => (affinity::of_node(self.data().node()), self.bounds()),
        };
        let new = NewRun { run, idempotency_key: ask.idempotency_key, affinity: Some(affinity), actor: ask.actor };
        let created = self.store().create_run_within(now, new, bounds).await.map_err(StartError::Store);
        if !created.as_ref().is_ok_and(|created| created.id == id) {
            self.workspaces().forget(id, u32::MAX);
        }
        created
    }
}

/// Keeps the named steps and what they need.
fn restrict(workflow: &mut Workflow, only: &[String]) -> Result<(), StartError> {
    if only.is_empty() {
        return Ok(());
    }
    let mut keep: BTreeSet<String> = BTreeSet::new();
    for name in only {
        let Some(step) = workflow.step(name) else {
            let steps = workflow.steps.iter().map(|step| step.name.clone()).collect();
            return Err(StartError::NoSuchStep { name: name.clone(), steps });
        };
        keep.insert(name.clone());
        keep.extend(workflow.needs_of(step).into_iter().map(|need| need.name.clone()));
    }
    workflow.steps.retain(|step| keep.contains(&step.name));
    Ok(())
}
