//! Applies differences in git's format to a folder, without git: all of them or nothing.
//!
//! Everything is worked out in memory first, then written beside its place, then renamed into it; should a rename
//! fail, those before it are taken back. A hunk must fit the lines it names exactly, at the place it names: git would also
//! look further up and down, but a change that was verified for one place is not made at another.
//!
//! Deliberately absent: binary patches, renames and copies. The first are refused with a reason; nothing here writes
//! the others.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use crate::copies::{Mode, through_link};
use crate::patch::{Patch, header_path, hunk_ranges};
use crate::project::{ProjectError, at};

/// Why a change does not fit a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misfit {
    #[error("line {line} and those after it are not what the change was made for")]
    Lines {
        /// The first line of the hunk, from 1.
        line: usize,
    },
    #[error("it exists already")]
    Exists,
    #[error("it does not exist")]
    Missing,
    #[error("it has lines the change does not know")]
    NotEmpty,
    #[error("the change is binary, which needs git")]
    Binary,
    #[error("its path leaves the project, or is the repository's own")]
    Outside,
    #[error("its path leads through a link")]
    Link,
    #[error("it is neither a file nor a link, or becomes such")]
    Kind,
    #[error("the change cannot be read")]
    Unreadable,
}

/// One file's part of a difference.
#[derive(Default)]
struct Change {
    path: String,
    /// The mode it gets, where the difference says one.
    mode: Option<Mode>,
    added: bool,
    deleted: bool,
    hunks: Vec<Hunk>,
}

/// Lines to find and lines to put there, with their ends.
struct Hunk {
    /// Where the lines are, from 0.
    start: usize,
    old: Vec<Vec<u8>>,
    new: Vec<Vec<u8>>,
}

/// What a path is, while changes are worked out.
#[derive(Clone, PartialEq, Eq)]
struct Content {
    mode: Mode,
    bytes: Vec<u8>,
}

/// Applies `patches` in order to the files below `root`.
///
/// # Errors
/// [`ProjectError::Conflict`] with the first file that does not fit; [`ProjectError::Io`] when a file cannot be
/// written. Either way nothing has changed.
pub(crate) fn apply(root: &Path, patches: &[Patch]) -> Result<(), ProjectError> {
    let mut work = Work { root, before: BTreeMap::new(), after: BTreeMap::new() };
    for patch in patches {
        for (path, change) in parse(&patch.diff) {
            let made = change.and_then(|change| work.make(change));
            made.map_err(|misfit| ProjectError::Conflict { file: path, source: Box::new(misfit) })?;
        }
    }
    work.write()
}

struct Work<'a> {
    root: &'a Path,
    before: BTreeMap<String, Option<Content>>,
    after: BTreeMap<String, Option<Content>>,
}

