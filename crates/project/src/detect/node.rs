//! JavaScript and TypeScript: the scripts of `package.json`, run by the package manager its lock file names.
//!
//! Members of npm, pnpm or Yarn workspaces are folded into the root. Installed modules are a cache, and whether
//! they still fit is asked of the package manager at run time (`npm ls`, or the managers' own fast path), not
//! guessed from what happens to lie on this disk: the same repository gives the same steps everywhere.

use mb_core::failure::FailureKind;
use mb_core::workflow::{Fixer, StageKind};
use serde_json::{Map, Value};

use super::draft::{Draft, Step, fixer, online_fixer};
use super::{Toolchain, glob_matches, is_below, project_dirs};
use crate::survey::{Survey, join, relative};

const MANIFEST: &str = "package.json";

/// Script names per stage, most specific meaning first.
const SCRIPTS: &[(StageKind, &[&str])] = &[
    (
        StageKind::Format,
        &[
            "format:check",
            "check:format",
            "fmt:check",
            "prettier:check",
            "check:prettier",
            "format-check",
            "check-format",
        ],
    ),
    (StageKind::Lint, &["lint", "lint:check", "eslint", "lint:js", "lint:ts"]),
    (StageKind::Typecheck, &["typecheck", "type-check", "check-types", "check:types", "types:check", "types", "tsc"]),
    (StageKind::Build, &["build", "compile"]),
    (StageKind::Test, &["test", "test:unit", "unit", "tests"]),
    (StageKind::Security, &["audit"]),
];

/// One `package.json` with what is needed of it.
struct Package<'s> {
    survey: &'s Survey,
    dir: String,
    manifest: Map<String, Value>,
    manager: Manager,
}

/// A package manager, as its commands differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manager {
    Npm,
    Pnpm,
    YarnClassic,
    YarnBerry,
}

pub(super) fn find(survey: &Survey, notes: &mut Vec<String>) -> Vec<Draft> {
    let mut roots: Vec<Package> = Vec::new();
    for dir in project_dirs(survey, MANIFEST) {
        let Ok(manifest) = serde_json::from_str::<Map<String, Value>>(&survey.text(&dir, MANIFEST)) else {
            notes.push(format!("{} could not be parsed; its scripts are not listed", join(&dir, MANIFEST)));
            continue;
        };
        if !roots.iter().any(|root| is_below(&dir, &root.dir) && root.has_member(&dir)) {
            let outer = roots.iter().rev().find(|root| is_below(&dir, &root.dir)).map(|root| root.manager);
            let manager = manager(survey, &dir, &manifest).or(outer).unwrap_or(Manager::Npm);
            roots.push(Package { survey, dir, manifest, manager });
        }
    }
    roots.iter().map(|package| package.draft(notes)).collect()
}

/// The manager a lock file or the `packageManager` field names.
fn manager(survey: &Survey, dir: &str, manifest: &Map<String, Value>) -> Option<Manager> {
    let field = manifest.get("packageManager").and_then(Value::as_str).unwrap_or_default();
    let berry = survey.has(dir, ".yarnrc.yml");
    match field.split_once('@') {
        Some(("pnpm", _)) => Some(Manager::Pnpm),
        Some(("yarn", version)) if version.starts_with('1') => Some(Manager::YarnClassic),
        Some(("yarn", _)) => Some(Manager::YarnBerry),
        Some(("npm", _)) => Some(Manager::Npm),
        _ if survey.has(dir, "pnpm-lock.yaml") || survey.has(dir, "pnpm-workspace.yaml") => Some(Manager::Pnpm),
        _ if survey.has(dir, "yarn.lock") => Some(if berry { Manager::YarnBerry } else { Manager::YarnClassic }),
        _ if survey.has(dir, "package-lock.json") || survey.has(dir, "npm-shrinkwrap.json") => Some(Manager::Npm),
        _ => None,
    }
}

impl Manager {
    fn toolchain(self) -> Toolchain {
        match self {
            Self::Npm => Toolchain::Npm,
            Self::Pnpm => Toolchain::Pnpm,
            Self::YarnClassic | Self::YarnBerry => Toolchain::Yarn,
        }
    }

