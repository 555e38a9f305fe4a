//! What every source file looks like: a header that says what it is for, a size one can hold in mind, and
//! `unsafe` in one crate only.

use super::lexer::lines_with_word;
use super::{File, Problem, Tree};

/// Most lines a file may have, its tests not counted.
const LINES_MAX: usize = 600;

/// Files that may be longer, each with its reason.
const LONG: &[(&str, &str)] = &[];

/// The one crate that may hold `unsafe`: it starts processes and sets their limits.
const UNSAFE_CRATE: &str = "runner";

/// Every Rust file begins with a `//!` header of at least one sentence.
pub(super) fn headers(tree: &Tree) -> Vec<Problem> {
    let mend = "begin it with `//!` and a sentence that says what it is for";
    tree.rust()
        .filter_map(|file| {
            let header = header(&file.text);
            let what = match header.as_str() {
                "" => "no module header",
                text if !is_sentence(text) => "the module header is not a sentence",
                _ => return None,
            };
            Some(Problem::new(file, 1, what, mend))
        })
        .collect()
}

fn header(text: &str) -> String {
    let lines = text.lines().skip_while(|line| line.trim().is_empty() || line.starts_with("#!/"));
    let words: Vec<_> = lines.map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    words.join(" ").trim().to_owned()
}

fn is_sentence(text: &str) -> bool {
    let last = text.split_whitespace().position(|word| word.ends_with(['.', '?']));
    last.is_some_and(|index| index >= 2)
}

/// No file is longer than [`LINES_MAX`] lines without a reason, and no reason outlives its file.
pub(super) fn sizes(tree: &Tree) -> Vec<Problem> {
    sizes_with(tree, LONG)
}

fn sizes_with(tree: &Tree, long: &[(&str, &str)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.rust().filter(|file| !is_test(file)) {
        let lines = lines_without_tests(&file.text);
        let listed = long.iter().any(|(path, _)| *path == file.path);
        if lines > LINES_MAX && !listed {
            let what = format!("{lines} lines; at most {LINES_MAX} are allowed");
            problems.push(Problem::new(file, LINES_MAX + 1, what, "split it by noun"));
        }
        if lines <= LINES_MAX && listed {
            problems.push(Problem::new(file, 1, "listed as long and is not", "take it out of LONG"));
        }
    }
    problems
}

fn is_test(file: &File) -> bool {
    file.path.contains("/tests/") || file.name() == "tests.rs"
}

fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<_> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests"));
    tests.unwrap_or(lines.len())
}

/// No other crate holds `unsafe`. Rustc says so too where the workspace's lints apply; this also sees a crate
/// that does not take them over.
pub(super) fn unsafe_is_in_runner_only(tree: &Tree) -> Vec<Problem> {
    let ours =
        |file: &&File| file.path.starts_with("xtask/") || file.krate().is_some_and(|krate| krate != UNSAFE_CRATE);
    let found = tree.rust().filter(ours).flat_map(|file| {
        lines_with_word(&file.text, "unsafe").into_iter().map(move |line| {
            Problem::new(file, line, "unsafe outside crates/runner", "use a safe interface, or add one to the runner")
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;
    use super::*;

    #[test]
    fn a_header_is_a_sentence_at_the_top() {
        check(
            headers,
            &[
                ("a.rs", "//! What it is for.\n\nfn a() {}"),
                ("b.rs", "fn b() {}\n//! What it is for."),
                ("c.rs", "//! Short.\nfn c() {}"),
                ("d.rs", "//! `a.toml` and what it says.\nfn d() {}"),
                ("e.rs", "//! Words without an end\nfn e() {}"),
                ("build.rs", "//!\nfn main() {}"),
                ("x/tests/fixtures/d.rs", "fn d() {}"),
            ],
            &expect![[r#"
                b.rs:1: no module header; mend: begin it with `//!` and a sentence that says what it is for
                c.rs:1: the module header is not a sentence; mend: begin it with `//!` and a sentence that says what it is for
                e.rs:1: the module header is not a sentence; mend: begin it with `//!` and a sentence that says what it is for
                build.rs:1: no module header; mend: begin it with `//!` and a sentence that says what it is for
            "#]],
        );
    }

    #[test]
    fn long_files_are_listed_and_tests_do_not_count() {
        let long = "x\n".repeat(LINES_MAX + 1);
        let tested = format!("{}#[cfg(test)]\nmod tests {{\n{long}", "x\n".repeat(LINES_MAX));
        let files = [("a.rs", &long), ("b.rs", &tested), ("x/tests/c.rs", &long)];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        check(
            sizes,
            &files,
            &expect![[r#"
                a.rs:601: 601 lines; at most 600 are allowed; mend: split it by noun
            "#]],
        );
        check(
            |tree| sizes_with(tree, &[("a.rs", "a table"), ("b.rs", "was long once")]),
            &files,
            &expect![[r#"
                b.rs:1: listed as long and is not; mend: take it out of LONG
            "#]],
        );
    }

    #[test]
    fn unsafe_code_is_found_and_talk_of_it_is_not() {
        check(
            unsafe_is_in_runner_only,
            &[
                ("crates/runner/src/lib.rs", "unsafe { a() }"),
                ("crates/core/src/lib.rs", "// unsafe\n#![forbid(unsafe_code)]\nunsafe { a() }"),
            ],
            &expect![[r#"
                crates/core/src/lib.rs:3: unsafe outside crates/runner; mend: use a safe interface, or add one to the runner
            "#]],
        );
    }
}
