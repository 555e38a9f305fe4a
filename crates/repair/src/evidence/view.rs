//! The log as the readers see it: numbered lines without terminal codes, of bounded length and number.
//!
//! A log of any size costs a bounded amount of memory: its beginning and its end are kept whole, and of the middle only
//! the lines that hold a word of failure. Line numbers stay those of the log as given.

use std::borrow::Cow;

use mb_core::failure::Position;

use super::Observed;
use crate::pattern::pattern;

/// Bytes kept whole at the beginning of a log that is too large to keep.
const HEAD_BYTES: usize = 1 << 20;
/// Bytes kept whole at its end.
const TAIL_BYTES: usize = 5 << 20;
/// Lines kept of its middle.
const MIDDLE_LINES_MAX: usize = 5_000;
/// Bytes kept of one line.
const LINE_BYTES_MAX: usize = 4_096;

/// One line, cleaned.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// Its number in the log, from 1.
    pub(crate) number: u64,
    /// Its text without terminal codes and trailing white space.
    pub(crate) text: Cow<'a, str>,
}

/// What the readers read.
pub(crate) struct View<'a> {
    /// What was observed.
    pub(crate) observed: &'a Observed<'a>,
    /// The lines of the log.
    pub(crate) lines: Vec<Line<'a>>,
    /// The command as typed.
    pub(crate) command: String,
}

impl<'a> View<'a> {
    pub(crate) fn new(observed: &'a Observed<'a>) -> Self {
        Self { observed, lines: lines(observed.log), command: observed.step.command.display() }
    }

    /// The text of a line, empty beyond the end.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.lines.get(index).map_or("", |line| line.text.as_ref())
    }

    /// Lines with their index, from `start`, at most `count`.
    pub(crate) fn from(&self, start: usize, count: usize) -> impl Iterator<Item = (usize, &str)> {
        self.lines.iter().enumerate().skip(start).take(count).map(|(i, line)| (i, line.text.as_ref()))
    }

    /// All lines with their index.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &str)> {
        self.from(0, usize::MAX)
    }

    /// Whether a path names a file of the project: relative, or below one of the roots.
    pub(crate) fn ours(&self, path: &str) -> bool {
        let inside = !path.starts_with('/') || self.observed.roots.iter().any(|root| below(path, root).is_some());
        inside && !["node_modules/", "site-packages/", "<frozen", "node:"].iter().any(|part| path.contains(part))
    }

    /// A path as the project names it: roots stripped, the step's folder put in front of what is relative to it.
    pub(crate) fn path(&self, path: &str) -> String {
        let path = path.strip_prefix("file://").unwrap_or(path).replace('\\', "/");
        for root in self.observed.roots {
            if let Some(rest) = below(&path, root) {
                return rest.to_owned();
            }
        }
        if path.starts_with('/') {
            return path;
        }
        let joined = format!("{}/{path}", self.observed.step.dir);
        let mut parts: Vec<&str> = Vec::new();
        for part in joined.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        parts.join("/")
    }

    /// A position from captured text; numbers that do not fit are "not known".
    pub(crate) fn position(&self, file: &str, line: &str, column: &str) -> Option<Position> {
        let number = |text: &str| text.parse().unwrap_or(0);
        Some(Position { file: self.path(file), line: number(line), column: number(column) })
    }
}

fn below<'p>(path: &'p str, root: &str) -> Option<&'p str> {
    let root = root.trim_end_matches('/');
    if root.is_empty() { None } else { path.strip_prefix(root)?.strip_prefix('/') }
}

fn lines(log: &str) -> Vec<Line<'_>> {
    if log.len() <= HEAD_BYTES + TAIL_BYTES {
        return numbered(log, 1).collect();
    }
    let head_end = line_end(log, HEAD_BYTES);
    let tail_start = line_end(log, log.len() - TAIL_BYTES);
    let (head, middle, tail) = (&log[..head_end], &log[head_end..tail_start], &log[tail_start..]);
    let middle_first = 1 + newlines(head);
    let mut kept: Vec<_> = numbered(head, 1).collect();
    kept.extend(failure_lines(middle, middle_first));
    kept.extend(numbered(tail, middle_first + newlines(middle)));
    kept
}

/// The end of the line that holds byte `at`, after its newline; a character boundary.
fn line_end(log: &str, at: usize) -> usize {
    let near = (at..log.len()).find(|i| log.is_char_boundary(*i)).unwrap_or(log.len());
    log[near..].find('\n').map_or(log.len(), |i| near + i + 1)
}

fn newlines(text: &str) -> u64 {
    text.bytes().filter(|byte| *byte == b'\n').count() as u64
}

fn numbered(text: &str, first: u64) -> impl Iterator<Item = Line<'_>> {
    (first..).zip(text.lines()).map(|(number, line)| Line { number, text: clean(line) })
}

fn failure_lines(middle: &str, first: u64) -> Vec<Line<'_>> {
    let mut kept = Vec::new();
    let (mut at, mut number) = (0, first);
    while kept.len() < MIDDLE_LINES_MAX {
        let Some(found) = pattern!("error|Error|ERROR|FAIL|panicked at").find_at(middle, at) else { break };
        let start = middle[at..found.start()].rfind('\n').map_or(at, |i| at + i + 1);
        let end = middle[found.end()..].find('\n').map_or(middle.len(), |i| found.end() + i + 1);
        number += newlines(&middle[at..start]);
        kept.push(Line { number, text: clean(middle[start..end].trim_end_matches('\n')) });
        number += newlines(&middle[start..end]);
        at = end;
    }
    kept
}

/// A line without terminal codes, overwritten progress and trailing white space, cut to [`LINE_BYTES_MAX`].
pub(crate) fn clean(line: &str) -> Cow<'_, str> {
    let line = line.trim_end();
    let line = line.rfind('\r').map_or(line, |i| &line[i + 1..]);
    let line = cut(line, LINE_BYTES_MAX);
    if !line.contains(['\u{1b}', '\u{8}']) {
        return Cow::Borrowed(line);
    }
    // CSI, OSC, character-set selection, and any other two-character escape.
    let codes =
        pattern!(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[()][A-Za-z0-9]|[^\[\]()])|\x1b|\x08");
    Cow::Owned(codes.replace_all(line, "").trim_end().to_owned())
}

/// The longest prefix of at most `bytes` bytes that ends on a character.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_codes_and_progress_are_removed() {
        let check = |line, expected| assert_eq!(clean(line), expected);
        check("\u{1b}[31m\u{1b}[1mERROR\u{1b}[0m x  ", "ERROR x");
        check("\u{1b}(B\u{1b}[m+ a", "+ a");
        check(" 10%\r 20%\rdone\r", "done");
        check("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{7}", "link");
        check("lone \u{1b}", "lone");
        check("ä", "ä");
    }

    #[test]
    fn a_large_log_keeps_its_ends_and_the_failures_between_with_true_numbers() {
        let filler = "an ordinary line of a build that goes on and on\n".repeat(200_000);
        let log = format!("first\n{filler}src/a.c:1:2: error: in the middle\n{filler}last\n");
        let kept = lines(&log);
        let number = |text: &str| kept.iter().find(|line| line.text == text).map(|line| line.number);
        assert_eq!(number("first"), Some(1));
        assert_eq!(number("src/a.c:1:2: error: in the middle"), Some(200_002));
        assert_eq!(number("last"), Some(400_003));
        assert!(kept.len() < 200_000, "the middle is dropped: {}", kept.len());
    }
}
