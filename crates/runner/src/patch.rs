//! A difference as data: git's unified format with `a/` and `b/` prefixes, and what it touches.
//!
//! Binary files and files that are not UTF-8 travel as git binary patches, so the text is always a `String`.
//! Deliberately absent: renames (a rename is a deletion and an addition, which every reader understands).

use mb_core::workflow::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A set of changes to a project. Paths are relative to the top of the repository (of the project when it has none).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub struct Patch {
    /// Git unified diff; empty when nothing changed.
    pub diff: String,
    /// The files it touches, in the order of the diff.
    pub files: Vec<PatchedFile>,
}

/// One file of a [`Patch`].
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PatchedFile {
    /// Path with `/`.
    pub path: String,
    /// Lines added; 0 for a binary file.
    pub added: u32,
    /// Lines removed; 0 for a binary file.
    pub removed: u32,
    /// What happened to it.
    pub kind: PatchKind,
}

/// What happened to a file.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum PatchKind {
    /// Its content changed (and perhaps its mode).
    Modified,
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Only its mode changed.
    Mode,
}

/// Bounds of a difference that is taken from a worktree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchLimits {
    /// Size of the diff text, in bytes.
    pub bytes_max: u64,
    /// Files touched, in number.
    pub files_max: usize,
}

impl Default for PatchLimits {
    /// 10 MiB and 10,000 files.
    fn default() -> Self {
        Self { bytes_max: 10 << 20, files_max: 10_000 }
    }
}

/// A text is not a diff in git's format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the patch is not git's diff format: {what}")]
pub struct BadPatch {
    /// Where, from 1.
    pub line: usize,
    /// What was expected or found.
    pub what: &'static str,
}

impl Patch {
    /// Reads a diff as `git diff` prints it.
    ///
    /// # Errors
    /// The first line that does not fit the format. Whether it applies is not checked.
    pub fn parse(diff: String) -> Result<Patch, BadPatch> {
        let files = Reader::new(&diff).files()?;
        Ok(Patch { diff, files })
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.diff.is_empty()
    }

    /// Several changes, made one after the other, as one; none for none.
    ///
    /// # Errors
    /// When one of them was not read by [`Patch::parse`] and is no diff.
    pub fn join(patches: &[Patch]) -> Result<Option<Patch>, BadPatch> {
        if patches.is_empty() {
            return Ok(None);
        }
        let diff: String = patches.iter().map(|patch| patch.diff.as_str()).collect();
        Patch::parse(diff).map(Some)
    }

    /// SHA-256 of the diff text, in hex: the same change has the same digest.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.diff.as_bytes()))
    }
}

