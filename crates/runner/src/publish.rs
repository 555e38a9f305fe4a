//! Brings accepted changes back to the user: as a branch, or into the working tree when asked to.
//!
//! A branch is written with a private index, so the user's tree, index and HEAD stay as they are. Deliberately
//! absent: merging and pushing. What comes out is a normal branch; what happens to it is the user's decision.

use std::path::PathBuf;

use crate::apply;
use crate::checkout::conflict;
use crate::git::Git;
use crate::patch::Patch;
use crate::project::{Project, ProjectError, Snapshot, blocking};

/// Who the commits are by. The user's own name is not used: they did not write them.
const IDENTITY: &[&str] =
    &["-c", "user.name=Meta-Builder", "-c", "user.email=meta-builder@localhost", "-c", "user.useConfigOnly=true"];
/// Message of the commit that holds what the user had not committed when the run began.
const UNCOMMITTED: &str = "Uncommitted changes when the run began";

impl Project {
    /// Creates or moves branch `name` so that it is the snapshot plus one commit for each patch. If the user had
    /// uncommitted changes they are a commit of their own before these: the branch is exactly what was verified.
    /// Returns the id of the last commit.
    ///
    /// # Errors
    /// There is no repository, the name is not valid or checked out somewhere, or a patch does not apply.
    pub async fn publish_branch(
        &self,
        snapshot: &Snapshot,
        name: &str,
        commits: &[(Patch, String)],
    ) -> Result<String, ProjectError> {
        let repository = self.repository.as_ref().ok_or(ProjectError::NoRepository)?;
        let plain = Git::on(&repository.git_dir, &self.top);
        self.check_branch(&plain, name).await?;
        let index = PrivateIndex(std::env::temp_dir().join(format!("mb-index-{}", crate::sys::unique())));
        let git = plain.with_index(&index.0);
        git.run(&["read-tree", &snapshot.tree]).await?;
        let mut parent = self.first_parent(&git, snapshot).await?;
        for (patch, message) in commits {
            if !patch.is_empty() {
                let asked = ["apply", "--cached", "--whitespace=nowarn", "-"];
                git.feed(&asked, patch.diff.as_bytes()).await.map_err(conflict)?;
            }
            let tree = git.run(&["write-tree"]).await?.word();
            parent = commit(&git, &tree, Some(&parent), message).await?;
        }
        let reference = format!("refs/heads/{name}");
        plain.run(&["update-ref", "-m", "meta-builder: result of a run", &reference, &parent]).await?;
        Ok(parent)
    }

    /// The commit the patches go on: the base when the user's tree was clean, else one that holds their changes.
    async fn first_parent(&self, git: &Git, snapshot: &Snapshot) -> Result<String, ProjectError> {
        let Some(base) = &snapshot.base_commit else { return commit(git, &snapshot.tree, None, UNCOMMITTED).await };
        let base_tree = git.run(&["rev-parse", "--verify", &format!("{base}^{{tree}}")]).await?.word();
        if base_tree == snapshot.tree {
            return Ok(base.clone());
        }
        commit(git, &snapshot.tree, Some(base), UNCOMMITTED).await
    }

    async fn check_branch(&self, git: &Git, name: &str) -> Result<(), ProjectError> {
        let valid = git.run(&["check-ref-format", "--branch", name]).await;
        if name.starts_with('@') || valid.is_err() {
            return Err(ProjectError::BranchName { name: name.to_owned() });
        }
        let used = git.run(&["worktree", "list", "--porcelain"]).await?;
        let line = format!("branch refs/heads/{name}");
        if String::from_utf8_lossy(&used.stdout).lines().any(|known| known == line) {
            return Err(ProjectError::BranchInUse { name: name.to_owned() });
        }
        Ok(())
    }

    /// Changes the user's own files. All or nothing; the index stays as it is.
    ///
    /// # Errors
    /// [`ProjectError::Conflict`] names the first file that has changed too much since.
    pub async fn apply_to_source(&self, patches: &[Patch]) -> Result<(), ProjectError> {
        let Some(repository) = &self.repository else {
            let (top, patches) = (self.top.clone(), patches.to_vec());
            return blocking(move || apply::apply(&top, &patches)).await;
        };
        // One call for all: git keeps track of files touched more than once and writes nothing unless all of it fits.
        let all: String = patches.iter().map(|patch| patch.diff.as_str()).collect();
        if all.is_empty() {
            return Ok(());
        }
        let git = Git::on(&repository.git_dir, &self.top);
        git.feed(&["apply", "--whitespace=nowarn", "-"], all.as_bytes()).await.map(drop).map_err(conflict)
    }
}

/// A fresh index file that goes away by itself.
struct PrivateIndex(PathBuf);

impl Drop for PrivateIndex {
    fn drop(&mut self) {
        // A failure leaves one small file in the temporary folder.
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn commit(git: &Git, tree: &str, parent: Option<&str>, message: &str) -> Result<String, ProjectError> {
    let mut args = IDENTITY.to_vec();
    args.extend(["commit-tree", tree, "-F", "-"]);
    args.extend(parent.iter().flat_map(|parent| ["-p", parent]));
    Ok(git.feed(&args, message.as_bytes()).await?.word())
}
