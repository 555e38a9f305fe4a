//! The files of a worktree whose project is no repository: unpacked, changed and compared by this program.
//!
//! The beginning of a difference is a list of digests, so only files that differ are read twice. Deliberately absent:
//! a `.git` for commands. There was none for them to find, or no git to read it.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::apply;
use crate::copies::{Copies, Entry, Mode, Tree};
use crate::left_out;
use crate::patch::{Patch, PatchLimits};
use crate::project::{ProjectError, Snapshot, at};
use crate::unified::{self, Changed};

/// The half of a worktree that does without git. All of it blocks.
#[derive(Debug, Clone)]
pub(crate) struct Duplicate {
    tree: PathBuf,
    copies: Copies,
    /// The files that differences are taken from.
    base: Tree,
    /// What is left out of differences.
    rules: String,
}

impl Duplicate {
    /// Writes the snapshot's files into `tree` and applies `patches`.
    pub(crate) fn create(
        tree: &Path,
        snapshot: &Snapshot,
        patches: &[Patch],
        rules: &str,
    ) -> Result<Duplicate, ProjectError> {
        let copies = Copies::in_folder(&snapshot.objects);
        let base = copies.tree(&snapshot.tree).map_err(at(&snapshot.objects))?;
        copies.unpack(&base, tree).map_err(at(tree))?;
        let mut duplicate = Duplicate { tree: tree.to_owned(), copies, base, rules: rules.to_owned() };
        if !patches.is_empty() {
            duplicate.apply(patches)?;
            duplicate.freeze()?;
        }
        Ok(duplicate)
    }

    /// All or nothing.
    pub(crate) fn apply(&self, patches: &[Patch]) -> Result<(), ProjectError> {
        apply::apply(&self.tree, patches)
    }

    pub(crate) fn diff(&self, limits: PatchLimits) -> Result<Patch, ProjectError> {
        let now = self.now()?;
        let mut diff = String::new();
        for Changed { path, old, new } in unified::changes(&self.base, &now) {
            let before = old.map(|entry| self.before(path, entry)).transpose()?;
            let after = new.map(|entry| self.after(path, entry)).transpose()?;
            unified::write(&mut diff, path, side(before.as_ref()), side(after.as_ref()));
            if diff.len() as u64 > limits.bytes_max {
                return Err(ProjectError::PatchTooLarge { limit: limits.bytes_max, unit: "bytes" });
            }
        }
        Ok(Patch::parse(diff)?)
    }

    pub(crate) fn changed_files(&self) -> Result<Vec<String>, ProjectError> {
        let now = self.now()?;
        Ok(unified::changes(&self.base, &now).into_iter().map(|changed| changed.path.to_owned()).collect())
    }

    pub(crate) fn settle(&mut self) -> Result<(), ProjectError> {
        let now = self.now()?;
        let (mut before, mut made) = (Tree::new(), Vec::new());
        for Changed { path, old, new } in unified::changes(&self.base, &now) {
            match old {
                Some(entry) => drop(before.insert(path.to_owned(), entry.clone())),
                None => made.push(path),
            }
            if old.is_some() && new.is_some() {
                fs::remove_file(self.tree.join(path)).map_err(at(&self.tree.join(path)))?;
            }
        }
        self.rules = left_out::with_files(&self.rules, made.into_iter());
        self.copies.unpack(&before, &self.tree).map_err(at(&self.tree))
    }

    /// Makes the files as they are the beginning.
    fn freeze(&mut self) -> Result<(), ProjectError> {
        let files: Vec<String> = self.now()?.into_keys().collect();
        let frozen = self.copies.freeze(&self.tree, &files, &mut Vec::new());
        self.base = frozen.map_err(at(&self.tree))?;
        Ok(())
    }

    fn now(&self) -> Result<Tree, ProjectError> {
        self.copies.present(&self.tree, &self.base, &self.rules).map_err(at(&self.tree))
    }

    fn before(&self, path: &str, entry: &Entry) -> Result<Read, ProjectError> {
        let bytes = self.copies.read(&entry.digest).map_err(at(&self.tree.join(path)))?;
        Ok((entry.mode, text(path, bytes)?))
    }

    fn after(&self, path: &str, entry: &Entry) -> Result<Read, ProjectError> {
        let place = self.tree.join(path);
        let bytes = match entry.mode {
            Mode::Link => fs::read_link(&place).map(|to| to.into_os_string().into_vec()),
            Mode::File | Mode::Program => fs::read(&place),
        };
        Ok((entry.mode, text(path, bytes.map_err(at(&place))?)?))
    }
}

/// A file's mode and its content as text.
type Read = (Mode, String);

fn side(read: Option<&Read>) -> unified::Side<'_> {
    read.map(|(mode, text)| (*mode, text.as_str()))
}

/// A difference is text, so what it speaks of must be.
fn text(path: &str, bytes: Vec<u8>) -> Result<String, ProjectError> {
    let binary = |_| ProjectError::Binary { file: path.to_owned() };
    let text = String::from_utf8(bytes).map_err(binary)?;
    if text.contains('\0') { Err(ProjectError::Binary { file: path.to_owned() }) } else { Ok(text) }
}
