//! What is never part of a snapshot or a difference although the project may not ignore it: build products.
//!
//! A fixer that compiles leaves thousands of files beside the ten lines it was started for. The workflow names the
//! folders its steps build into; interpreters and linters have well-known ones of their own. Both are written as one
//! gitignore text, so that git and our own walk read the same rules. As with any such rule, files that are under
//! version control stay.

use std::collections::BTreeSet;
use std::path::Path;

/// Folders that commands leave anywhere in a tree, whoever runs them.
const DROPPINGS: &[&str] = &["__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"];

/// The rules, in gitignore's language, relative to the top of the tree. `caches` are relative to `prefix`, the
/// project's folder below the top. They hold whether or not there is such a folder yet.
pub(crate) fn rules(prefix: &Path, caches: &BTreeSet<String>) -> String {
    let droppings = DROPPINGS.iter().map(|name| format!("{name}/\n"));
    let cache = |name: &String| {
        let path = prefix.join(name.trim_start_matches("./").trim_matches('/'));
        path.to_str().filter(|path| !path.is_empty() && !path.contains('\n')).map(|path| format!("/{}\n", escape(path)))
    };
    droppings.chain(caches.iter().filter_map(cache)).collect()
}

/// `rules` and these files, relative to the top of the tree.
pub(crate) fn with_files<'a>(rules: &str, files: impl Iterator<Item = &'a str>) -> String {
    let gap = if rules.is_empty() || rules.ends_with('\n') { "" } else { "\n" };
    let plain = files.filter(|path| !path.is_empty() && !path.contains('\n'));
    let lines: String = plain.map(|path| format!("/{}\n", escape(path))).collect();
    format!("{rules}{gap}{lines}")
}

/// Takes the meaning from gitignore's special characters.
fn escape(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for letter in path.chars() {
        if matches!(letter, '*' | '?' | '[' | '\\' | ' ') {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_anchored_below_the_prefix_and_taken_literally() {
        let caches = ["target", "a[1]/node modules/"].map(str::to_owned).into();
        let text = rules(Path::new("web"), &caches);
        assert!(text.starts_with("__pycache__/\n"), "{text}");
        assert!(text.ends_with("/web/a\\[1]/node\\ modules\n/web/target\n"), "{text}");
        assert!(rules(Path::new(""), &caches).ends_with("\n/target\n"));
    }
}