/// Walks over the lines of a diff; hunks are skipped by their counted lengths, never by guessing at a prefix.
struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(diff: &'a str) -> Self {
        let body = diff.strip_suffix('\n').unwrap_or(diff);
        Self { lines: if body.is_empty() { Vec::new() } else { body.split('\n').collect() }, at: 0 }
    }

    fn files(mut self) -> Result<Vec<PatchedFile>, BadPatch> {
        let mut files = Vec::new();
        while let Some(line) = self.peek() {
            let Some(header) = line.strip_prefix("diff --git ") else {
                return Err(self.bad("expected a line `diff --git a/… b/…`"));
            };
            let path = header_path(header).ok_or_else(|| self.bad("the two paths cannot be read"))?;
            self.at += 1;
            files.push(self.file(path)?);
        }
        Ok(files)
    }

    fn file(&mut self, path: String) -> Result<PatchedFile, BadPatch> {
        let mut file = PatchedFile { path, added: 0, removed: 0, kind: PatchKind::Modified };
        let (mut mode, mut content) = (false, false);
        while let Some(line) = self.peek() {
            if line.starts_with("diff --git ") {
                break;
            }
            self.at += 1;
            if line.starts_with("@@ ") {
                content = true;
                self.hunk(line, &mut file)?;
            } else if line.starts_with("new file mode ") {
                file.kind = PatchKind::Added;
            } else if line.starts_with("deleted file mode ") {
                file.kind = PatchKind::Deleted;
            } else if line.starts_with("new mode ") {
                mode = true;
            } else if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
                content = true;
            } else if line.starts_with("rename ") || line.starts_with("copy ") {
                return Err(self.bad("renames and copies are not used"));
            }
        }
        if mode && !content {
            file.kind = PatchKind::Mode;
        }
        Ok(file)
    }

    /// Skips one hunk's body and counts its lines.
    fn hunk(&mut self, header: &str, file: &mut PatchedFile) -> Result<(), BadPatch> {
        let ((_, mut old), (_, mut new)) =
            hunk_ranges(header).ok_or_else(|| self.bad("the hunk header cannot be read"))?;
        while old > 0 || new > 0 {
            let line = self.peek().ok_or_else(|| self.bad("the hunk ends early"))?;
            self.at += 1;
            match line.as_bytes().first() {
                Some(b'+') => (new, file.added) = (new.saturating_sub(1), file.added + 1),
                Some(b'-') => (old, file.removed) = (old.saturating_sub(1), file.removed + 1),
                Some(b'\\') => {}
                Some(b' ') | None => (old, new) = (old.saturating_sub(1), new.saturating_sub(1)),
                Some(_) => return Err(self.bad("a hunk line begins with none of + - space \\")),
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<&'a str> {
        self.lines.get(self.at).copied()
    }

    fn bad(&self, what: &'static str) -> BadPatch {
        BadPatch { line: self.at + 1, what }
    }
}

/// The path of `a/P b/P` (both are the same, as there are no renames), unquoted.
pub(crate) fn header_path(header: &str) -> Option<String> {
    if let Some(rest) = header.strip_prefix('"') {
        let (path, _) = unquote(rest)?;
        return path.strip_prefix("a/").map(str::to_owned);
    }
    // "a/P b/P": the two halves have the same length, which settles paths that contain " b/".
    let half = header.len().checked_sub(1)? / 2;
    let (left, right) = (header.get(..half)?, header.get(half + 1..)?);
    let (left, right) = (left.strip_prefix("a/")?, right.strip_prefix("b/")?);
    (left == right && !left.is_empty()).then(|| left.to_owned())
}

/// Undoes git's C-style quoting up to the closing quote; the rest of the text follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            b'"' => return Some((String::from_utf8(out).ok()?, &text[at + 1..])),
            b'\\' => {
                let escape = *bytes.get(at + 1)?;
                if escape.is_ascii_digit() {
                    out.push(u8::from_str_radix(text.get(at + 1..at + 4)?, 8).ok()?);
                    at += 4;
                    continue;
                }
                out.push(match escape {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'a' => 7,
                    b'b' => 8,
                    b'f' => 12,
                    b'v' => 11,
                    other => other,
                });
                at += 2;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

/// Where a side of a hunk begins, and how many lines it has.
pub(crate) type Range = (u32, u32);

/// The two ranges in `@@ -1,2 +3,4 @@`; a missing length is 1.
pub(crate) fn hunk_ranges(header: &str) -> Option<(Range, Range)> {
    let mut words = header.split(' ').skip(1);
    let range = |text: &str| match text.split_once(',') {
        Some((start, length)) => Some((start.parse().ok()?, length.parse().ok()?)),
        None => Some((text.parse().ok()?, 1)),
    };
    let old = range(words.next()?.strip_prefix('-')?)?;
    let new = range(words.next()?.strip_prefix('+')?)?;
    Some((old, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(diff: &str, expected: &[(&str, u32, u32, PatchKind)]) {
        let patch = Patch::parse(diff.to_owned()).unwrap();
        let got: Vec<_> = patch.files.iter().map(|f| (f.path.as_str(), f.added, f.removed, f.kind)).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn files_and_counts_are_read() {
        let text = "diff --git a/x b/y b/x b/y\nindex 1..2 100644\n--- a/x b/y\n+++ b/x b/y\n@@ -1,2 +1,3 @@ fn\n \n\
                    --- gone\n+++ come\n+more\ndiff --git a/run b/run\nold mode 100644\nnew mode 100755\n";
        check(text, &[("x b/y", 2, 1, PatchKind::Modified), ("run", 0, 0, PatchKind::Mode)]);
        let text = "diff --git \"a/t\\tb\\303\\251\" \"b/t\\tb\\303\\251\"\nnew file mode 100644\nindex 0..1\n\
                    --- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\n";
        check(text, &[("t\tbé", 1, 0, PatchKind::Added)]);
        let binary = "diff --git a/b b/b\ndeleted file mode 100644\nindex 1..0\nGIT binary patch\nliteral 0\nHc$\n\n";
        check(binary, &[("b", 0, 0, PatchKind::Deleted)]);
        check("", &[]);
    }

    #[test]
    fn what_is_not_a_diff_is_refused() {
        for bad in ["hello\n", "diff --git a/x b/y\n", "diff --git a/x b/x\n@@ -1,2 +1,2 @@\n a\n"] {
            assert!(Patch::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_digest_follows_the_text() {
        let one = Patch { diff: "a".into(), files: Vec::new() };
        assert_eq!(one.digest(), one.clone().digest());
        assert_ne!(one.digest(), Patch::default().digest());
        assert!(Patch::default().is_empty() && !one.is_empty());
    }
}