impl Work<'_> {
    fn make(&mut self, change: Change) -> Result<(), Misfit> {
        let now = self.load(&change.path)?;
        let now = match (now, change.added) {
            (Some(_), true) => return Err(Misfit::Exists),
            (None, true) => Content { mode: change.mode.ok_or(Misfit::Kind)?, bytes: Vec::new() },
            (Some(now), false) => now,
            (None, false) => return Err(Misfit::Missing),
        };
        let mode = change.mode.unwrap_or(now.mode);
        if (mode == Mode::Link) != (now.mode == Mode::Link) {
            return Err(Misfit::Kind);
        }
        let bytes = replace(&now.bytes, &change.hunks)?;
        if change.deleted && !bytes.is_empty() {
            return Err(Misfit::NotEmpty);
        }
        self.after.insert(change.path, (!change.deleted).then_some(Content { mode, bytes }));
        Ok(())
    }

    fn load(&mut self, path: &str) -> Result<Option<Content>, Misfit> {
        if let Some(known) = self.after.get(path) {
            return Ok(known.clone());
        }
        let normal = |part| matches!(part, Component::Normal(name) if name != ".git");
        if path.is_empty() || !Path::new(path).components().all(normal) {
            return Err(Misfit::Outside);
        }
        if through_link(self.root, path) {
            return Err(Misfit::Link);
        }
        let at = self.root.join(path);
        let content = match Mode::of(&at) {
            None if fs::symlink_metadata(&at).is_ok() => return Err(Misfit::Kind),
            None => None,
            Some(mode @ Mode::Link) => {
                let leads_to = fs::read_link(&at).map_err(|_| Misfit::Missing)?;
                Some(Content { mode, bytes: leads_to.into_os_string().into_vec() })
            }
            Some(mode) => Some(Content { mode, bytes: fs::read(&at).map_err(|_| Misfit::Missing)? }),
        };
        self.before.insert(path.to_owned(), content.clone());
        Ok(content)
    }

    fn write(self) -> Result<(), ProjectError> {
        let mut aside = Aside(Vec::new());
        let differs = |(path, after): &(&String, &Option<Content>)| self.before.get(*path) != Some(*after);
        for (path, after) in self.after.iter().filter(differs) {
            let place = self.root.join(path);
            let written = match after {
                Some(content) => Some(stage(&place, content).map_err(at(&place))?),
                None => None,
            };
            aside.0.push((place, written));
        }
        for done in 0..aside.0.len() {
            let (place, written) = &mut aside.0[done];
            let moved = match written {
                Some(written) => fs::rename(written, &*place),
                None => fs::remove_file(&*place),
            };
            let place = place.clone();
            if let Err(error) = moved {
                self.take_back(&aside.0[..done]);
                return Err(at(&place)(error));
            }
            self.drop_empty_folders(&place);
        }
        aside.0.clear();
        Ok(())
    }

    /// Restores files that were already changed. What cannot be restored cannot be helped: the disk fails.
    fn take_back(&self, changed: &[(PathBuf, Option<PathBuf>)]) {
        for (place, _) in changed {
            let path = place.strip_prefix(self.root).ok().and_then(Path::to_str).unwrap_or_default();
            let _ = match self.before.get(path) {
                Some(Some(content)) => stage(place, content).and_then(|written| fs::rename(written, place)),
                _ => fs::remove_file(place),
            };
        }
    }

    /// As git does: a folder without files is no part of a project.
    fn drop_empty_folders(&self, place: &Path) {
        if place.symlink_metadata().is_ok() {
            return;
        }
        for folder in place.ancestors().skip(1).take_while(|folder| *folder != self.root) {
            if fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}

/// Files written beside their places; what was not renamed goes away.
struct Aside(Vec<(PathBuf, Option<PathBuf>)>);

impl Drop for Aside {
    fn drop(&mut self) {
        for written in self.0.iter().filter_map(|(_, written)| written.as_ref()) {
            let _ = fs::remove_file(written);
        }
    }
}

/// Writes a content beside its place, with the permissions it will have.
fn stage(place: &Path, content: &Content) -> io::Result<PathBuf> {
    let folder = place.parent().ok_or(io::ErrorKind::NotFound)?;
    fs::create_dir_all(folder)?;
    let aside = folder.join(format!(".meta-builder-{}", crate::sys::unique()));
    let written = if content.mode == Mode::Link {
        std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&content.bytes), &aside)
    } else {
        fs::write(&aside, &content.bytes).and_then(|()| permit(&aside, place, content.mode))
    };
    match written {
        Ok(()) => Ok(aside),
        Err(error) => {
            let _ = fs::remove_file(&aside);
            Err(error)
        }
    }
}

/// Who could read the file before can read it after; who can read a program can run it.
fn permit(aside: &Path, place: &Path, mode: Mode) -> io::Result<()> {
    let like = if place.is_file() { place } else { aside };
    let bits = fs::metadata(like)?.permissions().mode();
    let bits = if mode == Mode::Program { bits | (bits & 0o444) >> 2 } else { bits & !0o111 };
    fs::set_permissions(aside, fs::Permissions::from_mode(bits))
}

/// Puts the hunks into a content.
fn replace(bytes: &[u8], hunks: &[Hunk]) -> Result<Vec<u8>, Misfit> {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let (mut out, mut next) = (Vec::with_capacity(bytes.len()), 0);
    for hunk in hunks {
        let misfit = Misfit::Lines { line: hunk.start + 1 };
        let end = hunk.start + hunk.old.len();
        let (Some(kept), Some(found)) = (lines.get(next..hunk.start), lines.get(hunk.start..end)) else {
            return Err(misfit);
        };
        if !found.iter().eq(hunk.old.iter()) {
            return Err(misfit);
        }
        out.extend(kept.iter().copied().flatten());
        out.extend(hunk.new.iter().flatten());
        next = end;
    }
    out.extend(lines[next..].iter().copied().flatten());
    Ok(out)
}

type Lines<'a> = std::iter::Peekable<std::str::SplitTerminator<'a, char>>;

/// The files of a difference in order. [`Patch::parse`] has checked the format; what it passes over ends here.
fn parse(diff: &str) -> Vec<(String, Result<Change, Misfit>)> {
    let mut files = Vec::new();
    let mut lines = diff.split_terminator('\n').peekable();
    while let Some(line) = lines.next() {
        let Some(path) = line.strip_prefix("diff --git ").and_then(header_path) else {
            files.push((line.to_owned(), Err(Misfit::Unreadable)));
            return files;
        };
        let mut change = Ok(Change { path: path.clone(), ..Change::default() });
        while let Some(line) = lines.next_if(|line| !line.starts_with("diff --git ")) {
            change = change.and_then(|mut change| {
                if line.starts_with("@@ ") {
                    change.hunks.push(hunk(line, &mut lines)?);
                } else {
                    header(line, &mut change)?;
                }
                Ok(change)
            });
        }
        files.push((path, change));
    }
    files
}

