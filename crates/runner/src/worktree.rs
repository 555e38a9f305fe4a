//! One attempt's own copy of the files: unpack a snapshot, apply patches, take the difference, throw it away.
//!
//! Two ways to do that lie behind one type: git's (`checkout.rs`) and, without a repository or a git, our own
//! (`duplicate.rs`). The differences of both are in git's format and fit each other's files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::checkout::Checkout;
use crate::duplicate::Duplicate;
use crate::files;
use crate::layout::{Cache, Layout, Manifest};
use crate::left_out;
use crate::patch::{Patch, PatchLimits};
use crate::project::{Project, ProjectError, ProjectKind, Snapshot, at, blocking};

/// A private copy of a project's files. Dropping it removes it, best effort; [`Worktree::remove`] waits for that.
#[derive(Debug)]
pub struct Worktree {
    layout: Layout,
    /// The project's folder in the tree.
    path: PathBuf,
    content: Content,
    notes: Vec<String>,
    /// Held as long as this value lives; the sweep tries it.
    _lock: File,
    removed: bool,
}

/// Who unpacks and compares.
#[derive(Debug)]
enum Content {
    Git(Checkout),
    Plain(Duplicate),
}

impl Project {
    /// Makes the folder `at` with the snapshot's files and `patches` applied in order. `caches` are folders
    /// relative to the project root whose present content commands will see copy-on-write; what commands write there
    /// is no change, unless version control knows the file.
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
        let manifest = Manifest {
            source: self.top.clone(),
            objects: (snapshot.kind == ProjectKind::Git).then(|| snapshot.objects.clone()),
            caches: self.carried(caches),
        };
        let (layout, lock) = Layout::create(at, manifest).map_err(crate::project::at(at))?;
        let content = match self.unpack(&layout, snapshot, patches, left_out::rules(self.prefix(), caches)).await {
            Ok(content) => content,
            Err(error) => {
                let root = layout.root;
                blocking(move || files::remove_tree(&root).map_err(crate::project::at(&root))).await?;
                return Err(error);
            }
        };
        let path = files::below(&layout.tree(), self.prefix());
        fs::create_dir_all(&path).map_err(crate::project::at(&path))?;
        let notes = snapshot.notes.clone();
        let mut tree = Worktree { layout, path, content, notes, _lock: lock, removed: false };
        tree.drop_tracked_caches()?;
        Ok(tree)
    }

    async fn unpack(
        &self,
        layout: &Layout,
        snapshot: &Snapshot,
        patches: &[Patch],
        rules: String,
    ) -> Result<Content, ProjectError> {
        if snapshot.kind == ProjectKind::Git {
            let repository = self.repository.as_ref();
            return Checkout::create(layout, repository, snapshot, patches, &rules).await.map(Content::Git);
        }
        let (tree, snapshot, patches) = (layout.tree(), snapshot.clone(), patches.to_vec());
        blocking(move || Duplicate::create(&tree, &snapshot, &patches, &rules)).await.map(Content::Plain)
    }

    /// The caches that exist in the user's project, as paths below the top.
    fn carried(&self, caches: &BTreeSet<String>) -> Vec<Cache> {
        let plain = |name: &&String| !Path::new(name.as_str()).is_absolute() && !name.split('/').any(|p| p == "..");
        let cache = |name: &String| Cache { path: self.prefix().join(name), lowers: vec![self.root().join(name)] };
        // A link could lead anywhere, and what is behind it is not the project's.
        let real = |cache: &Cache| cache.lowers.iter().all(|lower| is_folder(lower));
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

    /// A cache that version control knows is already in the tree.
    fn drop_tracked_caches(&mut self) -> Result<(), ProjectError> {
        if self.layout.manifest.caches.is_empty() {
            return Ok(());
        }
        let tree = self.layout.tree();
        let (kept, tracked): (Vec<_>, Vec<_>) =
            self.layout.manifest.caches.drain(..).partition(|cache| !tree.join(&cache.path).exists());
        let note = |cache: &Cache| format!("{} is under version control, so it is not carried", cache.path.display());
        self.notes.extend(tracked.iter().map(note));
        self.layout.manifest.caches = kept;
        self.write_manifest()
    }

    fn write_manifest(&self) -> Result<(), ProjectError> {
        let path = self.layout.manifest_path();
        let text = serde_json::to_vec(&self.layout.manifest).map_err(|e| at(&path)(e.into()))?;
        fs::write(&path, text).map_err(at(&path))
    }

    /// Shows commands the folders `caches` as they are in `warm`, another worktree of the same project, so that nothing
    /// is installed or built twice. What they write stays here. To be called before the first command, and only where
    /// the host has copy-on-write mounts ([`crate::SandboxReport::overlays`]). As long as this worktree is used, `warm`
    /// has to stay and no command may run in it.
    ///
    /// # Errors
    /// The manifest cannot be written.
    pub fn carry_from(&mut self, warm: &Worktree, caches: &BTreeSet<String>) -> Result<(), ProjectError> {
        let tree = self.layout.tree();
        let prefix = self.path.strip_prefix(&tree).unwrap_or(Path::new("")).to_owned();
        for path in caches.iter().map(|name| prefix.join(name)).filter(|path| !tree.join(path).exists()) {
            let lowers = warm.layers(&path);
            if !lowers.is_empty() {
                self.layout.manifest.caches.retain(|cache| cache.path != path);
                self.layout.manifest.caches.push(Cache { path, lowers });
            }
        }
        self.write_manifest()
    }

    /// The folders that together make up what commands see at `path`, the topmost first.
    fn layers(&self, path: &Path) -> Vec<PathBuf> {
        let carried = self.layout.manifest.caches.iter().enumerate().find(|(_, cache)| cache.path == path);
        let layers = match carried {
            Some((n, cache)) => {
                let own = self.layout.root.join("caches").join(n.to_string()).join("upper");
                std::iter::once(own).chain(cache.lowers.iter().cloned()).collect()
            }
            None => vec![self.layout.tree().join(path)],
        };
        layers.into_iter().filter(|layer| is_folder(layer)).collect()
    }

    /// Changes the files by a patch. All or nothing.
    ///
    /// # Errors
    /// [`ProjectError::Conflict`] names the first file that does not fit.
    pub async fn apply(&self, patch: &Patch) -> Result<(), ProjectError> {
        if patch.is_empty() {
            return Ok(());
        }
        match &self.content {
            Content::Git(checkout) => checkout.apply(patch).await,
            Content::Plain(files) => {
                let (files, patch) = (files.clone(), patch.clone());
                blocking(move || files.apply(&[patch])).await
            }
        }
    }

    /// What changed since the worktree was made (patches given then are part of the beginning).
    ///
    /// # Errors
    /// More was changed than `limits` allow, or, without git, a file that is not text.
    pub async fn diff(&self, limits: PatchLimits) -> Result<Patch, ProjectError> {
        let patch = match &self.content {
            Content::Git(checkout) => checkout.diff(limits).await?,
            Content::Plain(files) => {
                let files = files.clone();
                blocking(move || files.diff(limits)).await?
            }
        };
        if patch.files.len() > limits.files_max {
            return Err(ProjectError::PatchTooLarge { limit: limits.files_max as u64, unit: "files" });
        }
        Ok(patch)
    }

    /// Takes what the steps before have done out of later differences: a file they changed is put back, a file they
    /// made stays and is left out from now on. So a difference always fits the files this worktree was made of. To be
    /// called before the first difference is asked for.
    ///
    /// # Errors
    /// When git refuses or the files cannot be read or written.
    pub async fn settle(&mut self) -> Result<(), ProjectError> {
        match &mut self.content {
            Content::Git(checkout) => checkout.settle().await,
            Content::Plain(files) => {
                let mut settled = files.clone();
                *files = blocking(move || settled.settle().map(|()| settled)).await?;
                Ok(())
            }
        }
    }

    /// Paths that differ from the beginning, relative to the top of the repository, in order.
    ///
    /// # Errors
    /// When git refuses or the files cannot be read.
    pub async fn changed_files(&self) -> Result<Vec<String>, ProjectError> {
        match &self.content {
            Content::Git(checkout) => checkout.changed_files().await,
            Content::Plain(files) => {
                let files = files.clone();
                blocking(move || files.changed_files()).await
            }
        }
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

/// A folder itself, not a link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}
