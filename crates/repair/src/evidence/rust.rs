//! Cargo, rustc, clippy, rustfmt, libtest and nextest, as they print for people.

use std::collections::BTreeMap;

use mb_core::failure::{FailureKind, Hint, Signal};

use super::reading::Reading;
use super::view::View;
use crate::pattern::pattern;

/// Lines a diagnostic may have before its end is assumed.
const BLOCK_LINES_MAX: usize = 60;

/// `error[E0308]: message` and the block below it. Errors without a position are the package manager's (`phrases`).
pub(crate) fn diagnostics(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new(if view.command.contains("clippy") { "clippy" } else { "rustc" }, Signal::ToolLine);
    for (start, text) in view.all().filter(|(_, text)| text.starts_with("error")) {
        let Some(head) = pattern!(r"^error(?:\[(E\d{4}|[\w:]+)\])?: (.+)$").captures(text) else { continue };
        let block = view.from(start + 1, BLOCK_LINES_MAX).take_while(|(_, t)| !t.is_empty());
        let end = block.last().map_or(start, |(i, _)| i);
        let block = || view.from(start + 1, end - start);
        let arrow = block().find_map(|(_, t)| pattern!(r"^\s*--> (.+?):(\d+):(\d+)$").captures(t));
        let Some(arrow) = arrow else { continue };
        let lint = block().find_map(|(_, t)| lint_name(t));
        let rule = lint.as_deref().or(head.get(1).map(|m| m.as_str())).unwrap_or("");
        let (kind, hint) = kind(rule, lint.is_some(), &head[2], &arrow[1], block().map(|(_, t)| t));
        reading.hints.extend(hint);
        if block().any(|(_, t)| t.starts_with("help: ") || t.contains(" help: ")) {
            reading.hints.insert(Hint::MachineApplicable { tool: reading.tool.clone() });
        }
        reading.push(kind, rule, &head[2], view.position(&arrow[1], &arrow[2], &arrow[3]), Some((start, end)));
    }
    reading.some()
}

fn kind<'t>(
    rule: &str,
    lint: bool,
    message: &str,
    file: &str,
    block: impl Iterator<Item = &'t str>,
) -> (FailureKind, Option<Hint>) {
    if file.ends_with(".toml") {
        return (FailureKind::ConfigCi, None);
    }
    if lint {
        return (if rule.starts_with("rustdoc::") { FailureKind::Docs } else { FailureKind::Lint }, None);
    }
    let unlinked = |text: &str| {
        pattern!(r"unlinked crate `(\w+)`|can't find crate for `(\w+)`")
            .captures(text)
            .map(|c| c.get(1).or(c.get(2)).map_or(String::new(), |m| m.as_str().to_owned()))
    };
    match unlinked(message).or_else(|| block.into_iter().find_map(unlinked)) {
        Some(module) => (FailureKind::Dependency, Some(Hint::MissingModule { ecosystem: "cargo".into(), module })),
        None => (FailureKind::Compile, None),
    }
}

/// The lint a note names, as it is written in source (`clippy::needless_return`).
fn lint_name(note: &str) -> Option<String> {
    if !note.contains("note: ") {
        return None;
    }
    let found = pattern!(r"note: `-[DF] ([\w:-]+)`|note: `#\[(?:deny|forbid)\(([\w:]+)\)\]`").captures(note)?;
    Some(found.get(1).or(found.get(2))?.as_str().replace('-', "_"))
}

