//! A user's project and its frozen copies.
//!
//! In a repository a snapshot is a git tree: `git add -A` into a *copy* of the index, then `write-tree`. The objects go
//! into the repository's own database and nothing else of it is touched: not the index, HEAD, stash or a reference. A
//! folder without a repository, or a machine without git, gets copies of ours (`copies.rs`); differences look the
//! same either way.
//!
//! Deliberately absent: a reference that keeps the objects alive. Git spares unreferenced objects for two weeks
//! (`gc.pruneExpire`), far longer than any run, and a reference would show in the user's `log --all` and pushes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::copies::Copies;
use crate::git::{Git, GitError};
use crate::repository::{self, Found, GitDir, Head, Repository, write_git_dir};
use crate::{files, left_out, walk};

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
    /// A folder without a repository, or without a git to speak to it.
    Plain,
}

/// Where a project is.
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
    pub(crate) top: PathBuf,
    pub(crate) repository: Option<Repository>,
    /// Why a repository that is there is not used.
    note: Option<String>,
}

/// A frozen copy of a project's files as they were: tracked, modified and new ones, ignored ones left out.
/// Later edits do not reach it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether the project is in a repository.
    pub kind: ProjectKind,
    /// Id of the git tree, or of our own list of files: the same content has the same id.
    pub tree: String,
    /// The commit that was checked out, if there was one.
    pub base_commit: Option<String>,
    /// The folder that holds the contents: git's object database, or our own.
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
    /// Its path cannot be written where paths are written: in the run, and on a line of git's list of object folders.
    #[error("the path of {path:?} has a line break or is not UTF-8; rename the folder or move the project")]
    Name {
        /// The folder.
        path: PathBuf,
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
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file that is not text has changed, and there is no git to write that down.
    #[error("{file:?} is not text; without git and a repository such a change cannot be kept")]
    Binary {
        /// The file.
        file: String,
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
    /// Finds out what `root` is. A folder of a repository counts as that repository; so does a linked worktree. A
    /// repository without a git that can be used counts as a folder of files.
    ///
    /// # Errors
    /// When `root` is not a folder.
    pub async fn open(root: &Path) -> Result<Project, ProjectError> {
        let plain = Project::open_plain(root)?;
        let Some(Found { top, repository }) = repository::find(&plain.root) else { return Ok(plain) };
        let project = match (Git::usable().await, repository) {
            (Err(why), _) => {
                let why =
                    format!("{why}: files that are both committed and ignored are left out, and git does not work");
                Project { top, note: Some(why), ..plain }
            }
            (Ok(()), Some(repository)) => Project { top, repository: Some(repository), ..plain },
            (Ok(()), None) => plain.ask().await,
        };
        Ok(project)
    }

    /// Takes `root` as a folder of files, whether or not it is in a repository.
    ///
    /// # Errors
    /// When `root` is not a folder, or its path has a line break or is not UTF-8.
    pub fn open_plain(root: &Path) -> Result<Project, ProjectError> {
        let bad = |source| ProjectError::Root { path: root.to_owned(), source };
        let root = root.canonicalize().map_err(bad)?;
        if !root.is_dir() {
            return Err(bad(std::io::ErrorKind::NotADirectory.into()));
        }
        if root.to_str().is_none_or(|text| text.contains(['\n', '\r'])) {
            return Err(ProjectError::Name { path: root });
        }
        Ok(Project { top: root.clone(), root, repository: None, note: None })
    }

    /// Asks git where an unusual repository has what, and whether it may be used.
    async fn ask(self) -> Project {
        let asked = ["rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir", "--git-common-dir"];
        let answer = match Git::within(&self.root).run(&asked).await {
            Ok(printed) => printed.word(),
            Err(error) => return Project { note: Some(format!("the repository is not used: {error}")), ..self },
        };
        let mut lines = answer.lines().map(PathBuf::from);
        match (lines.next(), lines.next(), lines.next()) {
            (Some(top), Some(git_dir), Some(common_dir)) => {
                Project { top, repository: Some(Repository { git_dir, common_dir }), ..self }
            }
            _ => self,
        }
    }

    /// The project's folder, absolute and without symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The project's folder below the top of the repository; empty when they are the same.
    pub(crate) fn prefix(&self) -> &Path {
        self.root.strip_prefix(&self.top).unwrap_or(Path::new(""))
    }

    /// Whether there is a repository that can be used.
    pub fn is_git(&self) -> bool {
        self.repository.is_some()
    }

    /// The commit that is checked out now; none without a repository or before the first commit.
    pub async fn head(&self) -> Option<String> {
        let repository = self.repository.as_ref()?;
        match repository.head() {
            Head::Commit(id) => Some(id),
            Head::Unborn => None,
            Head::Unknown => {
                let asked = ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"];
                let git = Git::on(&repository.git_dir, &self.top);
                git.run(&asked).await.ok().map(|printed| printed.word())
            }
        }
    }

    /// Freezes the files as they are now. `store` is a folder of ours for private state; it is made if missing.
    /// `caches` are folders of build products relative to the project root: what version control does not know in
    /// them is left out, ignored or not.
    ///
    /// # Errors
    /// Git refuses, or more than 200,000 files or 2 GiB are neither committed nor ignored.
    pub async fn snapshot(&self, store: &Path, caches: &BTreeSet<String>) -> Result<Snapshot, ProjectError> {
        fs::create_dir_all(store).map_err(at(store))?;
        let rules = left_out::rules(self.prefix(), caches);
        let mut snapshot = match &self.repository {
            Some(repository) => self.freeze(repository, store, &rules).await?,
            None => {
                let (project, store) = (self.clone(), store.to_owned());
                blocking(move || project.copy(&store, &rules)).await?
            }
        };
        snapshot.notes.extend(self.note.clone());
        if self.top.join(".gitmodules").is_file() {
            snapshot.notes.push("submodules are not carried into the worktree".to_owned());
        }
        Ok(snapshot)
    }

    /// A snapshot in the repository's own database. All calls use a git folder of ours with the user's objects, a copy
    /// of the user's index and more that is ignored than the user says.
    async fn freeze(&self, repository: &Repository, store: &Path, rules: &str) -> Result<Snapshot, ProjectError> {
        let base_commit = self.head().await;
        let objects = repository.common_dir.join("objects");
        let ours = OwnGit::create(repository, store, base_commit.as_deref(), rules)?;
        let git = Git::on(&ours.0, &self.top).with_objects(&objects);
        let asked = ["status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=all"];
        let committed = async {
            match &base_commit {
                Some(commit) => git.run(&["rev-parse", "--verify", &format!("{commit}^{{tree}}")]).await.map(Some),
                None => Ok(None),
            }
        };
        let (status, committed) = tokio::try_join!(git.run(&asked), committed)?;
        let (tree, notes) = match committed {
            // Nothing differs: the commit's tree is the snapshot.
            Some(tree) if status.stdout.is_empty() => (tree.word(), Vec::new()),
            _ => {
                self.check_size(untracked(&status.stdout))?;
                // Exit code 1 means that some files could not be read; the rest is in the index.
                let added = git.call(&["add", "--all", "--ignore-errors"], b"", 1 << 20, &[0, 1]).await?;
                let complaints = added.stderr.lines().filter(|line| line.starts_with("error:"));
                (git.run(&["write-tree"]).await?.word(), complaints.take(5).map(str::to_owned).collect())
            }
        };
        Ok(Snapshot { kind: ProjectKind::Git, tree, base_commit, objects, notes })
    }

    /// A snapshot in a database of ours.
    fn copy(&self, store: &Path, rules: &str) -> Result<Snapshot, ProjectError> {
        let found = walk::files(&self.top, rules).map_err(at(&self.top))?;
        self.check_size(found.files.iter().map(String::as_str))?;
        let objects = store.join("copies");
        let copies = Copies::in_folder(&objects);
        let mut notes = found.notes;
        let frozen = copies.freeze(&self.top, &found.files, &mut notes).and_then(|tree| copies.keep_tree(&tree));
        let tree = frozen.map_err(at(&objects))?;
        Ok(Snapshot { kind: ProjectKind::Plain, tree, base_commit: None, objects, notes })
    }

    /// Refuses to copy a forgotten data set.
    fn check_size<'a>(&self, new: impl Iterator<Item = &'a str>) -> Result<(), ProjectError> {
        let (mut count, mut bytes, mut largest) = (0, 0, (0, ""));
        for name in new {
            let size = fs::symlink_metadata(self.top.join(name)).map_or(0, |meta| meta.len());
            (count, bytes) = (count + 1, bytes + size);
            if size > largest.0 {
                largest = (size, name);
            }
        }
        if count > NEW_FILES_MAX || bytes > NEW_BYTES_MAX {
            return Err(ProjectError::TooLarge { files: count, bytes, largest: largest.1.to_owned() });
        }
        Ok(())
    }
}

