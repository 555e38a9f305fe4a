//! What the gate lets through, and what it says when it does not.

use mb_core::failure::FailureKind as K;
use mb_core::workflow::RepairPolicy;
use mb_repair::patch_gate;

/// A difference of one file that replaces `old` with `new` from line 10 on.
fn diff(path: &str, old: &str, new: &str) -> String {
    let marked = |text: &str, mark: &str| text.lines().map(|line| format!("{mark}{line}\n")).collect::<String>();
    let (removed, added) = (old.lines().count(), new.lines().count());
    format!(
        "diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -10,{removed} +10,{added} @@\n{}{}",
        marked(old, "-"),
        marked(new, "+")
    )
}

fn verdict(patch: &str, changed: &[&str], policy: &RepairPolicy, kind: K) -> String {
    let changed: Vec<String> = changed.iter().map(ToString::to_string).collect();
    patch_gate(patch, &changed, policy, kind).map_or_else(|refusal| refusal.to_string(), |()| "ok".to_owned())
}

#[track_caller]
fn check(kind: K, path: &str, old: &str, new: &str, expected: &str) {
    let got = verdict(&diff(path, old, new), &[path], &RepairPolicy::default(), kind);
    assert!(got == expected || (expected != "ok" && got.starts_with(expected)), "{got}");
}

#[test]
fn code_may_change_and_what_judges_it_may_not() {
    check(K::TestAssert, "src/a.py", "x = 1", "x = 2", "ok");
    check(K::TestAssert, "tests/test_a.py", "x = 1", "x = 2", "tests/test_a.py: a test was changed for a failure");
    check(K::TestError, "web/a.test.ts", "x", "y", "web/a.test.ts: a test was changed");
    check(K::Format, "tests/test_a.py", "x=1", "x = 1", "ok");
    check(
        K::Lint,
        ".eslintrc.json",
        "1",
        "2",
        ".eslintrc.json: the configuration of a check was changed; satisfy the check",
    );
    check(
        K::Lint,
        "pyproject.toml",
        "a = 1",
        "ignore = [\"E501\"]",
        "pyproject.toml:10: the configuration of a check was changed",
    );
    check(K::Dependency, "pyproject.toml", "", "dependencies = [\"x\"]", "ok");
    check(
        K::TestAssert,
        "package.json",
        "  \"test\": \"jest\"",
        "  \"test\": \"true\"",
        "package.json:10: the configuration of a check",
    );
    check(K::Compile, "Cargo.lock", "a", "b", "Cargo.lock: a lock file was changed");
    check(K::Dependency, "Cargo.lock", "a", "b", "ok");
    check(K::Lint, ".travis.yml", "a", "b", ".travis.yml: continuous-integration configuration was changed");
}

#[test]
fn nothing_may_be_silenced() {
    let silenced = [
        ("a.py", "import os  # noqa: F401"),
        ("a.py", "x = f()  # type: ignore[arg-type]"),
        ("src/a.rs", "    #[allow(dead_code)]"),
        ("src/a.rs", "#![allow(unused)]"),
        ("src/a.rs", "    #[ignore = \"slow\"]"),
        ("a.js", "// eslint-disable-next-line no-undef"),
        ("a.ts", "// @ts-expect-error"),
        ("a.py", "@pytest.mark.skipif(True)"),
        ("a.js", "  it.skip('x', () => {})"),
        ("a.cc", "int x; // NOLINT"),
        ("a.go", "x() //nolint:errcheck"),
        ("a.go", "\tt.Skip()"),
        ("A.java", "@SuppressWarnings(\"unchecked\")"),
        ("a.c", "#pragma GCC diagnostic ignored \"-Wx\""),
    ];
    for (path, line) in silenced {
        check(K::Lint, path, "", line, &format!("{path}:10: a check was silenced (`{}`)", line.trim()));
        check(K::Lint, path, line, &format!("{line} "), "ok");
    }
    check(K::Lint, "a.py", "x = 1  # noqa", "x = 1", "ok");
    check(K::Lint, "a.py", "", "ignored = allow(skip)", "ok");
}

