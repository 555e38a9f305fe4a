//! One bounded look at a folder: which regular files it has, and their text on request.
//!
//! Everything detection knows comes through here, so the limits hold everywhere: depth, entries, bytes per file.
//! Symbolic links are not followed and not read (a manifest that points out of the project is none of ours), and
//! what version control ignores is not looked at. Only `.gitignore` files at or below the root count, so a
//! project inside an ignored scratch folder is still a project.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};

/// Folders below the root that are entered.
const DEPTH_MAX: usize = 6;
/// Files and folders looked at.
const ENTRIES_MAX: usize = 50_000;
/// Bytes of one manifest that are read; a larger one is treated as unreadable.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Never entered, whether or not version control ignores them: products and installed dependencies.
const SKIPPED: &[&str] =
    &[".git", ".hg", ".svn", "node_modules", "target", ".venv", "venv", ".tox", ".nox", "__pycache__", ".direnv"];

/// The regular files of a folder, by path relative to it with `/`.
pub(crate) struct Survey {
    root: PathBuf,
    files: BTreeSet<String>,
    /// What a person should know about the look itself.
    pub(crate) notes: Vec<String>,
}

impl Survey {
    /// Looks at `root`. A folder that cannot be read gives an empty survey with a note.
    pub(crate) fn take(root: &Path) -> Self {
        let mut survey = Self { root: root.to_owned(), files: BTreeSet::new(), notes: Vec::new() };
        let walk = WalkBuilder::new(root)
            .max_depth(Some(DEPTH_MAX + 1))
            .hidden(false)
            .parents(false)
            .git_global(false)
            .require_git(false)
            .follow_links(false)
            .sort_by_file_name(Ord::cmp)
            .filter_entry(|entry| entry.depth() == 0 || !skipped(entry))
            .build();
        for (count, entry) in walk.enumerate() {
            if count > ENTRIES_MAX {
                survey.notes.push(format!("only the first {ENTRIES_MAX} files and folders were looked at"));
                break;
            }
            match entry {
                Ok(entry) => survey.add(&entry),
                Err(error) if survey.notes.len() < 5 => survey.notes.push(format!("not looked at: {error}")),
                Err(_) => {}
            }
        }
        survey
    }

    fn add(&mut self, entry: &DirEntry) {
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            return;
        }
        if let Some(path) = entry.path().strip_prefix(&self.root).ok().and_then(Path::to_str) {
            self.files.insert(path.replace(std::path::MAIN_SEPARATOR, "/"));
        }
    }

    /// Whether `dir` has the file `path` (relative to `dir`).
    pub(crate) fn has(&self, dir: &str, path: &str) -> bool {
        self.files.contains(&join(dir, path))
    }

    /// The first of `names` that `dir` has.
    pub(crate) fn first<'n>(&self, dir: &str, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.has(dir, name))
    }

    /// Every file at or below `dir`, relative to `dir`.
    pub(crate) fn below<'s>(&'s self, dir: &'s str) -> impl Iterator<Item = &'s str> {
        let prefix = join(dir, "");
        // The names are sorted, so those of one folder stand together.
        let from = self.files.range(prefix.clone()..);
        from.take_while(move |file| file.starts_with(&prefix)).filter_map(move |file| relative(file, dir))
    }

    /// The files directly in `dir`.
    pub(crate) fn directly_in<'s>(&'s self, dir: &'s str) -> impl Iterator<Item = &'s str> {
        self.below(dir).filter(|file| !file.contains('/'))
    }

    /// Every folder that has a file called `name`, parents before children.
    pub(crate) fn dirs_with(&self, name: &str) -> Vec<String> {
        let mut dirs: Vec<String> = self
            .files
            .iter()
            .filter_map(|file| match file.rsplit_once('/') {
                Some((dir, base)) => (base == name).then(|| dir.to_owned()),
                None => (file == name).then(String::new),
            })
            .collect();
        dirs.sort_by_key(|dir| (depth(dir), dir.clone()));
        dirs
    }

    /// The text of a file, empty when it is absent, too large or unreadable. Bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self, dir: &str, path: &str) -> String {
        let path = join(dir, path);
        if !self.files.contains(&path) {
            return String::new();
        }
        let mut bytes = Vec::new();
        let read = File::open(self.root.join(&path)).and_then(|f| f.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes));
        match read {
            Ok(size) if size as u64 <= TEXT_BYTES_MAX => String::from_utf8_lossy(&bytes).into_owned(),
            _ => String::new(),
        }
    }

    /// Whether something is there on disk, also when version control ignores it (`node_modules`, `.venv`).
    pub(crate) fn on_disk(&self, dir: &str, path: &str) -> bool {
        self.root.join(join(dir, path)).exists()
    }
}

fn skipped(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_dir())
        && entry.file_name().to_str().is_some_and(|name| SKIPPED.contains(&name))
}

/// `dir/name`, or just `name` when `dir` is the root.
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

/// `path` relative to `dir`, when it lies below it.
pub(crate) fn relative<'p>(path: &'p str, dir: &str) -> Option<&'p str> {
    if dir.is_empty() { Some(path) } else { path.strip_prefix(dir)?.strip_prefix('/') }
}

/// How many folders below the root `dir` is.
pub(crate) fn depth(dir: &str) -> usize {
    if dir.is_empty() { 0 } else { 1 + dir.matches('/').count() }
}
