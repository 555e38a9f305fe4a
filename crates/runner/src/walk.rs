//! Lists the files of a folder that version control would take in, without git.
//!
//! A walk of our own on top of the `ignore` crate's patterns: trees are written by untrusted commands, so a rule file
//! must be a regular file of bounded size (a pipe named `.gitignore` would block a reader for ever), no link is
//! followed, and the number of entries is bounded. Deliberately absent: the user's global excludes.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Entries one walk looks at, ignored ones included.
const ENTRIES_MAX: usize = 1_000_000;
/// Folders inside each other.
const DEPTH_MAX: usize = 256;
/// Largest rule file that is read, in bytes; what is beyond is no rule.
const RULES_BYTES_MAX: u64 = 1 << 20;

/// What a walk found.
#[derive(Default)]
pub(crate) struct Found {
    /// Paths of files and links relative to the root, with `/`, in no particular order.
    pub(crate) files: Vec<String>,
    /// What could not be taken in and why.
    pub(crate) notes: Vec<String>,
}

/// Lists the files below `root`. `rules` (gitignore's language) count as if the root ignored them, with less weight
/// than its own.
pub(crate) fn files(root: &Path, rules: &str) -> io::Result<Found> {
    let mut builder = GitignoreBuilder::new(root);
    for line in rules.lines() {
        // A line that is no pattern is no rule, as in git.
        let _ = builder.add_line(None, line);
    }
    let base = builder.build().map_err(io::Error::other)?;
    let mut walk = Walk { root, rules: vec![base], budget: ENTRIES_MAX, found: Found::default() };
    walk.folder(root, 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    root: &'a Path,
    /// From the root down to the present folder.
    rules: Vec<Gitignore>,
    budget: usize,
    found: Found,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            self.note(folder, "too many folders inside each other");
            return Ok(());
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(error),
            Err(error) => {
                self.note(folder, &error.to_string());
                return Ok(());
            }
        };
        let own = rules_of(folder);
        let pushed = own.is_some();
        self.rules.extend(own);
        for entry in entries {
            let entry = entry?;
            self.budget = self.budget.checked_sub(1).ok_or_else(|| {
                io::Error::other(format!("the folder has more than {ENTRIES_MAX} entries; ignore some in .gitignore"))
            })?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if entry.file_name() == OsStr::new(".git") || self.ignored(&path, kind.is_dir()) {
                continue;
            }
            if kind.is_dir() {
                self.folder(&path, depth + 1)?;
            } else if kind.is_file() || kind.is_symlink() {
                self.take(&path);
            }
        }
        if pushed {
            self.rules.pop();
        }
        Ok(())
    }

    /// The rules nearest to the file decide.
    fn ignored(&self, path: &Path, is_dir: bool) -> bool {
        let said = self.rules.iter().rev().map(|rules| rules.matched(path, is_dir)).find(|said| !said.is_none());
        said.is_some_and(|said| said.is_ignore())
    }

    fn take(&mut self, path: &Path) {
        let below = path.strip_prefix(self.root).unwrap_or(path).to_str();
        match below {
            Some(below) => self.found.files.push(below.to_owned()),
            None => self.note(path, "its name is not UTF-8"),
        }
    }

    fn note(&mut self, path: &Path, why: &str) {
        const NOTES_MAX: usize = 5;
        if self.found.notes.len() < NOTES_MAX {
            let below = path.strip_prefix(self.root).unwrap_or(path);
            self.found.notes.push(format!("{} is left out: {why}", below.display()));
        }
    }
}

/// A folder's own rules.
fn rules_of(folder: &Path) -> Option<Gitignore> {
    let path = folder.join(".gitignore");
    fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
    let mut text = Vec::new();
    fs::File::open(&path).ok()?.take(RULES_BYTES_MAX).read_to_end(&mut text).ok()?;
    let mut builder = GitignoreBuilder::new(folder);
    for line in String::from_utf8_lossy(&text).lines() {
        let _ = builder.add_line(None, line);
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_nearest_to_the_file_decide_and_a_pipe_blocks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["a.log", "keep/b.log", "keep/c", "out/x", ".git/config", "target/deep/y", "sub/target"] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "").unwrap();
        }
        fs::write(root.join(".gitignore"), "*.log\nout/\n").unwrap();
        fs::write(root.join("keep/.gitignore"), "!b.log\n").unwrap();
        nix::unistd::mkfifo(&root.join("sub/.gitignore"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/", root.join("link")).unwrap();
        let mut files = files(root, "/target\n").unwrap().files;
        files.sort();
        assert_eq!(files, [".gitignore", "keep/.gitignore", "keep/b.log", "keep/c", "link", "sub/target"]);
    }
}
