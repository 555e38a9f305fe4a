//! A unified difference as git prints it, taken apart into added and removed lines.
//!
//! Hunk lengths are followed exactly, so a removed line that reads `-- a/x` is not taken for a header.

use crate::pattern::pattern;

/// One line of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number in the new text if added, in the old text if removed.
    pub(crate) number: u32,
    /// Its text without the mark.
    pub(crate) text: String,
}

/// The difference of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileDiff {
    /// Its path before; empty when it is new.
    pub(crate) old: String,
    /// Its path after; empty when it is deleted.
    pub(crate) new: String,
    /// Whether git found it not to be text.
    pub(crate) binary: bool,
    /// It becomes a symbolic link, or one that leads elsewhere.
    pub(crate) link: bool,
    /// Lines it gained.
    pub(crate) added: Vec<Line>,
    /// Lines it lost.
    pub(crate) removed: Vec<Line>,
}

impl FileDiff {
    /// The path after, or before if it is deleted.
    pub(crate) fn path(&self) -> &str {
        if self.new.is_empty() { &self.old } else { &self.new }
    }

    /// All lines, added first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.added.iter().chain(&self.removed)
    }
}

/// Takes a difference apart; what is not understood is passed over.
pub(crate) fn parse(text: &str) -> Vec<FileDiff> {
    let mut files: Vec<FileDiff> = Vec::new();
    let (mut old_left, mut new_left, mut old_at, mut new_at) = (0_u32, 0_u32, 0_u32, 0_u32);
    for line in text.lines() {
        if old_left > 0 || new_left > 0 {
            let Some(file) = files.last_mut() else { continue };
            let body = || line.get(1..).unwrap_or("").to_owned();
            match line.as_bytes().first() {
                Some(b'+') => {
                    file.added.push(Line { number: new_at, text: body() });
                    (new_at, new_left) = (new_at.saturating_add(1), new_left.saturating_sub(1));
                }
                Some(b'-') => {
                    file.removed.push(Line { number: old_at, text: body() });
                    (old_at, old_left) = (old_at.saturating_add(1), old_left.saturating_sub(1));
                }
                Some(b'\\') => {}
                _ => {
                    (old_at, new_at) = (old_at.saturating_add(1), new_at.saturating_add(1));
                    (old_left, new_left) = (old_left.saturating_sub(1), new_left.saturating_sub(1));
                }
            }
        } else if let Some(hunk) = pattern!(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@").captures(line) {
            let number = |n: usize| hunk.get(n).map_or(1, |m| m.as_str().parse().unwrap_or(0));
            (old_at, old_left, new_at, new_left) = (number(1), number(2), number(3), number(4));
        } else {
            header(line, &mut files);
        }
    }
    files
}

fn header(line: &str, files: &mut Vec<FileDiff>) {
    if line.starts_with("diff --git ") {
        files.push(FileDiff::default());
        return;
    }
    // A difference without git's own header starts a file with `---`.
    if line.starts_with("--- ") && files.last().is_none_or(|file| !file.new.is_empty() && file.lines().next().is_some())
    {
        files.push(FileDiff::default());
    }
    let Some(file) = files.last_mut() else { return };
    if let Some(path) = line.strip_prefix("--- ") {
        file.old = path_of(path, "a/");
    } else if let Some(path) = line.strip_prefix("+++ ") {
        file.new = path_of(path, "b/");
    } else if let Some(path) = line.strip_prefix("rename from ") {
        file.old = path_of(path, "");
    } else if let Some(path) = line.strip_prefix("rename to ") {
        file.new = path_of(path, "");
    } else if let Some(found) = pattern!(r"^Binary files (?:a/)?(.+) and (?:b/)?(.+) differ$").captures(line) {
        file.binary = true;
        let path = |text: &str| if text == "/dev/null" { String::new() } else { text.to_owned() };
        (file.old, file.new) = (path(&found[1]), path(&found[2]));
    } else if matches!(line, "new file mode 120000" | "new mode 120000")
        || (line.starts_with("index ") && line.ends_with(" 120000"))
    {
        file.link = true;
    } else if line == "GIT binary patch" {
        file.binary = true;
    }
}

fn path_of(text: &str, prefix: &str) -> String {
    let text = text.split('\t').next().unwrap_or(text).trim_matches('"');
    if text == "/dev/null" { String::new() } else { text.strip_prefix(prefix).unwrap_or(text).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_look_like_headers_stay_lines() {
        let text = "diff --git a/x.sql b/x.sql\n--- a/x.sql\n+++ b/x.sql\n@@ -3,2 +3,2 @@\n--- a comment\n+++ another\n kept\n\
                    diff --git a/y b/y\ndeleted file mode 100644\n--- a/y\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n";
        let files = parse(text);
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].removed, [Line { number: 3, text: "-- a comment".into() }]);
        assert_eq!(files[0].added, [Line { number: 3, text: "++ another".into() }]);
        assert_eq!((files[1].path(), files[1].new.as_str()), ("y", ""));
    }
}
