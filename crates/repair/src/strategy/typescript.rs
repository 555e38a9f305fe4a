//! Edits that tsc and eslint describe: a misspelt name, an import that is not used.

use mb_core::failure::Failure;

use super::Files;
use super::source::{Change, LineChange, did_you_mean, line_of, replace_word};
use crate::pattern::pattern;

pub(crate) fn changes(failure: &Failure, files: &dyn Files) -> Vec<Change> {
    let mut changes = Vec::new();
    for diagnostic in &failure.diagnostics {
        let endings = [".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts"];
        let script = |file: &str| endings.iter().any(|ending| file.ends_with(ending));
        let Some(position) = diagnostic.position.as_ref().filter(|p| script(&p.file)) else { continue };
        let Some(text) = files.read(&position.file) else { continue };
        let Some(line) = line_of(&text, position.line) else { continue };
        let number = position.line as usize;
        if let Some((old, new)) = did_you_mean(&diagnostic.message) {
            let replaced = replace_word(line, position.column, &old, &new);
            let change = replaced.map(|text| LineChange::Replace { line: number, text });
            changes.extend(change.map(|change| Change::new(format!("write {new} for {old}"), &position.file, change)));
        }
        let spare = pattern!(r"^'(\w+)' is assigned a value but never used");
        if let Some(found) = spare.captures(&diagnostic.message)
            && is_plain_declaration(line, &found[1])
        {
            let title = format!("remove the unused variable {}", &found[1]);
            changes.push(Change::new(title, &position.file, LineChange::Remove { line: number }));
        }
        let unused = pattern!(r"^'(\w+)' is (?:declared but its value is never read|defined but never used)");
        if let Some(found) = unused.captures(&diagnostic.message) {
            let change = without_import(line, number, &found[1]);
            let title = format!("remove the unused import {}", &found[1]);
            changes.extend(change.map(|change| Change::new(title, &position.file, change)));
        }
    }
    changes
}

/// Whether the line declares that one variable and does nothing else: its value is a name or a literal.
fn is_plain_declaration(line: &str, name: &str) -> bool {
    let declared = pattern!(r#"^\s*(?:var|let|const)\s+(\w+)\s*=\s*(?:[\w.]+|'[^'\\]*'|"[^"\\]*"|\[\]|\{\})\s*;?\s*$"#);
    declared.captures(line).is_some_and(|found| &found[1] == name)
}

/// `import a, { b, c as d } from "x"` without one of its names; none when the line is something else.
fn without_import(line: &str, number: usize, name: &str) -> Option<LineChange> {
    let found = pattern!(r"^(import\s+(?:type\s+)?)(?:(\w+)\s*,?\s*)?(?:\{([^}]*)\})?(\s*from\s.+)$").captures(line)?;
    let default = found.get(2).map(|m| m.as_str()).filter(|default| *default != name);
    let named = found.get(3).map_or("", |m| m.as_str());
    let local =
        |item: &&str| item.rsplit(" as ").next().is_some_and(|local| local.trim_start_matches("type ").trim() != name);
    let all: Vec<&str> = named.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    let kept: Vec<&str> = all.iter().copied().filter(local).collect();
    if kept.len() == all.len() && default == found.get(2).map(|m| m.as_str()) {
        return None;
    }
    let braces = (!kept.is_empty()).then(|| format!("{{ {} }}", kept.join(", ")));
    let clause = match (default, braces) {
        (None, None) => return Some(LineChange::Remove { line: number }),
        (Some(default), Some(braces)) => format!("{default}, {braces}"),
        (Some(default), None) => default.to_owned(),
        (None, Some(braces)) => braces,
    };
    Some(LineChange::Replace { line: number, text: format!("{}{clause} {}", &found[1], found[4].trim_start()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_declaration_without_effects_may_go() {
        for (line, expected) in [
            ("  var a = b\n", true),
            ("const a = 'x';", true),
            ("let a = {}", true),
            ("let a = f()", false),
            ("let a = 1, b = 2", false),
            ("let ab = 1", false),
            ("a = 1", false),
        ] {
            assert_eq!(is_plain_declaration(line.trim_end(), "a"), expected, "{line}");
        }
    }

    #[test]
    fn one_name_leaves_an_import() {
        let check = |line, expected: Option<&str>| {
            let got = without_import(line, 1, "b").map(|change| match change {
                LineChange::Replace { text, .. } => text,
                other => format!("{other:?}"),
            });
            assert_eq!(got.as_deref(), expected);
        };
        check("import b from 'x';", Some("Remove { line: 1 }"));
        check("import { b } from 'x';", Some("Remove { line: 1 }"));
        check("import a, { b, c as d } from 'x';", Some("import a, { c as d } from 'x';"));
        check("import b, { c } from 'x';", Some("import { c } from 'x';"));
        check("import { a, c as b } from 'x';", Some("import { a } from 'x';"));
        check("import a, { b } from 'x';", Some("import a from 'x';"));
        check("import { a } from 'b';", None);
        check("const b = 1;", None);
    }
}
