//! pytest, unittest and bare tracebacks.

use std::collections::BTreeMap;

use mb_core::failure::{FailureKind, Hint, Position, Signal};

use super::reading::Reading;
use super::view::View;
use crate::pattern::pattern;

/// Lines a traceback may have.
const TRACEBACK_LINES_MAX: usize = 200;

/// One `____ test_x ____` section of pytest.
#[derive(Default)]
struct Section {
    message: Option<String>,
    position: Option<Position>,
    shown: (usize, usize),
}

/// pytest: its sections for position and message, its short summary for the ids.
pub(crate) fn pytest(view: &View<'_>) -> Option<Reading> {
    let sections = sections(view);
    let mut reading = Reading::new("pytest", Signal::ToolLine);
    for (i, text) in view.all().filter(|(_, t)| t.starts_with("FAILED ") || t.starts_with("ERROR ")) {
        let Some(found) = pattern!(r"^(FAILED|ERROR) (\S+?\.py(?:::.+?)?)(?: - (.*))?$").captures(text) else {
            continue;
        };
        let (id, file) = (view.path(&found[2]), found[2].split("::").next().unwrap_or_default());
        let test = found[2].split("::").skip(1).collect::<Vec<_>>().join(".");
        let collecting = format!("ERROR collecting {file}");
        let section = sections.get(test.as_str()).or_else(|| sections.get(collecting.as_str()));
        let message =
            section.and_then(|s| s.message.as_deref()).or(found.get(3).map(|m| m.as_str())).unwrap_or("failed");
        let position = section.and_then(|s| s.position.clone()).or_else(|| view.position(file, "0", "0"));
        let (kind, hint) = error_kind(message);
        reading.hints.extend(hint);
        reading.push(kind, &id, message, position, Some(section.map_or((i, i), |s| s.shown)));
    }
    if reading.findings.is_empty() {
        // `--no-summary`, or a conftest that could not be loaded.
        for (name, section) in &sections {
            let Some(message) = &section.message else { continue };
            let (kind, hint) = error_kind(message);
            reading.hints.extend(hint);
            reading.push(kind, name, message, section.position.clone(), Some(section.shown));
        }
    }
    reading.some()
}

fn sections(view: &View<'_>) -> BTreeMap<String, Section> {
    let mut found: BTreeMap<String, Section> = BTreeMap::new();
    let mut name: Option<String> = None;
    for (i, text) in view.all() {
        if text.starts_with("===") {
            name = None;
        } else if let Some(head) =
            text.starts_with("__").then(|| pattern!(r"^_{2,} (.+?) _{2,}$").captures(text)).flatten()
        {
            name = Some(head[1].to_owned());
            found.entry(head[1].to_owned()).or_insert_with(|| Section { shown: (i, i), ..Section::default() });
        }
        let Some(section) = name.as_ref().and_then(|name| found.get_mut(name)) else { continue };
        if let Some(message) = text.strip_prefix("E  ") {
            let message = message.trim();
            let better = pattern!(r"^(?:\w+\.)*\w*(?:Error|Exception|Failed|Exit|Interrupt)\b").is_match(message);
            if section.message.is_none() || (better && section.message.as_deref().is_some_and(|m| !m.contains("Error")))
            {
                section.message = Some(message.to_owned());
                section.shown = (i.saturating_sub(4).max(section.shown.0), i);
            }
        } else if let Some(at) = pattern!(r"^(\S+\.py):(\d+): (?:in |\w*$)").captures(text)
            && view.ours(&at[1])
        {
            section.position = view.position(&at[1], &at[2], "0");
            section.shown.1 = section.shown.1.max(i.min(section.shown.1 + 6));
        }
    }
    found
}

/// unittest: `FAIL: test (case)` blocks, closed by `FAILED (failures=1)`.
pub(crate) fn unittest(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("unittest", Signal::ToolLine);
    for (i, text) in view.all().filter(|(_, t)| t.starts_with("FAIL: ") || t.starts_with("ERROR: ")) {
        let Some(found) = pattern!(r"^(FAIL|ERROR): (\S+) \(([^)]+)\)").captures(text) else { continue };
        if !view.text(i + 1).starts_with("-----") && !view.text(i + 2).starts_with("-----") {
            continue;
        }
        let (message, position, end) = traceback(view, i + 1);
        let id =
            if found[3].ends_with(&found[2]) { found[3].to_owned() } else { format!("{}.{}", &found[3], &found[2]) };
        let (mut kind, hint) = error_kind(&message);
        if &found[1] == "FAIL" {
            kind = FailureKind::TestAssert;
        }
        reading.hints.extend(hint);
        reading.push(kind, &id, &message, position, Some((i, end)));
    }
    reading.some()
}

/// A program that ended in a traceback or a syntax error.
pub(crate) fn tracebacks(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("python", Signal::ToolLine);
    let tests =
        view.all().any(|(_, t)| t.starts_with("FAIL: ") || t.starts_with("FAILED (") || t.starts_with("FAILED "));
    if tests {
        return None;
    }
    let opens = |i: usize, text: &str| {
        text.starts_with("Traceback (most recent call last)")
            || (text.starts_with("  File \"") && !view.text(i.wrapping_sub(1)).starts_with([' ', 'T']))
    };
    // Only the last is what ended the program; the others were caught or led to it.
    let (start, _) = view.all().filter(|(i, text)| opens(*i, text)).last()?;
    let (message, position, end) = traceback(view, start);
    let (kind, hint) = error_kind(&message);
    reading.hints.extend(hint);
    let rule = message.split(':').next().unwrap_or_default().to_owned();
    reading.push(kind, &rule, &message, position, Some((start, end)));
    reading.some()
}

/// The exception below `start`, the innermost place in the project, and the last line.
fn traceback(view: &View<'_>, start: usize) -> (String, Option<Position>, usize) {
    let mut position = None;
    let mut last = start;
    for (i, text) in view.from(start, TRACEBACK_LINES_MAX) {
        last = i;
        if let Some(at) =
            text.contains("File \"").then(|| pattern!(r#"^\s*File "(.+?)", line (\d+)"#).captures(text)).flatten()
        {
            if view.ours(&at[1]) {
                position = view.position(&at[1], &at[2], "0");
            }
        } else if pattern!(
            r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Warning|Failure|Iteration)?(?::|$)"
        )
        .is_match(text)
            && !text.starts_with("Traceback")
        {
            return (text.to_owned(), position, i);
        }
    }
    (view.text(last).to_owned(), position, last)
}

/// The kind an exception stands for, and the module it misses.
pub(crate) fn error_kind(message: &str) -> (FailureKind, Option<Hint>) {
    if let Some(found) = pattern!(r"No module named '?([\w.]+)'?").captures(message) {
        let module = found[1].split('.').next().unwrap_or_default().to_owned();
        return (FailureKind::Dependency, Some(Hint::MissingModule { ecosystem: "python".into(), module }));
    }
    let kind = if message.starts_with("assert") || message.contains("AssertionError") || message.starts_with("Failed: ")
    {
        FailureKind::TestAssert
    } else if pattern!(r"^(?:SyntaxError|IndentationError|TabError)\b").is_match(message) {
        FailureKind::Compile
    } else {
        FailureKind::TestError
    };
    (kind, None)
}
