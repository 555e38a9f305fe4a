//! Which files a step's command runs in.
//!
//! A step finds what the steps it needs have made (installed dependencies, build products), so steps that are
//! connected by needs share one worktree and run in it one after another; steps that are not connected have
//! worktrees of their own and run side by side. A worktree belongs to one version of the files: an accepted repair
//! makes a new one. Repairs always work in fresh ones, over the build products of their step's.
//!
//! Whether a worktree is warm is never assumed: [`prepare`] runs the needs that have not run in it yet, which is
//! also what a restart after a crash does.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mb_core::error::chain;
use mb_core::id::RunId;
use mb_core::run::Step;
use mb_runner::{Project, Worktree};
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;
use tokio_util::task::TaskTracker;

use crate::context::{Checked, Commanded, Context, TaskError};
use crate::lock;

/// Projects that are kept in mind at once.
const PROJECTS_MAX: usize = 1_000;
/// How long the removal of worktrees is waited for at the end of a process; the next sweep takes what is left.
const REMOVAL: Duration = Duration::from_secs(30);

/// A worktree and the steps that have succeeded in it.
pub(crate) struct Workspace {
    pub(crate) worktree: Lent,
    pub(crate) done: BTreeSet<String>,
}

/// Which worktree: the run, the group of connected steps (named by its first), the version of the files.
type Key = (RunId, String, u32);

/// A worktree that may not have been made yet, held by one task at a time.
type Place = Arc<tokio::sync::Mutex<Option<Workspace>>>;

/// The worktrees of the runs this process works on.
#[derive(Default)]
pub(crate) struct Workspaces {
    places: Mutex<BTreeMap<Key, Place>>,
    /// What asking git about a run's project said, so that not every task asks again.
    projects: Mutex<BTreeMap<RunId, Project>>,
    leaving: TaskTracker,
}

/// A worktree that is removed in the background when it is dropped, in a way that can be waited for: a process that
/// ends first would leave it behind.
pub(crate) struct Lent {
    worktree: Option<Worktree>,
    leaving: TaskTracker,
}

impl Deref for Lent {
    type Target = Worktree;

    fn deref(&self) -> &Worktree {
        self.worktree.as_ref().expect("it is only taken when it is dropped")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Worktree {
        self.worktree.as_mut().expect("it is only taken when it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Without a runtime the worktree removes itself.
        let (Some(worktree), Ok(runtime)) = (self.worktree.take(), Handle::try_current()) else { return };
        let removal = async {
            if let Err(error) = worktree.remove().await {
                tracing::warn!(error = %chain(&error), "a worktree could not be removed; the next sweep tries again");
            }
        };
        self.leaving.spawn_on(removal, &runtime);
    }
}

impl Workspaces {
    /// The worktree of a step, for this task alone until the guard is dropped.
    pub(crate) async fn lock(&self, run: RunId, group: String, tree: u32) -> OwnedMutexGuard<Option<Workspace>> {
        let place = {
            let mut places = lock(&self.places);
            Arc::clone(places.entry((run, group, tree)).or_default())
        };
        place.lock_owned().await
    }

    /// The same, if it is there and nobody works in it now.
    pub(crate) fn idle(&self, run: RunId, group: String, tree: u32) -> Option<OwnedMutexGuard<Option<Workspace>>> {
        let places = lock(&self.places);
        let place = Arc::clone(places.get(&(run, group, tree))?).try_lock_owned().ok()?;
        place.is_some().then_some(place)
    }

    /// Keeps what is known about a run's project until the run is over. Beyond [`PROJECTS_MAX`] runs it is asked anew.
    pub(crate) fn remember(&self, run: RunId, project: Project) {
        let mut projects = lock(&self.projects);
        if projects.len() < PROJECTS_MAX {
            projects.insert(run, project);
        }
    }

    /// What is known about a run's project.
    pub(crate) fn project(&self, run: RunId) -> Option<Project> {
        lock(&self.projects).get(&run).cloned()
    }

    /// Takes care of a worktree's removal.
    pub(crate) fn lend(&self, worktree: Worktree) -> Lent {
        Lent { worktree: Some(worktree), leaving: self.leaving.clone() }
    }

    /// Waits until every worktree that was let go of is removed.
    pub(crate) async fn cleared(&self) {
        self.leaving.close();
        if tokio::time::timeout(REMOVAL, self.leaving.wait()).await.is_err() {
            tracing::warn!("some worktrees are still being removed; the next sweep takes what is left");
        }
        self.leaving.reopen();
    }

    /// Lets go of the worktrees of a run that are older than this version; all of them for `u32::MAX`.
    pub(crate) fn forget(&self, run: RunId, before: u32) {
        let mut places = lock(&self.places);
        places.retain(|(of, _, tree), _| *of != run || *tree >= before);
        if before == u32::MAX {
            lock(&self.projects).remove(&run);
        }
    }
}

/// Runs the needs of a step that have not run in this worktree. The first that fails is the answer.
pub(crate) async fn prepare(
    context: &Context<'_>,
    step: Commanded<'_>,
    worktree: &Worktree,
    done: &mut BTreeSet<String>,
) -> Result<Option<(String, Checked)>, TaskError> {
    for need in context.run.workflow.needs_of(step.spec) {
        // What is no command leaves nothing in files, and what was omitted must stay so.
        let Some(need) = Commanded::of(need).filter(|need| !done.contains(need.name)) else { continue };
        if !context.run.step(need.name).is_some_and(Step::succeeded) {
            continue;
        }
        context.note(&format!("{} needs {}, which has not run in these files yet", step.name, need.name))?;
        let checked = context.check(need, worktree).await?;
        if checked.failure.is_some() {
            return Ok(Some((need.name.to_owned(), checked)));
        }
        done.insert(need.name.to_owned());
    }
    Ok(None)
}
