//! Taking a run in: read the project, freeze its files, write the run down.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mb_core::affinity;
use mb_core::id::TenantId;
use mb_core::queue::Bounds;
use mb_core::run::{Run, Source};
use mb_core::workflow::Workflow;
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

    /// Takes a run in whose project is frozen already.
    ///
    /// # Errors
    /// [`StartError::Store`]; nothing was stored then.
    pub async fn accept(&self, ask: StartRun, frozen: Frozen) -> Result<Created, StartError> {
        let Frozen { workflow, source, project } = frozen;
        let now = self.env().now();
        let run = Run::new(now, self.env().run_id(), ask.tenant, workflow, source);
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
