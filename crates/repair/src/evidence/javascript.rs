//! Test runners of JavaScript: node's own (TAP and spec), jest, vitest and mocha; and programs that stopped.

use mb_core::failure::{FailureKind, Hint, Position, Signal};

use super::lines::node_package;
use super::reading::Reading;
use super::view::View;
use crate::pattern::pattern;

/// Lines one failed test may have.
const TEST_LINES_MAX: usize = 60;

/// `not ok 1 - name` with its YAML block.
pub(crate) fn tap(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new(if view.command.contains("node") { "node --test" } else { "tap" }, Signal::ToolLine);
    for (i, text) in view.all().filter(|(_, text)| text.trim_start().starts_with("not ok ")) {
        let Some(found) = pattern!(r"^\s*not ok \d+ (?:- )?(.+)$").captures(text) else { continue };
        if found[1].contains("# TODO") || found[1].contains("# SKIP") {
            continue;
        }
        let end = view.from(i + 1, TEST_LINES_MAX).find(|(_, t)| t.trim() == "...").map_or(i, |(e, _)| e);
        let block: Vec<&str> = view.from(i + 1, end - i).map(|(_, t)| t.trim()).collect();
        if block.iter().any(|t| t.contains("subtestsFailed")) {
            continue;
        }
        let value =
            |key: &str| block.iter().position(|t| t.starts_with(key)).map(|at| (at, block[at][key.len()..].trim()));
        let message = match value("error:") {
            Some((at, "|-" | "|" | ">-")) => folded(&block[at + 1..]),
            Some((_, text)) => text.trim_matches(['"', '\'']).to_owned(),
            None => "failed".to_owned(),
        };
        if says_nothing(&message) && stopped(view).is_some() {
            continue;
        }
        let asserted = block.iter().any(|t| t.contains("ERR_ASSERTION") || t.contains("AssertionError"));
        let position = value("location:").and_then(|(_, at)| place(view, at.trim_matches('\'')));
        let (kind, hint) = kind(&message, asserted);
        reading.hints.extend(hint);
        reading.push(kind, &found[1], &message, position, Some((i, end.min(i + 20))));
    }
    reading.some()
}

/// A whole file failed, which says nothing: what its process printed before it stopped does, see [`stopped`].
fn says_nothing(message: &str) -> bool {
    message.trim_matches('\'') == "test failed"
}

/// The first lines of a folded YAML text, on one line.
fn folded(lines: &[&str]) -> String {
    let text = lines.iter().take_while(|t| !t.starts_with("code:")).filter(|t| !t.is_empty()).take(3);
    text.copied().collect::<Vec<_>>().join(" ")
}

/// node's spec reporter: below `✖ failing tests:`, `test at file:1:2` and the error.
pub(crate) fn spec(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("node --test", Signal::ToolLine);
    let start = view.all().find(|(_, text)| text.ends_with("failing tests:")).map(|(i, _)| i)?;
    for (i, text) in view.from(start, usize::MAX).filter(|(_, text)| text.starts_with("test at ")) {
        let Some(name) = pattern!(r"^\s*✖ (.+?)(?: \([\d.]+m?s\))?$").captures(view.text(i + 1)) else { continue };
        let message = view.from(i + 2, 4).map(|(_, t)| t.trim()).filter(|t| !t.is_empty()).take(3);
        let message = message.take_while(|t| !t.starts_with("at ")).collect::<Vec<_>>().join(" ");
        if says_nothing(&message) && stopped(view).is_some() {
            continue;
        }
        let (kind, hint) = kind(&message, message.contains("AssertionError"));
        reading.hints.extend(hint);
        reading.push(kind, &name[1], &message, place(view, text.trim_start_matches("test at ")), Some((i, i + 5)));
    }
    reading.some()
}

/// jest's `● suite › test`, and vitest's ` FAIL  file > suite > test`.
pub(crate) fn jest(view: &View<'_>) -> Option<Reading> {
    let vitest = view.all().any(|(_, text)| text.contains(" ❯ ") || text.contains("RUN  v"));
    let mut reading = Reading::new(if vitest { "vitest" } else { "jest" }, Signal::ToolLine);
    let mut seen = std::collections::BTreeSet::new();
    for (i, text) in view.all() {
        let head = if text.contains('●') {
            pattern!(r"^\s*● (.+)$").captures(text)
        } else if text.contains("FAIL ") {
            pattern!(r"^\s*FAIL\s+(\S+\.[cm]?[jt]sx? (?:>|\[) ?.+)$").captures(text)
        } else {
            None
        };
        let Some(head) = head else { continue };
        if head[1].starts_with("Console") || !seen.insert(head[1].to_owned()) {
            continue;
        }
        let (message, position, end) = body(view, i + 1);
        let asserted =
            message.contains("expect(") || message.contains("AssertionError") || message.starts_with("expected ");
        let (kind, hint) = kind(&message, asserted);
        reading.hints.extend(hint);
        reading.push(kind, &head[1], &message, position, Some((i, end)));
    }
    reading.some()
}

