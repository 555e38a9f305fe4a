//! Python: a step for every tool the project configures or depends on, run by its virtual environment when it has
//! one, by its manager (uv, Poetry) when it has that lock file, and by the host's `python3` otherwise.
//!
//! Deliberately absent: an install step for bare `requirements.txt`. Where the packages should go (a virtual
//! environment, the system, a container) is not written in the repository, and a wrong guess breaks builds that
//! work; a note says what to add.

use mb_core::failure::FailureKind;
use mb_core::workflow::StageKind;
use toml::{Table, Value};

use super::draft::{Draft, Step, fixer, online_fixer};
use super::{Toolchain, is_below, is_sample, project_dirs};
use crate::survey::{Survey, join};

/// Files that make a folder a Python project.
const MARKS: &[&str] =
    &["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "tox.ini", "pytest.ini", "Pipfile", "noxfile.py"];
/// The same for a folder below the root, where `requirements.txt` alone may only serve documentation.
const NESTED_MARKS: &[&str] = &["pyproject.toml", "setup.py"];
/// Files that name tools without being the project's own manifest. Not `.pre-commit-config.yaml`: what it names lives
/// in environments of its own and is rarely installed beside the project.
const MENTIONS: &[&str] = &["setup.cfg", "setup.py", "tox.ini", "pytest.ini", "Pipfile", "noxfile.py", "Makefile"];

/// How the project's tools are started.
struct Interpreter {
    /// Before `python`-hosted tools: `.venv/bin/python -m `, `uv run --no-sync `, or nothing.
    tool: String,
    /// The interpreter itself.
    python: String,
    /// The virtual environment's folder when it is carried into worktrees.
    cache: Option<&'static str>,
}

struct Project<'s> {
    survey: &'s Survey,
    dir: &'s str,
    pyproject: Table,
    /// Whether `pyproject.toml` is there but not TOML.
    broken: bool,
    /// Everything that may name a tool, in lower case.
    mentions: String,
}

pub(super) fn find(survey: &Survey, others: &[Draft], notes: &mut Vec<String>) -> Vec<Draft> {
    let mut dirs: Vec<String> = Vec::new();
    let root_is_taken = others.iter().any(|draft| draft.dir.is_empty());
    let scripts = survey.directly_in("").any(|file| file.ends_with(".py"));
    if survey.first("", MARKS).is_some() || (scripts && !root_is_taken) {
        dirs.push(String::new());
    }
    for mark in NESTED_MARKS {
        dirs.extend(project_dirs(survey, mark).into_iter().filter(|dir| !dir.is_empty()));
    }
    if dirs.is_empty() {
        dirs.extend(project_dirs(survey, "requirements.txt").into_iter().filter(|dir| !dir.ends_with("docs")));
    }
    dirs.sort_by_key(|dir| (crate::survey::depth(dir), dir.clone()));
    dirs.dedup();
    let projects: Vec<Project> = dirs.iter().map(|dir| Project::read(survey, dir)).collect();
    let kept = projects
        .iter()
        .filter(|project| project.dir.is_empty() || project.is_package() || project.broken)
        .filter(|project| !projects.iter().any(|outer| is_below(project.dir, outer.dir) && outer.is_workspace()));
    kept.map(|project| project.draft(notes)).collect()
}

impl<'s> Project<'s> {
    fn read(survey: &'s Survey, dir: &'s str) -> Self {
        let text = survey.text(dir, "pyproject.toml");
        let requirements = survey
            .below(dir)
            .filter(|file| file.contains("requirements") && (file.ends_with(".txt") || file.ends_with(".in")))
            .take(20);
        let (pyproject, broken) = text.parse::<Table>().map_or((Table::new(), true), |table| (table, false));
        let mut mentions = Vec::new();
        pyproject.iter().for_each(|(key, value)| dependencies(value, key.contains("dependenc"), &mut mentions));
        let named = MENTIONS.iter().copied().chain(requirements);
        mentions.extend(named.map(|file| survey.text(dir, file).to_lowercase()));
        Self { survey, dir, pyproject, broken, mentions: mentions.join("\n") }
    }

    /// Whether it can be installed; a nested `pyproject.toml` may only configure tools.
    fn is_package(&self) -> bool {
        !self.survey.has(self.dir, "pyproject.toml")
            || self.survey.has(self.dir, "setup.py")
            || ["project", "build-system"].iter().any(|table| self.pyproject.contains_key(*table))
            || self.tool("poetry").is_some()
    }

    fn is_workspace(&self) -> bool {
        self.tool("uv").is_some_and(|uv| uv.get("workspace").is_some())
    }

    fn tool(&self, name: &str) -> Option<&Value> {
        self.pyproject.get("tool")?.get(name)
    }

    /// Whether a tool is configured, has its own file, or is named as a whole word in a manifest.
    fn uses(&self, tool: &str, files: &[&str]) -> bool {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.tool(tool).is_some()
            || self.survey.first(self.dir, files).is_some()
            || self.mentions.match_indices(tool).any(|(at, _)| {
                let before = self.mentions[..at].chars().next_back();
                let after = self.mentions[at + tool.len()..].chars().next();
                !before.is_some_and(word) && !after.is_some_and(word)
            })
    }

