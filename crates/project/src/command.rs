//! What a command is for, judged by its words alone.
//!
//! Used for `mb run -- CMD` and for a step whose file does not say. A wrong guess costs little: the stage is only
//! the first hint when a failure is classified, and what the tool prints is stronger. What matters most is
//! whether it restores dependencies, because that decides about the network.

use mb_core::workflow::{CommandLine, StageKind};

use crate::detect::safe_name;

/// What is guessed of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guess {
    /// A step name (`cargo-test`).
    pub(crate) name: String,
    /// What it is for.
    pub(crate) stage: StageKind,
    /// Whether it fetches something and needs the network.
    pub(crate) restores: bool,
}

use StageKind::{Build, Custom, Format, Lint, Security, Test, Typecheck};

/// Leading words of a command and what it is for; the first row that fits decides.
const RULES: &[(&str, StageKind)] = &[
    ("cargo fmt", Format),
    ("cargo clippy", Lint),
    ("cargo check", Typecheck),
    ("cargo build", Build),
    ("cargo doc", Build),
    ("cargo test", Test),
    ("cargo nextest", Test),
    ("cargo audit", Security),
    ("cargo deny", Security),
    ("rustfmt", Format),
    ("rustc", Build),
    ("ruff format", Format),
    ("ruff", Lint),
    ("black", Format),
    ("isort", Format),
    ("yapf", Format),
    ("flake8", Lint),
    ("pylint", Lint),
    ("mypy", Typecheck),
    ("pyright", Typecheck),
    ("pyre", Typecheck),
    ("compileall", Build),
    ("py_compile", Build),
    ("build", Build),
    ("pytest", Test),
    ("unittest", Test),
    ("tox", Test),
    ("nox", Test),
    ("pip-audit", Security),
    ("bandit", Security),
    ("eslint", Lint),
    ("biome format", Format),
    ("biome", Lint),
    ("prettier", Format),
    ("tsc", Typecheck),
    ("webpack", Build),
    ("vite build", Build),
    ("esbuild", Build),
    ("rollup", Build),
    ("next build", Build),
    ("next lint", Lint),
    ("jest", Test),
    ("vitest", Test),
    ("mocha", Test),
    ("ava", Test),
    ("playwright", Test),
    ("cypress", Test),
    ("node --test", Test),
    ("npm audit", Security),
    ("npm test", Test),
    ("npm t", Test),
    ("gofmt", Format),
    ("goimports", Format),
    ("go fmt", Format),
    ("go vet", Lint),
    ("golangci-lint", Lint),
    ("staticcheck", Lint),
    ("govulncheck", Security),
    ("go build", Build),
    ("go install", Build),
    ("go test", Test),
    ("clang-format", Format),
    ("clang-tidy", Lint),
    ("cppcheck", Lint),
    ("cmake --build", Build),
    ("cmake", Build),
    ("ctest", Test),
    ("gcc", Build),
    ("g++", Build),
    ("clang", Build),
    ("cc", Build),
    ("ninja", Build),
    ("meson test", Test),
    ("meson", Build),
    ("bazel test", Test),
    ("bazel", Build),
    ("mvn compile", Build),
    ("mvn package", Build),
    ("mvn", Test),
    ("gradle build", Build),
    ("gradle", Test),
    ("gradlew build", Build),
    ("gradlew", Test),
    ("dotnet build", Build),
    ("dotnet test", Test),
    ("rubocop", Lint),
    ("rspec", Test),
    ("shellcheck", Lint),
    ("shfmt", Format),
    ("hadolint", Lint),
    ("trivy", Security),
    ("semgrep", Security),
];

/// Leading words of commands that fetch something.
const RESTORES: &[&str] = &[
    "cargo fetch",
    "cargo update",
    "cargo install",
    "cargo add",
    "cargo audit",
    "cargo deny",
    "npm ci",
    "npm install",
    "npm i",
    "npm update",
    "npm add",
    "npm audit",
    "pnpm install",
    "pnpm i",
    "pnpm add",
    "pnpm update",
    "pnpm dlx",
    "yarn install",
    "yarn add",
    "yarn dlx",
    "pip install",
    "pip3 install",
    "pip download",
    "pip-audit",
    "pip-sync",
    "uv sync",
    "uv pip",
    "uv lock",
    "uv add",
    "poetry install",
    "poetry lock",
    "poetry update",
    "poetry add",
    "pipenv install",
    "pipenv sync",
    "pdm install",
    "hatch env",
    "tox",
    "nox",
    "conda install",
    "go mod",
    "go get",
    "go install",
    "govulncheck",
    "bundle install",
    "gem install",
    "composer install",
    "mvn",
    "gradle",
    "gradlew",
    "dotnet restore",
    "git clone",
    "git fetch",
    "git pull",
    "git submodule",
    "curl",
    "wget",
    "apt-get",
    "docker pull",
    "docker build",
];

