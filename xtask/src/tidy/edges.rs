//! Dependencies point down: which crate of ours may name which, and who may name the database driver.

use toml::Table;

use super::lexer::lines_with_word;
use super::{File, Problem, Tree};

/// Each crate's folder and the folders of our crates it may depend on. A crate that is not here is a problem.
const ALLOWED: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("api", &["core"]),
    ("sim", &["core"]),
    ("store", &["core", "sim"]),
    ("project", &["core"]),
    ("runner", &["core"]),
    ("repair", &["core", "runner"]),
    ("engine", &["core", "store", "project", "runner", "repair"]),
    ("server", &["core", "api", "store", "engine", "project"]),
    ("cli", &["core", "api", "store", "project", "runner", "repair", "engine", "server"]),
    ("xtask", &[]),
];

/// The one crate that only tests may name: it is never shipped.
const DEVELOPMENT_CRATE: &str = "sim";

/// The one crate that speaks SQL.
const SQLX_CRATE: &str = "store";

/// Every edge between our crates is in the table.
pub(super) fn dependencies(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (krate, manifest) in manifests(tree) {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == krate) else {
            problems.push(Problem::new(
                manifest,
                1,
                format!("crate {krate} is not in the table of allowed dependencies"),
                "add it to ALLOWED in xtask/src/tidy/edges.rs and to ARCHITECTURE.md",
            ));
            continue;
        };
        let names = match dependency_names(&manifest.text) {
            Ok(names) => names,
            Err(what) => {
                problems.push(Problem::new(manifest, 1, format!("not valid TOML: {what}"), "correct it"));
                continue;
            }
        };
        for name in names {
            let Some(target) = folder(&name) else { continue };
            if !allowed.contains(&target) {
                problems.push(Problem::new(
                    manifest,
                    line_of(&manifest.text, &name),
                    format!("{krate} depends on {target}, which is not below it"),
                    "move the shared part down (types and decisions belong in core)",
                ));
            }
        }
    }
    problems
}

/// What is for development only is named by nothing that ships.
pub(super) fn development_stays_development(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (krate, manifest) in manifests(tree) {
        let shipped = names_of(&manifest.text, &["dependencies", "build-dependencies"]).unwrap_or_default();
        for name in shipped.iter().filter(|name| folder(name) == Some(DEVELOPMENT_CRATE)) {
            let what = format!("{krate} ships {name}, which is for development only");
            problems.push(Problem::new(manifest, line_of(&manifest.text, name), what, "name it in dev-dependencies"));
        }
    }
    problems
}

/// No other crate names sqlx, in its manifest or in its code.
pub(super) fn sqlx_is_named_in_store_only(tree: &Tree) -> Vec<Problem> {
    let mend = "add a verb to the store and call that";
    let mut problems = Vec::new();
    for (krate, manifest) in manifests(tree) {
        let names = dependency_names(&manifest.text).unwrap_or_default();
        if krate != SQLX_CRATE && names.iter().any(|name| name == "sqlx") {
            let line = line_of(&manifest.text, "sqlx");
            problems.push(Problem::new(manifest, line, format!("{krate} depends on sqlx"), mend));
        }
    }
    for file in tree.rust().filter(|file| file.krate().is_some_and(|krate| krate != SQLX_CRATE)) {
        for line in lines_with_word(&file.text, "sqlx") {
            problems.push(Problem::new(file, line, "sqlx is named outside crates/store", mend));
        }
    }
    problems
}

fn manifests(tree: &Tree) -> impl Iterator<Item = (&str, &File)> {
    tree.files.iter().filter_map(|file| {
        let folder = file.path.strip_suffix("/Cargo.toml")?;
        let krate = if folder == "xtask" { folder } else { folder.strip_prefix("crates/")? };
        (!krate.contains('/')).then_some((krate, file))
    })
}

/// Names of everything a manifest depends on, for whatever purpose and target; renamed packages by their real name.
fn dependency_names(manifest: &str) -> Result<Vec<String>, String> {
    names_of(manifest, &["dependencies", "dev-dependencies", "build-dependencies"])
}

fn names_of(manifest: &str, kinds: &[&str]) -> Result<Vec<String>, String> {
    let manifest: Table = manifest.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let targets = manifest.get("target").and_then(|targets| targets.as_table()).into_iter().flatten();
    let tables = targets.filter_map(|(_, target)| target.as_table()).chain([&manifest]);
    Ok(tables.flat_map(|table| names_in(table, kinds)).collect())
}

