//! Python: a step for every tool the project configures or depends on, run by its virtual environment when it has
//! one, by its manager (uv, Poetry) when it has that lock file, and by an environment made for the run when it needs
//! anything that Python itself does not bring. A project without such needs runs on the host's `python3`.
//!
//! Deliberately absent: environments that are active outside the project. They are not part of the repository, so
//! the same files would give other steps on the next machine; who wants one names it in `meta-builder.toml`.

use mb_core::failure::FailureKind;
use mb_core::workflow::StageKind;
use toml::{Table, Value};

use super::draft::{Draft, Step, fixer, online_fixer};
use super::venv;
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

/// Tools with a step of their own, as they are called on the package index, and the files that configure them.
const TOOLS: &[(&str, &[&str])] = &[
    ("ruff", &["ruff.toml", ".ruff.toml"]),
    ("black", &[]),
    ("isort", &[".isort.cfg"]),
    ("flake8", &[".flake8"]),
    ("mypy", &["mypy.ini", ".mypy.ini"]),
    ("pyright", &["pyrightconfig.json"]),
    ("pip-audit", &[]),
    ("pytest", &["pytest.ini"]),
];

/// How the project's tools are started.
struct Interpreter {
    /// Before `python`-hosted tools: `.venv/bin/python -m `, `uv run --no-sync `, or nothing.
    tool: String,
    /// The interpreter itself.
    python: String,
    /// The virtual environment's folder when it is carried into worktrees.
    cache: Option<&'static str>,
}