/// The untracked files in the output of `git status --porcelain -z`. A name that is not UTF-8 is passed over: it is
/// only asked for its size.
fn untracked(status: &[u8]) -> impl Iterator<Item = &str> {
    let names = status.split(|byte| *byte == 0).filter_map(|entry| entry.strip_prefix(b"?? "));
    names.filter_map(|name| std::str::from_utf8(name).ok())
}

/// Runs file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProjectError> + Send + 'static,
) -> Result<T, ProjectError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// A git folder for one snapshot that goes away by itself.
struct OwnGit(PathBuf);

impl OwnGit {
    fn create(repository: &Repository, store: &Path, head: Option<&str>, rules: &str) -> Result<OwnGit, ProjectError> {
        let ours = OwnGit(store.join(format!("git-{}", crate::sys::unique())));
        let config = repository.common_dir.join("config");
        let content = GitDir { head, alternate: None, include: Some(&config), sha256: repository.is_sha256() };
        let made = write_git_dir(&ours.0, &content).and_then(|()| repository.copy_info(&ours.0, rules));
        made.and_then(|()| repository.copy_index(&ours.0)).map_err(at(&ours.0))?;
        Ok(ours)
    }
}

impl Drop for OwnGit {
    fn drop(&mut self) {
        // A failure leaves a few small files in our own folder.
        let _ = files::remove_tree(&self.0);
    }
}
