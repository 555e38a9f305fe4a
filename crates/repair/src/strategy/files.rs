//! The files of a project as a strategy may see them: text only, of bounded size and number.

use std::path::{Component, Path, PathBuf};

/// Bytes of the largest file read.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Paths listed.
const LIST_MAX: usize = 10_000;
/// Folders below folders looked into.
const DEPTH_MAX: usize = 16;

/// A view of a worktree.
pub trait Files {
    /// The text of a file, by its path relative to the project root; none when it is missing, too large, not text, or
    /// outside the project.
    fn read(&self, path: &str) -> Option<String>;

    /// Paths of the files whose path ends with `suffix` (`Cargo.toml`, `.py`), sorted; what version control ignores is
    /// left out.
    fn list(&self, suffix: &str) -> Vec<String>;
}

/// A folder on disk.
#[derive(Debug, Clone)]
pub struct DirFiles {
    root: PathBuf,
}

impl DirFiles {
    /// The view of the folder `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Files for DirFiles {
    fn read(&self, path: &str) -> Option<String> {
        let relative = Path::new(path);
        if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return None;
        }
        // A link may lead outside: only what it resolves to counts.
        let real = self.root.join(relative).canonicalize().ok()?;
        if !real.starts_with(self.root.canonicalize().ok()?) {
            return None;
        }
        let about = real.metadata().ok()?;
        if !about.is_file() || about.len() > FILE_BYTES_MAX {
            return None;
        }
        std::fs::read_to_string(real).ok()
    }

    fn list(&self, suffix: &str) -> Vec<String> {
        let mut walk = ignore::WalkBuilder::new(&self.root);
        walk.max_depth(Some(DEPTH_MAX)).require_git(false).parents(false).git_global(false);
        walk.filter_entry(|entry| !matches!(entry.file_name().to_str(), Some("node_modules" | "target" | ".venv")));
        let paths = walk.build().flatten().filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
        let relative = paths.filter_map(|entry| Some(entry.path().strip_prefix(&self.root).ok()?.to_str()?.to_owned()));
        let named = |path: &String| path.strip_suffix(suffix).is_some_and(|rest| whole_name(rest, suffix));
        let mut found: Vec<String> = relative.filter(named).take(LIST_MAX).collect();
        found.sort();
        found
    }
}

/// `Cargo.toml` means files of that name; `.py` means an ending.
fn whole_name(rest: &str, suffix: &str) -> bool {
    suffix.starts_with('.') || rest.is_empty() || rest.ends_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_project_are_seen() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, text).expect("written");
        };
        write("root/a/mod.py", "x");
        write("root/b.py", "y");
        write("root/node_modules/c.py", "z");
        write("root/.gitignore", "ignored.py\n");
        write("root/ignored.py", "i");
        write("secret", "s");
        std::os::unix::fs::symlink(dir.path().join("secret"), dir.path().join("root/link.py")).expect("a link");
        let files = DirFiles::new(dir.path().join("root"));
        assert_eq!(files.list(".py"), ["a/mod.py", "b.py"]);
        assert_eq!(files.list("mod.py"), ["a/mod.py"]);
        assert_eq!(files.list("od.py"), Vec::<String>::new());
        assert_eq!(files.read("b.py").as_deref(), Some("y"));
        for outside in ["../secret", "/etc/hostname", "link.py", "a", "missing"] {
            assert_eq!(files.read(outside), None, "{outside}");
        }
    }
}
