//! Small changes of source lines, and how they become proposals.

use std::collections::{BTreeMap, BTreeSet};

use super::{Edit, Files, Proposal};
use crate::pattern::pattern;

/// One line changed, removed or inserted. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LineChange {
    /// New text of the line.
    Replace { line: usize, text: String },
    /// The line goes away.
    Remove { line: usize },
    /// A new line before this one.
    InsertBefore { line: usize, text: String },
}

/// A change of one file, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) title: String,
    pub(crate) path: String,
    pub(crate) change: LineChange,
}

impl Change {
    pub(crate) fn new(title: String, path: &str, change: LineChange) -> Self {
        Self { title, path: path.to_owned(), change }
    }
}

/// One line of a file, from 1.
pub(crate) fn line_of(text: &str, line: u32) -> Option<&str> {
    text.lines().nth((line as usize).checked_sub(1)?)
}

/// Replaces the word `old` of a line with `new`: the occurrence at or nearest to `column` (from 1, 0 unknown).
pub(crate) fn replace_word(line: &str, column: u32, old: &str, new: &str) -> Option<String> {
    if old.is_empty() || old == new {
        return None;
    }
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let whole = |at: usize| !word(line[..at].chars().next_back()) && !word(line[at + old.len()..].chars().next());
    let wanted = (column as usize).saturating_sub(1);
    let at = line.match_indices(old).map(|(at, _)| at).filter(|at| whole(*at)).min_by_key(|at| at.abs_diff(wanted))?;
    Some(format!("{}{new}{}", &line[..at], &line[at + old.len()..]))
}

/// All changes in one proposal, then each alone if there are several.
pub(crate) fn proposals(changes: Vec<Change>, files: &dyn Files) -> Vec<Proposal> {
    let mut distinct: Vec<Change> = Vec::new();
    for change in changes {
        if !distinct.contains(&change) {
            distinct.push(change);
        }
    }
    let mut proposals: Vec<Proposal> = Vec::new();
    if distinct.len() > 1 {
        let title = format!("{} and {} more", distinct[0].title, distinct.len() - 1);
        proposals.extend(proposal(title, &distinct, files));
    }
    proposals.extend(distinct.iter().filter_map(|c| proposal(c.title.clone(), std::slice::from_ref(c), files)));
    proposals
}

fn proposal(title: String, changes: &[Change], files: &dyn Files) -> Option<Proposal> {
    let mut by_file: BTreeMap<&str, BTreeSet<&LineChange>> = BTreeMap::new();
    for change in changes {
        by_file.entry(&change.path).or_default().insert(&change.change);
    }
    let mut edits = Vec::new();
    for (path, changes) in by_file {
        let before = files.read(path)?;
        let content = apply(&before, &changes);
        if content != before {
            edits.push(Edit::Write { path: path.to_owned(), content });
        }
    }
    (!edits.is_empty()).then(|| Proposal::edits(title, edits))
}

/// Applies changes to the lines of the original text; of two changes of one line the first wins.
fn apply(text: &str, changes: &BTreeSet<&LineChange>) -> String {
    let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut replaced: BTreeMap<usize, Option<&str>> = BTreeMap::new();
    let mut inserted: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for change in changes {
        match change {
            LineChange::Replace { line, text } => drop(replaced.entry(*line).or_insert(Some(text))),
            LineChange::Remove { line } => drop(replaced.entry(*line).or_insert(None)),
            LineChange::InsertBefore { line, text } => inserted.entry(*line).or_default().push(text),
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut number = 0;
    for line in text.split_inclusive('\n') {
        number += 1;
        for new in inserted.remove(&number).unwrap_or_default() {
            out.extend([new, ending]);
        }
        match replaced.get(&number) {
            None => out.push_str(line),
            Some(None) => {}
            Some(Some(new)) => {
                out.push_str(new);
                out.push_str(&line[line.trim_end_matches(['\r', '\n']).len()..]);
            }
        }
    }
    for new in inserted.into_values().flatten() {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push_str(ending);
        }
        out.extend([new, ending]);
    }
    out
}

/// The name in quotes of any style before, and the one after, the words "did you mean".
pub(crate) fn did_you_mean(message: &str) -> Option<(String, String)> {
    let nearest = pattern!(r#"['"‘`](\w+)['"’`][^'"‘`]*[Dd]id you mean:? ['"‘`](\w+)['"’`]"#);
    // TypeScript names the type between the two: there the first name is the wrong one.
    let of_type = pattern!(r"'(\w+)' does not exist (?:on|in) type .*[Dd]id you mean(?: to write)? '(\w+)'");
    let found = of_type.captures(message).or_else(|| nearest.captures(message))?;
    Some((found[1].to_owned(), found[2].to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_whole_word_is_replaced() {
        let check = |line, column, expected: Option<&str>| {
            assert_eq!(replace_word(line, column, "ab", "xy").as_deref(), expected);
        };
        check("ab + abc + ab", 12, Some("ab + abc + xy"));
        check("ab + abc + ab", 1, Some("xy + abc + ab"));
        check("abc", 1, None);
        check("é ab", 0, Some("é xy"));
    }

    #[test]
    fn the_suggested_name_is_read_in_every_style() {
        let check = |message, expected: Option<(&str, &str)>| {
            let got = did_you_mean(message);
            assert_eq!(got.as_ref().map(|(a, b)| (a.as_str(), b.as_str())), expected);
        };
        check("Cannot find name 'abd'. Did you mean 'abc'?", Some(("abd", "abc")));
        check("Property 'ab' does not exist on type 'Hours'. Did you mean 'abc'?", Some(("ab", "abc")));
        check(
            "‘class std::vector<int>’ has no member named ‘push_bak’; did you mean ‘push_back’?",
            Some(("push_bak", "push_back")),
        );
        check("NameError: name 'fooo' is not defined. Did you mean: 'foo'?", Some(("fooo", "foo")));
        check("name 'x' is not defined", None);
    }

    #[test]
    fn lines_keep_their_endings() {
        let apply = |text, change| apply(text, &BTreeSet::from([&change]));
        assert_eq!(apply("a\r\nb\r\n", LineChange::Replace { line: 1, text: "x".into() }), "x\r\nb\r\n");
        assert_eq!(apply("a\nb", LineChange::Remove { line: 2 }), "a\n");
        assert_eq!(apply("a\nb", LineChange::InsertBefore { line: 2, text: "x".into() }), "a\nx\nb");
        assert_eq!(apply("a", LineChange::InsertBefore { line: 9, text: "x".into() }), "a\nx\n");
    }
}
