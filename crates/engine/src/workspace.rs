//! Which files a step's command runs in.
//!
//! A step finds what the steps it needs have made (installed dependencies, build products), so steps that are
//! connected by needs share one worktree and run in it one after another; steps that are not connected have
//! worktrees of their own and run side by side. A worktree belongs to one version of the files: an accepted repair
//! makes a new one. Repairs always work in fresh ones.
//!
//! Whether a worktree is warm is never assumed: [`prepare`] runs the needs that have not run in it yet, which is
//! also what a restart after a crash does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use mb_core::id::RunId;
use mb_core::workflow::StepSpec;
use mb_runner::Worktree;
use tokio::sync::OwnedMutexGuard;

use crate::context::{Checked, Context, TaskError};

/// A worktree and the steps that have succeeded in it.
pub(crate) struct Workspace {
    pub(crate) worktree: Worktree,
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
}

impl Workspaces {
    /// The worktree of a step, for this task alone until the guard is dropped.
    pub(crate) async fn lock(&self, run: RunId, group: String, tree: u32) -> OwnedMutexGuard<Option<Workspace>> {
        let place = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(places.entry((run, group, tree)).or_default())
        };
        place.lock_owned().await
    }

    /// Lets go of the worktrees of a run that are older than this version; all of them for `u32::MAX`.
    pub(crate) fn forget(&self, run: RunId, before: u32) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|(of, _, tree), _| *of != run || *tree >= before);
    }
}

/// Runs the needs of a step that have not run in this worktree. The first that fails is the answer.
pub(crate) async fn prepare(
    context: &Context<'_>,
    spec: &StepSpec,
    worktree: &Worktree,
    done: &mut BTreeSet<String>,
) -> Result<Option<(String, Checked)>, TaskError> {
    for need in context.run.workflow.needs_of(spec) {
        if done.contains(&need.name) {
            continue;
        }
        context.note(&format!("{} needs {}, which has not run in these files yet", spec.name, need.name))?;
        let checked = context.check(need, worktree).await?;
        if checked.failure.is_some() {
            return Ok(Some((need.name.clone(), checked)));
        }
        done.insert(need.name.clone());
    }
    Ok(None)
}