    fn interpreter(&self) -> Interpreter {
        let venv =
            [".venv", "venv"].into_iter().find(|venv| self.survey.on_disk(self.dir, &format!("{venv}/bin/python")));
        let managed =
            |run: &str| Interpreter { tool: format!("{run} "), python: format!("{run} python"), cache: Some(".venv") };
        match venv {
            _ if self.survey.has(self.dir, "uv.lock") => managed("uv run --no-sync"),
            _ if self.survey.has(self.dir, "poetry.lock") => Interpreter { cache: None, ..managed("poetry run") },
            Some(venv) => {
                let python = format!("{venv}/bin/python");
                Interpreter { tool: format!("{python} -m "), python, cache: Some(venv) }
            }
            None => Interpreter { tool: String::new(), python: "python3".into(), cache: None },
        }
    }

    fn draft(&self, notes: &mut Vec<String>) -> Draft {
        if self.broken {
            notes.push(format!(
                "{} could not be parsed; tools it configures may be missing",
                join(self.dir, "pyproject.toml")
            ));
        }
        let with = self.interpreter();
        let mut steps: Vec<Step> = self.install().into_iter().collect();
        steps.extend(self.format_steps(&with));
        steps.extend(self.lint_steps(&with));
        steps.extend(self.type_steps(&with));
        if !steps.iter().any(|step| step.stage == StageKind::Typecheck) {
            steps.push(self.compile_step(&with));
        }
        steps.extend(self.test_step(&with));
        if self.uses("pip-audit", &[]) {
            steps.push(Step::new("audit", StageKind::Security, format!("{}pip-audit", bare(&with))).online());
        }
        if with.python == "python3" && self.wants_packages() {
            let place = if self.dir.is_empty() { "the root" } else { self.dir };
            notes.push(format!(
                "{place}: Python steps use the host's python3; make a .venv, or add a step that installs the requirements"
            ));
        }
        let steps = steps.into_iter().map(|step| {
            let needs: &[&str] = match step.stage {
                StageKind::Custom => &[],
                StageKind::Test => &["install", "build"],
                _ => &["install"],
            };
            step.needs(needs).cache(with.cache)
        });
        let steps = steps.collect();
        Draft { dir: self.dir.to_owned(), toolchain: Toolchain::Python, evidence: self.evidence(), steps }
    }

    fn evidence(&self) -> Vec<String> {
        let marks = MARKS.iter().chain(&["uv.lock", "poetry.lock", "conftest.py"]).copied();
        let mut files: Vec<String> = marks.filter(|name| self.survey.has(self.dir, name)).map(str::to_owned).collect();
        if files.is_empty() {
            files.extend(
                self.survey.directly_in(self.dir).filter(|file| file.ends_with(".py")).take(3).map(str::to_owned),
            );
        }
        files
    }

    fn wants_packages(&self) -> bool {
        let declared = self.pyproject.get("project").and_then(|project| project.get("dependencies"));
        declared.and_then(Value::as_array).is_some_and(|list| !list.is_empty())
            || self
                .survey
                .text(self.dir, "requirements.txt")
                .lines()
                .any(|line| !line.trim().is_empty() && !line.starts_with('#'))
    }

    fn install(&self) -> Option<Step> {
        let relock = |run: &str| [online_fixer(run, &[FailureKind::Dependency])];
        if self.survey.has(self.dir, "uv.lock") {
            return Some(
                Step::new("install", StageKind::Custom, "uv sync --locked --all-groups")
                    .online()
                    .fix(relock("uv lock")),
            );
        }
        if self.survey.has(self.dir, "poetry.lock") {
            let run = "poetry install --no-interaction";
            return Some(Step::new("install", StageKind::Custom, run).online().fix(relock("poetry lock")));
        }
        None
    }

