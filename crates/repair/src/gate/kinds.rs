//! Which files and lines judge a project: tests, configuration of checks, lock files, suppressions, assertions.

use crate::pattern::pattern;

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a path is a test by the customs of its language.
pub(crate) fn is_test_file(path: &str) -> bool {
    let folder = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let in_folder = folder
        .split('/')
        .any(|part| matches!(part, "test" | "tests" | "__tests__" | "spec" | "specs" | "testdata" | "__snapshots__"));
    in_folder
        || pattern!(r"^(?:test_.+\.py|.+_test\.(?:py|go|rb|rs|cc|cpp|c|dart)|conftest\.py|.+\.(?:test|spec)\.[cm]?[jt]sx?|.+_spec\.rb|.+Tests?\.(?:java|kt|cs|scala|swift|php)|tests\.rs)$")
            .is_match(name_of(path))
}

/// Configuration of continuous integration.
pub(crate) fn is_ci(path: &str) -> bool {
    [".github/", ".circleci/", ".buildkite/", ".gitlab/", ".azure/"].iter().any(|dir| path.starts_with(dir))
        || matches!(
            name_of(path),
            ".gitlab-ci.yml"
                | ".travis.yml"
                | "azure-pipelines.yml"
                | "Jenkinsfile"
                | ".drone.yml"
                | "appveyor.yml"
                | "bitbucket-pipelines.yml"
                | ".pre-commit-config.yaml"
                | "meta-builder.toml"
                | "noxfile.py"
        )
}

/// Files that only configure checks.
pub(crate) fn is_lint_config(path: &str) -> bool {
    pattern!(r"^(?:\.?ruff\.toml|\.flake8|\.?mypy\.ini|\.?pylintrc|pytest\.ini|tox\.ini|pyrightconfig\.json|\.bandit|\.coveragerc|\.isort\.cfg|\.eslintrc.*|\.eslintignore|eslint\.config\..+|\.prettierrc.*|\.prettierignore|prettier\.config\..+|\.stylelintrc.*|biome\.jsonc?|tsconfig.*\.json|(?:jest|vitest|karma|playwright)\.config\..+|\.mocharc.*|\.?rustfmt\.toml|\.?clippy\.toml|deny\.toml|\.golangci\.ya?ml|\.clang-(?:format|tidy)|checkstyle.*\.xml|\.rubocop.*\.yml|\.rspec|\.editorconfig|nextest\.toml)$")
        .is_match(name_of(path))
}

/// Lock files of package managers, by name.
pub const LOCK_FILES: &[&str] = &[
    "Cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "poetry.lock",
    "uv.lock",
    "Pipfile.lock",
    "Gemfile.lock",
    "go.sum",
    "composer.lock",
    "bun.lock",
];

/// Whether a path is a lock file.
pub(crate) fn is_lock(path: &str) -> bool {
    LOCK_FILES.contains(&name_of(path))
}

/// Whether a line of a manifest sets how the project is judged (scripts, options of test runners, ignored rules).
pub(crate) fn judges(path: &str, line: &str) -> bool {
    match name_of(path) {
        "package.json" => pattern!(r#"^\s*"(?:test|lint|check|typecheck|format|build|jest|eslintConfig|ava|mocha)[\w:-]*"\s*:\s*["{]"#).is_match(line),
        "pyproject.toml" | "setup.cfg" => pattern!(r"^\s*(?:addopts|testpaths|norecursedirs|ignore|extend-ignore|per-file-ignores|exclude|extend-exclude|select|extend-select|disable|ignore_errors|ignore_missing_imports|strict|fail_under|\[tool\.(?:ruff|mypy|pytest|pylint|black|isort|pyright|coverage|bandit))\b").is_match(line),
        "Cargo.toml" => pattern!(r#"^\s*(?:\[(?:workspace\.)?lints|(?:test|doctest|harness)\s*=\s*false|.*=\s*"allow"|.*level\s*=\s*"allow")"#).is_match(line),
        _ => false,
    }
}

/// The suppression a line holds, in a form that stays the same when the line is moved or wrapped.
pub(crate) fn suppression(line: &str) -> Option<String> {
    let found = pattern!(
        r"(?x)
        \#\s*noqa | \#\s*type:\s*ignore | \#\s*pyright:\s*ignore | \#\s*mypy:\s*\w | \#\s*pylint:\s*(?:disable|skip)
        | \#\s*fmt:\s*(?:off|skip) | \#\s*isort:\s*skip | \#\s*nosec | \#\s*pragma:\s*no\s*cover | \#\s*rubocop:disable
        | \#!?\[\s*(?:allow|expect|ignore|rustfmt::skip|cfg_attr\([^\]]*?(?:allow|ignore))\b
        | \beslint-disable | @ts-(?:ignore|expect-error|nocheck) | \bprettier-ignore | \bbiome-ignore | \bistanbul\ ignore | \bc8\ ignore
        | \bpytest\.mark\.(?:skip|skipif|xfail)\b | \bpytest\.(?:skip|xfail|importorskip)\( | \bunittest\.(?:skip|expectedFailure)\w*
        | \bself\.skipTest\( | \b(?:it|test|describe|context|suite)\.(?:skip|only|todo|fails)\b | \bx(?:it|test|describe)\( | \bthis\.skip\(
        | \bt\.Skip(?:f|Now)?\( | \bNOLINT | //\s*nolint | //\s*clang-format\ off | \bGTEST_SKIP\b | \bDISABLED_\w+
        | @(?:Disabled|Ignore|SuppressWarnings|Suppress)\b | \#\s*pragma\s+(?:GCC|clang)\s+diagnostic\s+ignored | \bshellcheck\s+disable"
    )
    .find(line)?;
    Some(found.as_str().split_whitespace().collect())
}

/// The name of the test a line defines.
pub(crate) fn test_name(line: &str) -> Option<String> {
    let found = pattern!(
        r#"^\s*(?:(?:async\s+)?def\s+(test\w*)|class\s+(Test\w+)|func\s+((?:Test|Fuzz|Benchmark|Example)\w*)\(|(?:it|test|specify|scenario)\s*(?:\.\w+)?\(\s*(["'`].+?["'`])|it\s+(["'].+?["'])\s+do|(TEST(?:_F|_P)?\([^)]*\))|(#\[(?:\w+::)?test\b.*\])|(@(?:Test|ParameterizedTest)\b))"#
    )
    .captures(line)?;
    found.iter().skip(1).flatten().next().map(|m| m.as_str().to_owned())
}

/// How many assertions a line begins.
pub(crate) fn assertions(line: &str) -> usize {
    let code = line.trim_start();
    if code.starts_with("//") || code.starts_with('#') {
        return 0;
    }
    pattern!(r"\b(?:assert(?:_\w+)?!|debug_assert(?:_\w+)?!|assert\s|assert\(|assert\.\w+\(|assert[A-Z]\w*\(|self\.assert\w+\(|self\.fail\w*\(|expect\(|pytest\.raises\(|t\.(?:Error|Fatal)f?\(|t\.Fail(?:Now)?\(|(?:require|assert)\.[A-Z]\w*\(|(?:EXPECT|ASSERT)_\w+\()")
        .find_iter(code)
        .count()
}
