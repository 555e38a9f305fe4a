//! The files of a worktree whose project is in a repository: unpacked, changed and compared by git.
//!
//! There are two git folders. Ours (`AT/git`) holds the index that differences are taken with; no command sees it.
//! The one in the tree is for commands: HEAD is the user's commit, the index holds the snapshot and the patches (so
//! `git diff` shows what the command itself changed), tags and branches are copied, objects are read from the
//! user's database. A command may commit or reset there as it likes: nothing of it reaches the user's repository, and
//! we never run git on it, because whoever can write a git configuration can name programs to run.

use std::fs;

use crate::files;
use crate::git::{Git, GitError};
use crate::layout::Layout;
use crate::left_out;
use crate::patch::{Patch, PatchLimits};
use crate::project::{ProjectError, Snapshot, at};
use crate::repository::{GitDir, Repository, write_git_dir};

/// Most bytes of names of files that needed steps made beside their caches.
const MADE_BYTES_MAX: u64 = 16 << 20;

/// The git half of a worktree.
#[derive(Debug)]
pub(crate) struct Checkout {
    layout: Layout,
    /// The tree that differences are taken from.
    base: String,
}

impl Checkout {
    /// Writes the snapshot's files into the tree and applies `patches`. `rules` say what is left out of differences.
    pub(crate) async fn create(
        layout: &Layout,
        repository: Option<&Repository>,
        snapshot: &Snapshot,
        patches: &[Patch],
        rules: &str,
    ) -> Result<Checkout, ProjectError> {
        let mut checkout = Checkout { layout: layout.clone(), base: snapshot.tree.clone() };
        checkout.unpack(repository, snapshot, rules).await?;
        for patch in patches {
            checkout.apply(patch).await?;
        }
        if !patches.is_empty() {
            checkout.base = checkout.git().run(&["write-tree"]).await?.word();
        }
        if let Some(repository) = repository {
            checkout.give_git(repository, snapshot, rules).map_err(at(&layout.tree().join(".git")))?;
        }
        Ok(checkout)
    }

    fn git(&self) -> Git {
        Git::on(&self.layout.git_dir(), &self.layout.tree())
    }

    async fn unpack(
        &self,
        repository: Option<&Repository>,
        snapshot: &Snapshot,
        rules: &str,
    ) -> Result<(), ProjectError> {
        let git_dir = self.layout.git_dir();
        // The user's settings matter for line ends and filters (large file storage).
        let config = repository.map(|repository| repository.common_dir.join("config"));
        let sha256 = snapshot.tree.len() == 64;
        let content = GitDir { head: None, alternate: Some(&snapshot.objects), include: config.as_deref(), sha256 };
        write_git_dir(&git_dir, &content).map_err(at(&git_dir))?;
        if let Some(repository) = repository {
            repository.copy_info(&git_dir, rules).map_err(at(&git_dir))?;
        }
        self.git().run(&["read-tree", "-u", "--reset", &snapshot.tree]).await?;
        Ok(())
    }

    /// Makes the tree look like a checkout to the commands that run in it.
    fn give_git(&self, repository: &Repository, snapshot: &Snapshot, rules: &str) -> std::io::Result<()> {
        let git_dir = self.layout.tree().join(".git");
        let head = snapshot.base_commit.as_deref();
        write_git_dir(&git_dir, &GitDir { head, sha256: snapshot.tree.len() == 64, ..GitDir::default() })?;
        repository.copy_info(&git_dir, rules)?;
        repository.copy_refs(&git_dir)?;
        files::copy_file(&self.layout.git_dir().join("index"), &git_dir.join("index"))?;
        let shallow = repository.common_dir.join("shallow");
        if shallow.is_file() {
            fs::copy(&shallow, git_dir.join("shallow"))?;
        }
        Ok(())
    }

    /// All or nothing.
    pub(crate) async fn apply(&self, patch: &Patch) -> Result<(), ProjectError> {
        self.stage().await?;
        let asked = ["apply", "--index", "--whitespace=nowarn", "-"];
        self.git().feed(&asked, patch.diff.as_bytes()).await.map(drop).map_err(conflict)
    }

    pub(crate) async fn diff(&self, limits: PatchLimits) -> Result<Patch, ProjectError> {
        self.stage().await?;
        let diff = match String::from_utf8(self.raw_diff(&[], limits).await?) {
            Ok(diff) => diff,
            // Some file is not UTF-8. As a binary patch it survives the trip through a string.
            Err(_) => {
                let attributes = self.layout.root.join("attributes");
                fs::write(&attributes, "* -diff\n").map_err(at(&attributes))?;
                let setting = format!("core.attributesFile={}", attributes.display());
                let binary = self.raw_diff(&["-c", &setting], limits).await?;
                String::from_utf8_lossy(&binary).into_owned()
            }
        };
        Ok(Patch::parse(diff)?)
    }

    async fn raw_diff(&self, settings: &[&str], limits: PatchLimits) -> Result<Vec<u8>, ProjectError> {
        let asked = ["diff", "--cached", "--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff"];
        let also = ["--no-textconv", "--ignore-submodules=all", "--src-prefix=a/", "--dst-prefix=b/", &self.base];
        let args: Vec<&str> = settings.iter().chain(&asked).chain(&also).copied().collect();
        match self.git().run_bounded(&args, limits.bytes_max).await {
            Ok(printed) => Ok(printed.stdout),
            Err(GitError::TooLong { limit, .. }) => Err(ProjectError::PatchTooLarge { limit, unit: "bytes" }),
            Err(error) => Err(error.into()),
        }
    }

    /// Nothing is staged here since the beginning, so the index is what to go back to.
    pub(crate) async fn settle(&self) -> Result<(), ProjectError> {
        self.git().run(&["checkout-index", "--all", "--force", "--quiet"]).await?;
        let made = ["ls-files", "-z", "--others", "--exclude-standard"];
        let made = self.git().run_bounded(&made, MADE_BYTES_MAX).await?.stdout;
        let names = made.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
        let excludes = self.layout.git_dir().join("info/exclude");
        let known = fs::read_to_string(&excludes).unwrap_or_default();
        fs::write(&excludes, left_out::with_files(&known, names)).map_err(at(&excludes))
    }

    pub(crate) async fn changed_files(&self) -> Result<Vec<String>, ProjectError> {
        self.stage().await?;
        let asked = ["diff", "--cached", "--name-only", "--no-renames", "--ignore-submodules=all", "-z", &self.base];
        let printed = self.git().run(&asked).await?;
        let names = printed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// Brings our index up to the files. A file that cannot be read (exit code 1) stays as it was.
    async fn stage(&self) -> Result<(), ProjectError> {
        self.git().call(&["add", "--all", "--ignore-errors"], b"", 1 << 20, &[0, 1]).await?;
        Ok(())
    }
}

/// Reads the file out of git's `error: patch failed: FILE:LINE` or `error: FILE: why`.
pub(crate) fn conflict(source: GitError) -> ProjectError {
    let GitError::Failed { message, .. } = &source else { return source.into() };
    let line = message.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or(message);
    let line = line.strip_prefix("patch failed: ").unwrap_or(line);
    let file = line.split(':').next().unwrap_or(line).to_owned();
    ProjectError::Conflict { file, source: Box::new(source) }
}
