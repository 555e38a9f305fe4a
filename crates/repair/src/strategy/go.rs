//! Edits that the Go compiler describes: an unused import or variable, a missing import of the standard library.

use mb_core::failure::Failure;

use super::Files;
use super::source::{Change, LineChange, line_of};
use crate::pattern::pattern;

/// Packages used under their own name whose path is that name.
const PACKAGES: &[&str] = &[
    "bufio", "bytes", "context", "errors", "fmt", "io", "log", "math", "os", "reflect", "regexp", "runtime", "sort",
    "strconv", "strings", "sync", "time", "unicode",
];

pub(crate) fn changes(failure: &Failure, files: &dyn Files) -> Vec<Change> {
    let mut changes = Vec::new();
    for diagnostic in &failure.diagnostics {
        let Some(position) = diagnostic.position.as_ref().filter(|p| p.file.ends_with(".go")) else { continue };
        let Some(text) = files.read(&position.file) else { continue };
        let number = position.line as usize;
        let message = &diagnostic.message;
        let Some(line) = line_of(&text, position.line) else { continue };
        if pattern!(r#"^(?:"[^"]+" imported and not used|imported and not used: ")"#).is_match(message)
            && line.contains('"')
        {
            let title = format!("remove the unused import {}", line.trim());
            changes.push(Change::new(title, &position.file, LineChange::Remove { line: number }));
        } else if let Some(found) =
            pattern!(r"^(?:(\w+) declared (?:but|and) not used|declared and not used: (\w+))").captures(message)
        {
            let name = found.get(1).or(found.get(2)).map_or("", |m| m.as_str());
            let indent = &line[..line.len() - line.trim_start().len()];
            let change = LineChange::InsertBefore { line: number + 1, text: format!("{indent}_ = {name}") };
            changes.push(Change::new(format!("mark {name} as unused"), &position.file, change));
        } else if let Some(found) = pattern!(r"^undefined: (\w+)$").captures(message)
            && PACKAGES.contains(&&found[1])
        {
            let (line, text) = import_of(&text, &found[1]);
            let change = LineChange::InsertBefore { line, text };
            changes.push(Change::new(format!("import {:?}", &found[1]), &position.file, change));
        }
    }
    changes
}

/// The line before which an import goes, and its text.
fn import_of(text: &str, package: &str) -> (usize, String) {
    if let Some(at) = text.lines().position(|line| line.trim_end() == "import (") {
        return (at + 2, format!("\t\"{package}\""));
    }
    let after_package = text.lines().position(|line| line.starts_with("package ")).map_or(1, |at| at + 2);
    let first = text.lines().position(|line| line.starts_with("import ")).map_or(after_package, |at| at + 1);
    (first, format!("import \"{package}\""))
}