/// Programs that run a named script or target.
const RUNNERS: &[&str] = &[
    "npm run",
    "npm run-script",
    "pnpm run",
    "pnpm",
    "yarn run",
    "yarn",
    "bun run",
    "make",
    "gmake",
    "just",
    "task",
    "invoke",
];

/// Words before the real command.
const WRAPPERS: &[&str] = &[
    "env",
    "time",
    "nice",
    "sudo",
    "xvfb-run",
    "exec",
    "command",
    "npx",
    "bunx",
    "pnpm exec",
    "yarn exec",
    "uv run",
    "uvx",
    "poetry run",
    "pipenv run",
    "pdm run",
    "hatch run",
    "bundle exec",
    "python",
    "python3",
    "py",
];

/// The stage a script's, target's or step's name speaks of.
pub(crate) fn word_stage(name: &str) -> Option<StageKind> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).find_map(|part| match part.to_ascii_lowercase().as_str() {
        "lint" | "eslint" | "clippy" | "vet" => Some(Lint),
        "format" | "fmt" | "prettier" | "style" => Some(Format),
        "typecheck" | "types" | "type" | "tsc" | "mypy" => Some(Typecheck),
        "build" | "compile" | "all" => Some(Build),
        "test" | "tests" | "spec" | "unit" | "e2e" | "integration" | "check" => Some(Test),
        "security" | "audit" | "deny" => Some(Security),
        _ => None,
    })
}

/// Guesses what a command is for.
pub(crate) fn guess(command: &CommandLine) -> Guess {
    let parts: Vec<Vec<String>> = match command {
        CommandLine::Shell(line) => split(line),
        CommandLine::Argv(argv) => match argv.as_slice() {
            [shell, flag, line, ..] if is_shell(shell) && flag.starts_with('-') && flag.ends_with('c') => split(line),
            _ => vec![argv.clone()],
        },
    };
    let guesses: Vec<Guess> = parts.iter().filter(|part| !part.is_empty()).map(|part| guess_words(part)).collect();
    let restores = guesses.iter().any(|guess| guess.restores);
    let telling = guesses.iter().find(|guess| guess.stage != Custom).or(guesses.first());
    let guess = telling.cloned().unwrap_or(Guess { name: "command".into(), stage: Custom, restores });
    Guess { restores, ..guess }
}

fn is_shell(program: &str) -> bool {
    matches!(base(program), "sh" | "bash" | "dash" | "zsh")
}

