//! One attempt's own copy of the files: unpack a snapshot, apply patches, take the difference, throw it away.
//!
//! There are two git folders. Ours (`AT/git`) holds the index that differences are taken with; no command sees it.
//! The one in the tree is for commands: HEAD is the user's commit, the index holds the snapshot and the patches (so
//! `git diff` shows what the command itself changed), tags and branches are copied, objects are read from the
//! user's database. A command may commit or reset there as it likes: nothing of it reaches the user's repository, and
//! we never run git on it, because whoever can write a git configuration can name programs to run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::files;
use crate::git::{Git, GitError};
use crate::layout::{Cache, Layout, Manifest};
use crate::patch::{Patch, PatchLimits};
use crate::project::{GitDir, Project, ProjectError, ProjectKind, Repository, Snapshot, at, write_git_dir};

/// Most bytes of the list of references that is copied for commands.
const REFS_BYTES_MAX: u64 = 16 << 20;

/// A private copy of a project's files. Dropping it removes it, best effort; [`Worktree::remove`] waits for that.
#[derive(Debug)]
pub struct Worktree {
    layout: Layout,
    /// The project's folder in the tree.
    path: PathBuf,
    /// The tree that differences are taken from.
    base: String,
    notes: Vec<String>,
    /// Held as long as this value lives; the sweep tries it.
    _lock: File,
    removed: bool,
}

impl Project {
    /// Makes the folder `at` with the snapshot's files and `patches` applied in order. `caches` are folders
    /// relative to the project root whose present content commands will see copy-on-write.
    ///
    /// # Errors
    /// `at` is not empty, git refuses, or a patch does not apply.
    pub async fn worktree(
        &self,
        snapshot: &Snapshot,
        at: &Path,
        patches: &[Patch],
        caches: &BTreeSet<String>,
    ) -> Result<Worktree, ProjectError> {
        let mut notes = snapshot.notes.clone();
        let manifest = Manifest {
            source: self.top.clone(),
            objects: (snapshot.kind == ProjectKind::Git).then(|| snapshot.objects.clone()),
            caches: self.carried(caches),
        };
        let (layout, lock) = Layout::create(at, manifest).map_err(crate::project::at(at))?;
        let prefix = self.root().strip_prefix(&self.top).unwrap_or(Path::new(""));
        let path = files::below(&layout.tree(), prefix);
        let base = snapshot.tree.clone();
        let mut tree = Worktree { layout, path, base, notes: Vec::new(), _lock: lock, removed: false };
        tree.unpack(self.repository.as_ref(), snapshot).await?;
        for patch in patches {
            tree.apply(patch).await?;
        }
        if !patches.is_empty() {
            tree.base = tree.git().run(&["write-tree"]).await?.word();
        }
        if let Some(repository) = &self.repository {
            tree.give_git(repository, snapshot).await?;
        }
        tree.ignore_caches(prefix, caches)?;
        tree.drop_tracked_caches(&mut notes)?;
        tree.notes = notes;
        Ok(tree)
    }

    /// The caches that exist in the user's project, as paths below the top.
    fn carried(&self, caches: &BTreeSet<String>) -> Vec<Cache> {
        let prefix = self.root().strip_prefix(&self.top).unwrap_or(Path::new(""));
        let plain = |name: &&String| !Path::new(name.as_str()).is_absolute() && !name.split('/').any(|p| p == "..");
        let cache = |name: &String| Cache { path: prefix.join(name), lower: self.root().join(name) };
        // A link could lead anywhere, and what is behind it is not the project's.
        let real = |cache: &Cache| fs::symlink_metadata(&cache.lower).is_ok_and(|meta| meta.is_dir());
        caches.iter().filter(plain).map(cache).filter(real).collect()
    }

    /// Removes what earlier processes left in `folder` (the parent of the `at` given to [`Project::worktree`]).
    /// Folders in use by anyone, and folders that are not ours, stay. Returns how many were removed.
    ///
    /// # Errors
    /// When `folder` exists but cannot be read.
    pub async fn sweep(folder: &Path) -> Result<usize, ProjectError> {
        let folder = folder.to_owned();
        blocking(move || {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(at(&folder)(error)),
            };
            let left_over = entries.filter_map(Result::ok).map(|e| e.path()).filter(|path| Layout::is_left_over(path));
            Ok(left_over.filter(|path| files::remove_tree(path).is_ok()).count())
        })
        .await
    }
}

