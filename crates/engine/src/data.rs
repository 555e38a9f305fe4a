//! Where a node keeps its files, and the lock that says the node is alive.
//!
//! ```text
//! DATA_DIR/
//!   .gitignore                 leaves all of it out, should the folder be inside a project
//!   meta-builder.db            the embedded store
//!   node                       this node's name
//!   node.lock                  held while a server of this node runs
//!   worker-NAME.lock           held while the worker process of that name runs
//!   admin-token                the first administrator's token (0600)
//!   logs/RUN/WORK.log          redacted output of each task
//!   results/RUN.patch          what a repaired run changed
//!   snapshots/                 frozen files of projects that are not repositories
//!   worktrees/RUN.WORK.FENCE.N/ files of the tasks that are running now
//! ```

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use mb_core::id::RunId;
use mb_core::task::{Fence, Work};

/// Worker processes of one name on one node.
const WORKERS_MAX: u32 = 100;

/// The data folder of one node.
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
    node: String,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It cannot be made or written.
    #[error("the data folder {} cannot be used; choose another with --data-dir or MB_DATA_DIR", .path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Proof that no other server, or worker of that name, of this node is alive. Released when dropped or when the process dies.
#[derive(Debug)]
pub struct NodeLock {
    _file: File,
}

impl DataDir {
    /// Opens a data folder, making it (readable by its owner alone) where it is missing.
    ///
    /// # Errors
    /// When it cannot be made, read or written.
    pub fn open(root: &Path) -> Result<DataDir, DataError> {
        let unusable = |source| DataError::Unusable { path: root.to_owned(), source };
        let is_new = !root.exists();
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(unusable)?;
        if is_new {
            // A data folder inside a project is no part of it: its tokens must not get into a snapshot or a branch.
            std::fs::write(root.join(".gitignore"), "*\n").map_err(unusable)?;
        }
        let root = root.canonicalize().map_err(unusable)?;
        let node = node_name(&root).map_err(unusable)?;
        Ok(DataDir { root, node })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The node's name: the same at every start.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The embedded database.
    pub fn database(&self) -> PathBuf {
        self.root.join("meta-builder.db")
    }

    /// Frozen projects that are not repositories.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// The empty folder that runs without a project begin from, made where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn blank(&self) -> io::Result<PathBuf> {
        let blank = self.root.join("blank");
        std::fs::create_dir_all(&blank)?;
        Ok(blank)
    }

    /// All worktrees.
    pub fn worktrees(&self) -> PathBuf {
        self.root.join("worktrees")
    }

    /// A worktree of one grant of one task. Flat, so that one sweep finds what a dead process left.
    pub fn worktree(&self, run: RunId, work: &Work, fence: Fence, part: u32) -> PathBuf {
        self.worktrees().join(format!("{run}.{}.{}.{part}", file_name(&work.to_string()), fence.0))
    }

    /// Where the commands of one grant of one task put their output.
    pub fn output(&self, run: RunId, work: &Work, fence: Fence) -> PathBuf {
        self.root.join("outputs").join(format!("{run}.{}.{}", file_name(&work.to_string()), fence.0))
    }

    /// The log of one task.
    pub fn log(&self, run: RunId, work: &str) -> PathBuf {
        self.root.join("logs").join(run.to_string()).join(format!("{}.log", file_name(work)))
    }

    /// The patch file of a repaired run.
    pub fn result(&self, run: RunId) -> PathBuf {
        self.root.join("results").join(format!("{run}.patch"))
    }

    /// The name a worker registers its place under: the node's, or of one of its worker processes.
    pub fn worker_node(&self, name: Option<&str>) -> String {
        name.map_or_else(|| self.node.clone(), |name| format!("{}/{name}", self.node))
    }

    /// Takes the node's lock; none when another server of this node holds it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock(&self) -> io::Result<Option<NodeLock>> {
        self.lock_file("node.lock")
    }

    /// Takes the first free name among `name.1`, `name.2`, … for a worker process; none when [`WORKERS_MAX`] run. A
    /// process that is started again finds the name of the one that died.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock_worker(&self, name: &str) -> io::Result<Option<(String, NodeLock)>> {
        for n in 1..=WORKERS_MAX {
            let name = format!("{name}.{n}");
            if let Some(lock) = self.lock_file(&format!("worker-{name}.lock"))? {
                return Ok(Some((name, lock)));
            }
        }
        Ok(None)
    }

    fn lock_file(&self, name: &str) -> io::Result<Option<NodeLock>> {
        let file = File::options().create(true).truncate(false).write(true).open(self.root.join(name))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(NodeLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// A name for files: step names may hold `/` and `:`.
fn file_name(work: &str) -> String {
    work.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.#!".contains(c) { c } else { '~' }).collect()
}

/// The host's name and a part that tells two data folders on one host apart, made once.
fn node_name(root: &Path) -> io::Result<String> {
    let path = root.join("node");
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let host =
        nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "node".into());
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let name = format!("{host}-{}", mb_core::workflow::hex(&bytes));
    // Two processes may start at once: the first to create the file names the node.
    match File::options().write(true).create_new(true).open(&path) {
        Ok(mut file) => {
            use io::Write as _;
            file.write_all(name.as_bytes())?;
            Ok(name)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(std::fs::read_to_string(&path)?.trim().to_owned())
        }
        Err(error) => Err(error),
    }
}
