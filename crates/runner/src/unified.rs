//! Writes the difference of two lists of files in git's format, without git.
//!
//! `git apply` takes what comes out. The `index` line is left out, as it names git objects there are none of; for the
//! same reason changes to files that are not text are refused: git's binary patches need those names.

use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices_deadline, group_diff_ops};

use crate::copies::{Entry, Mode, Tree};

/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// How long the shortest difference of one file is looked for; then a longer one is taken.
const EFFORT: Duration = Duration::from_secs(2);

/// A file that changed. At least one side is there, and they differ.
pub(crate) struct Changed<'a> {
    pub(crate) path: &'a str,
    pub(crate) old: Option<&'a Entry>,
    pub(crate) new: Option<&'a Entry>,
}

/// What changed from one list to the other, in the order of the paths.
pub(crate) fn changes<'a>(old: &'a Tree, new: &'a Tree) -> Vec<Changed<'a>> {
    let mut paths: Vec<&String> = old.keys().chain(new.keys().filter(|path| !old.contains_key(*path))).collect();
    paths.sort_unstable();
    let changed = |path| Changed { path, old: old.get(path), new: new.get(path) };
    paths.into_iter().map(|path| changed(path)).filter(|changed| changed.old != changed.new).collect()
}

/// A side of a change: what the file is and its content.
pub(crate) type Side<'a> = Option<(Mode, &'a str)>;

/// Appends the difference of one file.
pub(crate) fn write(out: &mut String, path: &str, old: Side<'_>, new: Side<'_>) {
    // What becomes a link, or stops being one, is another file.
    if let (Some((was, _)), Some((is, _))) = (old, new)
        && (was == Mode::Link) != (is == Mode::Link)
    {
        write(out, path, old, None);
        return write(out, path, None, new);
    }
    let (from, to) = (quoted("a/", path), quoted("b/", path));
    out.push_str(&format!("diff --git {from} {to}\n"));
    match (old, new) {
        (None, Some((mode, _))) => out.push_str(&format!("new file mode {}\n", mode.octal())),
        (Some((mode, _)), None) => out.push_str(&format!("deleted file mode {}\n", mode.octal())),
        (Some((was, _)), Some((is, _))) if was != is => {
            out.push_str(&format!("old mode {}\nnew mode {}\n", was.octal(), is.octal()));
        }
        _ => {}
    }
    let (before, after) = (old.map_or("", |(_, text)| text), new.map_or("", |(_, text)| text));
    if before == after {
        return;
    }
    // As git does: a tab ends a name that has a space in it.
    let end = if path.contains(' ') { "\t" } else { "" };
    let name = |side: Side<'_>, name: &str| side.map_or("/dev/null".to_owned(), |_| format!("{name}{end}"));
    out.push_str(&format!("--- {}\n+++ {}\n", name(old, &from), name(new, &to)));
    hunks(out, before, after);
}

fn hunks(out: &mut String, before: &str, after: &str) {
    // A line ends at a line feed and nowhere else, whatever else the text contains.
    let (old, new): (Vec<&str>, Vec<&str>) =
        (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(Instant::now() + EFFORT));
    for group in group_diff_ops(ops, CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let from = range(first.old_range().start, last.old_range().end);
        let to = range(first.new_range().start, last.new_range().end);
        out.push_str(&format!("@@ -{from} +{to} @@\n"));
        for op in &group {
            write_op(out, op, &old, &new);
        }
    }
}

fn write_op(out: &mut String, op: &DiffOp, old: &[&str], new: &[&str]) {
    let mut lines = |sign: char, lines: &[&str]| {
        for line in lines {
            out.push(sign);
            out.push_str(line);
            if !line.ends_with('\n') {
                out.push_str("\n\\ No newline at end of file\n");
            }
        }
    };
    match op.tag() {
        DiffTag::Equal => lines(' ', &old[op.old_range()]),
        DiffTag::Delete | DiffTag::Insert | DiffTag::Replace => {
            lines('-', &old[op.old_range()]);
            lines('+', &new[op.new_range()]);
        }
    }
}

/// `start,length` as git counts: from 1, an empty range by the line before it, a length of 1 unsaid.
fn range(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        length => format!("{},{length}", start + 1),
    }
}

/// A name as git writes it: in quotes with escapes only when it has to be.
fn quoted(prefix: &str, path: &str) -> String {
    let special = |letter: char| letter.is_ascii_control() || letter == '"' || letter == '\\';
    if !path.contains(special) {
        return format!("{prefix}{path}");
    }
    let mut text = format!("\"{prefix}");
    for letter in path.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            letter if letter.is_ascii_control() => text.push_str(&format!("\\{:03o}", u32::from(letter))),
            letter => text.push(letter),
        }
    }
    text.push('"');
    text
}
