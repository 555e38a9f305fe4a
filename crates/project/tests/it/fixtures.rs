//! Small repositories as lists of files.

use std::fs;

use mb_core::workflow::{Action, Shell, StepSpec};
use mb_project::CommandStep;
use tempfile::TempDir;

/// A tree of files: path and text.
pub(crate) type Tree = &'static [(&'static str, &'static str)];

/// A step of a project's workflow as the project crate knows it.
pub(crate) fn command(step: StepSpec) -> CommandStep {
    let StepSpec { name, needs, action, .. } = step;
    let Action::Shell(shell) = action else { panic!("{name} is no command") };
    let Shell { stage, command, dir, env, env_pass, network, limits, fixers, caches, .. } = shell;
    CommandStep { name, stage, command, dir, needs, env, env_pass, network, limits, fixers, caches }
}

/// Writes a tree into a new folder.
pub(crate) fn plant(tree: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    for (path, text) in tree {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("every file has a folder")).expect("folders");
        fs::write(path, text).expect("a file");
    }
    dir
}

pub(crate) const CARGO: Tree = &[
    ("Cargo.toml", "[package]\nname = \"a\"\nversion = \"0.1.0\"\n"),
    ("src/lib.rs", ""),
    ("examples/demo/Cargo.toml", "[package]\nname = \"demo\"\n"),
];

pub(crate) const CARGO_WORKSPACE: Tree = &[
    ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\nexclude = [\"tools/gen\"]\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"serde\"\nsource = \"registry+https://example.org\"\n"),
    ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"),
    ("tools/gen/Cargo.toml", "[package]\nname = \"gen\"\n[dependencies]\na = { path = \"../../crates/a\" }\n"),
    ("fuzz/Cargo.toml", "[package]\nname = \"fuzz\"\n[workspace]\n"),
    ("deny.toml", ""),
    (".github/workflows/ci.yml", "run: cargo clippy -- -D warnings\n"),
];

pub(crate) const NPM: Tree = &[
    (
        "package.json",
        r#"{"scripts": {"test": "jest", "lint": "eslint .", "format:check": "prettier --check .", "build": "tsc -p ."},
            "devDependencies": {"eslint": "9", "prettier": "3", "typescript": "5", "jest": "29"}}"#,
    ),
    ("package-lock.json", "{}"),
    ("tsconfig.json", "{}"),
];

pub(crate) const NPM_WORKSPACES: Tree = &[
    ("package.json", r#"{"private": true, "workspaces": ["packages/*"]}"#),
    ("package-lock.json", "{}"),
    ("packages/a/package.json", r#"{"scripts": {"test": "node --test"}}"#),
    (
        "site/package.json",
        r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1", "build": "vite build"}}"#,
    ),
];

pub(crate) const PNPM: Tree = &[
    ("package.json", r#"{"scripts": {"lint": "biome check ."}, "devDependencies": {"@biomejs/biome": "2"}}"#),
    ("pnpm-lock.yaml", ""),
    ("pnpm-workspace.yaml", "packages:\n  - 'apps/*'\n  - \"!apps/old\"\n"),
    ("apps/web/package.json", r#"{"scripts": {"test": "vitest"}}"#),
    ("apps/old/package.json", r#"{"scripts": {"test": "mocha"}}"#),
];

pub(crate) const YARN: Tree = &[
    (
        "package.json",
        r#"{"packageManager": "yarn@4.1.0", "scripts": {"test": "jest"}, "dependencies": {"jest": "29"}}"#,
    ),
    ("yarn.lock", ""),
];

pub(crate) const PYTHON: Tree = &[
    (
        "pyproject.toml",
        "[project]\nname = \"p\"\ndescription = \"paint it black\"\ndependencies = [\"requests>=2\"]\n\
         [project.optional-dependencies]\ndev = [\"pytest\", \"mypy\"]\n[tool.ruff]\nline-length = 100\n[tool.ruff.format]\n",
    ),
    ("p/__init__.py", ""),
    ("docs/style/pyproject.toml", "[tool.black]\n"),
    (".pre-commit-config.yaml", "- id: flake8\n"),
    ("tests/test_p.py", "import pytest\n"),
];

pub(crate) const PYTHON_PLAIN: Tree =
    &[("tool.py", "print(1)\n"), ("helper.py", ""), ("tests/test_tool.py", "import unittest\n")];

pub(crate) const PYTHON_UV: Tree = &[
    ("pyproject.toml", "[project]\nname = \"u\"\n[dependency-groups]\ndev = [\"pytest\", \"black\"]\n"),
    ("uv.lock", ""),
    ("src/u/__init__.py", ""),
];

pub(crate) const GO: Tree = &[
    ("go.mod", "module example.org/m\n\nrequire example.org/x v1.0.0\n"),
    ("go.sum", ""),
    ("main.go", "package main\n"),
    (".golangci.yml", ""),
];

pub(crate) const MAKE: Tree = &[
    (
        "Makefile",
        ".PHONY: test\nCC := gcc\nprog: prog.c\n\t$(CC) -o prog prog.c\ntest: prog\n\t./prog\nfmt:\n\tindent\nlint:\n\tcppcheck .\n",
    ),
    ("prog.c", ""),
];

pub(crate) const CMAKE: Tree = &[
    ("CMakeLists.txt", "project(x)\nenable_testing()\nadd_subdirectory(lib)\n"),
    ("lib/CMakeLists.txt", "project(lib)\n"),
    (".clang-format", ""),
];

pub(crate) const MONOREPO: Tree = &[
    ("Makefile", "test:\n\tcargo test\nlint:\n\ttrue\n"),
    ("Cargo.toml", "[workspace]\nmembers = []\n"),
    ("package.json", r#"{"scripts": {"test": "node --test"}}"#),
    ("my web app/package.json", r#"{"scripts": {"build": "echo \"built\" 'now'", "test": "node --test"}}"#),
    ("api/go.mod", "module m\n"),
    ("docs/requirements.txt", "sphinx\n"),
    ("tests/fixtures/broken/Cargo.toml", "[package\n"),
    ("ignored/go.mod", "module i\n"),
    (".gitignore", "ignored/\n"),
];

/// Every fixture, by name.
pub(crate) const ALL: &[(&str, Tree)] = &[
    ("cargo", CARGO),
    ("cargo workspace", CARGO_WORKSPACE),
    ("npm", NPM),
    ("npm workspaces", NPM_WORKSPACES),
    ("pnpm", PNPM),
    ("yarn", YARN),
    ("python", PYTHON),
    ("python plain", PYTHON_PLAIN),
    ("python uv", PYTHON_UV),
    ("go", GO),
    ("make", MAKE),
    ("cmake", CMAKE),
    ("monorepo", MONOREPO),
];