/// mocha's list of failures: `  1) suite`, deeper lines of the title ending in `:`, then the error.
pub(crate) fn mocha(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("mocha", Signal::ToolLine);
    let start = view.all().find(|(_, text)| pattern!(r"^\s+\d+ failing$").is_match(text)).map(|(i, _)| i)?;
    for (i, text) in view.from(start, usize::MAX) {
        let Some(head) = pattern!(r"^\s+\d+\) (.+)$").captures(text) else { continue };
        let mut title = head[1].to_owned();
        let mut next = i + 1;
        while !title.ends_with(':') && next < i + 10 && !view.text(next).is_empty() {
            title = format!("{title} {}", view.text(next).trim());
            next += 1;
        }
        let (message, position, end) = body(view, next);
        let (kind, hint) = kind(&message, message.contains("AssertionError") || message.contains("expected "));
        reading.hints.extend(hint);
        reading.push(kind, title.trim_end_matches(':'), &message, position, Some((i, end)));
    }
    reading.some()
}

/// The error below a test's title: first words (with what was expected and received), first place of ours, last line.
fn body(view: &View<'_>, start: usize) -> (String, Option<Position>, usize) {
    let mut message = String::new();
    let mut last = start;
    for (i, text) in view.from(start, TEST_LINES_MAX) {
        let text = text.trim();
        if text.starts_with('●') || pattern!(r"^(?:\d+\) |FAIL |Test Suites:|⎯)").is_match(text) && i > start + 1 {
            break;
        }
        if let Some(at) = pattern!(r"(?:^at .*?\(?|^❯ (?:.* )?)((?:file://)?[^\s()]+):(\d+):(\d+)\)?$").captures(text)
        {
            if view.ours(&at[1]) {
                return (message, view.position(&at[1], &at[2], &at[3]), i);
            }
        } else if message.is_empty() {
            message = text.to_owned();
            last = i;
        } else if text.starts_with("Expected: ") || text.starts_with("Received: ") {
            message = format!("{message} {text}");
            last = i;
        }
    }
    (message, None, last)
}

/// A tool that a script of `package.json` runs and nobody installed. Such tools come from `node_modules`, so what is
/// missing is a dependency and not a program of the host.
pub(crate) fn scripts(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("npm", Signal::ToolLine);
    // npm and pnpm show the script's line as `> line`, Yarn as `$ line`.
    let lines: Vec<&str> = view.all().filter_map(|(_, t)| t.strip_prefix("> ").or(t.strip_prefix("$ "))).collect();
    let runs = |tool: &str| lines.iter().any(|line| line.split([' ', '"', '&', '|', ';']).any(|word| word == tool));
    for (i, text) in view.all() {
        let found = pattern!(r"^(?:/bin/)?(?:ba|da)?sh: (?:line )?\d+: (@?[a-z][\w./-]*): (?:command )?not found$");
        let Some(found) = found.captures(text).filter(|found| runs(&found[1])) else { continue };
        let module = node_package(&found[1]);
        let message = format!("{module}, which a script runs, is not installed");
        reading.hints.insert(Hint::MissingModule { ecosystem: "node".into(), module });
        reading.push(FailureKind::Dependency, "", &message, None, Some((i, i)));
    }
    reading.some()
}

/// A program that stopped: `Error: Cannot find module 'x'`, `SyntaxError: …` and where. In TAP it is a comment.
pub(crate) fn stopped(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("node", Signal::ToolLine);
    for (i, text) in view.all().filter(|(_, text)| text.contains("Error")) {
        let Some(found) = pattern!(r"^(?:# )?(?:Uncaught )?((?:[A-Z]\w*)?Error(?: \[\w+\])?): (.+)$").captures(text)
        else {
            continue;
        };
        let stack = view.from(i + 1, 12).find(|(_, t)| t.trim_start_matches(['#', ' ']).starts_with("at "));
        let Some((end, _)) = stack else { continue };
        let at = view.from(i + 1, 20).filter_map(|(_, t)| pattern!(r"\(?([^\s()]+):(\d+):(\d+)\)?$").captures(t));
        let at = at.into_iter().find(|at| view.ours(&at[1]));
        let (kind, hint) = kind(&found[2], found[1].starts_with("AssertionError"));
        let kind = if found[1].starts_with("SyntaxError") { FailureKind::Compile } else { kind };
        reading.hints.extend(hint);
        reading.push(
            kind,
            &found[1],
            &found[2],
            at.and_then(|at| view.position(&at[1], &at[2], &at[3])),
            Some((i, end)),
        );
    }
    reading.findings.truncate(1);
    reading.some()
}

fn place(view: &View<'_>, text: &str) -> Option<Position> {
    let at = pattern!(r"^(.+?):(\d+):(\d+)$").captures(text)?;
    view.position(&at[1], &at[2], &at[3])
}

fn kind(message: &str, asserted: bool) -> (FailureKind, Option<Hint>) {
    let missing = pattern!(
        r#"(?:Cannot find (?:module|package)|Failed to resolve import|Cannot resolve module) ['"]([^'"./][^'"]*)['"]"#
    );
    if let Some(found) =
        missing.captures(message).filter(|found| !found[1].starts_with("file:") && !found[1].starts_with("@/"))
    {
        let hint = Hint::MissingModule { ecosystem: "node".into(), module: node_package(&found[1]) };
        return (FailureKind::Dependency, Some(hint));
    }
    if message.contains("SyntaxError") {
        return (FailureKind::Compile, None);
    }
    (if asserted { FailureKind::TestAssert } else { FailureKind::TestError }, None)
}