    fn locks(self) -> &'static [&'static str] {
        match self {
            Self::Npm => &["package-lock.json", "npm-shrinkwrap.json"],
            Self::Pnpm => &["pnpm-lock.yaml"],
            Self::YarnClassic | Self::YarnBerry => &["yarn.lock"],
        }
    }

    /// A script of the manifest.
    fn run(self, script: &str) -> String {
        match self {
            Self::Npm if script == "test" => "npm test".into(),
            _ => format!("{} run {script}", self.toolchain()),
        }
    }

    /// A tool that is already installed; never fetched on the fly.
    fn exec(self, command: &str) -> String {
        match self {
            Self::Npm => format!("npx --no-install {command}"),
            Self::Pnpm => format!("pnpm exec {command}"),
            Self::YarnClassic | Self::YarnBerry => format!("yarn run {command}"),
        }
    }

    /// Restores what the lock file says. npm would delete and download everything again, so it is first asked
    /// whether what is installed fits; the others do nothing then.
    fn install(self, locked: bool) -> &'static str {
        match (self, locked) {
            (Self::Npm, true) => "npm ls >/dev/null 2>&1 || npm ci",
            (Self::Npm, false) => "npm ls >/dev/null 2>&1 || npm install --no-audit --no-fund",
            (Self::Pnpm, true) => "pnpm install --frozen-lockfile",
            (Self::Pnpm, false) => "pnpm install",
            (Self::YarnClassic, true) => "yarn install --frozen-lockfile",
            (Self::YarnBerry, true) => "yarn install --immutable",
            (Self::YarnClassic | Self::YarnBerry, false) => "yarn install",
        }
    }

    /// Brings the lock file in line with the manifest.
    fn relock(self) -> &'static str {
        match self {
            Self::Npm => "npm install --package-lock-only --no-audit --no-fund",
            Self::Pnpm => "pnpm install --lockfile-only",
            Self::YarnClassic => "yarn install",
            Self::YarnBerry => "yarn install --mode=update-lockfile",
        }
    }

    /// A script of every workspace member that has it; `None` where the manager cannot skip the others.
    fn run_in_members(self, script: &str) -> Option<String> {
        match self {
            Self::Npm => Some(format!("npm run {script} --workspaces --if-present")),
            Self::Pnpm => Some(format!("pnpm -r --if-present run {script}")),
            Self::YarnBerry => Some(format!("yarn workspaces foreach -A run {script}")),
            Self::YarnClassic => None,
        }
    }
}