impl Worktree {
    /// The project's folder in the tree: where commands start.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a person should know about this copy.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn git(&self) -> Git {
        Git::on(&self.layout.git_dir(), &self.layout.tree())
    }

    async fn unpack(&self, repository: Option<&Repository>, snapshot: &Snapshot) -> Result<(), ProjectError> {
        let git_dir = self.layout.git_dir();
        // The user's settings matter for line ends and filters (large file storage).
        let config = repository.map(|repository| repository.common_dir.join("config"));
        let sha256 = snapshot.tree.len() == 64;
        let content = GitDir { head: None, alternate: Some(&snapshot.objects), include: config.as_deref(), sha256 };
        write_git_dir(&git_dir, &content).map_err(at(&git_dir))?;
        self.copy_excludes(repository, &git_dir)?;
        self.git().run(&["read-tree", "-u", "--reset", &snapshot.tree]).await?;
        fs::create_dir_all(&self.path).map_err(at(&self.path))
    }

    fn copy_excludes(&self, repository: Option<&Repository>, git_dir: &Path) -> Result<(), ProjectError> {
        let Some(repository) = repository else { return Ok(()) };
        let excludes = repository.common_dir.join("info/exclude");
        if excludes.is_file() {
            fs::copy(&excludes, git_dir.join("info/exclude")).map_err(at(&excludes))?;
        }
        Ok(())
    }

    /// Makes the tree look like a checkout to the commands that run in it.
    async fn give_git(&self, repository: &Repository, snapshot: &Snapshot) -> Result<(), ProjectError> {
        let git_dir = self.layout.tree().join(".git");
        let head = snapshot.base_commit.as_deref();
        let content = GitDir { head, sha256: snapshot.tree.len() == 64, ..GitDir::default() };
        write_git_dir(&git_dir, &content).map_err(at(&git_dir))?;
        self.copy_excludes(Some(repository), &git_dir)?;
        files::copy_file(&self.layout.git_dir().join("index"), &git_dir.join("index")).map_err(at(&git_dir))?;
        let shallow = repository.common_dir.join("shallow");
        if shallow.is_file() {
            fs::copy(&shallow, git_dir.join("shallow")).map_err(at(&shallow))?;
        }
        let listed = ["for-each-ref", "--format=%(objectname) %(refname)"];
        let refs = Git::on(&repository.git_dir, &self.layout.tree()).run_bounded(&listed, REFS_BYTES_MAX).await;
        match refs {
            Ok(refs) => fs::write(git_dir.join("packed-refs"), refs.stdout).map_err(at(&git_dir)),
            // Too many to copy: commands see HEAD and no tags, which beats refusing to run.
            Err(GitError::TooLong { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What a step installs or builds into a cache is no change of the project, also where no `.gitignore` says so:
    /// a fresh clone or an unpacked archive has no such folder yet.
    fn ignore_caches(&self, prefix: &Path, caches: &BTreeSet<String>) -> Result<(), ProjectError> {
        let tree = self.layout.tree();
        let made = caches.iter().map(|cache| prefix.join(cache)).filter(|path| !tree.join(path).exists());
        let lines: String = made.filter_map(|path| path.to_str().map(|path| format!("/{path}/\n"))).collect();
        for git_dir in [self.layout.git_dir(), tree.join(".git")].into_iter().filter(|dir| dir.is_dir()) {
            let excludes = git_dir.join("info/exclude");
            let known = fs::read_to_string(&excludes).unwrap_or_default();
            let gap = if known.is_empty() || known.ends_with('\n') { "" } else { "\n" };
            fs::write(&excludes, format!("{known}{gap}{lines}")).map_err(at(&excludes))?;
        }
        Ok(())
    }

    /// A cache that version control knows is already in the tree.
    fn drop_tracked_caches(&mut self, notes: &mut Vec<String>) -> Result<(), ProjectError> {
        let tree = self.layout.tree();
        let (kept, tracked): (Vec<_>, Vec<_>) =
            self.layout.manifest.caches.drain(..).partition(|cache| !tree.join(&cache.path).exists());
        notes.extend(tracked.iter().map(|c| format!("{} is not ignored, so it is not carried", c.path.display())));
        self.layout.manifest.caches = kept;
        let path = self.layout.manifest_path();
        let text = serde_json::to_vec(&self.layout.manifest).map_err(|e| at(&path)(e.into()))?;
        fs::write(&path, text).map_err(at(&path))
    }

    /// Changes the files by a patch. All or nothing.
    ///
    /// # Errors
    /// [`ProjectError::Conflict`] names the first file that does not fit.
    pub async fn apply(&self, patch: &Patch) -> Result<(), ProjectError> {
        if patch.is_empty() {
            return Ok(());
        }
        let asked = ["apply", "--index", "--whitespace=nowarn", "-"];
        self.stage().await?;
        self.git().feed(&asked, patch.diff.as_bytes()).await.map(drop).map_err(conflict)
    }

    /// What changed since the worktree was made (patches given then are part of the beginning).
    ///
    /// # Errors
    /// More was changed than `limits` allow.
    pub async fn diff(&self, limits: PatchLimits) -> Result<Patch, ProjectError> {
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
        let patch = Patch::parse(diff)?;
        if patch.files.len() > limits.files_max {
            return Err(ProjectError::PatchTooLarge { limit: limits.files_max as u64, unit: "files" });
        }
        Ok(patch)
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

    /// Makes the files as they are now the beginning that later differences are taken from: what the steps before
    /// have made is no change of whoever comes next.
    ///
    /// # Errors
    /// When git refuses.
    pub async fn settle(&mut self) -> Result<(), ProjectError> {
        self.stage().await?;
        self.base = self.git().run(&["write-tree"]).await?.word();
        Ok(())
    }

    /// Paths that differ from the beginning, relative to the top of the repository, in order.
    ///
    /// # Errors
    /// When git refuses.
    pub async fn changed_files(&self) -> Result<Vec<String>, ProjectError> {
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

    /// Removes the copy.
    ///
    /// # Errors
    /// When something in it cannot be removed; the next sweep tries again.
    pub async fn remove(mut self) -> Result<(), ProjectError> {
        self.removed = true;
        let root = self.layout.root.clone();
        blocking(move || files::remove_tree(&root).map_err(at(&root))).await
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        if !self.removed {
            let root = self.layout.root.clone();
            // A large tree takes a while; whoever drops it may be an async task.
            std::thread::spawn(move || files::remove_tree(&root));
        }
    }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProjectError> + Send + 'static,
) -> Result<T, ProjectError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Reads the file out of git's `error: patch failed: FILE:LINE` or `error: FILE: why`.
pub(crate) fn conflict(source: GitError) -> ProjectError {
    let GitError::Failed { message, .. } = &source else { return source.into() };
    let line = message.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or(message);
    let line = line.strip_prefix("patch failed: ").unwrap_or(line);
    let file = line.split(':').next().unwrap_or(line).to_owned();
    ProjectError::Conflict { file, source }
}