    fn format_steps(&self, with: &Interpreter) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut add = |tool: &str, check: &str, fix: &str| {
            let name = if steps.is_empty() { "format" } else { tool };
            let fixers = [fixer(format!("{}{fix}", with.tool), &[FailureKind::Format, FailureKind::Lint])];
            steps.push(Step::new(name, StageKind::Format, format!("{}{check}", with.tool)).fix(fixers));
        };
        let ruff_format = self.tool("ruff").is_some_and(|ruff| ruff.get("format").is_some())
            || self.mentions.contains("ruff format")
            || self.survey.text(self.dir, ".pre-commit-config.yaml").contains("ruff-format");
        if ruff_format && self.uses_ruff() {
            add("ruff-format", "ruff format --check .", "ruff format .");
        }
        if self.uses("black", &[]) {
            add("black", "black --check .", "black .");
        }
        if self.uses("isort", &[".isort.cfg"]) {
            add("isort", "isort --check-only .", "isort .");
        }
        steps
    }

    fn uses_ruff(&self) -> bool {
        self.uses("ruff", &["ruff.toml", ".ruff.toml"])
    }

    fn lint_steps(&self, with: &Interpreter) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.uses_ruff() {
            let fix = fixer(format!("{}ruff check --fix .", with.tool), &[FailureKind::Lint, FailureKind::Format]);
            steps.push(Step::new("lint", StageKind::Lint, format!("{}ruff check .", with.tool)).fix([fix]));
        }
        if self.uses("flake8", &[".flake8"]) {
            let name = if steps.is_empty() { "lint" } else { "flake8" };
            steps.push(Step::new(name, StageKind::Lint, format!("{}flake8 .", with.tool)));
        }
        steps
    }

    fn type_steps(&self, with: &Interpreter) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.uses("mypy", &["mypy.ini", ".mypy.ini"]) {
            let own = ["mypy.ini", ".mypy.ini", "setup.cfg"].map(|file| self.survey.text(self.dir, file)).join("\n");
            let configured = self.tool("mypy").is_some_and(|mypy| mypy.get("files").or(mypy.get("packages")).is_some())
                || own.lines().any(|line| line.starts_with("files") || line.starts_with("packages ="));
            let run = if configured { "mypy" } else { "mypy ." };
            steps.push(Step::new("typecheck", StageKind::Typecheck, format!("{}{run}", with.tool)));
        }
        if self.uses("pyright", &["pyrightconfig.json"]) {
            let name = if steps.is_empty() { "typecheck" } else { "pyright" };
            steps.push(Step::new(name, StageKind::Typecheck, format!("{}pyright", with.tool)));
        }
        steps
    }

    /// Compiles the project's own sources, so that a syntax error is found before the tests; not the tests
    /// themselves, whose data may be wrong on purpose.
    fn compile_step(&self, with: &Interpreter) -> Step {
        let mut sources: Vec<&str> = self.survey.directly_in(self.dir).filter(|file| file.ends_with(".py")).collect();
        let packages = self.survey.below(self.dir).filter_map(|file| file.strip_suffix("/__init__.py"));
        sources.extend(packages.filter(|package| !package.contains('/') && !is_sample(package)));
        if self.survey.below(self.dir).any(|file| file.starts_with("src/") && file.ends_with(".py")) {
            sources.push("src");
        }
        let plain = |path: &&str| {
            path.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) && !path.starts_with('-')
        };
        let listed: Vec<&str> = sources.iter().copied().filter(plain).take(50).collect();
        let paths = if listed.is_empty() || listed.len() < sources.len() { ".".to_owned() } else { listed.join(" ") };
        Step::new("build", StageKind::Build, format!("{} -m compileall -q {paths}", with.python))
    }

    fn test_step(&self, with: &Interpreter) -> Option<Step> {
        let is_test = |file: &str| {
            let base = file.rsplit('/').next().unwrap_or(file);
            (base.starts_with("test_") || base.ends_with("_test.py")) && base.ends_with(".py")
        };
        let conftest = self.survey.below(self.dir).any(|file| file.ends_with("conftest.py"));
        let python = &with.python;
        let run = if conftest || self.uses("pytest", &["pytest.ini"]) || self.imports_pytest() {
            format!("{python} -m pytest -q")
        } else if self.survey.has(self.dir, "manage.py") {
            format!("{python} manage.py test")
        } else if self.survey.below(self.dir).any(is_test) {
            self.unittest(python)
        } else if self.survey.has(self.dir, "tox.ini") {
            return Some(Step::new("test", StageKind::Test, format!("{}tox", with.tool)).online());
        } else {
            return None;
        };
        Some(Step::new("test", StageKind::Test, run))
    }

    /// Whether a test imports pytest: that needs no manifest to be a mention.
    fn imports_pytest(&self) -> bool {
        let tests = self.survey.below(self.dir).filter(|file| file.ends_with(".py") && file.contains("test")).take(50);
        tests.into_iter().any(|file| {
            self.survey
                .text(self.dir, file)
                .lines()
                .any(|line| line.starts_with("import pytest") || line.starts_with("from pytest"))
        })
    }

    /// `unittest discover` enters only packages, so a plain `tests` folder is named.
    fn unittest(&self, python: &str) -> String {
        let plain = ["tests", "test"].into_iter().find(|folder| {
            !self.survey.has(self.dir, &format!("{folder}/__init__.py"))
                && self.survey.below(self.dir).any(|file| file.starts_with(&format!("{folder}/test_")))
        });
        match plain {
            Some(folder) => format!("{python} -m unittest discover -s {folder}"),
            None => format!("{python} -m unittest discover"),
        }
    }
}

/// The prefix for tools that are programs, not modules.
fn bare(with: &Interpreter) -> &str {
    if with.tool.ends_with("-m ") { "" } else { &with.tool }
}

/// Names every dependency a pyproject.toml declares, whatever the build system calls the list.
fn dependencies(value: &Value, inside: bool, found: &mut Vec<String>) {
    match value {
        Value::String(text) if inside => found.push(text.to_lowercase()),
        Value::Array(items) => items.iter().for_each(|item| dependencies(item, inside, found)),
        Value::Table(table) => {
            for (key, value) in table {
                let below = inside || key.contains("dependenc");
                if inside {
                    found.push(key.to_lowercase());
                }
                dependencies(value, below, found);
            }
        }
        _ => {}
    }
}
