//! Adding a dependency to a manifest by inserting text: comments, order and spacing of the rest stay as they are.

use crate::pattern::pattern;

/// `requirements.txt` with one more line.
pub(crate) fn requirements(text: &str, name: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    inserted(&lines, 0, lines.len(), name, name, |line| {
        pattern!(r"^[A-Za-z0-9][\w.-]*").find(line).map(|m| m.as_str().to_owned())
    })
}

/// `pyproject.toml` with one more entry: of its list for tests when only tests want it and there is such a list, else of
/// `[project] dependencies`, or of poetry's table; none if it has none of these.
pub(crate) fn pyproject(text: &str, name: &str, for_tests: bool) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    if let Some(open) = tests_list(&lines).filter(|_| for_tests) {
        return into_array(&lines, open, name);
    }
    if let Some((start, end)) = table(&lines, "tool.poetry.dependencies") {
        return Some(inserted(&lines, start, end, name, &format!("{name} = \"*\""), toml_key));
    }
    let (start, end) = table(&lines, "project")?;
    match (start..end).find(|i| pattern!(r"^dependencies\s*=\s*\[").is_match(lines[*i])) {
        Some(open) => into_array(&lines, open, name),
        None => {
            let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            lines.insert(end, format!("dependencies = [\"{name}\"]"));
            Some(joined(&lines))
        }
    }
}

/// The line at which an extra or dependency group for tests opens, the narrowest first.
fn tests_list(lines: &[&str]) -> Option<usize> {
    let mut table = "";
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        if line.starts_with('[') {
            table = line.trim();
        }
        let Some(key) = pattern!(r"^(optional-dependencies\.)?(test|tests|testing|dev)\s*=\s*\[").captures(line) else {
            continue;
        };
        let fits = match table {
            "[project.optional-dependencies]" | "[dependency-groups]" => key.get(1).is_none(),
            "[project]" => key.get(1).is_some(),
            _ => false,
        };
        let rank = ["test", "tests", "testing", "dev"].iter().position(|name| *name == &key[2]);
        found.extend(rank.filter(|_| fits).map(|rank| (rank, i)));
    }
    found.into_iter().min().map(|(_, i)| i)
}

