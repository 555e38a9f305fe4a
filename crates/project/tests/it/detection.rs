//! What is detected in each fixture, and that it can be written down and read back.

use std::fs;

use expect_test::{Expect, expect};
use mb_core::workflow::Network;
use mb_project::CommandStep;
use mb_project::{CONFIG_FILE, ConfigSource, detect, init_toml, load};

use crate::fixtures::{self, Tree, plant};

fn line(step: &CommandStep) -> String {
    let mut text = format!("  {} [{}] {}\n", step.name, step.stage, step.command.display());
    let mut facts: Vec<String> = Vec::new();
    facts.extend(step.needs.iter().map(|need| format!("needs {need}")));
    facts.extend(step.caches.iter().map(|folder| format!("cache {folder}")));
    facts.extend(step.env.iter().map(|(name, value)| format!("env {name}={value}")));
    facts.extend((step.network == Network::Full).then(|| "online".to_owned()));
    if !facts.is_empty() {
        text.push_str(&format!("      {}\n", facts.join(", ")));
    }
    for fix in &step.fixers {
        let kinds: Vec<&str> = fix.kinds.iter().map(|kind| kind.as_str()).collect();
        let online = if fix.network == Network::Full { " (online)" } else { "" };
        text.push_str(&format!("      fix {}: {}{online}\n", kinds.join(" "), fix.command.display()));
    }
    text
}

fn check(tree: Tree, expected: &Expect) {
    let dir = plant(tree);
    let found = detect(dir.path());
    let mut text = String::new();
    for unit in &found.units {
        text.push_str(&format!("{:?} {} ({})\n", unit.dir, unit.toolchain, unit.evidence.join(", ")));
        unit.stages.iter().for_each(|step| text.push_str(&line(step)));
    }
    found.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    expected.assert_eq(&text);
}