impl Package<'_> {
    fn script(&self, name: &str) -> Option<&str> {
        self.manifest.get("scripts")?.get(name)?.as_str().filter(|text| !text.trim().is_empty())
    }

    fn depends_on(&self, name: &str) -> bool {
        let lists = ["devDependencies", "dependencies", "optionalDependencies"];
        lists.iter().any(|list| self.manifest.get(*list).is_some_and(|deps| deps.get(name).is_some()))
    }

    fn has_dependencies(&self) -> bool {
        let lists = ["devDependencies", "dependencies", "optionalDependencies", "peerDependencies"];
        let filled =
            |list: &&str| self.manifest.get(*list).and_then(Value::as_object).is_some_and(|deps| !deps.is_empty());
        lists.iter().any(filled) || !self.patterns().is_empty()
    }

    /// Workspace patterns of the manifest and of `pnpm-workspace.yaml`.
    fn patterns(&self) -> Vec<String> {
        let field = self.manifest.get("workspaces");
        let list = field.and_then(|f| f.as_array().or_else(|| f.get("packages")?.as_array()));
        let mut patterns: Vec<String> =
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let yaml = self.survey.text(&self.dir, "pnpm-workspace.yaml");
        let packages = yaml.lines().skip_while(|line| !line.starts_with("packages:")).skip(1);
        patterns.extend(
            packages
                .take_while(|line| line.starts_with([' ', '-', '#']) || line.is_empty())
                .filter_map(|line| line.trim().strip_prefix('-'))
                .map(|item| item.trim().trim_matches(['"', '\'']).to_owned()),
        );
        patterns
    }

    fn has_member(&self, dir: &str) -> bool {
        let path = relative(dir, &self.dir).unwrap_or(dir);
        let patterns = self.patterns();
        let names = |pattern: &String| glob_matches(pattern, path);
        let dropped = patterns.iter().filter_map(|p| p.strip_prefix('!')).any(|p| glob_matches(p, path));
        !dropped && patterns.iter().any(names)
    }

    /// Whether some workspace member has the script.
    fn member_has(&self, script: &str) -> bool {
        let members = self.survey.below(&self.dir).filter(|file| file.ends_with("/package.json")).take(200);
        members.into_iter().any(|file| {
            let path = file.trim_end_matches("/package.json");
            self.has_member(&join(&self.dir, path))
                && serde_json::from_str::<Value>(&self.survey.text(&self.dir, file))
                    .is_ok_and(|member| member.get("scripts").is_some_and(|s| s.get(script).is_some()))
        })
    }

    fn draft(&self, notes: &mut Vec<String>) -> Draft {
        let mut steps = Vec::new();
        let lock = self.survey.first(&self.dir, self.manager.locks());
        let modules = self.has_dependencies().then_some("node_modules");
        if modules.is_some() {
            let relock = online_fixer(self.manager.relock(), &[FailureKind::Dependency]);
            let run = self.manager.install(lock.is_some());
            steps.push(Step::new("install", StageKind::Custom, run).online().fix([relock]).cache(modules));
        }
        for &(stage, names) in SCRIPTS {
            if let Some(run) = self.command_for(stage, names, notes) {
                steps.push(self.step(stage, run).cache(modules));
            }
        }
        let mut evidence = vec![MANIFEST.to_owned()];
        evidence.extend(lock.map(str::to_owned));
        Draft { dir: self.dir.clone(), toolchain: self.manager.toolchain(), evidence, steps }
    }

    fn step(&self, stage: StageKind, run: String) -> Step {
        let step = Step::new(stage.as_str(), stage, run);
        match stage {
            StageKind::Format => step.needs(&["install"]).fix(self.format_fixers()),
            StageKind::Lint => step.needs(&["install"]).fix(self.lint_fixers()),
            // Watch modes of test runners end themselves when they see CI.
            StageKind::Test => step.needs(&["build", "install"]).env("CI", "true"),
            StageKind::Security => step.needs(&["install"]).online(),
            StageKind::Typecheck | StageKind::Build | StageKind::Custom => step.needs(&["install"]),
        }
    }

    fn command_for(&self, stage: StageKind, names: &[&str], notes: &mut Vec<String>) -> Option<String> {
        if let Some((name, text)) = names.iter().find_map(|name| Some((*name, self.script(name)?))) {
            if text.contains("no test specified") {
                notes.push(format!("{}: the test script is npm's placeholder", join(&self.dir, MANIFEST)));
                return None;
            }
            return Some(self.manager.run(name));
        }
        if let Some(name) = names.iter().find(|name| self.member_has(name)) {
            return self.manager.run_in_members(name);
        }
        self.without_script(stage)
    }

    /// What a configured tool is run with when no script does it.
    fn without_script(&self, stage: StageKind) -> Option<String> {
        let biome = self.survey.first(&self.dir, &["biome.json", "biome.jsonc"]).is_some();
        match stage {
            StageKind::Format if self.script("format").is_some_and(|s| s.contains("--check") || s.contains(" -c ")) => {
                Some(self.manager.run("format"))
            }
            StageKind::Lint if biome && self.depends_on("@biomejs/biome") => Some(self.manager.exec("biome check .")),
            StageKind::Typecheck if self.can_typecheck() => Some(self.manager.exec("tsc --noEmit -p .")),
            _ => None,
        }
    }

    fn can_typecheck(&self) -> bool {
        let compiled = self.script("build").is_some_and(|script| script.contains("tsc"));
        self.depends_on("typescript") && self.survey.has(&self.dir, "tsconfig.json") && !compiled
    }

    fn format_fixers(&self) -> Vec<Fixer> {
        let writes =
            |name: &&&str| self.script(name).is_some_and(|text| text.contains("--write") || text.contains(" -w "));
        let script = ["format", "format:write", "format:fix", "fmt", "prettier"].iter().find(writes);
        let run = script.map(|name| self.manager.run(name));
        let run = run.or_else(|| self.depends_on("prettier").then(|| self.manager.exec("prettier --write .")));
        run.map(|run| fixer(run, &[FailureKind::Format])).into_iter().collect()
    }

    fn lint_fixers(&self) -> Vec<Fixer> {
        use FailureKind::{Format, Lint};
        let script = ["lint:fix", "lint-fix", "fix:lint", "fix"].into_iter().find(|name| self.script(name).is_some());
        let mut runs: Vec<String> = script.map(|name| self.manager.run(name)).into_iter().collect();
        if self.depends_on("eslint") {
            runs.push(self.manager.exec("eslint --fix ."));
        }
        if self.depends_on("standard") {
            runs.push(self.manager.exec("standard --fix"));
        }
        if self.depends_on("@biomejs/biome") {
            runs.push(self.manager.exec("biome check --write ."));
        }
        let mut fixers: Vec<Fixer> = runs.into_iter().map(|run| fixer(run, &[Lint, Format])).collect();
        if self.script("lint").is_some_and(|text| text.contains("prettier")) {
            fixers.extend(self.format_fixers());
        }
        fixers
    }
}
