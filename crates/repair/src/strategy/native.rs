//! Edits that gcc and clang describe: a missing `#include`, a misspelt name.

use mb_core::failure::Failure;

use super::Files;
use super::source::{Change, LineChange, did_you_mean, line_of, replace_word};
use crate::pattern::pattern;

/// Names of the standard library for which compilers give no note.
const HEADERS: &[(&str, &str)] = &[
    ("accumulate", "numeric"),
    ("cerr", "iostream"),
    ("cout", "iostream"),
    ("endl", "iostream"),
    ("find", "algorithm"),
    ("function", "functional"),
    ("max_element", "algorithm"),
    ("move", "utility"),
    ("reverse", "algorithm"),
    ("sort", "algorithm"),
    ("swap", "utility"),
    ("transform", "algorithm"),
    ("unique", "algorithm"),
];

pub(crate) fn changes(failure: &Failure, files: &dyn Files) -> Vec<Change> {
    let mut changes = Vec::new();
    for diagnostic in &failure.diagnostics {
        let Some(position) = diagnostic.position.as_ref().filter(|p| is_native(&p.file)) else { continue };
        let Some(text) = files.read(&position.file) else { continue };
        if let Some((old, new)) = did_you_mean(&diagnostic.message) {
            let replaced = line_of(&text, position.line).and_then(|l| replace_word(l, position.column, &old, &new));
            let change = replaced.map(|text| LineChange::Replace { line: position.line as usize, text });
            changes.extend(change.map(|change| Change::new(format!("write {new} for {old}"), &position.file, change)));
        }
        let unknown =
            pattern!(r"[‘'](\w+)[’'] is not a member of [‘']std[’']|no member named '(\w+)' in namespace 'std'");
        if let Some(found) = unknown.captures(&diagnostic.message) {
            let name = found.get(1).or(found.get(2)).map_or("", |m| m.as_str());
            let header = HEADERS.iter().find(|(known, _)| *known == name).map(|(_, header)| *header);
            changes.extend(header.and_then(|header| include(&position.file, &text, header)));
        }
    }
    changes.extend(failure.evidence.iter().filter_map(|line| include_of_note(&line.text, failure, files)));
    changes
}

fn is_native(file: &str) -> bool {
    [".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx"].iter().any(|ending| file.ends_with(ending))
}

/// `a.c:2:1: note: include ‘<stdlib.h>’ or …`, `… is defined in header ‘<string>’; did you forget …`.
fn include_of_note(note: &str, failure: &Failure, files: &dyn Files) -> Option<Change> {
    let found =
        pattern!(r"^(\S+?):\d+:\d+: note: (?:.*is defined in header|include(?: the header)?) [‘'`]?<([\w./+]+)>")
            .captures(note)?;
    // The note's path is as printed; the diagnostics' are those of the project.
    let same = |file: &&String| {
        file.as_str() == &found[1] || file.ends_with(&format!("/{}", found[1].trim_start_matches("./")))
    };
    let file = failure.diagnostics.iter().filter_map(|d| d.position.as_ref().map(|p| &p.file)).find(same);
    let file = file.map_or(&found[1], String::as_str);
    include(file, &files.read(file)?, &found[2])
}

fn include(file: &str, text: &str, header: &str) -> Option<Change> {
    let new = format!("#include <{header}>");
    if text.lines().any(|line| line.trim() == new) {
        return None;
    }
    let last =
        text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("#include")).map(|(i, _)| i + 2);
    let line = last.last().unwrap_or(1);
    Some(Change::new(format!("add `{new}`"), file, LineChange::InsertBefore { line, text: new }))
}
