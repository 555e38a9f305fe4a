//! A user's project and its frozen copies.
//!
//! A snapshot is a git tree: `git add -A` into a *copy* of the index, then `write-tree`. For a repository the
//! objects go into its own database and nothing else of it is touched: not the index, HEAD, stash or a reference.
//! A folder without a repository gets a private database in our data folder, so both kinds are one kind from here on.
//!
//! Deliberately absent: a reference that keeps the objects alive. Git spares unreferenced objects for two weeks
//! (`gc.pruneExpire`), far longer than any run, and a reference would show in the user's `log --all` and pushes.

use std::fs;
use std::path::{Path, PathBuf};

use mb_core::workflow::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files;
use crate::git::{Git, GitError};

/// Files outside version control a snapshot takes in, in number.
const NEW_FILES_MAX: u64 = 200_000;
/// Bytes of such files.
const NEW_BYTES_MAX: u64 = 2 << 30;

/// Whether a project is in a repository.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ProjectKind {
    /// It is, or is a folder of, a git repository.
    Git,
    /// A folder without a repository.
    Plain,
}

/// Where a project is.
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
    pub(crate) top: PathBuf,
    pub(crate) repository: Option<Repository>,
}

/// The folders of a project's repository.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    /// `.git`, or the private part of a linked worktree.
    pub(crate) git_dir: PathBuf,
    /// What all worktrees of the repository share.
    pub(crate) common_dir: PathBuf,
}

/// A frozen copy of a project's files as they were: tracked, modified and new ones, ignored ones left out.
/// Later edits do not reach it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether the project is in a repository.
    pub kind: ProjectKind,
    /// Id of the git tree: the same content has the same id.
    pub tree: String,
    /// The commit that was checked out, if there was one.
    pub base_commit: Option<String>,
    /// The object database that holds the tree.
    pub objects: PathBuf,
    /// What a person should know: submodules left out, files that could not be read.
    pub notes: Vec<String>,
}

/// Why something about a project could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The folder cannot be opened.
    #[error("{path:?} is not a folder that can be opened")]
    Root {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Git refused or is missing.
    #[error("a git command was refused")]
    Git(#[from] GitError),
    /// A file or folder of ours could not be written or read.
    #[error("{path:?} could not be used")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Too much that version control does not know.
    #[error(
        "{files} files with {bytes} bytes are neither committed nor ignored (at most {NEW_FILES_MAX} files or \
         {NEW_BYTES_MAX} bytes); add them to .gitignore, the largest is {largest:?}"
    )]
    TooLarge {
        /// How many files.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// The largest of them.
        largest: String,
    },
    /// The difference is larger than its bound.
    #[error("the changes are too large: more than {limit} {unit}")]
    PatchTooLarge {
        /// The bound.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// A difference does not fit the files.
    #[error("the changes do not apply to {file:?}")]
    Conflict {
        /// The first file that does not fit.
        file: String,
        /// What git said.
        #[source]
        source: GitError,
    },
    /// Git printed a difference this program cannot read.
    #[error("the changes could not be read")]
    Unreadable(#[from] crate::patch::BadPatch),
    /// There is no repository to put a branch into.
    #[error("the project is not in a git repository, so there is no branch to write")]
    NoRepository,
    /// The branch is in use.
    #[error("branch {name:?} is checked out; moving it would change somebody's files")]
    BranchInUse {
        /// The branch.
        name: String,
    },
    /// The branch's name cannot be used.
    #[error("{name:?} is not a valid branch name")]
    BranchName {
        /// The name.
        name: String,
    },
}

/// Adds the path to an I/O error.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> ProjectError {
    let path = path.to_owned();
    move |source| ProjectError::Io { path, source }
}

impl Project {
    /// Finds out what `root` is. A folder of a repository counts as that repository; so does a linked worktree.
    ///
    /// # Errors
    /// When `root` is not a folder. A missing git is not an error here; the first snapshot says it.
    pub async fn open(root: &Path) -> Result<Project, ProjectError> {
        let bad = |source| ProjectError::Root { path: root.to_owned(), source };
        let root = root.canonicalize().map_err(bad)?;
        if !root.is_dir() {
            return Err(bad(std::io::ErrorKind::NotADirectory.into()));
        }
        let asked = ["rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir", "--git-common-dir"];
        let answer = Git::within(&root).run(&asked).await.map(|printed| printed.word()).unwrap_or_default();
        let mut lines = answer.lines().map(PathBuf::from);
        let (top, repository) = match (lines.next(), lines.next(), lines.next()) {
            (Some(top), Some(git_dir), Some(common_dir)) => (top, Some(Repository { git_dir, common_dir })),
            _ => (root.clone(), None),
        };
        Ok(Project { root, top, repository })
    }

    /// The project's folder, absolute and without symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether there is a repository.
    pub fn is_git(&self) -> bool {
        self.repository.is_some()
    }

    /// The commit that is checked out now; none without a repository or before the first commit.
    pub async fn head(&self) -> Option<String> {
        self.repository.as_ref()?;
        let asked = ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"];
        Git::within(&self.top).run(&asked).await.ok().map(|printed| printed.word())
    }

