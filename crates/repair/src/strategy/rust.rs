//! Edits that rustc's text describes; with the compiler's JSON at hand `rustc_suggestions` is better.

use mb_core::failure::Failure;

use super::Files;
use super::source::{Change, LineChange, line_of, replace_word};
use crate::pattern::pattern;

pub(crate) fn changes(failure: &Failure, files: &dyn Files) -> Vec<Change> {
    let mut changes = Vec::new();
    for diagnostic in failure.diagnostics.iter().filter(|d| matches!(d.tool.as_str(), "rustc" | "clippy")) {
        let Some(position) = &diagnostic.position else { continue };
        let Some(text) = files.read(&position.file) else { continue };
        let Some(line) = line_of(&text, position.line) else { continue };
        let number = position.line as usize;
        if let Some(found) = pattern!(r"^unused variable: `(\w+)`").captures(&diagnostic.message) {
            let hidden = format!("_{}", &found[1]);
            let replaced = replace_word(line, position.column, &found[1], &hidden);
            let title = format!("rename the unused variable {} to {hidden}", &found[1]);
            let change = replaced.map(|text| LineChange::Replace { line: number, text });
            changes.extend(change.map(|change| Change::new(title, &position.file, change)));
        } else if diagnostic.message.starts_with("unused import")
            && pattern!(r"^\s*use [\w:]+(?: as \w+)?;\s*$").is_match(line)
        {
            let title = format!("remove `{}`", line.trim());
            changes.push(Change::new(title, &position.file, LineChange::Remove { line: number }));
        }
    }
    changes.extend(shown_in_help(failure, files));
    changes
}

/// The help below a diagnostic, as kept in the evidence: a label `help: … exists: `x`` at the place of the error, or the
/// new text of a line (`5 +     a + b`, or `4 |     new text` above marks of `+` and `~`).
fn shown_in_help(failure: &Failure, files: &dyn Files) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut place: Option<(String, u32, u32)> = None;
    let mut help = "";
    let lines: Vec<&str> = failure.evidence.iter().map(|line| line.text.as_str()).collect();
    for (i, text) in lines.iter().enumerate() {
        if let Some(at) = pattern!(r"^\s*--> (.+?):(\d+):(\d+)$").captures(text) {
            place = Some((at[1].to_owned(), at[2].parse().unwrap_or(0), at[3].parse().unwrap_or(0)));
            help = "";
        } else if let Some(words) = text.strip_prefix("help: ") {
            help = words;
        }
        let Some((file, line, column)) = &place else { continue };
        let Some(content) = files.read(file) else { continue };
        if let Some(found) = pattern!(r"\^ help: .*(?:similar name exists|try|use|change).*: `([^`]+)`$").captures(text)
        {
            let Some(source) = line_of(&content, *line) else { continue };
            let Some(old) = word_at(source, *column) else { continue };
            let change = replace_word(source, *column, old, &found[1])
                .map(|text| LineChange::Replace { line: *line as usize, text });
            let title = format!("write {} for {old}", &found[1]);
            changes.extend(change.map(|change| Change::new(title, file, change)));
        } else if !help.is_empty()
            && let Some((line, new)) = new_text(text, lines.get(i + 1).copied().unwrap_or(""))
            && line_of(&content, line).is_some_and(|old| old != new)
        {
            let change = LineChange::Replace { line: line as usize, text: new.to_owned() };
            changes.push(Change::new(help.to_owned(), file, change));
        }
    }
    changes
}

fn word_at(line: &str, column: u32) -> Option<&str> {
    let start = line.char_indices().nth((column as usize).checked_sub(1)?)?.0;
    pattern!(r"^\w+").find(&line[start..]).map(|m| m.as_str())
}

fn new_text<'t>(text: &'t str, next: &str) -> Option<(u32, &'t str)> {
    let added = pattern!(r"^\s*(\d+) \+ (.*)$").captures(text);
    let marked = || {
        pattern!(r"^\s+\|\s+[+~]+\s*$").is_match(next).then(|| pattern!(r"^\s*(\d+) \| (.*)$").captures(text)).flatten()
    };
    let found = added.or_else(marked)?;
    Some((found[1].parse().ok()?, found.get(2)?.as_str()))
}