/// One more string in the array that opens at a line.
fn into_array(lines: &[&str], open: usize, name: &str) -> Option<String> {
    let mut owned: Vec<String> = lines.iter().map(ToString::to_string).collect();
    if let Some(one) = pattern!(r"^([\w.-]+\s*=\s*\[)(.*?),?\s*(\]\s*(?:#.*)?)$").captures(lines[open]) {
        let comma = if one[2].trim().is_empty() { "" } else { ", " };
        owned[open] = format!("{}{}{comma}\"{name}\"{}", &one[1], &one[2], &one[3]);
        return Some(joined(&owned));
    }
    let close = (open + 1..lines.len()).find(|i| lines[*i].trim_start().starts_with(']'))?;
    let last = (open + 1..close).rev().find(|i| lines[*i].trim_start().starts_with(['"', '\'']));
    if let Some(last) = last.filter(|i| !lines[*i].contains("\",") && !lines[*i].contains("',")) {
        owned[last] = pattern!(r#"(["'])(\s*(?:#.*)?)$"#).replace(&owned[last], "$1,$2").into_owned();
    }
    let indent = last.map_or("    ", |i| &lines[i][..lines[i].len() - lines[i].trim_start().len()]).to_owned();
    let views: Vec<&str> = owned.iter().map(String::as_str).collect();
    let entry = format!("{indent}\"{name}\",");
    Some(inserted(&views, open + 1, close, name, &entry, |line| {
        pattern!(r#"^\s*["']([\w.-]+)"#).captures(line).map(|found| found[1].to_owned())
    }))
}

/// `Cargo.toml` with one more line of `[dependencies]` (which is made if it is not there).
pub(crate) fn cargo(text: &str, name: &str, entry: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    match table(&lines, "dependencies") {
        Some((start, end)) => inserted(&lines, start, end, name, entry, toml_key),
        None => format!("{}\n\n[dependencies]\n{entry}\n", text.trim_end()),
    }
}

/// `package.json` with one more entry of the section `dependencies` or `devDependencies`.
pub(crate) fn package_json(text: &str, section: &str, name: &str, version: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let entry = format!("\"{name}\": \"{version}\"");
    let head = format!("\"{section}\"");
    let Some(open) = lines.iter().position(|line| line.trim_start().starts_with(&head)) else {
        return new_section(text, section, &entry);
    };
    if !lines[open].trim_end().ends_with('{') {
        let empty = pattern!(r"\{\s*\}").replace(lines[open], format!("{{ {} }}", entry.replace('$', "$$")));
        let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let changed = empty != lines[open];
        lines[open] = empty.into_owned();
        return changed.then(|| joined(&lines));
    }
    let close = (open + 1..lines.len()).find(|i| lines[*i].trim_start().starts_with('}'))?;
    let key = |line: &str| pattern!(r#"^\s*"([^"]+)"\s*:"#).captures(line).map(|found| found[1].to_owned());
    let first = *lines.get(open + 1).filter(|_| open + 1 < close).unwrap_or(&"    ");
    let indent = &first[..first.len() - first.trim_start().len()];
    let before = (open + 1..close).find(|i| key(lines[*i]).is_some_and(|key| key.as_str() > name));
    let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    match before {
        Some(at) => lines.insert(at, format!("{indent}{entry},")),
        None => {
            if close > open + 1 {
                lines[close - 1].push(',');
            }
            lines.insert(close, format!("{indent}{entry}"));
        }
    }
    Some(joined(&lines))
}

fn new_section(text: &str, section: &str, entry: &str) -> Option<String> {
    let body = text.trim_end().strip_suffix('}')?.trim_end();
    let comma = if body.ends_with('{') { "" } else { "," };
    Some(format!("{body}{comma}\n  \"{section}\": {{\n    {entry}\n  }}\n}}\n"))
}

/// First line after a table's header, and the line after its last entry.
fn table(lines: &[&str], name: &str) -> Option<(usize, usize)> {
    let start = lines.iter().position(|line| line.trim() == format!("[{name}]"))? + 1;
    let next = (start..lines.len()).find(|i| lines[*i].starts_with('[')).unwrap_or(lines.len());
    let end = (start..next).rev().find(|i| !lines[*i].trim().is_empty()).map_or(start, |i| i + 1);
    Some((start, end))
}

fn toml_key(line: &str) -> Option<String> {
    pattern!(r#"^"?([\w-]+)"?\s*[=.]"#).captures(line).map(|found| found[1].to_owned())
}

/// `lines` with `entry` in `start..end`: before the first key that is greater if the keys are sorted, else at the end.
fn inserted(
    lines: &[&str],
    start: usize,
    end: usize,
    name: &str,
    entry: &str,
    key: fn(&str) -> Option<String>,
) -> String {
    let keys: Vec<(usize, String)> =
        (start..end).filter_map(|i| key(lines[i]).map(|key| (i, key.to_lowercase()))).collect();
    let name = name.to_lowercase();
    let sorted = keys.windows(2).all(|pair| pair[0].1 <= pair[1].1);
    let at = keys.iter().find(|(_, key)| sorted && *key > name).map_or(end, |(i, _)| *i);
    let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    lines.insert(at, entry.to_owned());
    joined(&lines)
}

fn joined(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_tests_want_goes_into_their_list() {
        let check = |text: &str, for_tests, expected: &str| {
            assert_eq!(pyproject(text, "new", for_tests).as_deref(), Some(expected));
        };
        let extras = "[project]\ndependencies = []\noptional-dependencies.tests = [\n  \"a\",\n  \"z\",\n]\n";
        check(extras, true, &extras.replace("  \"z\"", "  \"new\",\n  \"z\""));
        check(extras, false, &extras.replace("cies = []", "cies = [\"new\"]"));
        let groups = "[dependency-groups]\ndev = [\"b\"]\ntest = [\"a\"]\n";
        check(groups, true, &groups.replace("[\"a\"]", "[\"a\", \"new\"]"));
        let other = "[project]\ndependencies = []\n[tool.x]\ntest = []\n";
        check(other, true, &other.replace("cies = []", "cies = [\"new\"]"));
    }
}