/// `Diff in src/lib.rs:9:` of `cargo fmt --check`.
pub(crate) fn rustfmt(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("rustfmt", Signal::ToolLine);
    let mut files = std::collections::BTreeSet::new();
    for (i, text) in view.all().filter(|(_, text)| text.starts_with("Diff in ")) {
        let Some(found) = pattern!(r"^Diff in (.+?)(?::(\d+):| at line (\d+):)$").captures(text) else { continue };
        let path = view.path(&found[1]);
        if !files.insert(path) {
            continue;
        }
        let line = found.get(2).or(found.get(3)).map_or("0", |m| m.as_str());
        let end = view.from(i + 1, 12).take_while(|(_, t)| !t.starts_with("Diff in ")).last().map_or(i, |(e, _)| e);
        reading.hints.insert(Hint::MachineApplicable { tool: "rustfmt".into() });
        let position = view.position(&found[1], line, "0");
        reading.push(FailureKind::Format, "", "would be reformatted", position, Some((i, end)));
    }
    reading.some()
}

/// Failed tests of libtest (`test x ... FAILED`) and nextest (`FAIL [ 0.1s] crate x`), with what each panicked with.
pub(crate) fn tests(view: &View<'_>) -> Option<Reading> {
    let panics = panics(view);
    let mut reading = Reading::new("cargo test", Signal::ToolLine);
    let mut seen = std::collections::BTreeSet::new();
    for (i, text) in view.all() {
        let Some(name) = failed_test(text) else { continue };
        if !seen.insert(name.to_owned()) {
            continue;
        }
        match panics.get(name) {
            Some(p) => {
                let asserted = p.message.starts_with("assertion") || p.message.contains("did not panic as expected");
                let kind = if asserted { FailureKind::TestAssert } else { FailureKind::TestError };
                reading.push(kind, name, &p.message, view.position(&p.at.0, &p.at.1, &p.at.2), Some(p.shown));
            }
            None => reading.push(FailureKind::TestError, name, "failed", None, Some((i, i))),
        }
    }
    reading.some()
}

fn failed_test(text: &str) -> Option<&str> {
    if text.ends_with(" ... FAILED") {
        return text
            .strip_prefix("test ")?
            .strip_suffix(" ... FAILED")
            .map(|name| name.trim_end_matches(" - should panic"));
    }
    if !text.contains("FAIL [") && !text.contains("SIGABRT [") && !text.contains("TIMEOUT [") {
        return None;
    }
    let found = pattern!(r"^\s+(?:FAIL|SIG\w+|TIMEOUT) \[[^\]]*\] (?:\([^)]*\) )?\S+ (\S+)$").captures(text)?;
    found.get(1).map(|m| m.as_str())
}

struct Panic {
    message: String,
    at: (String, String, String),
    shown: (usize, usize),
}

/// What each thread (tests run in threads of their name) panicked with, first panic of each.
fn panics(view: &View<'_>) -> BTreeMap<String, Panic> {
    let mut found = BTreeMap::new();
    for (i, text) in view.all().filter(|(_, text)| text.contains("panicked at ")) {
        let new = pattern!(r"thread '(.+?)'(?: \(\d+\))? panicked at (\S+):(\d+):(\d+):$").captures(text);
        let old = || pattern!(r"thread '(.+?)' panicked at '(.*)', (\S+):(\d+):(\d+)$").captures(text);
        let (name, panic) = if let Some(c) = new {
            let at = (c[2].to_owned(), c[3].to_owned(), c[4].to_owned());
            let (message, end) = panic_message(view, i + 1);
            (c[1].to_owned(), Panic { message, at, shown: (i, end) })
        } else if let Some(c) = old() {
            let at = (c[3].to_owned(), c[4].to_owned(), c[5].to_owned());
            (c[1].to_owned(), Panic { message: c[2].to_owned(), at, shown: (i, i) })
        } else {
            continue;
        };
        found.entry(name).or_insert(panic);
    }
    found
}

/// The message after a panic's head, with the two sides of a failed comparison, and its last line.
fn panic_message(view: &View<'_>, start: usize) -> (String, usize) {
    let mut message = view.text(start).to_owned();
    let mut end = start;
    for (i, text) in view.from(start + 1, 6) {
        let text = text.trim_start();
        if text.starts_with("left: ") || text.starts_with("right: ") {
            message = format!("{message}, {text}");
            end = i;
        }
    }
    (message, end)
}
