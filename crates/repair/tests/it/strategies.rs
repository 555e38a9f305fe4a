//! From a real failure over a small project to what would be changed.

use expect_test::{Expect, expect};
use mb_core::failure::ExitCause;
use mb_core::ladder::strategies;
use mb_core::strategy::Strategy;
use mb_core::workflow::{CommandLine, Fixer, Network, Shell, StageKind as S};
use mb_repair::{propose, rustc_suggestions, suggestions_command};

use crate::support::{Project, fixture, observe, proposed, step};

/// The strategies in order, and the proposals of each.
#[expect(clippy::needless_pass_by_value, reason = "expectations are written at the call")]
fn check(step: &Shell, log: &str, files: &[(&str, &str)], expected: Expect) {
    let failure = observe(step, ExitCause::Code { code: 1 }, log);
    let files = Project::new(files);
    let mut out = String::new();
    for strategy in strategies(&failure, step) {
        out.push_str(&format!("{strategy}\n"));
        out.push_str(&proposed(&propose(&strategy, &failure, step, &files), &files));
    }
    expected.assert_eq(&out);
}

#[test]
fn python_names_and_imports() {
    let app = "import os\nimport sys, json\ndef add(a: int, b: int) -> int:\n    unused = 1\n    return str(a+b)\n\n\
               def f( x ):\n    print(undefined_name)\n    if x == None: return 1\n";
    check(
        &step(S::Lint, "flake8"),
        &fixture("flake8"),
        &[("app.py", app)],
        expect![[r#"
            diagnostic_edit
            * remove the unused import os and 1 more
              app.py:1
              -import os
              -import sys, json
            * remove the unused import os
              app.py:1
              -import os
            * remove the unused imports sys, json
              app.py:2
              -import sys, json
        "#]],
    );
    check(
        &step(S::Lint, "python -m pyflakes ."),
        "a.py:3:7: undefined name 'os'\na.py:4:7: undefined name 'defaultdict'\na.py:1:1: 'sys' imported but unused\n",
        &[("a.py", "import sys\n\nprint(os.sep)\nprint(defaultdict(int))\n")],
        expect![[r#"
            diagnostic_edit
            * remove the unused import sys and 2 more
              a.py:1
              -import sys
              +from collections import defaultdict
              +import os
            * remove the unused import sys
              a.py:1
              -import sys
            * add `import os`
              a.py:1
              +import os
            * add `from collections import defaultdict`
              a.py:1
              +from collections import defaultdict
        "#]],
    );
    check(
        &step(S::Test, "python a.py"),
        "Traceback (most recent call last):\n  File \"/project/a.py\", line 2, in <module>\n    print(totl)\n          ^^^^\n\
         NameError: name 'totl' is not defined. Did you mean: 'total'?\n",
        &[("a.py", "total = 1\nprint(totl)\n")],
        expect![[r#"
            diagnostic_edit
            * write total for totl
              a.py:2
              -print(totl)
              +print(total)
        "#]],
    );
}

#[test]
fn rust_from_text() {
    let source = "use std::collections::HashMap;\n\npub fn add(a: i32, b: i32) -> i32 {\n    let unused = 1;\n    return a + b;\n}\n";
    check(
        &step(S::Lint, "cargo clippy --all-targets -- -D warnings"),
        &fixture("clippy_text"),
        &[("src/lib.rs", source)],
        expect![[r#"
            rustc_suggestions
            * run `cargo clippy --fix --allow-dirty --allow-staged --allow-no-vcs --all-targets -- -Wwarnings`
              $ cargo clippy --fix --allow-dirty --allow-staged --allow-no-vcs --all-targets -- -Wwarnings (network none)
            diagnostic_edit
            * remove `use std::collections::HashMap;` and 1 more
              src/lib.rs:1
              -use std::collections::HashMap;
              -
              -pub fn add(a: i32, b: i32) -> i32 {
              -    let unused = 1;
              +
              +pub fn add(a: i32, b: i32) -> i32 {
              +    let _unused = 1;
            * remove `use std::collections::HashMap;`
              src/lib.rs:1
              -use std::collections::HashMap;
            * rename the unused variable unused to _unused
              src/lib.rs:4
              -    let unused = 1;
              +    let _unused = 1;
        "#]],
    );
    check(
        &step(S::Build, "cargo check"),
        &fixture("rustc_text"),
        &[
            ("Cargo.toml", "[package]\nname = \"demo\"\n\n[dependencies]\nlog = \"0.4\" # why\ntoml = \"1\"\n"),
            ("Cargo.lock", "[[package]]\nname = \"serde\"\nversion = \"1.0.229\"\n"),
            (
                "src/lib.rs",
                "use serde::Serialize;\n\nfn f() {\n    let x: i32 = \"a\"; undefined_fn(); Strng::new();\n}\n",
            ),
        ],
        expect![[r#"
            missing_dependency
            * declare `serde = "1.0.229"` in Cargo.toml
              Cargo.toml:6
              +serde = "1.0.229"
              $ cargo update --workspace --offline (network none)
            rustc_suggestions
            * run `cargo fix --allow-dirty --allow-staged --allow-no-vcs`
              $ cargo fix --allow-dirty --allow-staged --allow-no-vcs (network none)
            diagnostic_edit
            * a struct with a similar name exists
              src/lib.rs:4
              -    let x: i32 = "a"; undefined_fn(); Strng::new();
              +    let x: i32 = "a"; undefined_fn(); String::new();
            lock_file
        "#]],
    );
}

#[test]
fn rust_from_json_rule_by_rule() {
    let source = "use std::collections::HashMap;\n\npub fn add(a: i32, b: i32) -> i32 {\n    let unused = 1;\n    return a + b;\n}\n\n\
                  #[cfg(test)]\nmod tests {}\n";
    let files = Project::new(&[("src/lib.rs", source)]);
    expect![[r#"
        * apply 3 suggestions of several rules
          src/lib.rs:1
          -use std::collections::HashMap;
          -
          -pub fn add(a: i32, b: i32) -> i32 {
          -    let unused = 1;
          -    return a + b;
          +
          +pub fn add(a: i32, b: i32) -> i32 {
          +    let _unused = 1;
          +    a + b
        * apply 1 suggestion for `clippy::needless_return`
          src/lib.rs:5
          -    return a + b;
          +    a + b
        * apply 1 suggestion for `unused_imports`
          src/lib.rs:1
          -use std::collections::HashMap;
        * apply 1 suggestion for `unused_variables`
          src/lib.rs:4
          -    let unused = 1;
          +    let _unused = 1;
    "#]]
    .assert_eq(&proposed(&rustc_suggestions(&fixture("clippy_json"), &files), &files));
    let source = "use serde::Serialize;\n\npub fn add(a: i32, b: i32) -> i32 {\n    let x: i32 = \"a\"; undefined_fn(); Strng::new();\n    return a + b;\n}\n";
    let files = Project::new(&[("src/lib.rs", source)]);
    expect![[r#"
        * apply 1 suggestion for `E0433` that may be incorrect
          src/lib.rs:4
          -    let x: i32 = "a"; undefined_fn(); Strng::new();
          +    let x: i32 = "a"; undefined_fn(); String::new();
    "#]]
    .assert_eq(&proposed(&rustc_suggestions(&fixture("rustc_json"), &files), &files));
    let short = Project::new(&[("src/lib.rs", "x")]);
    assert!(rustc_suggestions(&fixture("clippy_json"), &short).is_empty(), "suggestions for other text are dropped");
    assert!(rustc_suggestions("{\"reason\":\"compiler-message\"}\nnot json", &files).is_empty());
}

#[test]
fn the_command_that_prints_suggestions_follows_the_step() {
    let check = |line: &str, expected: &str| {
        let step = step(S::Lint, line);
        let failure = observe(&step, ExitCause::Code { code: 1 }, "");
        assert_eq!(suggestions_command(&failure, &step).argv.join(" "), expected);
    };
    check("cargo clippy --workspace -- -D warnings", "cargo clippy --message-format=json --workspace -- -Wwarnings");
    check("cd x && cargo test -p a --features b c", "cargo check --message-format=json --tests -p a --features b");
    check("cargo check --all-targets && cargo fmt", "cargo check --message-format=json --all-targets");
    check("./ci", "cargo check --message-format=json");
    check(
        "cargo clippy --all -- -A clippy::x -Dclippy::all -D clippy::y",
        "cargo clippy --message-format=json --all -- -Aclippy::x -Wclippy::y",
    );
}

#[test]
fn native_code() {
    check(
        &step(S::Build, "make"),
        &fixture("gpp"),
        &[(
            "c.cpp",
            "#include <vector>\nint main() { std::vector<int> v; v.push_bak(1); std::string s = \"x\"; std::sort(v.begin(), v.end()); cout << 1; }\n",
        )],
        expect![[r#"
            diagnostic_edit
            * write push_back for push_bak and 2 more
              c.cpp:2
              -int main() { std::vector<int> v; v.push_bak(1); std::string s = "x"; std::sort(v.begin(), v.end()); cout << 1; }
              +#include <algorithm>
              +#include <string>
              +int main() { std::vector<int> v; v.push_back(1); std::string s = "x"; std::sort(v.begin(), v.end()); cout << 1; }
            * write push_back for push_bak
              c.cpp:2
              -int main() { std::vector<int> v; v.push_bak(1); std::string s = "x"; std::sort(v.begin(), v.end()); cout << 1; }
              +int main() { std::vector<int> v; v.push_back(1); std::string s = "x"; std::sort(v.begin(), v.end()); cout << 1; }
            * add `#include <algorithm>`
              c.cpp:2
              +#include <algorithm>
            * add `#include <string>`
              c.cpp:2
              +#include <string>
        "#]],
    );
}

#[test]
fn typescript_and_go() {
    check(
        &step(S::Typecheck, "npx tsc"),
        "src/a.ts(2,13): error TS2552: Cannot find name 'abd'. Did you mean 'abc'?\n\
         src/a.ts(1,8): error TS6133: 'b' is declared but its value is never read.\n",
        &[("src/a.ts", "import b, { abc } from './b';\nconsole.log(abd);\n")],
        expect![[r#"
            diagnostic_edit
            * write abc for abd and 1 more
              src/a.ts:1
              -import b, { abc } from './b';
              -console.log(abd);
              +import { abc } from './b';
              +console.log(abc);
            * write abc for abd
              src/a.ts:2
              -console.log(abd);
              +console.log(abc);
            * remove the unused import b
              src/a.ts:1
              -import b, { abc } from './b';
              +import { abc } from './b';
        "#]],
    );
    check(
        &step(S::Build, "go build ./..."),
        &fixture("go_build"),
        &[(
            "a.go",
            "package g\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc Add(a, b int) int {\n\tx := 1\n\tfmt.Println(1)\n\treturn a + undefinedThing\n}\n",
        )],
        expect![[r#"
            diagnostic_edit
            * remove the unused import "os" and 1 more
              a.go:5
              -	"os"
              -)
              -
              -func Add(a, b int) int {
              -	x := 1
              +)
              +
              +func Add(a, b int) int {
              +	x := 1
              +	_ = x
            * remove the unused import "os"
              a.go:5
              -	"os"
            * mark x as unused
              a.go:10
              +	_ = x
        "#]],
    );
}

#[test]
fn python_dependencies_are_declared_in_the_manifest_there_is() {
    let python = step(S::Test, "python -m pytest");
    let collect = fixture("pytest_collect");
    check(
        &python,
        &collect,
        &[("requirements.txt", "# ours\nattrs==23\nzope\n")],
        expect![[r#"
            missing_dependency
            * declare PyYAML in requirements.txt
              requirements.txt:3
              +PyYAML
              $ python -m pip install PyYAML (network full)
            lock_file
        "#]],
    );
    check(
        &python,
        &collect,
        &[(
            "pyproject.toml",
            "[project]\nname = \"x\"\ndependencies = [\n    \"attrs>=1\",\n    \"zope\"\n]\n\n[tool.x]\n",
        )],
        expect![[r#"
            missing_dependency
            * declare PyYAML in pyproject.toml
              pyproject.toml:5
              -    "zope"
              +    "PyYAML",
              +    "zope",
              $ python -m pip install PyYAML (network full)
            lock_file
        "#]],
    );
    check(
        &python,
        &collect,
        &[("pyproject.toml", "[project]\nname = \"x\"\ndependencies = [\"attrs\"]\n")],
        expect![[r#"
            missing_dependency
            * declare PyYAML in pyproject.toml
              pyproject.toml:3
              -dependencies = ["attrs"]
              +dependencies = ["attrs", "PyYAML"]
              $ python -m pip install PyYAML (network full)
            lock_file
        "#]],
    );
    check(
        &python,
        &collect,
        &[("pyproject.toml", "[project]\nname = \"x\"\n\n[tool.y]\n")],
        expect![[r#"
            missing_dependency
            * declare PyYAML in pyproject.toml
              pyproject.toml:3
              +dependencies = ["PyYAML"]
              $ python -m pip install PyYAML (network full)
            lock_file
        "#]],
    );
}

#[test]
fn a_declared_python_dependency_is_installed_and_an_own_module_is_none() {
    let python = step(S::Test, "python -m pytest");
    let collect = fixture("pytest_collect");
    check(
        &python,
        &collect,
        &[("requirements.txt", "pyyaml\n")],
        expect![[r#"
            missing_dependency
            * install PyYAML, which requirements.txt declares
              $ python -m pip install PyYAML (network full)
            lock_file
        "#]],
    );
    check(
        &python,
        &collect,
        &[("src/yaml/__init__.py", ""), ("requirements.txt", "a\n")],
        expect![[r#"
            missing_dependency
            lock_file
        "#]],
    );
}

#[test]
fn a_script_s_tool_is_added_only_if_a_file_imports_it_by_that_name() {
    let npm = step(S::Test, "npm test");
    let said = "> x@1.0.0 test\n> tape test.js\n\nsh: 1: tape: not found\n";
    let package = "{\n  \"name\": \"x\"\n}\n";
    check(
        &npm,
        said,
        &[("package.json", package), ("test.js", "var test = require('tape')\n")],
        expect![[r#"
            missing_dependency
            * run `npm install --ignore-scripts --no-audit --no-fund --save-dev tape`
              $ npm install --ignore-scripts --no-audit --no-fund --save-dev tape (network full)
            lock_file
        "#]],
    );
    check(
        &npm,
        said,
        &[("package.json", package), ("test.js", "var test = require('tap')\n")],
        expect![[r#"
            missing_dependency
            lock_file
        "#]],
    );
}

#[test]
fn node_and_go_dependencies() {
    let node = step(S::Test, "node r.js");
    let missing = fixture("node_missing");
    let package = "{\n  \"name\": \"x\",\n  \"dependencies\": {\n    \"a\": \"1\",\n    \"zod\": \"3\"\n  }\n}\n";
    let lock = "{\"packages\": {\n\"node_modules/nosuchmod\": {\n\"version\": \"2.1.0\"\n}}}";
    check(
        &node,
        &missing,
        &[("package.json", package), ("package-lock.json", lock)],
        expect![[r#"
            missing_dependency
            * declare nosuchmod 2.1.0 in package.json
              package.json:5
              +    "nosuchmod": "^2.1.0",
              $ npm install --package-lock-only --ignore-scripts --no-audit --no-fund (network full)
            lock_file
        "#]],
    );
    check(
        &node,
        &missing,
        &[("package.json", "{\n  \"name\": \"x\"\n}\n"), ("yarn.lock", "")],
        expect![[r#"
            missing_dependency
            * run `yarn add nosuchmod`
              $ yarn add nosuchmod (network full)
            lock_file
        "#]],
    );
    check(
        &step(S::Build, "go build ./..."),
        &fixture("go_missing"),
        &[],
        expect![[r#"
            missing_dependency
            * run `go mod tidy`
              $ go mod tidy (network full)
            * run `go get github.com/pkg/errors`
              $ go get github.com/pkg/errors (network full)
            lock_file
        "#]],
    );
}

#[test]
fn a_missing_crate_is_taken_from_the_workspace_first() {
    let log = "error[E0432]: unresolved import `my_util`\n --> crates/a/src/lib.rs:1:5\n  |\n1 | use my_util::x;\n  |     ^^^^^^^ use of unresolved module or unlinked crate `my_util`\n\n";
    let a = ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n");
    let source = ("crates/a/src/lib.rs", "use my_util::x;\n");
    let util = ("crates/util/Cargo.toml", "[package]\nname = \"my-util\"\nversion = \"0.1.0\"\n");
    let build = step(S::Build, "cargo build");
    check(
        &build,
        log,
        &[a, source, util, ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\n")],
        expect![[r#"
            missing_dependency
            * declare `my-util = { path = "../../crates/util" }` in crates/a/Cargo.toml
              crates/a/Cargo.toml:3
              +
              +[dependencies]
              +my-util = { path = "../../crates/util" }
              $ cargo update --workspace --offline (network none)
            rustc_suggestions
            * run `cargo fix --allow-dirty --allow-staged --allow-no-vcs`
              $ cargo fix --allow-dirty --allow-staged --allow-no-vcs (network none)
            lock_file
        "#]],
    );
    let root = "[workspace]\n\n[workspace.dependencies]\nmy-util = { path = \"crates/util\" }\n";
    check(
        &build,
        log,
        &[a, source, util, ("Cargo.toml", root)],
        expect![[r#"
            missing_dependency
            * declare `my-util.workspace = true` in crates/a/Cargo.toml
              crates/a/Cargo.toml:3
              +
              +[dependencies]
              +my-util.workspace = true
              $ cargo update --workspace --offline (network none)
            rustc_suggestions
            * run `cargo fix --allow-dirty --allow-staged --allow-no-vcs`
              $ cargo fix --allow-dirty --allow-staged --allow-no-vcs (network none)
            lock_file
        "#]],
    );
    check(
        &build,
        log,
        &[a, source, ("Cargo.toml", "[workspace]\n")],
        expect![[r#"
            missing_dependency
            * run `cargo add my_util`
              $ cargo add my_util (network full)
            * run `cargo add my-util`
              $ cargo add my-util (network full)
            rustc_suggestions
            * run `cargo fix --allow-dirty --allow-staged --allow-no-vcs`
              $ cargo fix --allow-dirty --allow-staged --allow-no-vcs (network none)
            lock_file
        "#]],
    );
}

#[test]
fn lock_files() {
    check(
        &step(S::Build, "cargo build --locked"),
        &fixture("cargo_locked"),
        &[],
        expect![[r#"
            lock_file
            * run `cargo update --workspace --offline`
              $ cargo update --workspace --offline (network none)
            * run `cargo update --workspace`
              $ cargo update --workspace (network full)
            * run `cargo generate-lockfile`
              $ cargo generate-lockfile (network full)
            missing_dependency
        "#]],
    );
    check(
        &step(S::Build, "npm ci"),
        &fixture("npm_ci_lock"),
        &[("package-lock.json", "{}")],
        expect![[r#"
            lock_file
            * run `npm install --package-lock-only --ignore-scripts --no-audit --no-fund`
              $ npm install --package-lock-only --ignore-scripts --no-audit --no-fund (network full)
            missing_dependency
        "#]],
    );
}

#[test]
fn fixers_and_reruns() {
    let mut format = step(S::Format, "cargo fmt --check");
    format.fixers = vec![
        Fixer {
            name: "fmt".into(),
            command: CommandLine::Argv(vec!["cargo".into(), "fmt".into()]),
            kinds: [mb_core::failure::FailureKind::Format].into(),
            network: Network::None,
        },
        Fixer {
            name: "tests only".into(),
            command: CommandLine::Shell("true".into()),
            kinds: [mb_core::failure::FailureKind::TestAssert].into(),
            network: Network::None,
        },
    ];
    check(
        &format,
        &fixture("rustfmt"),
        &[],
        expect![[r#"
        fixer `fmt`
        * run the fixer `fmt`
          $ cargo fmt (network none)
    "#]],
    );
    check(&step(S::Custom, "./ci"), &fixture("git_dns"), &[], expect![""]);
    check(&step(S::Custom, "./ci"), &fixture("sh_missing"), &[], expect![[""]]);
    let failure = observe(&format, ExitCause::Code { code: 1 }, "");
    let unknown = Strategy::Fixer { fixer: "no such".into() };
    assert!(propose(&unknown, &failure, &format, &Project::new(&[])).is_empty());
}