#[test]
fn a_crate_without_dependencies_fetches_nothing() {
    check(
        fixtures::CARGO,
        &expect![[r#"
            "" cargo (Cargo.toml)
              format [format] cargo fmt --all -- --check
                  fix format: cargo fmt --all
              lint [lint] cargo clippy --workspace --all-targets
                  cache target
                  fix lint: cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
              build [build] cargo build --workspace --all-targets
                  cache target
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
                  fix dependency: cargo update -w (online)
              test [test] cargo test --workspace
                  needs build, cache target
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
                  fix dependency: cargo update -w (online)
        "#]],
    );
}

#[test]
fn a_cargo_workspace_is_one_unit_and_what_it_excludes_another() {
    check(
        fixtures::CARGO_WORKSPACE,
        &expect![[r#"
            "" cargo (Cargo.toml, Cargo.lock, deny.toml)
              fetch [custom] cargo fetch
                  online
                  fix dependency: cargo update -w (online)
              format [format] cargo fmt --all -- --check
                  fix format: cargo fmt --all
              lint [lint] cargo clippy --workspace --all-targets -- -D warnings
                  needs fetch, cache target
                  fix lint: cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
              build [build] cargo build --workspace --all-targets
                  needs fetch, cache target
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
                  fix dependency: cargo update -w (online)
              test [test] cargo test --workspace
                  needs build, cache target
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
                  fix dependency: cargo update -w (online)
              deny [security] cargo deny check
                  needs fetch, online
            "tools/gen" cargo (tools/gen/Cargo.toml)
              tools/gen:format [format] cargo fmt --all -- --check
                  fix format: cargo fmt --all
              tools/gen:lint [lint] cargo clippy --workspace --all-targets -- -D warnings
                  cache tools/gen/target
                  fix lint: cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
              tools/gen:build [build] cargo build --workspace --all-targets
                  cache tools/gen/target
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
                  fix dependency: cargo update -w (online)
              tools/gen:test [test] cargo test --workspace
                  needs tools/gen:build, cache tools/gen/target
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
                  fix dependency: cargo update -w (online)
        "#]],
    );
}

#[test]
fn npm_scripts() {
    check(
        fixtures::NPM,
        &expect![[r#"
            "" npm (package.json, package-lock.json)
              install [custom] npm ls >/dev/null 2>&1 || npm ci
                  cache node_modules, online
                  fix dependency: npm install --package-lock-only --no-audit --no-fund (online)
              format [format] npm run format:check
                  needs install, cache node_modules
                  fix format: npx --no-install prettier --write .
              lint [lint] npm run lint
                  needs install, cache node_modules
                  fix format lint: npx --no-install eslint --fix .
              build [build] npm run build
                  needs install, cache node_modules
              test [test] npm test
                  needs build, needs install, cache node_modules, env CI=true
        "#]],
    );
}

#[test]
fn npm_workspaces_are_folded() {
    check(
        fixtures::NPM_WORKSPACES,
        &expect![[r#"
            "" npm (package.json, package-lock.json)
              install [custom] npm ls >/dev/null 2>&1 || npm ci
                  cache node_modules, online
                  fix dependency: npm install --package-lock-only --no-audit --no-fund (online)
              test [test] npm run test --workspaces --if-present
                  needs install, cache node_modules, env CI=true
            "site" npm (site/package.json)
              site:build [build] npm run build
            note: site/package.json: the test script is npm's placeholder
        "#]],
    );
}

#[test]
fn pnpm_workspaces_are_folded() {
    check(
        fixtures::PNPM,
        &expect![[r#"
            "" pnpm (package.json, pnpm-lock.yaml)
              install [custom] pnpm install --frozen-lockfile
                  cache node_modules, online
                  fix dependency: pnpm install --lockfile-only (online)
              lint [lint] pnpm run lint
                  needs install, cache node_modules
                  fix format lint: pnpm exec biome check --write .
              test [test] pnpm -r --if-present run test
                  needs install, cache node_modules, env CI=true
            "apps/old" pnpm (apps/old/package.json)
              apps/old:test [test] pnpm run test
                  env CI=true
        "#]],
    );
}

#[test]
fn yarn_is_named_by_the_package_manager_field() {
    check(
        fixtures::YARN,
        &expect![[r#"
            "" yarn (package.json, yarn.lock)
              install [custom] yarn install --immutable
                  cache node_modules, online
                  fix dependency: yarn install --mode=update-lockfile (online)
              test [test] yarn run test
                  needs install, cache node_modules, env CI=true
        "#]],
    );
}

#[test]
fn python_tools_are_those_the_project_names() {
    check(
        fixtures::PYTHON,
        &expect![[r#"
            "" python (pyproject.toml)
              install [custom] (test -x .venv/bin/python || python3 -m venv .venv) && .venv/bin/python -m pip install -q --disable-pip-version-check -e '.[dev]' ruff mypy pytest
                  cache .venv, online
              format [format] .venv/bin/python -m ruff format --check .
                  needs install, cache .venv
                  fix format lint: .venv/bin/python -m ruff format .
              lint [lint] .venv/bin/python -m ruff check --no-fix .
                  needs install, cache .venv
                  fix format lint: .venv/bin/python -m ruff check --fix .
              typecheck [typecheck] .venv/bin/python -m mypy p
                  needs install, cache .venv
              test [test] .venv/bin/python -m pytest -q
                  needs install, cache .venv
        "#]],
    );
}

#[test]
fn plain_python_scripts() {
    check(
        fixtures::PYTHON_PLAIN,
        &expect![[r#"
            "" python (helper.py, tool.py)
              build [build] python3 -m compileall -q helper.py tool.py
              test [test] python3 -m unittest discover -s tests
                  needs build
        "#]],
    );
}

#[test]
fn python_with_uv() {
    check(
        fixtures::PYTHON_UV,
        &expect![[r#"
            "" python (pyproject.toml, uv.lock)
              install [custom] uv sync --locked --all-groups
                  cache .venv, online
                  fix dependency: uv lock (online)
              format [format] uv run --no-sync black --check .
                  needs install, cache .venv
                  fix format lint: uv run --no-sync black .
              build [build] uv run --no-sync python -m compileall -q src
                  needs install, cache .venv
              test [test] uv run --no-sync python -m pytest -q
                  needs build, needs install, cache .venv
        "#]],
    );
}

#[test]
fn go_modules() {
    check(
        fixtures::GO,
        &expect![[r#"
            "" go (go.mod, go.sum)
              fetch [custom] go mod download
                  online
                  fix dependency: go mod tidy (online)
              format [format] unformatted=$(gofmt -l .) && printf '%s\n' "$unformatted" && test -z "$unformatted"
                  fix format: gofmt -w .
              lint [lint] go vet ./...
                  needs fetch
              golangci [lint] golangci-lint run ./...
                  needs fetch
                  fix lint: golangci-lint run --fix ./...
              build [build] go build ./...
                  needs fetch
                  fix dependency: go mod tidy (online)
              test [test] go test ./...
                  needs build
                  fix dependency: go mod tidy (online)
        "#]],
    );
}

#[test]
fn makefiles() {
    check(
        fixtures::MAKE,
        &expect![[r#"
            "" make (Makefile)
              lint [lint] make lint
                  fix format: make fmt
              build [build] make
              test [test] make test
                  needs build
        "#]],
    );
}

#[test]
fn cmake() {
    check(
        fixtures::CMAKE,
        &expect![[r#"
            "" cmake (CMakeLists.txt)
              format [format] git ls-files -z '*.c' '*.h' '*.cc' '*.hh' '*.cpp' '*.hpp' '*.cxx' '*.hxx' | xargs -0 -r clang-format --dry-run -Werror
                  fix format: git ls-files -z '*.c' '*.h' '*.cc' '*.hh' '*.cpp' '*.hpp' '*.cxx' '*.hxx' | xargs -0 -r clang-format -i
              configure [custom] cmake -S . -B build
              build [build] cmake --build build
                  needs configure
              test [test] ctest --test-dir build --output-on-failure
                  needs build
        "#]],
    );
}

#[test]
fn a_monorepo_has_a_unit_per_toolchain_and_folder() {
    check(
        fixtures::MONOREPO,
        &expect![[r#"
            "" cargo (Cargo.toml)
              format [format] cargo fmt --all -- --check
                  fix format: cargo fmt --all
              lint [lint] cargo clippy --workspace --all-targets
                  cache target
                  fix lint: cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
              build [build] cargo build --workspace --all-targets
                  cache target
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
                  fix dependency: cargo update -w (online)
              test [test] cargo test --workspace
                  needs build, cache target
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
                  fix dependency: cargo update -w (online)
            "" npm (package.json)
              npm:test [test] npm test
                  env CI=true
            "api" go (api/go.mod)
              api:format [format] unformatted=$(gofmt -l .) && printf '%s\n' "$unformatted" && test -z "$unformatted"
                  fix format: gofmt -w .
              api:lint [lint] go vet ./...
              api:build [build] go build ./...
                  fix dependency: go mod tidy (online)
              api:test [test] go test ./...
                  needs api:build
                  fix dependency: go mod tidy (online)
            "my web app" npm (my web app/package.json)
              my-web-app:build [build] npm run build
              my-web-app:test [test] npm test
                  needs my-web-app:build, env CI=true
        "#]],
    );
}

#[test]
fn nothing_known_is_no_unit() {
    check(&[("README.md", "hello")], &expect![[""]]);
}

#[test]
fn a_virtual_environment_is_used_and_carried() {
    let dir = plant(&[("pytest.ini", ""), (".venv/bin/python", ""), (".gitignore", ".venv\n")]);
    let found = detect(dir.path());
    let test = found.steps().find(|step| step.name == "test").expect("a test step");
    assert_eq!(test.command.display(), ".venv/bin/python -m pytest -q");
    assert_eq!(test.caches.iter().collect::<Vec<_>>(), [".venv"]);
}

#[test]
fn an_environment_is_made_only_for_what_python_does_not_bring() {
    let check = |tree: Tree, expected: Option<&str>| {
        let found = detect(plant(tree).path());
        let install = found.steps().find(|step| step.name == "install").map(|step| step.command.display());
        let packages = install.as_deref().map(|run| run.rsplit("--disable-pip-version-check ").next().unwrap_or(run));
        assert_eq!(packages, expected);
    };
    check(&[("setup.py", "setup()"), ("a.py", ""), ("test_a.py", "import unittest\n")], None);
    check(&[("setup.py", "setup()"), ("test_a.py", "import pytest\n")], Some("-e . pytest"));
    check(
        &[("requirements.txt", "flask\n"), ("requirements/dev.txt", "x\n")],
        Some("-r requirements.txt -r requirements/dev.txt"),
    );
    check(&[("pyproject.toml", "[build-system]\n"), ("src/a/b.py", "")], Some("-e ."));
    check(
        &[("pyproject.toml", "[project]\nname = 'a'\n[dependency-groups]\ndocs = []\ntests = ['pytest', 'x']\n")],
        Some("-e . --group tests pytest"),
    );
    check(&[("pytest.ini", ""), (".venv/bin/python", ""), (".gitignore", ".venv\n")], None);
}

#[test]
fn mypy_checks_the_packages_unless_its_own_section_says_more() {
    let check = |tree: Tree, expected: &str| {
        let found = detect(plant(tree).path());
        let step = found.steps().find(|step| step.name == "typecheck").expect("a step for mypy");
        assert_eq!(step.command.display(), expected);
    };
    const OTHER: (&str, &str) = ("setup.cfg", "[flake]\nfiles = x\n[mypy]\nstrict = true\n[tool]\nfiles = y\n");
    check(&[OTHER, ("a/__init__.py", ""), ("tests/__init__.py", "")], ".venv/bin/python -m mypy a");
    check(&[OTHER, ("a.py", "")], ".venv/bin/python -m mypy .");
    check(&[("setup.cfg", "[mypy]\nfiles = x\n"), ("a/__init__.py", "")], ".venv/bin/python -m mypy");
    check(&[("pyproject.toml", "[tool.mypy]\npackages = ['a']\n"), ("src/a.py", "")], ".venv/bin/python -m mypy");
}

#[test]
fn benches_for_nightly_are_left_out_on_stable() {
    let check = |tree: Tree, expected: &str| {
        let found = detect(plant(tree).path());
        let build = found.steps().find(|step| step.name == "build").expect("a build");
        assert_eq!(build.command.display(), format!("cargo build --workspace {expected}"));
    };
    const BENCH: (&str, &str) = ("benches/b.rs", "//! B\n#![feature(test)]\n");
    check(&[("Cargo.toml", ""), ("src/lib.rs", ""), BENCH], "--lib --bins --tests --examples");
    check(&[("Cargo.toml", ""), ("src/main.rs", ""), BENCH], "--bins --tests --examples");
    check(&[("Cargo.toml", ""), ("rust-toolchain", "nightly"), BENCH], "--all-targets");
    check(&[("Cargo.toml", ""), ("benches/b.rs", "fn main() {}")], "--all-targets");
}

#[test]
fn the_written_file_loads_back_to_the_same_workflow() {
    for (name, tree) in fixtures::ALL {
        let dir = plant(tree);
        let detected = load(dir.path()).expect(name);
        assert_eq!(detected.source, ConfigSource::Detected, "{name}");
        let text = init_toml(&detect(dir.path()));
        assert_eq!(text, init_toml(&detect(dir.path())), "{name}: not stable");
        fs::write(dir.path().join(CONFIG_FILE), &text).expect("writes");
        let written = load(dir.path()).unwrap_or_else(|errors| panic!("{name}: {errors}\n{text}"));
        assert_eq!(written.workflow, detected.workflow, "{name}");
        assert_eq!(written.workflow.digest(), detected.workflow.digest(), "{name}");
        assert!(matches!(written.source, ConfigSource::File(_)), "{name}");
    }
}

#[test]
fn the_written_file_reads_well() {
    let dir = plant(fixtures::NPM_WORKSPACES);
    expect![[r##"
        # What Meta-Builder runs here. Everything below was detected; change what is wrong.
        # `mb config explain` shows every setting with its value and where it comes from.
        version = 1
        name = "build"

        # Bounds of one run. Beyond any of them nothing more is started.
        # [budget]
        # time = "30m"
        # cost_usd = 10.0
        # attempts = 10

        # What a repair may change, as globs of .gitignore. A list of your own replaces the built-in one.
        # [repair]
        # enabled = true
        # allow = ["src/", "tests/"]
        # deny = [".env", "*.pem", ".github/"]

        # Variables of the host that steps may see, by name; everything else is hidden from them.
        # [secrets]
        # pass = ["NPM_TOKEN"]

        # Limits of every step that does not set its own.
        # [defaults]
        # timeout = "30m"
        # memory = "8GiB"
        # network = "none"

        # note: site/package.json: the test script is npm's placeholder

        # npm: package.json, package-lock.json
        [steps.install]
        stage = "custom"
        run = "npm ls >/dev/null 2>&1 || npm ci"
        network = "full"
        caches = ["node_modules"]
        [[steps.install.fix]]
        run = "npm install --package-lock-only --no-audit --no-fund"
        kinds = ["dependency"]
        network = "full"

        [steps.test]
        stage = "test"
        run = "npm run test --workspaces --if-present"
        needs = ["install"]
        env = { CI = "true" }
        caches = ["node_modules"]

        # npm: site/package.json
        [steps."site:build"]
        stage = "build"
        run = "npm run build"
        dir = "site"
    "##]]
    .assert_eq(&init_toml(&detect(dir.path())));
}

#[test]
fn an_empty_detection_still_shows_what_a_step_looks_like() {
    let dir = plant(&[("README.md", "")]);
    let text = init_toml(&detect(dir.path()));
    assert!(text.contains("# [steps.test]"), "{text}");
}

#[test]
fn broken_manifests_are_named_and_the_rest_is_still_found() {
    check(
        &[("Cargo.toml", "[package"), ("package.json", "{"), ("pyproject.toml", "[tool"), ("test_a.py", "")],
        &expect![[r#"
            "" cargo (Cargo.toml)
              format [format] cargo fmt --all -- --check
                  fix format: cargo fmt --all
              lint [lint] cargo clippy --workspace --all-targets
                  cache target
                  fix lint: cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
              build [build] cargo build --workspace --all-targets
                  cache target
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
                  fix dependency: cargo update -w (online)
              test [test] cargo test --workspace
                  needs build, cache target
                  fix lint compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets
                  fix compile: cargo fix --allow-dirty --allow-staged --workspace --all-targets --broken-code
                  fix dependency: cargo update -w (online)
            "" python (pyproject.toml)
              python:build [build] python3 -m compileall -q test_a.py
              python:test [test] python3 -m unittest discover
                  needs python:build
            note: Cargo.toml could not be parsed; its steps are listed all the same
            note: package.json could not be parsed; its scripts are not listed
            note: pyproject.toml could not be parsed; tools it configures may be missing
        "#]],
    );
}

#[test]
fn links_out_of_the_project_are_not_read() {
    let outside = plant(&[("package.json", r#"{"scripts": {"test": "secret"}}"#)]);
    let dir = plant(&[("README.md", "")]);
    std::os::unix::fs::symlink(outside.path().join("package.json"), dir.path().join("package.json")).expect("links");
    assert_eq!(detect(dir.path()).units, []);
}

#[test]
fn units_are_bounded_and_the_rest_is_counted() {
    let names: Vec<String> = (0..60).flat_map(|n| [format!("m{n}/go.mod"), format!("m{n}/package.json")]).collect();
    let tree: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "module m\n")).collect();
    let dir = plant(&tree);
    let found = detect(dir.path());
    assert_eq!(found.units.len(), 50);
    assert_eq!(found.notes[0], "10 more units were left out; at most 50 are taken");
    assert_eq!(found.notes.len(), 21);
    assert_eq!(found.notes[20], "41 more notes were left out");
    load(dir.path()).expect("still a valid workflow");
}

#[test]
fn deep_folders_are_not_entered() {
    let dir = plant(&[("1/2/3/4/5/6/go.mod", "module a\n"), ("1/2/3/4/5/x/7/go.mod", "module b\n")]);
    let dirs: Vec<String> = detect(dir.path()).units.into_iter().map(|unit| unit.dir).collect();
    assert_eq!(dirs, ["1/2/3/4/5/6"]);
}