fn header(line: &str, change: &mut Change) -> Result<(), Misfit> {
    let mode = |text: &str| Mode::from_octal(text).ok_or(Misfit::Kind).map(Some);
    if let Some(text) = line.strip_prefix("new file mode ") {
        (change.added, change.mode) = (true, mode(text)?);
    } else if let Some(text) = line.strip_prefix("new mode ") {
        change.mode = mode(text)?;
    } else if line.starts_with("deleted file mode ") {
        change.deleted = true;
    } else if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
        return Err(Misfit::Binary);
    }
    Ok(())
}

fn hunk<'a>(header: &str, lines: &mut Lines<'a>) -> Result<Hunk, Misfit> {
    let (from, to) = hunk_ranges(header).ok_or(Misfit::Unreadable)?;
    let (mut old_left, mut new_left) = (from.1, to.1);
    // An empty range names the line before it.
    let start = if from.1 == 0 { from.0 } else { from.0.saturating_sub(1) };
    let mut hunk = Hunk { start: start as usize, old: Vec::new(), new: Vec::new() };
    while old_left > 0 || new_left > 0 {
        let line = lines.next().ok_or(Misfit::Unreadable)?;
        let (sign, text) = line.split_at_checked(1).unwrap_or((" ", ""));
        // `\ No newline at end of file` speaks of the line before it.
        let end = if lines.next_if(|line| line.starts_with('\\')).is_some() { "" } else { "\n" };
        let text = format!("{text}{end}").into_bytes();
        if sign != "+" {
            hunk.old.push(text.clone());
            old_left = old_left.saturating_sub(1);
        }
        if sign != "-" {
            hunk.new.push(text);
            new_left = new_left.saturating_sub(1);
        }
    }
    Ok(hunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unified;

    fn diff(path: &str, old: unified::Side<'_>, new: unified::Side<'_>) -> Patch {
        let mut text = String::new();
        unified::write(&mut text, path, old, new);
        Patch::parse(text).unwrap()
    }

    fn check(old: &str, new: &str) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), old).unwrap();
        let patch = diff("f", Some((Mode::File, old)), Some((Mode::File, new)));
        apply(dir.path(), std::slice::from_ref(&patch)).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("f")).unwrap(), new, "{}", patch.diff);
    }

    #[test]
    fn what_is_written_is_applied() {
        let long: String = (0..40).map(|n| format!("{n}\n")).collect();
        check(&long, &long.replace("5\n", "five\n").replace("33\n", ""));
        check("a", "a\n");
        check("a\n", "b");
        check("a\nb", "b");
        check("", "x\r\ny\rz");
        check("-- a\n++ b\ndiff --git a/x b/x\n\n", "-- a\n\ndiff --git a/y b/y\n@@ -1 +1 @@\n");
    }

    #[test]
    fn nothing_is_changed_unless_everything_fits() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
        write("a", "1\n");
        write("b", "user\n");
        std::os::unix::fs::symlink("/tmp", root.join("link")).unwrap();
        let file = |text| Some((Mode::File, text));
        let good = diff("a", file("1\n"), file("2\n"));
        let check = |bad: Patch, expected: Misfit| {
            let error = apply(root, &[good.clone(), bad]).unwrap_err();
            let ProjectError::Conflict { source, .. } = error else { panic!("{error:?}") };
            assert_eq!(source.downcast_ref(), Some(&expected));
            assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "1\n");
            assert_eq!(fs::read_dir(root).unwrap().count(), 3, "nothing is left beside");
        };
        check(diff("b", file("1\n"), file("2\n")), Misfit::Lines { line: 1 });
        check(diff("b", None, file("2\n")), Misfit::Exists);
        check(diff("c", file("1\n"), None), Misfit::Missing);
        check(diff("../c", None, file("1\n")), Misfit::Outside);
        check(diff(".git/config", None, file("1\n")), Misfit::Outside);
        check(diff("link/c", None, file("1\n")), Misfit::Link);
        let binary = "diff --git a/b b/b\nindex 1..2 100644\nGIT binary patch\nliteral 0\nHc$\n\n".to_owned();
        check(Patch::parse(binary).unwrap(), Misfit::Binary);
    }
}
