//! What the outputs of real tools are read as.

use expect_test::{Expect, expect};
use mb_core::failure::ExitCause;
use mb_core::workflow::StageKind as S;

use crate::support::{fixture, observe, shown, step};

#[expect(clippy::needless_pass_by_value, reason = "expectations are written at the call")]
fn check(stage: S, command: &str, fixtures: &[&str], expected: Expect) {
    let show = |name: &&str| {
        let failure = observe(&step(stage, command), ExitCause::Code { code: 1 }, &fixture(name));
        format!("{name}: {}", shown(&failure))
    };
    expected.assert_eq(&fixtures.iter().map(show).collect::<String>());
}

#[test]
fn cargo_test() {
    check(
        S::Test,
        "cargo test",
        &["cargo_test"],
        expect![[r#"
        cargo_test: test_assert by tool_line of cargo test: 2 tests failed: tests::adds (assertion `left == right` failed, left: 3, right: 4), tests::panics (index out of bounds: the len is 0 but the index is 0)
          test_assert src/lib.rs:12:17 [tests::adds] assertion `left == right` failed, left: 3, right: 4
          test_error src/lib.rs:16:54 [tests::panics] index out of bounds: the len is 0 but the index is 0
          tests: 1 passed, 2 failed, 0 skipped
          lines: 32 33 59 60 61 62
    "#]],
    );
}

#[test]
fn clippy_text() {
    check(
        S::Lint,
        "cargo clippy -- -D warnings",
        &["clippy_text", "clippy_json"],
        expect![[r#"
        clippy_text: lint by tool_line of clippy: unused import: `std::collections::HashMap` (src/lib.rs:1:5) and 2 more
          lint src/lib.rs:1:5 [unused_imports] unused import: `std::collections::HashMap`
          lint src/lib.rs:4:9 [unused_variables] unused variable: `unused`
          lint src/lib.rs:5:5 [clippy::needless_return] unneeded `return` statement
          MachineApplicable { tool: "clippy" }
          lines: 2 3 4 5 6 7 8 9 11 12 13 14 15 16 17 18 20 21 22 23 24 25 26 27 28 29 30 31
        clippy_json: lint by machine_output of rustc: unused import: `std::collections::HashMap` (src/lib.rs:1:5) and 2 more
          lint src/lib.rs:1:5 [unused_imports] unused import: `std::collections::HashMap`
          lint src/lib.rs:4:9 [unused_variables] unused variable: `unused`
          lint src/lib.rs:5:5 [clippy::needless_return] unneeded `return` statement
          MachineApplicable { tool: "rustc" }
          lines: 1 2 3 4
    "#]],
    );
}

#[test]
fn rustfmt() {
    check(
        S::Format,
        "cargo fmt --check",
        &["rustfmt"],
        expect![[r#"
        rustfmt: format by tool_line of rustfmt: rustfmt would change src/lib.rs
          format src/lib.rs:9 [] would be reformatted
          MachineApplicable { tool: "rustfmt" }
          lines: 1 2 3 4 5 6 7 8 9 10 11 12
    "#]],
    );
}

#[test]
fn rustc_text() {
    check(
        S::Build,
        "cargo check",
        &["rustc_text", "rustc_json"],
        expect![[r#"
        rustc_text: dependency by tool_line of rustc: unresolved import `serde` (src/lib.rs:1:5) and 3 more
          dependency src/lib.rs:1:5 [E0432] unresolved import `serde`
          compile src/lib.rs:4:18 [E0308] mismatched types
          compile src/lib.rs:4:23 [E0425] cannot find function `undefined_fn` in this scope
          compile src/lib.rs:4:39 [E0433] cannot find type `Strng` in this scope
          MissingModule { ecosystem: "cargo", module: "serde" }
          MachineApplicable { tool: "rustc" }
          lines: 2 3 4 5 6 7 8 10 11 12 13 14 15 16 18 19 20 21 22 24 25 26 27 28 29 30 31 32 33
        rustc_json: dependency by machine_output of rustc: unresolved import `serde` (src/lib.rs:1:5) and 3 more
          dependency src/lib.rs:1:5 [E0432] unresolved import `serde`
          compile src/lib.rs:4:18 [E0308] mismatched types
          compile src/lib.rs:4:23 [E0425] cannot find function `undefined_fn` in this scope
          compile src/lib.rs:4:39 [E0433] cannot find type `Strng` in this scope
          MissingModule { ecosystem: "cargo", module: "serde" }
          lines: 1 2 3 4 5 6 7
    "#]],
    );
}

#[test]
fn cargo_dep() {
    check(
        S::Build,
        "cargo check",
        &["cargo_dep", "cargo_locked", "cargo_manifest", "cargo_nocmd"],
        expect![[r#"
        cargo_dep: dependency by tool_line of cargo: failed to select a version for the requirement `serde = "^99"`
          dependency - [] failed to select a version for the requirement `serde = "^99"`
          lines: 1
        cargo_locked: dependency by tool_line of cargo: cannot update the lock file /project/Cargo.lock because --locked was passed to prevent this
          dependency - [] cannot update the lock file /project/Cargo.lock because --locked was passed to prevent this
          StaleLock { ecosystem: "cargo" }
          lines: 1
        cargo_manifest: config_ci by tool_line of rustc: unclosed array, expected `]` (Cargo.toml:7:12)
          config_ci Cargo.toml:7:12 [] unclosed array, expected `]`
          lines: 1 2 3 4 5
        cargo_nocmd: toolchain_missing by tool_line of cargo: no such command: `nextestt`
          toolchain_missing - [] no such command: `nextestt`
          MissingTool { tool: "nextestt" }
          lines: 1
    "#]],
    );
}

#[test]
fn pytest() {
    check(
        S::Test,
        "python -m pytest",
        &["pytest", "pytest_collect", "pytest_syntax", "no_module"],
        expect![[r#"
        pytest: test_assert by tool_line of pytest: 2 tests failed: tests/test_a.py::test_add (AssertionError: assert '3' == 4), tests/test_a.py::test_boom (KeyError: 'k')
          test_assert tests/test_a.py:5 [tests/test_a.py::test_add] AssertionError: assert '3' == 4
          test_error tests/test_a.py:8 [tests/test_a.py::test_boom] KeyError: 'k'
          tests: 1 passed, 2 failed, 1 skipped
          lines: 10 12 13 14 15 17 18 20 21 22 24
        pytest_collect: dependency by tool_line of pytest: ModuleNotFoundError: No module named 'yaml' (tests/test_b.py:1)
          dependency tests/test_b.py:1 [tests/test_b.py] ModuleNotFoundError: No module named 'yaml'
          MissingModule { ecosystem: "python", module: "yaml" }
          tests: 0 passed, 1 failed, 0 skipped
          lines: 13 14 15 16 17
        pytest_syntax: compile by tool_line of pytest: SyntaxError: invalid syntax (tests/test_c.py)
          compile tests/test_c.py [tests/test_c.py] SyntaxError: invalid syntax
          tests: 0 passed, 1 failed, 0 skipped
          lines: 26 27 28 29 30
        no_module: toolchain_missing by tool_line of python: /venv/bin/python: No module named nosuch
          toolchain_missing - [] /venv/bin/python: No module named nosuch
          MissingTool { tool: "nosuch" }
          lines: 1
    "#]],
    );
}

#[test]
fn unittest() {
    check(
        S::Test,
        "python ut.py",
        &["unittest"],
        expect![[r#"
        unittest: test_assert by tool_line of unittest: 2 tests failed: __main__.T.test_fail (AssertionError: 2 != 3), __main__.T.test_err (KeyError: 'k')
          test_assert ut.py:3 [__main__.T.test_fail] AssertionError: 2 != 3
          test_error ut.py:4 [__main__.T.test_err] KeyError: 'k'
          tests: 1 passed, 2 failed, 0 skipped
          lines: 3 4 5 6 7 8 9 12 13 14 15 16 17 18
    "#]],
    );
}

#[test]
fn ruff() {
    check(
        S::Lint,
        "ruff check .",
        &["ruff", "ruff_concise", "ruff_json"],
        expect![[r#"
            ruff: lint by tool_line of ruff: Import block is un-sorted or un-formatted (app.py:1:1) and 5 more
              lint app.py:1:1 [I001] Import block is un-sorted or un-formatted
              lint app.py:1:8 [F401] `os` imported but unused
              lint app.py:2:8 [F401] `sys` imported but unused
              lint app.py:2:13 [F401] `json` imported but unused
              MachineApplicable { tool: "ruff" }
              lines: 1 2 3 4 5 6 7 8 9 21 22 23 24 25 26 27 28 29 35 36 37 38 39 40 41 42 43 51 52 53 54 55 56 57 58 59 67 68 69 70
            ruff_concise: lint by tool_line of ruff: Import block is un-sorted or un-formatted (app.py:1:1) and 5 more
              lint app.py:1:1 [I001] Import block is un-sorted or un-formatted
              lint app.py:1:8 [F401] `os` imported but unused
              lint app.py:2:8 [F401] `sys` imported but unused
              lint app.py:2:13 [F401] `json` imported but unused
              MachineApplicable { tool: "ruff" }
              lines: 1 2 3 4 5 6
            ruff_json: lint by machine_output of ruff: Import block is un-sorted or un-formatted (app.py:1:1) and 5 more
              lint app.py:1:1 [I001] Import block is un-sorted or un-formatted
              lint app.py:1:8 [F401] `os` imported but unused
              lint app.py:2:8 [F401] `sys` imported but unused
              lint app.py:2:13 [F401] `json` imported but unused
              MachineApplicable { tool: "ruff" }
              lines: 174 175 176 177 178 179 180 181 182 183 184 185 186 187 188 189 190 191 192 193 194 195 196
        "#]],
    );
}

#[test]
fn flake8() {
    check(
        S::Lint,
        "flake8",
        &["flake8"],
        expect![[r#"
        flake8: lint by tool_line of flake8: 'os' imported but unused (app.py:1:1) and 11 more
          lint app.py:1:1 [F401] 'os' imported but unused
          lint app.py:2:1 [F401] 'sys' imported but unused
          lint app.py:2:1 [F401] 'json' imported but unused
          lint app.py:2:11 [E401] multiple imports on one line
          lines: 1 2 3 4 5 6 7 8 9 10 11 12
    "#]],
    );
}

#[test]
fn ruff_fmt() {
    check(
        S::Format,
        "make fmt",
        &["ruff_fmt", "black", "isort"],
        expect![[r#"
        ruff_fmt: format by tool_line of ruff format: ruff format would change app.py, tests/test_a.py, ut.py
          format app.py [] would be reformatted
          format tests/test_a.py [] would be reformatted
          format ut.py [] would be reformatted
          MachineApplicable { tool: "ruff format" }
          lines: 1 21 44
        black: format by tool_line of black: black would change app.py, tests/test_a.py, ut.py
          format app.py [] would be reformatted
          format tests/test_a.py [] would be reformatted
          format ut.py [] would be reformatted
          MachineApplicable { tool: "black" }
          lines: 1 2 3
        isort: format by tool_line of isort: isort would change app.py, ut.py, tests/test_a.py
          format app.py [] would be reformatted
          format ut.py [] would be reformatted
          format tests/test_a.py [] would be reformatted
          MachineApplicable { tool: "isort" }
          lines: 1 2 3
    "#]],
    );
}

#[test]
fn mypy() {
    check(
        S::Typecheck,
        "make types",
        &["mypy", "pyright"],
        expect![[r#"
        mypy: typecheck by tool_line of mypy: Incompatible return value type (got "str", expected "int") (app.py:5)
          typecheck app.py:5 [return-value] Incompatible return value type (got "str", expected "int")
          lines: 1
        pyright: typecheck by tool_line of pyright: Type "str" is not assignable to return type "int" (app.py:5:12) and 1 more
          typecheck app.py:5:12 [] Type "str" is not assignable to return type "int"
          typecheck app.py:8:11 [reportUndefinedVariable] "undefined_name" is not defined
          lines: 2 4
    "#]],
    );
}

#[test]
fn pip() {
    check(
        S::Build,
        "pip install -r requirements.txt",
        &["pip"],
        expect![[r#"
        pip: dependency by tool_line of pip: Could not find a version that satisfies the requirement nosuchpackage-zzz==99 (from versions: none) and 1 more
          dependency - [] Could not find a version that satisfies the requirement nosuchpackage-zzz==99 (from versions: none)
          dependency - [] No matching distribution found for nosuchpackage-zzz==99
          lines: 2 3
    "#]],
    );
}

#[test]
fn tsc() {
    check(
        S::Typecheck,
        "npx tsc --noEmit",
        &["tsc", "tsc_pretty"],
        expect![[r#"
        tsc: dependency by tool_line of tsc: Cannot find module 'nosuch' or its corresponding type declarations. (a.ts:3:19) and 3 more
          dependency a.ts:3:19 [TS2307] Cannot find module 'nosuch' or its corresponding type declarations.
          typecheck a.ts:1:14 [TS2322] Type 'string' is not assignable to type 'number'.
          typecheck a.ts:2:1 [TS2304] Cannot find name 'foo'.
          typecheck a.ts:4:26 [TS2304] Cannot find name 'abd'.
          MissingModule { ecosystem: "node", module: "nosuch" }
          lines: 1 2 3 4 5 6 7 8 9 10
        tsc_pretty: dependency by tool_line of tsc: Cannot find module 'nosuch' or its corresponding type declarations. (a.ts:3:19) and 3 more
          dependency a.ts:3:19 [TS2307] Cannot find module 'nosuch' or its corresponding type declarations.
          typecheck a.ts:1:14 [TS2322] Type 'string' is not assignable to type 'number'.
          typecheck a.ts:2:1 [TS2304] Cannot find name 'foo'.
          typecheck a.ts:4:26 [TS2304] Cannot find name 'abd'.
          MissingModule { ecosystem: "node", module: "nosuch" }
          lines: 1 6 11 16
    "#]],
    );
}

#[test]
fn eslint() {
    check(
        S::Lint,
        "npx eslint .",
        &["eslint", "eslint_json"],
        expect![[r#"
        eslint: compile by tool_line of eslint: Parsing error: Unexpected token (bad.js:4:1) and 3 more
          compile bad.js:4:1 [] Parsing error: Unexpected token
          lint lint.js:1:7 [no-unused-vars] 'a' is assigned a value but never used
          lint lint.js:2:5 [no-constant-condition] Unexpected constant condition
          lint lint.js:2:13 [no-undef] 'undef' is not defined
          lines: 3 6 7 8
        eslint_json: lint by machine_output of eslint: 'a' is assigned a value but never used. (lint.js:1:7) and 2 more
          lint lint.js:1:7 [no-unused-vars] 'a' is assigned a value but never used.
          lint lint.js:2:5 [no-constant-condition] Unexpected constant condition.
          lint lint.js:2:13 [no-undef] 'undef' is not defined.
          lines: 1
    "#]],
    );
}

#[test]
fn prettier() {
    check(
        S::Format,
        "npx prettier --check .",
        &["prettier"],
        expect![[r#"
        prettier: format by tool_line of prettier: prettier would change fmt.js
          format fmt.js [] would be reformatted
          MachineApplicable { tool: "prettier" }
          lines: 2
    "#]],
    );
}

#[test]
fn node_test() {
    check(
        S::Test,
        "npm test",
        &["node_test", "node_spec", "jest", "vitest", "mocha", "node_missing", "node_load"],
        expect![[r#"
            node_test: test_assert by tool_line of tap: 2 tests failed: adds (Expected values to be strictly equal: 2 !== 3), boom (Cannot read properties of null (reading 'x'))
              test_assert t/a.test.js:2:1 [adds] Expected values to be strictly equal: 2 !== 3
              test_error t/a.test.js:3:1 [boom] Cannot read properties of null (reading 'x')
              tests: 1 passed, 2 failed, 0 skipped
              lines: 3 4 5 6 7 8 9 11 13 14 29 30 31 32 33 34 35 36 37 38 39 40
            node_spec: test_assert by tool_line of node --test: 2 tests failed: adds (AssertionError [ERR_ASSERTION]: Expected values to be strictly equal: 2 !== 3), boom (TypeError [Error]: Cannot read properties of null (reading 'x'))
              test_assert t/a.test.js:2:1 [adds] AssertionError [ERR_ASSERTION]: Expected values to be strictly equal: 2 !== 3
              test_error t/a.test.js:3:1 [boom] TypeError [Error]: Cannot read properties of null (reading 'x')
              tests: 1 passed, 2 failed, 0 skipped
              lines: 43 44 45 47 64 65 66 67 68 69
            jest: test_assert by tool_line of jest: 1 test failed: sum › adds (expect(received).toBe(expected) // Object.is equality Expected: 3 Received: 2)
              test_assert t/j.spec.js:1:56 [sum › adds] expect(received).toBe(expected) // Object.is equality Expected: 3 Received: 2
              tests: 1 passed, 1 failed, 0 skipped
              lines: 6 8 10 11 13 14 15 17
            vitest: test_assert by tool_line of vitest: 1 test failed: t/j.spec.js > sum > adds (AssertionError: expected 2 to be 3 // Object.is equality)
              test_assert t/j.spec.js:1:57 [t/j.spec.js > sum > adds] AssertionError: expected 2 to be 3 // Object.is equality
              tests: 1 passed, 1 failed, 0 skipped
              lines: 10 11 13 14 16 17 19
            mocha: test_assert by tool_line of mocha: 1 test failed: sum adds (AssertionError [ERR_ASSERTION]: 2 == 3)
              test_assert t/m.js:1:74 [sum adds] AssertionError [ERR_ASSERTION]: 2 == 3
              tests: 1 passed, 1 failed, 0 skipped
              lines: 11 12 14 15 17 18 20
            node_missing: dependency by tool_line of node: Cannot find module 'nosuchmod' (r.js:1:1)
              dependency r.js:1:1 [Error] Cannot find module 'nosuchmod'
              MissingModule { ecosystem: "node", module: "nosuchmod" }
              lines: 5 6 7 8
            node_load: dependency by tool_line of node: Cannot find module 'bytes' (sizes.js:2:15)
              dependency sizes.js:2:15 [Error] Cannot find module 'bytes'
              MissingModule { ecosystem: "node", module: "bytes" }
              tests: 0 passed, 1 failed, 0 skipped
              lines: 5 6 7 8 9
        "#]],
    );
}

#[test]
fn a_tool_of_a_package_script_is_a_dependency_and_no_program_of_the_host() {
    let check = |log: &str, expected: &str| {
        let failure = observe(&step(S::Test, "npm test"), ExitCause::Code { code: 127 }, log);
        assert_eq!(format!("{} by {}: {}", failure.kind, failure.signal, failure.summary), expected);
    };
    let said = "\n> reusify@1.1.0 test\n> NODE_ENV=x tape test.js\n\nsh: 1: tape: not found\n";
    check(said, "dependency by tool_line: tape, which a script runs, is not installed");
    let other = "\n> reusify@1.1.0 test\n> node test.js\n\nsh: 1: docker: not found\n";
    check(other, "toolchain_missing by exit_cause: exit 127: sh: 1: docker: not found");
}

#[test]
fn standard_names_file_and_rule() {
    let log = "standard: Use JavaScript Standard Style (https://standardjs.com)\n  \
               src/index.js:126:26: 'StringDecodr' is not defined. (no-undef)\n";
    let failure = observe(&step(S::Lint, "npm run lint"), ExitCause::Code { code: 1 }, log);
    assert_eq!(failure.summary, "'StringDecodr' is not defined (src/index.js:126:26)");
    assert_eq!((failure.diagnostics[0].tool.as_str(), failure.diagnostics[0].rule.as_str()), ("standard", "no-undef"));
}

#[test]
fn npm_script() {
    check(
        S::Build,
        "npm ci",
        &["npm_script", "npm_ci", "npm_ci_lock", "npm_json", "npm_eresolve"],
        expect![[r#"
            npm_script: config_ci by tool_line of npm: Missing script: "nosuch"
              config_ci - [] Missing script: "nosuch"
              lines: 1
            npm_ci: dependency by tool_line of npm: ENOTCACHED: request to https://registry.npmjs.org/left-pad failed: cache mode is 'only-if-cached' but no cached response is available.
              dependency - [] ENOTCACHED: request to https://registry.npmjs.org/left-pad failed: cache mode is 'only-if-cached' but no cached response is available.
              lines: 1
            npm_ci_lock: dependency by tool_line of npm: EUSAGE: npm error and 1 more
              dependency - [] EUSAGE: npm error
              dependency - [] `npm ci` can only install packages when your package.json and package-lock.json or npm-shrinkwrap.json are in sync. Please update your lock file with `npm install` before continuing.
              StaleLock { ecosystem: "npm" }
              lines: 1 3
            npm_json: config_ci by tool_line of npm: EJSONPARSE: JSON.parse Invalid package.json: JSONParseError: Unexpected end of JSON input while parsing "{\"name\":" and 3 more
              config_ci - [] EJSONPARSE: JSON.parse Invalid package.json: JSONParseError: Unexpected end of JSON input while parsing "{\"name\":"
              config_ci - [] JSON.parse Invalid package.json: JSONParseError: Unexpected end of JSON input while parsing "{\"name\":"
              config_ci - [] JSON.parse Failed to parse JSON data.
              config_ci - [] JSON.parse Note: package.json must be actual JSON, not just JavaScript.
              lines: 1 2 3 4
            npm_eresolve: dependency by tool_line of npm: ERESOLVE: ERESOLVE unable to resolve dependency tree and 1 more
              dependency - [] ERESOLVE: ERESOLVE unable to resolve dependency tree
              dependency - [] ERESOLVE unable to resolve dependency tree
              lines: 1 2
        "#]],
    );
}

#[test]
fn gcc() {
    check(
        S::Build,
        "make",
        &["gcc", "gpp", "make_link", "make_notarget", "cmake"],
        expect![[r#"
        gcc: compile by tool_line of cc: ‘undefinedv’ undeclared (first use in this function) (a.c:7:5) and 1 more
          compile a.c:7:5 [] ‘undefinedv’ undeclared (first use in this function)
          compile a.c:8:13 [] expected ‘;’ before ‘}’ token
          lines: 20 21 22 23 24 25 26 27 28 29
        gpp: compile by tool_line of cc: ‘class std::vector<int>’ has no member named ‘push_bak’; did you mean ‘push_back’? (c.cpp:2:36) and 3 more
          compile c.cpp:2:36 [] ‘class std::vector<int>’ has no member named ‘push_bak’; did you mean ‘push_back’?
          compile c.cpp:2:54 [] ‘string’ is not a member of ‘std’
          compile c.cpp:2:75 [] ‘sort’ is not a member of ‘std’
          compile c.cpp:2:101 [] ‘cout’ was not declared in this scope
          lines: 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18
        make_link: compile by tool_line of ld: undefined reference to `missing' (b.c)
          compile b.c [] undefined reference to `missing'
          lines: 3
        make_notarget: config_ci by tool_line of make: make: *** No rule to make target 'foo'.  Stop.
          config_ci - [] make: *** No rule to make target 'foo'.  Stop.
          lines: 1
        cmake: dependency by tool_line of cmake: By not providing "FindNope.cmake" in CMAKE_MODULE_PATH this project has asked CMake to find a package configuration file provided by "Nope", but CMake did not find one. (CMakeLists.txt:3)
          dependency CMakeLists.txt:3 [find_package] By not providing "FindNope.cmake" in CMAKE_MODULE_PATH this project has asked CMake to find a package configuration file provided by "Nope", but CMake did not find one.
          lines: 7 8 9 10 12 13 15
    "#]],
    );
}

#[test]
fn go_build() {
    check(
        S::Build,
        "go build ./...",
        &["go_build", "go_missing"],
        expect![[r#"
        go_build: compile by tool_line of go: imported and not used: "os" (a.go:5:2) and 2 more
          compile a.go:5:2 [] imported and not used: "os"
          compile a.go:9:2 [] x declared but not used
          compile a.go:11:17 [] undefined: undefinedThing
          lines: 2 3 4
        go_missing: dependency by tool_line of go: no required module provides package github.com/pkg/errors; to add it: (b.go:2:8)
          dependency b.go:2:8 [] no required module provides package github.com/pkg/errors; to add it:
          dependency - [] b.go:2:8: no required module provides package github.com/pkg/errors; to add it:
          MissingModule { ecosystem: "go", module: "github.com/pkg/errors" }
          lines: 1 2
    "#]],
    );
}

#[test]
fn go_test() {
    check(
        S::Test,
        "go test ./...",
        &["go_test"],
        expect![[r#"
        go_test: test_assert by tool_line of go test: 2 tests failed: TestAdd (Add(1, 2) = 3; want 4), TestBoom (panic: assignment to entry in nil map [recovered])
          test_assert a_test.go:7 [TestAdd] Add(1, 2) = 3; want 4
          test_error - [TestBoom] panic: assignment to entry in nil map [recovered]
          lines: 1 2 3 4 5
    "#]],
    );
}

#[test]
fn go_vet() {
    check(
        S::Lint,
        "go vet ./...",
        &["go_vet"],
        expect![[r#"
        go_vet: lint by tool_line of go: fmt.Printf format %d has arg "s" of wrong type string (b.go:3:12)
          lint b.go:3:12 [] fmt.Printf format %d has arg "s" of wrong type string
          lines: 2
    "#]],
    );
}

#[test]
fn gofmt() {
    check(
        S::Format,
        "test -z \"$(gofmt -l .)\"",
        &["gofmt"],
        expect![[r#"
        gofmt: format by tool_line of gofmt: gofmt would change a.go
          format a.go [] would be reformatted
          MachineApplicable { tool: "gofmt" }
          lines: 1
    "#]],
    );
}

#[test]
fn git_dns() {
    check(
        S::Custom,
        "./ci",
        &["git_dns", "curl_dns", "sh_syntax", "sh_missing", "bash_missing"],
        expect![[r#"
        git_dns: network_infra by tool_line of git: unable to access 'https://nope.invalid/x.git/': Could not resolve host: nope.invalid
          network_infra - [] unable to access 'https://nope.invalid/x.git/': Could not resolve host: nope.invalid
          lines: 2
        curl_dns: network_infra by tool_line of curl: curl: (6) Could not resolve host: nope.invalid
          network_infra - [] curl: (6) Could not resolve host: nope.invalid
          lines: 4
        sh_syntax: config_ci by tool_line of sh: sh: 1: Syntax error: end of file unexpected (expecting "fi")
          config_ci - [] sh: 1: Syntax error: end of file unexpected (expecting "fi")
          lines: 1
        sh_missing: toolchain_missing by tool_line of sh: sh: 1: frobnicate: not found
          toolchain_missing - [] sh: 1: frobnicate: not found
          MissingTool { tool: "frobnicate" }
          lines: 1
        bash_missing: toolchain_missing by tool_line of sh: bash: line 1: frobnicate: command not found
          toolchain_missing - [] bash: line 1: frobnicate: command not found
          MissingTool { tool: "frobnicate" }
          lines: 1
    "#]],
    );
}
