//! One sentence for a person.

use mb_core::failure::{Diagnostic, FailureKind};

use super::reading::Reading;
use super::view::{View, cut};

/// Bytes of a summary.
const SUMMARY_BYTES_MAX: usize = 300;
/// Names listed before "and n more".
const NAMES_MAX: usize = 3;

/// What failed, in one line.
pub(crate) fn summary(view: &View<'_>, kind: FailureKind, deciding: Option<&Reading>) -> String {
    let said = deciding.map(|reading| {
        let of_kind: Vec<&Diagnostic> =
            reading.findings.iter().map(|finding| &finding.diagnostic).filter(|d| d.kind == kind).collect();
        let all: Vec<&Diagnostic> = reading.findings.iter().map(|finding| &finding.diagnostic).collect();
        match kind {
            FailureKind::TestAssert | FailureKind::TestError if all.iter().any(|d| !d.rule.is_empty()) => {
                let others = all.iter().copied().filter(|d| d.kind != kind);
                tests(&of_kind.iter().copied().chain(others).collect::<Vec<_>>())
            }
            FailureKind::Format => format(&reading.tool, &of_kind),
            _ => first_and_rest(&of_kind, all.len()),
        }
    });
    let sentence = match said.filter(|sentence| !sentence.is_empty()) {
        Some(sentence) => sentence,
        None => nothing_said(view),
    };
    let short = cut(&sentence, SUMMARY_BYTES_MAX);
    if short.len() < sentence.len() { format!("{}…", short.trim_end()) } else { sentence }
}

fn tests(all: &[&Diagnostic]) -> String {
    let noun = if all.len() == 1 { "test" } else { "tests" };
    let named = |d: &&Diagnostic| {
        if d.message == "failed" { d.rule.clone() } else { format!("{} ({})", d.rule, cut(&d.message, 120)) }
    };
    let names: Vec<String> = all.iter().take(NAMES_MAX).map(named).collect();
    format!("{} {noun} failed: {}{}", all.len(), names.join(", "), more(all.len(), names.len()))
}

fn format(tool: &str, all: &[&Diagnostic]) -> String {
    let mut files: Vec<&str> = all.iter().filter_map(|d| d.position.as_ref()).map(|p| p.file.as_str()).collect();
    files.dedup();
    let count = files.len();
    files.truncate(NAMES_MAX);
    if count == 0 {
        String::new()
    } else {
        format!("{tool} would change {}{}", files.join(", "), more(count, files.len()))
    }
}

fn first_and_rest(of_kind: &[&Diagnostic], all: usize) -> String {
    let Some(first) = of_kind.first() else { return String::new() };
    let place = first.position.as_ref().map_or(String::new(), |position| format!(" ({position})"));
    format!("{}{place}{}", first.message, more(all, 1))
}

fn more(all: usize, named: usize) -> String {
    if all > named { format!(" and {} more", all - named) } else { String::new() }
}

fn nothing_said(view: &View<'_>) -> String {
    let last = view
        .observed
        .detail
        .or_else(|| view.lines.iter().rev().map(|line| line.text.as_ref()).find(|text| !text.trim().is_empty()));
    let command = cut(&view.command, 80);
    match last {
        Some(last) => format!("`{command}` failed ({}): {}", view.observed.exit, last.trim()),
        None => format!("`{command}` failed ({})", view.observed.exit),
    }
}