pub(super) struct Project<'s> {
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
    fn uses(&self, tool: &str) -> bool {
        let files = TOOLS.iter().find(|(name, _)| *name == tool).map_or(&[][..], |(_, files)| files);
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.tool(tool).is_some()
            || self.survey.first(self.dir, files).is_some()
            || self.mentions.match_indices(tool).any(|(at, _)| {
                let before = self.mentions[..at].chars().next_back();
                let after = self.mentions[at + tool.len()..].chars().next();
                !before.is_some_and(word) && !after.is_some_and(word)
            })
    }

    pub(super) fn pyproject(&self) -> &Table {
        &self.pyproject
    }

    pub(super) fn survey(&self) -> &Survey {
        self.survey
    }

    pub(super) fn dir(&self) -> &str {
        self.dir
    }

    /// Whether pip can install the project itself.
    pub(super) fn is_installable(&self) -> bool {
        self.survey.first(self.dir, NESTED_MARKS).is_some() && self.is_package()
    }

    fn is_locked(&self) -> bool {
        self.survey.first(self.dir, &["uv.lock", "poetry.lock"]).is_some()
    }

    fn venv_on_disk(&self) -> Option<&'static str> {
        [".venv", "venv"].into_iter().find(|venv| self.survey.on_disk(self.dir, &format!("{venv}/bin/python")))
    }

    /// The tools its steps run.
    fn tools(&self) -> Vec<&'static str> {
        let used = |tool: &&str| if *tool == "pytest" { self.runs_pytest() } else { self.uses(tool) };
        TOOLS.iter().map(|(tool, _)| *tool).filter(used).collect()
    }

    /// Whether an environment is made for the run: nobody else provides one, and Python alone is not enough.
    fn makes_venv(&self) -> bool {
        !self.is_locked()
            && self.venv_on_disk().is_none()
            && (!self.tools().is_empty()
                || self.wants_packages()
                || venv::has_requirements(self.survey, self.dir)
                || (self.is_installable() && self.has_src()))
    }

    fn interpreter(&self) -> Interpreter {
        let venv = self.venv_on_disk().or_else(|| self.makes_venv().then_some(venv::FOLDER));
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
        if self.uses("pip-audit") {
            steps.push(Step::new("audit", StageKind::Security, format!("{}pip-audit", bare(&with))).online());
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

    /// Whether the project itself declares what it needs at run time.
    fn wants_packages(&self) -> bool {
        let declared = self.pyproject.get("project").and_then(|project| project.get("dependencies"));
        declared.and_then(Value::as_array).is_some_and(|list| !list.is_empty())
            || ["setup.py", "setup.cfg"]
                .iter()
                .any(|file| self.survey.text(self.dir, file).contains("install_requires"))
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
        let make = || Step::new("install", StageKind::Custom, venv::command(self, &self.tools())).online();
        self.makes_venv().then(make)
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
        if ruff_format && self.uses("ruff") {
            add("ruff-format", "ruff format --check .", "ruff format .");
        }
        if self.uses("black") {
            add("black", "black --check .", "black .");
        }
        if self.uses("isort") {
            add("isort", "isort --check-only .", "isort .");
        }
        steps
    }

    fn lint_steps(&self, with: &Interpreter) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.uses("ruff") {
            let fix = fixer(format!("{}ruff check --fix .", with.tool), &[FailureKind::Lint, FailureKind::Format]);
            // A project may say `fix = true`; the check would then mend its own copy of the files and pass.
            let check = format!("{}ruff check --no-fix .", with.tool);
            steps.push(Step::new("lint", StageKind::Lint, check).fix([fix]));
        }
        if self.uses("flake8") {
            let name = if steps.is_empty() { "lint" } else { "flake8" };
            // Unlike its peers, flake8 reads every package of an environment below the folder.
            let apart = with.cache.map_or(String::new(), |venv| format!(" --extend-exclude={venv}"));
            steps.push(Step::new(name, StageKind::Lint, format!("{}flake8{apart} .", with.tool)));
        }
        steps
    }

    fn type_steps(&self, with: &Interpreter) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.uses("mypy") {
            let run = if self.mypy_knows_its_files() { "mypy".to_owned() } else { format!("mypy {}", self.packages()) };
            steps.push(Step::new("typecheck", StageKind::Typecheck, format!("{}{run}", with.tool)));
        }
        if self.uses("pyright") {
            let name = if steps.is_empty() { "typecheck" } else { "pyright" };
            steps.push(Step::new(name, StageKind::Typecheck, format!("{}pyright", with.tool)));
        }
        steps
    }

    /// Whether mypy's own section says which files it checks; other tools share some of these files with it.
    fn mypy_knows_its_files(&self) -> bool {
        let listed = |line: &str| {
            let key = line.split(['=', ':']).next().unwrap_or_default().trim();
            ["files", "packages", "modules"].contains(&key)
        };
        let ini = ["mypy.ini", ".mypy.ini", "setup.cfg"].into_iter().any(|file| {
            let text = self.survey.text(self.dir, file);
            let section = text.lines().skip_while(|line| line.trim() != "[mypy]").skip(1);
            section.take_while(|line| !line.starts_with('[')).any(listed)
        });
        ini || self.tool("mypy").and_then(Value::as_table).is_some_and(|mypy| mypy.keys().any(|key| listed(key)))
    }

    /// The project's own packages, as words for a shell; the folder itself when it has none. Tests and data beside
    /// them may be wrong on purpose, or need what is not installed.
    fn packages(&self) -> String {
        self.sources(self.package_dirs().collect())
    }

    fn package_dirs(&self) -> impl Iterator<Item = &str> {
        let packages = self.survey.below(self.dir).filter_map(|file| file.strip_suffix("/__init__.py"));
        packages.filter(|package| !package.contains('/') && !is_sample(package))
    }

    /// `found` and `src`, as words for a shell.
    fn sources(&self, mut found: Vec<&str>) -> String {
        if self.has_src() {
            found.push("src");
        }
        let plain = |path: &&str| {
            path.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) && !path.starts_with('-')
        };
        let listed: Vec<&str> = found.iter().copied().filter(plain).take(50).collect();
        if listed.is_empty() || listed.len() < found.len() { ".".to_owned() } else { listed.join(" ") }
    }

    fn has_src(&self) -> bool {
        self.survey.below(self.dir).any(|file| file.starts_with("src/") && file.ends_with(".py"))
    }

    /// Compiles the project's own sources, so that a syntax error is found before the tests.
    fn compile_step(&self, with: &Interpreter) -> Step {
        let mut found: Vec<&str> = self.survey.directly_in(self.dir).filter(|file| file.ends_with(".py")).collect();
        found.extend(self.package_dirs());
        let paths = self.sources(found);
        Step::new("build", StageKind::Build, format!("{} -m compileall -q {paths}", with.python))
    }

    fn test_step(&self, with: &Interpreter) -> Option<Step> {
        let is_test = |file: &str| {
            let base = file.rsplit('/').next().unwrap_or(file);
            (base.starts_with("test_") || base.ends_with("_test.py")) && base.ends_with(".py")
        };
        let python = &with.python;
        let run = if self.runs_pytest() {
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

    fn runs_pytest(&self) -> bool {
        let conftest = self.survey.below(self.dir).any(|file| file.ends_with("conftest.py"));
        conftest || self.uses("pytest") || self.imports_pytest()
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
