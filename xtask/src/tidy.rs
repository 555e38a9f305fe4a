//! `cargo xtask tidy`: what this repository asks of itself beyond what rustc and clippy can say.
//!
//! Every rule is a function from the whole tree to its problems, so that a rule's test is a tree of two lines.
//! Deliberately absent: rules of taste. A rule is here when breaking it once cost somebody something, and each
//! problem says how to mend it.

mod codes;
mod edges;
mod examples;
mod lexer;
mod source;
mod twins;
mod words;

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Largest file looked at, in bytes. Larger ones are data.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A text file of the repository.
struct File {
    /// Relative to the top folder, with `/`.
    path: String,
    text: String,
}

impl File {
    /// The file's name without folders.
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The folder in `crates/` it lies in, if it does.
    fn krate(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split_once('/').map(|(krate, _)| krate)
    }

    /// Whether it holds Rust that we wrote as Rust. What lies in `fixtures` is somebody's input.
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs") && !self.is_fixture()
    }

    fn is_fixture(&self) -> bool {
        self.path.contains("/fixtures/") || self.path.contains("/snapshots/")
    }
}

/// Every text file that version control would keep, in order of path.
struct Tree {
    files: Vec<File>,
}

impl Tree {
    fn read(root: &Path) -> Result<Tree> {
        let mut files = Vec::new();
        let walk = ignore::WalkBuilder::new(root)
            .hidden(false)
            .require_git(false)
            .max_filesize(Some(FILE_BYTES_MAX))
            .filter_entry(|entry| entry.file_name() != ".git")
            .build();
        for entry in walk {
            let entry = entry.context("cannot list the repository")?;
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            let bytes =
                std::fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
            files.push(File { path: path.to_string_lossy().replace('\\', "/"), text });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Tree { files })
    }

    fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }
}

/// One thing to mend.
struct Problem {
    path: String,
    /// From 1.
    line: usize,
    what: String,
    mend: String,
}

impl Problem {
    fn new(file: &File, line: usize, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line, what: what.into(), mend: mend.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; mend: {}", self.path, self.line, self.what, self.mend)
    }
}

type Rule = fn(&Tree) -> Vec<Problem>;

const RULES: &[Rule] = &[
    edges::dependencies,
    edges::development_stays_development,
    edges::sqlx_is_named_in_store_only,
    source::headers,
    source::sizes,
    source::unsafe_is_in_runner_only,
    codes::pages,
    twins::dialects,
    words::forbidden,
    words::machine_paths,
    examples::complete,
];

/// Checks every rule and prints a line for each problem.
///
/// # Errors
/// There are problems, or the tree cannot be read.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let problems: Vec<_> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("tidy found 1 problem"),
        count => bail!("tidy found {count} problems"),
    }
}

/// What a rule says about a tree of these files, a line for each problem.
#[cfg(test)]
fn check(rule: Rule, files: &[(&str, &str)], expected: &expect_test::Expect) {
    let files = files.iter().map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() }).collect();
    let problems = rule(&Tree { files });
    expected.assert_eq(&problems.iter().map(|problem| format!("{problem}\n")).collect::<String>());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_holds_text_that_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |path: &str, bytes: &[u8]| {
            let file = dir.path().join(path);
            std::fs::create_dir_all(file.parent().expect("it has a folder")).expect("a folder");
            std::fs::write(file, bytes).expect("a file");
        };
        write(".gitignore", b"/target\n");
        write(".git/config", b"x");
        write("target/out.rs", b"x");
        write("logo.png", &[0xff, 0xfe]);
        write("src/b.rs", b"x");
        write("src/a.rs", b"x");
        let tree = Tree::read(dir.path()).expect("it can be read");
        let paths: Vec<_> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".gitignore", "src/a.rs", "src/b.rs"]);
    }
}