/// The commands of a shell line, roughly: quotes are kept as they are, which is enough for leading words.
fn split(line: &str) -> Vec<Vec<String>> {
    let separated = line.replace("&&", "\n").replace("||", "\n").replace([';', '|'], "\n");
    separated.lines().map(|part| part.split_whitespace().map(str::to_owned).collect()).collect()
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn guess_words(words: &[String]) -> Guess {
    let words = unwrapped(words);
    let text = words.join(" ");
    let restores = text == "yarn" || RESTORES.iter().any(|row| leads(&text, row));
    let named = |count: usize| {
        let taken = words
            .iter()
            .take(count.max(1))
            .map(|word| safe_name(word).replace(['/', '.'], "-").trim_matches('-').to_owned());
        let name = taken.collect::<Vec<_>>().join("-").trim_matches('-').to_owned();
        if name.is_empty() { "command".to_owned() } else { name }
    };
    if let Some((row, stage)) = RULES.iter().find(|(row, _)| leads(&text, row)) {
        return Guess { name: named(row.split(' ').count()), stage: *stage, restores };
    }
    if let Some(runner) = RUNNERS.iter().find(|row| leads(&text, row)) {
        let count = runner.split(' ').count();
        let target = words.get(count).map(String::as_str);
        let stage = match target {
            Some(target) => word_stage(target).unwrap_or(Custom),
            None if matches!(*runner, "make" | "gmake") => Build,
            None => Custom,
        };
        return Guess { name: named(count + 1), stage, restores };
    }
    let stage = words.first().and_then(|program| word_stage(program)).unwrap_or(Custom);
    let count = RESTORES.iter().find(|row| leads(&text, row)).map_or(1, |row| row.split(' ').count());
    Guess { name: named(count), stage, restores }
}

/// Whether `text` begins with the words of `row`.
fn leads(text: &str, row: &str) -> bool {
    text.strip_prefix(row).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The words that tell: without assignments, wrappers and flags, the program without its folder.
fn unwrapped(words: &[String]) -> Vec<String> {
    let assignment = |word: &str| word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.contains('/'));
    let mut rest: Vec<String> = words
        .iter()
        .filter(|word| {
            (!word.starts_with('-') || matches!(word.as_str(), "--build" | "--test"))
                && !word.starts_with('+')
                && !assignment(word)
        })
        .cloned()
        .collect();
    if let Some(program) = rest.first_mut() {
        *program = base(program).to_owned();
    }
    // Each turn drops words, so the loop ends; eight wrappers are more than anyone writes.
    for _ in 0..8 {
        let text = rest.join(" ");
        match WRAPPERS.iter().map(|row| (row, row.split(' ').count())).find(|(row, _)| leads(&text, row)) {
            Some((_, count)) if rest.len() > count => drop(rest.drain(..count)),
            _ => break,
        }
        if let Some(program) = rest.first_mut() {
            *program = base(program).to_owned();
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: &str) -> String {
        let argv = line.split(' ').map(str::to_owned).collect();
        let Guess { name, stage, restores } = guess(&CommandLine::Argv(argv));
        format!("{line} -> {name} {stage}{}\n", if restores { " online" } else { "" })
    }

    #[test]
    fn commands_are_recognised() {
        let lines = [
            "cargo fmt --all -- --check",
            "cargo +nightly clippy",
            "cargo test --workspace",
            "cargo fetch",
            "python -m pytest -q tests",
            ".venv/bin/python -m unittest discover",
            "python3 scripts/gen.py",
            "npm test",
            "npm ci",
            "npm run lint:fix",
            "pnpm build",
            "yarn",
            "npx --no-install tsc --noEmit",
            "uv run ruff check .",
            "make",
            "make -j4 CC=clang check",
            "go test ./...",
            "go mod download",
            "env CI=1 pytest",
            "./scripts/run_tests.sh",
            "cmake --build build",
            "node --test",
            "frobnicate --now",
            "--",
        ];
        expect_test::expect![[r#"
            cargo fmt --all -- --check -> cargo-fmt format
            cargo +nightly clippy -> cargo-clippy lint
            cargo test --workspace -> cargo-test test
            cargo fetch -> cargo-fetch custom online
            python -m pytest -q tests -> pytest test
            .venv/bin/python -m unittest discover -> unittest test
            python3 scripts/gen.py -> gen-py custom
            npm test -> npm-test test
            npm ci -> npm-ci custom online
            npm run lint:fix -> npm-run-lint-fix lint
            pnpm build -> pnpm-build build
            yarn -> yarn custom online
            npx --no-install tsc --noEmit -> tsc typecheck
            uv run ruff check . -> ruff lint
            make -> make build
            make -j4 CC=clang check -> make-check test
            go test ./... -> go-test test
            go mod download -> go-mod custom online
            env CI=1 pytest -> pytest test
            ./scripts/run_tests.sh -> run_tests-sh test
            cmake --build build -> cmake-build build
            node --test -> node-test test
            frobnicate --now -> frobnicate custom
            -- -> command custom
        "#]]
        .assert_eq(&lines.map(row).concat());
    }

    #[test]
    fn a_shell_line_is_what_its_first_telling_part_is() {
        let check = |line: &str, expected: (&str, StageKind, bool)| {
            for command in [
                CommandLine::Shell(line.into()),
                CommandLine::Argv(vec!["/bin/bash".into(), "-ec".into(), line.into()]),
            ] {
                let guess = guess(&command);
                assert_eq!((guess.name.as_str(), guess.stage, guess.restores), expected, "{line}");
            }
        };
        check("cd web && npm ci && npm run build", ("npm-run-build", Build, true));
        check("echo hi; cargo test | tee log", ("cargo-test", Test, false));
        check("", ("command", Custom, false));
    }
}
