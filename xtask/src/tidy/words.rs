//! Words that do not belong in the repository: unfinished work, and paths of somebody's machine in documents.

use super::lexer::{code_and_comments, has_word};
use super::{File, Problem, Tree};

/// The one file that may hold them.
const THIS_FILE: &str = "xtask/src/tidy/words.rs";

/// Marks of unfinished work.
const UNFINISHED: &[&str] = &["TODO", "FIXME", "unimplemented!"];

/// Beginnings of paths that exist on one machine only, or are different on every one.
const MACHINE: &[&str] = &["/work", "/root", "/tmp/"];

/// No mark of unfinished work, in any file. What is to be done is an issue; what is not done is not here.
/// In Rust a string is left alone: tools have marks of their own that must be recognised (TAP's `# TODO`).
pub(super) fn forbidden(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.files.iter().filter(|file| !file.is_fixture() && file.path != THIS_FILE) {
        let text = if file.is_rust() { code_and_comments(&file.text) } else { file.text.clone() };
        for (index, line) in text.lines().enumerate() {
            for word in UNFINISHED.iter().filter(|word| has_word(line, word)) {
                let mend = "do it now, or file an issue and remove the mark";
                problems.push(Problem::new(file, index + 1, format!("{word} in the repository"), mend));
            }
        }
    }
    problems
}

/// No document shows a path that a reader does not have.
pub(super) fn machine_paths(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.files.iter().filter(|file| is_document(file)) {
        for (index, line) in file.text.lines().enumerate() {
            for path in MACHINE.iter().filter(|path| has_path(line, path)) {
                let mend = "write it relative to the repository or the data folder";
                problems.push(Problem::new(file, index + 1, format!("a path that begins with {path}"), mend));
            }
        }
    }
    problems
}

fn is_document(file: &File) -> bool {
    !file.is_fixture() && (file.path.starts_with("docs/") || file.name().ends_with(".md"))
}

/// Whether a path begins here: nothing that belongs to a longer path stands before it, and a whole folder name ends it.
fn has_path(line: &str, path: &str) -> bool {
    let continues = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        !before.is_some_and(|c| continues(c) || "/}~".contains(c))
            && (path.ends_with('/') || !after.is_some_and(|c| c.is_alphanumeric() || "-_".contains(c)))
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;
    use super::*;

    #[test]
    fn unfinished_work_is_found_in_every_kind_of_file() {
        check(
            forbidden,
            &[
                ("a.rs", "a\n// TODO: later\nunimplemented!()"),
                ("b.md", "(FIXME)"),
                ("c.rs", "const TODOS: &str = \"# TODO\"; // unimplemented"),
                ("x/fixtures/d.py", "# TODO"),
            ],
            &expect![[r#"
                a.rs:2: TODO in the repository; mend: do it now, or file an issue and remove the mark
                a.rs:3: unimplemented! in the repository; mend: do it now, or file an issue and remove the mark
                b.md:1: FIXME in the repository; mend: do it now, or file an issue and remove the mark
            "#]],
        );
    }

    #[test]
    fn a_path_of_a_machine_is_found_and_a_part_of_one_is_not() {
        check(
            machine_paths,
            &[
                ("README.md", "see `/work/x`\n/root.\ncp a /tmp/b"),
                ("docs/a.txt", "/work"),
                ("docs/b.md", "examples/work/x https://h/root/x /workers /root-cause var/tmp/x $HOME/work ~/work"),
                ("crates/a.rs", "\"/work/x\""),
            ],
            &expect![[r#"
                README.md:1: a path that begins with /work; mend: write it relative to the repository or the data folder
                README.md:2: a path that begins with /root; mend: write it relative to the repository or the data folder
                README.md:3: a path that begins with /tmp/; mend: write it relative to the repository or the data folder
                docs/a.txt:1: a path that begins with /work; mend: write it relative to the repository or the data folder
            "#]],
        );
    }
}
