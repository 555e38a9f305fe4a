//! Where a repository keeps what, read from its files instead of asked of git: each question to git is a process.
//!
//! What is not plain to see (another reference format, a work tree that lies elsewhere, a repository of somebody
//! else's) is not guessed: [`find`] and [`Repository::head`] say so, and the caller asks git.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::files;

/// Symbolic references that lead to each other, at most.
const LINKS_MAX: usize = 5;
/// References that are copied for commands, at most, and the bytes of the packed ones.
const REFS_MAX: usize = 20_000;
const PACKED_BYTES_MAX: u64 = 16 << 20;

/// The folders of a project's repository.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    /// `.git`, or the private part of a linked worktree.
    pub(crate) git_dir: PathBuf,
    /// What all worktrees of the repository share.
    pub(crate) common_dir: PathBuf,
}

/// A folder with a `.git`.
pub(crate) struct Found {
    /// The folder.
    pub(crate) top: PathBuf,
    /// What is known without asking; none when git must be asked.
    pub(crate) repository: Option<Repository>,
}

/// The nearest folder at or above `root` that has a `.git`.
pub(crate) fn find(root: &Path) -> Option<Found> {
    let top = root.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok())?;
    Some(Found { top: top.to_owned(), repository: plain(top) })
}

/// The repository of `top`, when it is ours and of the usual kind. Git refuses repositories of other users, as
/// their configuration can name programs; that decision stays git's.
fn plain(top: &Path) -> Option<Repository> {
    let dot = top.join(".git");
    let git_dir = if dot.is_dir() {
        dot.canonicalize().ok()?
    } else {
        let text = fs::read_to_string(&dot).ok()?;
        top.join(text.strip_prefix("gitdir: ")?.trim_end()).canonicalize().ok()?
    };
    let common_dir = match fs::read_to_string(git_dir.join("commondir")) {
        Ok(text) => git_dir.join(text.trim_end()).canonicalize().ok()?,
        Err(_) => git_dir.clone(),
    };
    let user = nix::unistd::geteuid().as_raw();
    let ours = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == user);
    let config = fs::read_to_string(common_dir.join("config")).ok()?.to_ascii_lowercase();
    let usual = !config.contains("worktree") && !config.contains("refstorage");
    let all_ours = [top, &dot, &git_dir, &common_dir].into_iter().all(ours);
    (all_ours && usual && git_dir.join("HEAD").is_file()).then_some(Repository { git_dir, common_dir })
}

/// What HEAD names.
pub(crate) enum Head {
    /// This commit.
    Commit(String),
    /// A branch without a commit.
    Unborn,
    /// Something git must be asked about.
    Unknown,
}

impl Repository {
    /// What is checked out.
    pub(crate) fn head(&self) -> Head {
        let mut text = fs::read_to_string(self.git_dir.join("HEAD")).unwrap_or_default();
        for _ in 0..LINKS_MAX {
            let line = text.trim();
            if is_id(line) {
                return Head::Commit(line.to_owned());
            }
            let Some(name) = line.strip_prefix("ref: ") else { return Head::Unknown };
            if !name.starts_with("refs/heads/") || name == "refs/heads/.invalid" {
                return Head::Unknown;
            }
            match fs::read_to_string(self.common_dir.join(name)) {
                Ok(next) => text = next,
                Err(_) => return self.packed(name).map_or(Head::Unborn, Head::Commit),
            }
        }
        Head::Unknown
    }

    fn packed(&self, name: &str) -> Option<String> {
        let packed = fs::read_to_string(self.common_dir.join("packed-refs")).ok()?;
        let id = packed.lines().filter_map(|line| line.split_once(' ')).find(|(_, known)| *known == name)?.0;
        is_id(id).then(|| id.to_owned())
    }

    /// Whether object ids are SHA-256.
    pub(crate) fn is_sha256(&self) -> bool {
        let config = fs::read_to_string(self.common_dir.join("config")).unwrap_or_default().to_ascii_lowercase();
        config
            .lines()
            .any(|line| line.split_once('=').is_some_and(|(k, v)| k.trim() == "objectformat" && v.trim() == "sha256"))
    }

    /// Copies branches and tags into a git folder of ours. Of very many a part is missing there, which beats
    /// refusing to run.
    pub(crate) fn copy_refs(&self, to: &Path) -> io::Result<()> {
        let packed = self.common_dir.join("packed-refs");
        if fs::metadata(&packed).is_ok_and(|meta| meta.len() <= PACKED_BYTES_MAX) {
            fs::copy(&packed, to.join("packed-refs"))?;
        }
        let mut budget = REFS_MAX;
        let mut left = vec![PathBuf::from("refs")];
        while let Some(folder) = left.pop() {
            fs::create_dir_all(to.join(&folder))?;
            let Ok(entries) = fs::read_dir(self.common_dir.join(&folder)) else { continue };
            for entry in entries.filter_map(Result::ok) {
                let Some(rest) = budget.checked_sub(1) else { return Ok(()) };
                budget = rest;
                let name = folder.join(entry.file_name());
                if entry.file_type()?.is_dir() {
                    left.push(name);
                } else if let Err(error) = fs::copy(entry.path(), to.join(name))
                    && error.kind() != io::ErrorKind::NotFound
                {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Copies the index (there may be none yet). The modification time is kept: git compares it with the files' times
    /// to see which entries it must not trust.
    pub(crate) fn copy_index(&self, to: &Path) -> io::Result<()> {
        match files::copy_file(&self.git_dir.join("index"), &to.join("index")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // A split index has its larger part in a second file.
        for entry in fs::read_dir(&self.git_dir)?.filter_map(Result::ok) {
            if entry.file_name().as_encoded_bytes().starts_with(b"sharedindex.") {
                std::os::unix::fs::symlink(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    /// Copies what says which files are ignored and how they are converted; `rules` are added to the former.
    pub(crate) fn copy_info(&self, to: &Path, rules: &str) -> io::Result<()> {
        let own = fs::read(self.common_dir.join("info/exclude")).unwrap_or_default();
        // Later lines win: the user's own word comes last.
        fs::write(to.join("info/exclude"), [rules.as_bytes(), &own].concat())?;
        match files::copy_file(&self.common_dir.join("info/attributes"), &to.join("info/attributes")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
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
pub(crate) fn write_git_dir(git_dir: &Path, content: &GitDir<'_>) -> io::Result<()> {
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
