//! Error codes and their pages are one to one, and every page answers the same three questions.
//!
//! A code is `E` and four digits in quotes, in a file or folder named for errors or problems, or anywhere as
//! `code!("E0101")`. Other places name codes of other people's tools (`"E0308"` is rustc's).

use std::collections::BTreeMap;

use super::{File, Problem, Tree};

/// Where the pages are.
const PAGES: &str = "docs/errors/";
/// The headings of a page, in this order.
const HEADINGS: &[&str] = &["## Meaning", "## Likely causes", "## First actions"];
/// Names of files and folders that hold tables of codes.
const TABLES: &[&str] = &["error", "errors", "problem", "problems", "code", "codes"];

/// Every code has a page, every page has a code, and each page has its headings.
pub(super) fn pages(tree: &Tree) -> Vec<Problem> {
    let used = used(tree);
    let mut problems = Vec::new();
    for (code, (file, line)) in &used {
        let page = format!("{PAGES}{code}.md");
        if tree.get(&page).is_none() {
            let mend = format!("write {page} with the headings Meaning, Likely causes, First actions");
            problems.push(Problem::new(file, *line, format!("error code {code} has no page"), mend));
        }
    }
    for (code, page) in tree.files.iter().filter_map(|file| Some((page_code(file)?, file))) {
        if !used.contains_key(code) {
            problems.push(Problem::new(page, 1, format!("no error has the code {code}"), "remove the page"));
        }
        problems.extend(page_problems(code, page));
    }
    problems
}

fn used(tree: &Tree) -> BTreeMap<&str, (&File, usize)> {
    let mut used = BTreeMap::new();
    for file in tree.rust().filter(|file| file.krate().is_some() && file.path.contains("/src/")) {
        let table = is_table(file);
        for (index, line) in file.text.lines().enumerate() {
            for (code, marked) in codes_in(line).filter(|(_, marked)| table || *marked) {
                let _ = marked;
                used.entry(code).or_insert((file, index + 1));
            }
        }
    }
    used
}

fn is_table(file: &File) -> bool {
    file.path.split('/').any(|part| TABLES.contains(&part.trim_end_matches(".rs")))
}

/// The quoted codes of a line, each with whether `code!(` marks it.
fn codes_in(line: &str) -> impl Iterator<Item = (&str, bool)> {
    line.match_indices('"').filter_map(|(at, _)| {
        let code = line.get(at + 1..at + 6)?;
        let closed = line[at + 6..].starts_with('"');
        (closed && is_code(code)).then(|| (code, line[..at].ends_with("code!(")))
    })
}

fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix('E');
    digits.is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn page_code(file: &File) -> Option<&str> {
    file.path.strip_prefix(PAGES)?.strip_suffix(".md").filter(|name| is_code(name))
}

fn page_problems(code: &str, page: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !page.text.starts_with(&format!("# {code}: ")) {
        let mend = format!("begin it with `# {code}: ` and the message in a few words");
        problems.push(Problem::new(page, 1, "the title does not name the code", mend));
    }
    let headings: Vec<_> = page.text.lines().filter(|line| line.starts_with("## ")).collect();
    if headings != HEADINGS {
        let what = "the headings are not Meaning, Likely causes, First actions";
        problems.push(Problem::new(page, 1, what, "use these three, each with ##, in this order"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;
    use super::*;

    const GOOD: &str = "# E0101: x\n\n## Meaning\nx\n## Likely causes\nx\n## First actions\nx\n";

    #[test]
    fn codes_and_pages_are_one_to_one() {
        check(
            pages,
            &[
                ("crates/api/src/problem.rs", "a(\"E0101\")\nb(\"E0102\")"),
                ("crates/engine/src/errors/run.rs", "\"E0104\""),
                ("crates/repair/src/evidence/rustc.rs", "\"E0308\", code!(\"E0105\")"),
                ("docs/errors/E0101.md", GOOD),
                ("docs/errors/E0103.md", &GOOD.replace("0101", "0103")),
                ("docs/errors/README.md", "x"),
            ],
            &expect![[r#"
                crates/api/src/problem.rs:2: error code E0102 has no page; mend: write docs/errors/E0102.md with the headings Meaning, Likely causes, First actions
                crates/engine/src/errors/run.rs:1: error code E0104 has no page; mend: write docs/errors/E0104.md with the headings Meaning, Likely causes, First actions
                crates/repair/src/evidence/rustc.rs:1: error code E0105 has no page; mend: write docs/errors/E0105.md with the headings Meaning, Likely causes, First actions
                docs/errors/E0103.md:1: no error has the code E0103; mend: remove the page
            "#]],
        );
    }

    #[test]
    fn a_page_answers_three_questions() {
        check(
            pages,
            &[
                ("crates/api/src/problem.rs", "\"E0101\""),
                ("docs/errors/E0101.md", "# Oops\n## Meaning\n## First actions\n"),
            ],
            &expect![[r#"
                docs/errors/E0101.md:1: the title does not name the code; mend: begin it with `# E0101: ` and the message in a few words
                docs/errors/E0101.md:1: the headings are not Meaning, Likely causes, First actions; mend: use these three, each with ##, in this order
            "#]],
        );
    }
}