    /// Freezes the files as they are now. `store` is a folder of ours for private state; it is made if missing.
    ///
    /// # Errors
    /// Git is missing or refuses, or more than 200,000 files or 2 GiB are neither committed nor ignored.
    pub async fn snapshot(&self, store: &Path) -> Result<Snapshot, ProjectError> {
        fs::create_dir_all(store).map_err(at(store))?;
        let (git_dir, common_dir) = match &self.repository {
            Some(repository) => (repository.git_dir.clone(), repository.common_dir.clone()),
            None => self.private_repository(store)?,
        };
        let index = PrivateIndex::copy_of(&git_dir.join("index"), store)?;
        let git = Git::on(&git_dir, &self.top).with_index(&index.path);
        let (head, allowed) = tokio::join!(self.head(), self.check_size(&git));
        allowed?;
        // Exit code 1 means that some files could not be read; the rest is in the index.
        let added = git.call(&["add", "--all", "--ignore-errors"], b"", 1 << 20, &[0, 1]).await?;
        let tree = git.run(&["write-tree"]).await?.word();
        if self.repository.is_none() {
            // Kept so that the next snapshot need not read every file again.
            fs::rename(&index.path, git_dir.join("index")).map_err(at(&git_dir))?;
        }
        let kind = if self.is_git() { ProjectKind::Git } else { ProjectKind::Plain };
        let notes = self.notes(&added.stderr);
        Ok(Snapshot { kind, tree, base_commit: head, objects: common_dir.join("objects"), notes })
    }

    fn notes(&self, complaints: &str) -> Vec<String> {
        let mut notes: Vec<String> =
            complaints.lines().filter(|line| line.starts_with("error:")).take(5).map(str::to_owned).collect();
        if self.top.join(".gitmodules").is_file() {
            notes.push("submodules are not carried into the worktree".to_owned());
        }
        notes
    }

    /// A repository of ours for a project that has none. Its objects and index make the next snapshot fast.
    fn private_repository(&self, store: &Path) -> Result<(PathBuf, PathBuf), ProjectError> {
        let name = hex(&Sha256::digest(self.top.as_os_str().as_encoded_bytes()));
        let git_dir = store.join(format!("{}.git", &name[..16]));
        write_git_dir(&git_dir, &GitDir::default()).map_err(at(&git_dir))?;
        let git_dir = git_dir.canonicalize().map_err(at(&git_dir))?;
        Ok((git_dir.clone(), git_dir))
    }

    /// Refuses to copy a forgotten data set into the object database.
    async fn check_size(&self, git: &Git) -> Result<(), ProjectError> {
        let new = git.run(&["ls-files", "-z", "--others", "--exclude-standard"]).await?;
        let (mut count, mut bytes, mut largest) = (0, 0, (0, String::new()));
        for name in new.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = String::from_utf8_lossy(name);
            let size = fs::symlink_metadata(self.top.join(&*name)).map_or(0, |meta| meta.len());
            (count, bytes) = (count + 1, bytes + size);
            if size > largest.0 {
                largest = (size, name.into_owned());
            }
        }
        if count > NEW_FILES_MAX || bytes > NEW_BYTES_MAX {
            return Err(ProjectError::TooLarge { files: count, bytes, largest: largest.1 });
        }
        Ok(())
    }
}

/// A copy of an index file that goes away by itself.
pub(crate) struct PrivateIndex {
    /// The copy.
    pub(crate) path: PathBuf,
}

impl PrivateIndex {
    /// Copies `index` (which may not exist) into `folder`. The modification time is kept: git compares it with
    /// the files' times to see which entries it must not trust.
    pub(crate) fn copy_of(index: &Path, folder: &Path) -> Result<PrivateIndex, ProjectError> {
        let copy = PrivateIndex::empty(folder);
        match files::copy_file(index, &copy.path) {
            Ok(()) => Ok(copy),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(copy),
            Err(error) => Err(at(index)(error)),
        }
    }

    /// A fresh name in `folder`; no file yet.
    pub(crate) fn empty(folder: &Path) -> PrivateIndex {
        PrivateIndex { path: folder.join(format!("index-{}", crate::sys::unique())) }
    }
}

impl Drop for PrivateIndex {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove; a failure leaves one small file in our own folder.
        let _ = fs::remove_file(&self.path);
    }
}

/// What a git folder of ours contains.
#[derive(Default)]
pub(crate) struct GitDir<'a> {
    /// The commit HEAD names.
    pub(crate) head: Option<&'a str>,
    /// An object database to read from.
    pub(crate) alternate: Option<&'a Path>,
    /// A configuration file to take settings from.
    pub(crate) include: Option<&'a Path>,
    /// Whether object ids are SHA-256.
    pub(crate) sha256: bool,
}

/// Writes a git folder by hand: five small files instead of a process.
pub(crate) fn write_git_dir(git_dir: &Path, content: &GitDir<'_>) -> std::io::Result<()> {
    fs::create_dir_all(git_dir.join("objects/info"))?;
    fs::create_dir_all(git_dir.join("refs/heads"))?;
    fs::create_dir_all(git_dir.join("info"))?;
    let head = content.head.map_or_else(|| "ref: refs/heads/main\n".to_owned(), |commit| format!("{commit}\n"));
    fs::write(git_dir.join("HEAD"), head)?;
    let mut config = String::new();
    if let Some(include) = content.include {
        config.push_str(&format!("[include]\n\tpath = {:?}\n", include.display().to_string()));
    }
    let (version, format) = if content.sha256 { (1, "[extensions]\n\tobjectFormat = sha256\n") } else { (0, "") };
    config.push_str(&format!("[core]\n\trepositoryformatversion = {version}\n\tbare = false\n{format}"));
    fs::write(git_dir.join("config"), config)?;
    if let Some(alternate) = content.alternate {
        fs::write(git_dir.join("objects/info/alternates"), format!("{}\n", alternate.display()))?;
    }
    Ok(())
}