#[test]
fn tests_and_assertions_stay() {
    let check = |path, old, new, expected: &str| check(K::Format, path, old, new, expected);
    check(
        "tests/test_a.py",
        "def test_a():\n    assert x",
        "",
        "tests/test_a.py:10: a test is gone (`test_a`); keep every test",
    );
    check("tests/test_a.py", "def test_a():", "def test_b():", "tests/test_a.py:10: a test is gone (`test_a`)");
    check("tests/test_a.py", "def test_a( ):", "def test_a():", "ok");
    check("tests/test_a.py", "    assert x==1", "    assert x == 1", "ok");
    check("tests/test_a.py", "    assert x==1", "    pass", "tests/test_a.py:10: there are fewer assertions");
    check("src/lib.rs", "    #[test]\n    fn a() {}", "", "src/lib.rs:10: a test is gone");
    check("src/lib.rs", "    assert_eq!(a, b);", "", "src/lib.rs:10: there are fewer assertions");
    check(
        "a_test.go",
        "func TestA(t *testing.T) {",
        "func testA(t *testing.T) {",
        "a_test.go:10: a test is gone (`TestA`)",
    );
    check("a.test.js", "it('adds', () => {", "xit('adds', () => {", "a.test.js:10: a check was silenced");
    check("a.test.js", "it( 'adds', () => {", "it('adds', () => {", "ok");
    check("A_test.cc", "TEST(A, B) {", "", "A_test.cc:10: a test is gone");
}

#[test]
fn the_policy_bounds_paths_and_size() {
    let policy = |allow: &[&str], deny: &[&str], patch_bytes_max| RepairPolicy {
        enabled: true,
        allow: allow.iter().map(ToString::to_string).collect(),
        deny: deny.iter().map(ToString::to_string).collect(),
        patch_bytes_max,
    };
    let check = |policy: &RepairPolicy, path: &str, expected: &str| {
        let got = verdict(&diff(path, "a", "b"), &[path], policy, K::Lint);
        assert!(got.starts_with(expected), "{path}: {got}");
    };
    let standard = RepairPolicy::default();
    for denied in [".env", "deep/.env.local", ".github/workflows/ci.yml", "k/id_rsa", "secrets/a/b", "a/cert.pem"] {
        check(&standard, denied, &format!("{denied}: the repair policy denies this path"));
    }
    check(&standard, "src/env.rs", "ok");
    check(&policy(&["src/", "docs/*.md"], &[], 1_000), "src/deep/a.rs", "ok");
    check(&policy(&["src/", "docs/*.md"], &[], 1_000), "docs/a.md", "ok");
    check(&policy(&["src/", "docs/*.md"], &[], 1_000), "build.rs", "build.rs: the repair policy does not allow");
    check(&policy(&["src/"], &["src/gen/"], 1_000), "src/gen/a.rs", "src/gen/a.rs: the repair policy denies");
    check(&policy(&[], &[], 10), "a.rs", "the difference is larger than the policy's limit");
    check(&policy(&[], &["[z-a]"], 1_000), "a.rs", "the repair policy has a glob that cannot be read (`[z-a]`)");
    check(&standard, "../a.rs", "../a.rs: the path leaves the project");
    check(&standard, "/etc/a", "/etc/a: the path leaves the project");
}

#[test]
fn hidden_ways_are_seen() {
    let standard = RepairPolicy::default();
    let binary = "diff --git a/x.png b/x.png\nnew file mode 100644\nBinary files /dev/null and b/x.png differ\n";
    assert!(verdict(binary, &["x.png"], &standard, K::Lint).starts_with("x.png: the file is not text"));
    let renamed = "diff --git a/tests/test_a.py b/old.txt\nsimilarity index 100%\nrename from tests/test_a.py\nrename to old.txt\n";
    assert!(
        verdict(renamed, &["old.txt"], &standard, K::TestAssert).starts_with("tests/test_a.py: a test was changed")
    );
    let deleted =
        "diff --git a/.env b/.env\ndeleted file mode 100644\n--- a/.env\n+++ /dev/null\n@@ -1 +0,0 @@\n-A=1\n";
    assert!(verdict(deleted, &[], &standard, K::Lint).starts_with(".env: the repair policy denies"));
    let moved = format!("{}{}", diff("tests/a.py", "def test_a():", ""), diff("tests/b.py", "", "def test_a():"));
    assert_eq!(verdict(&moved, &["tests/a.py", "tests/b.py"], &standard, K::Lint), "ok");
    assert_eq!(verdict("", &[], &standard, K::Lint), "ok");
}

#[test]
fn a_change_makes_no_links() {
    let link =
        "diff --git a/a.py b/a.py\nnew file mode 120000\n--- /dev/null\n+++ b/a.py\n@@ -0,0 +1 @@\n+/etc/passwd\n";
    let got = verdict(link, &["a.py"], &RepairPolicy::default(), K::Lint);
    assert_eq!(got, "a.py: the change makes a link; write the file itself");
    let elsewhere = "diff --git a/l b/l\nindex 1..2 120000\n--- a/l\n+++ b/l\n@@ -1 +1 @@\n-x\n+/etc\n";
    let got = verdict(elsewhere, &["l"], &RepairPolicy::default(), K::Lint);
    assert_eq!(got, "l: the change makes a link; write the file itself");
}
