//! The private folder of one attempt, and what a command needs to know about it.
//!
//! ```text
//! AT/worktree.json   the manifest; its presence makes the folder ours, its change time is the attempt's beginning
//!    lock            held while somebody uses the folder, so that a sweep leaves it alone
//!    git/            our own index of the tree; no command ever sees it
//!    tree/           the files; commands run here
//!    tmp/ home/      the command's /tmp and home
//!    caches/N/       upper and work folders of a carried cache
//!    tools/N/        the same for tool caches below the home
//! AT/../.tools/      tool caches that steps with network fill and others read
//! ```
//!
//! A command finds all this from the path of its worktree alone, so a job needs no second handle.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How far above a worktree path its manifest is looked for (a project may sit deep in its repository).
const ANCESTORS_MAX: usize = 64;

/// A folder without a manifest that is older than this was left by a process that died while making it.
const BEING_MADE: Duration = Duration::from_secs(60);

/// What was decided when the worktree was made.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub(crate) struct Manifest {
    /// The user's folder the tree stands for; the sandbox shows the tree at this path.
    pub(crate) source: PathBuf,
    /// The object database of the user's repository; none when the project has no repository.
    pub(crate) objects: Option<PathBuf>,
    /// Folders of build products to carry.
    pub(crate) caches: Vec<Cache>,
}

/// A folder that is carried although version control ignores it.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub(crate) struct Cache {
    /// Path below the tree.
    pub(crate) path: PathBuf,
    /// What it shows, the topmost first and the user's own copy last; only ever read.
    pub(crate) lowers: Vec<PathBuf>,
}

/// An attempt's folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// `AT`.
    pub(crate) root: PathBuf,
    /// Its manifest.
    pub(crate) manifest: Manifest,
}

impl Layout {
    /// Makes the folders and writes the manifest. The lock comes back held.
    pub(crate) fn create(at: &Path, manifest: Manifest) -> io::Result<(Layout, File)> {
        fs::create_dir_all(at)?;
        let root = at.canonicalize()?;
        let lock = File::create_new(root.join("lock"))?;
        lock.try_lock().map_err(|error| io::Error::other(error.to_string()))?;
        for folder in ["tree", "tmp", "home", "caches", "tools"] {
            fs::create_dir(root.join(folder))?;
        }
        let text = serde_json::to_vec(&manifest).map_err(io::Error::other)?;
        fs::write(root.join(MANIFEST), text)?;
        Ok((Layout { root, manifest }, lock))
    }

    /// The layout a worktree path belongs to.
    pub(crate) fn find(worktree: &Path) -> io::Result<Layout> {
        let worktree = worktree.canonicalize()?;
        for root in worktree.ancestors().skip(1).take(ANCESTORS_MAX) {
            if worktree.starts_with(root.join("tree")) && root.join(MANIFEST).is_file() {
                let manifest = serde_json::from_slice(&fs::read(root.join(MANIFEST))?).map_err(io::Error::other)?;
                return Ok(Layout { root: root.to_owned(), manifest });
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "the folder is not a worktree made by this program"))
    }

    /// Whether `at` is an attempt's folder that nobody uses any more.
    pub(crate) fn is_left_over(at: &Path) -> bool {
        let is_made = at.join(MANIFEST).is_file();
        let Ok(lock) = File::open(at.join("lock")) else { return is_made };
        // One that is being made has a lock file for a moment before it is held, and its manifest comes last.
        let age = lock.metadata().and_then(|meta| meta.modified()).ok().and_then(|made| made.elapsed().ok());
        (is_made || age.is_some_and(|age| age > BEING_MADE)) && lock.try_lock().is_ok()
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The index of our own that no command sees.
    pub(crate) fn git_dir(&self) -> PathBuf {
        self.root.join("git")
    }

    /// Tool caches shared by all attempts of this data folder.
    pub(crate) fn shared_tools(&self) -> PathBuf {
        self.root.parent().unwrap_or(&self.root).join(".tools")
    }

    pub(crate) fn manifest_path(&self) -> PathBuf {
        self.root.join(MANIFEST)
    }
}

const MANIFEST: &str = "worktree.json";