fn names_in(table: &Table, kinds: &[&str]) -> Vec<String> {
    let entries = kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()).flatten();
    let real = |(name, value): (&String, &toml::Value)| {
        value.get("package").and_then(toml::Value::as_str).unwrap_or(name).to_owned()
    };
    entries.map(real).collect()
}

/// The folder of one of our packages: `mb-core` lies in `core`, the binary in `cli`.
fn folder(package: &str) -> Option<&str> {
    match package {
        "meta-builder" => Some("cli"),
        "xtask" => Some("xtask"),
        _ => package.strip_prefix("mb-"),
    }
}

fn line_of(manifest: &str, name: &str) -> usize {
    let here = |line: &str| {
        let rest = line.trim_start().trim_start_matches('"').strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=', '"']))
    };
    manifest.lines().position(here).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;
    use super::*;

    #[test]
    fn an_edge_that_points_up_is_found_wherever_it_is_written() {
        check(
            dependencies,
            &[
                ("crates/repair/Cargo.toml", "[dependencies]\nmb-core.workspace = true\nmb-runner = { path = \"x\" }"),
                (
                    "crates/core/Cargo.toml",
                    "[dependencies]\nserde = \"1\"\n[dev-dependencies]\nmb-store.workspace = true",
                ),
                ("crates/runner/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nmb-engine.workspace = true"),
                ("crates/api/Cargo.toml", "[build-dependencies]\nb = { package = \"mb-server\", path = \"x\" }"),
                ("crates/sim/Cargo.toml", "[dependencies]\nmeta-builder = { path = \"../cli\" }"),
                ("xtask/Cargo.toml", "[dependencies]\nmb-core.workspace = true"),
            ],
            &expect![[r#"
                crates/core/Cargo.toml:4: core depends on store, which is not below it; mend: move the shared part down (types and decisions belong in core)
                crates/runner/Cargo.toml:2: runner depends on engine, which is not below it; mend: move the shared part down (types and decisions belong in core)
                crates/api/Cargo.toml:1: api depends on server, which is not below it; mend: move the shared part down (types and decisions belong in core)
                crates/sim/Cargo.toml:2: sim depends on cli, which is not below it; mend: move the shared part down (types and decisions belong in core)
                xtask/Cargo.toml:2: xtask depends on core, which is not below it; mend: move the shared part down (types and decisions belong in core)
            "#]],
        );
    }

    #[test]
    fn the_simulator_does_not_ship() {
        check(
            development_stays_development,
            &[
                ("crates/store/Cargo.toml", "[dev-dependencies]\nmb-sim.workspace = true"),
                ("crates/engine/Cargo.toml", "[dependencies]\nmb-sim.workspace = true"),
            ],
            &expect![[r#"
                crates/engine/Cargo.toml:2: engine ships mb-sim, which is for development only; mend: name it in dev-dependencies
            "#]],
        );
    }

    #[test]
    fn a_crate_must_be_in_the_table_and_readable() {
        check(
            dependencies,
            &[("crates/new/Cargo.toml", ""), ("crates/core/Cargo.toml", "[")],
            &expect![[r#"
                crates/new/Cargo.toml:1: crate new is not in the table of allowed dependencies; mend: add it to ALLOWED in xtask/src/tidy/edges.rs and to ARCHITECTURE.md
                crates/core/Cargo.toml:1: not valid TOML: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`; mend: correct it
            "#]],
        );
    }

    #[test]
    fn the_table_has_no_circle() {
        for (index, (name, allowed)) in ALLOWED.iter().enumerate() {
            for below in *allowed {
                let place = ALLOWED.iter().position(|(other, _)| other == below).expect("it is in the table");
                assert!(place < index, "{name} comes before {below}");
            }
        }
    }

    #[test]
    fn only_the_store_names_sqlx() {
        check(
            sqlx_is_named_in_store_only,
            &[
                ("crates/store/Cargo.toml", "[dependencies]\nsqlx.workspace = true"),
                ("crates/store/src/lib.rs", "use sqlx::Row;"),
                ("crates/engine/Cargo.toml", "[dependencies]\nserde = \"1\"\nsqlx.workspace = true"),
                ("crates/engine/src/lib.rs", "// sqlx\nlet a = \"sqlx\";\nuse sqlx::Row;"),
            ],
            &expect![[r#"
                crates/engine/Cargo.toml:3: engine depends on sqlx; mend: add a verb to the store and call that
                crates/engine/src/lib.rs:3: sqlx is named outside crates/store; mend: add a verb to the store and call that
            "#]],
        );
    }
}
