//! Where the two SQL dialects differ, both have the file: a statement for one engine only is a verb half done.

use std::collections::BTreeSet;

use super::{Problem, Tree};

const SQLITE: &str = "crates/store/sql/sqlite/";
const POSTGRES: &str = "crates/store/sql/postgres/";

/// The two dialect trees have the same file names.
pub(super) fn dialects(tree: &Tree) -> Vec<Problem> {
    let mut problems = missing(tree, SQLITE, POSTGRES);
    problems.extend(missing(tree, POSTGRES, SQLITE));
    problems
}

fn missing(tree: &Tree, here: &str, there: &str) -> Vec<Problem> {
    let names: BTreeSet<_> = tree.files.iter().filter_map(|file| file.path.strip_prefix(there)).collect();
    let lonely =
        tree.files.iter().filter(|file| file.path.strip_prefix(here).is_some_and(|name| !names.contains(name)));
    lonely
        .map(|file| {
            let twin = file.path.replacen(here, there, 1);
            let mend = format!("write {twin}, or move this one up when both dialects can speak it");
            Problem::new(file, 1, "no twin in the other dialect", mend)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;
    use super::*;

    #[test]
    fn both_dialects_have_the_file() {
        check(
            dialects,
            &[
                ("crates/store/sql/common.sql", ""),
                ("crates/store/sql/postgres/claim.sql", ""),
                ("crates/store/sql/postgres/wake.sql", ""),
                ("crates/store/sql/sqlite/claim.sql", ""),
                ("crates/store/sql/sqlite/queue/put.sql", ""),
            ],
            &expect![[r#"
                crates/store/sql/sqlite/queue/put.sql:1: no twin in the other dialect; mend: write crates/store/sql/postgres/queue/put.sql, or move this one up when both dialects can speak it
                crates/store/sql/postgres/wake.sql:1: no twin in the other dialect; mend: write crates/store/sql/sqlite/wake.sql, or move this one up when both dialects can speak it
            "#]],
        );
    }
}
