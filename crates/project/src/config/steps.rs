//! The steps: those of the file when it has any, those detected otherwise.
//!
//! The two are never merged. A person who writes one step has said what the build is, and a step of ours beside it
//! would be a surprise; `mb init` writes all detected ones down for who wants to begin from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::step::CommandStep;
use mb_core::workflow::{BadWorkflow, CommandLine, FIXERS_MAX, Fixer, Network, StageKind, Workflow};

use super::doc::Tab;
use super::error::{Place, Problem};
use super::resolve::{Bad, LIMIT_KEYS, LimitSet, Picked, Resolver, Settings, check_folder, check_variable, line};
use crate::command::{self, word_stage};
use crate::detect::Detection;
use crate::explain::{Explained, Source};
use crate::values::{Kinds, Value};

const STEP_KEYS: [&str; 8] = ["stage", "run", "dir", "needs", "env", "pass", "caches", "fix"];

impl Resolver<'_> {
    /// Every step of the file, with its place.
    pub(crate) fn file_steps(&mut self, steps: &Tab<'_>, settings: &Settings) -> Vec<(CommandStep, Place)> {
        let names: Vec<String> = steps.keys().into_iter().map(str::to_owned).collect();
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let mut found = Vec::new();
        for name in &names {
            let table = self.reader.table(steps, name);
            let place = self.reader.place(table.offset);
            if let Some(step) = self.file_step(&table, name, &known, settings) {
                if let Err(problem) = valid_alone(&step) {
                    self.reader.fail(place.clone(), problem.into());
                }
                found.push((step, place));
            }
        }
        found
    }

    fn file_step(
        &mut self,
        table: &Tab<'_>,
        name: &str,
        known: &BTreeSet<&str>,
        settings: &Settings,
    ) -> Option<CommandStep> {
        let all: Vec<&str> = STEP_KEYS.into_iter().chain(LIMIT_KEYS).collect();
        self.reader.only(table, &all);
        let command = self.required_command(table);
        let stage = self.stage(table, name, command.as_ref());
        let dir = self.pick(table, "dir", Picked::default(String::new())).value;
        let needs = self.needs(table, known);
        let env = self.env(table);
        let pass = self.checked_list(table, "pass", settings.pass.clone(), check_variable).value;
        let limits: LimitSet = self.limits(table, &settings.defaults);
        let caches = self.checked_list(table, "caches", Picked::default(Vec::new()), check_folder).value;
        let fixers = self.fixers(table);
        Some(CommandStep {
            name: name.to_owned(),
            stage,
            command: command?,
            dir: clean_folder(&dir),
            needs,
            env,
            env_pass: pass.into_iter().chain(settings.pass.value.iter().cloned()).collect(),
            network: limits.network.value,
            limits: limits.limits(),
            fixers,
            caches: caches.iter().map(|folder| clean_folder(folder)).collect(),
        })
    }

    /// The command of a step or fixer. One that is absent is noted; one of the wrong form is noted by the reader.
    fn required_command(&mut self, table: &Tab<'_>) -> Option<CommandLine> {
        if !table.keys().contains(&"run") {
            let at = self.reader.place(table.offset);
            self.reader.fail(at, Problem::Missing { key: "run".into(), table: table.title() });
            return None;
        }
        let read = self.reader.value::<CommandLine>(table, "run")?;
        let source = Source::File { path: self.path.to_owned(), line: line(&read.place) };
        let picked = Picked { value: read.value, source, place: read.place };
        self.explain(&table.full("run"), &picked);
        Some(picked.value)
    }

    /// The stage as written, else as the name says, else as the command says.
    fn stage(&mut self, table: &Tab<'_>, name: &str, command: Option<&CommandLine>) -> StageKind {
        let last = name.rsplit(':').next().unwrap_or(name);
        let fallback = match (word_stage(last), command) {
            (Some(stage), _) => Picked::detected(stage, "the step's name"),
            (None, Some(command)) => Picked::detected(command::guess(command).stage, "the command"),
            (None, None) => Picked::default(StageKind::Custom),
        };
        self.pick(table, "stage", fallback).value
    }

    fn needs(&mut self, table: &Tab<'_>, known: &BTreeSet<&str>) -> BTreeSet<String> {
        let needs = self.pick(table, "needs", Picked::default(Vec::new()));
        for need in needs.value.iter().filter(|need| !known.contains(need.as_str())) {
            let nearest = super::nearest(need, known.iter().copied());
            let problem = Problem::UnknownNeed { key: table.full("needs"), need: need.clone(), nearest };
            self.reader.fail(needs.place.clone(), problem);
        }
        needs.value.into_iter().collect()
    }

    fn env(&mut self, table: &Tab<'_>) -> BTreeMap<String, String> {
        let env = self.reader.table(table, "env");
        let names: Vec<String> = env.keys().into_iter().map(str::to_owned).collect();
        let mut found = BTreeMap::new();
        for name in names {
            if let Err(Bad { reason, mend }) = check_variable(&name) {
                let at = self.reader.place(env.offset);
                self.reader.fail(at, Problem::BadValue { key: env.name.clone(), reason, mend });
            }
            let value = self.pick(&env, &name, Picked::default(String::new())).value;
            found.insert(name, value);
        }
        found
    }

    fn fixers(&mut self, table: &Tab<'_>) -> Vec<Fixer> {
        let tables = self.reader.tables(table, "fix");
        let mut fixers: Vec<Fixer> = Vec::new();
        // Their own explanations would repeat one key; the list below names them all.
        let kept = self.values.len();
        let mut first = None;
        for fix in &tables {
            let at = self.reader.place(fix.offset);
            let Some(fixer) = self.fixer(fix) else { continue };
            if fixers.iter().any(|other| other.name == fixer.name) {
                let reason = format!("two fixers are named {:?}", fixer.name);
                let mend = "give one of them another name";
                self.reader.fail(at.clone(), Problem::BadValue { key: fix.name.clone(), reason, mend });
            }
            first.get_or_insert(at);
            fixers.push(fixer);
        }
        self.values.truncate(kept);
        let source = first.map_or(Source::Default, |at| Source::File { path: self.path.to_owned(), line: line(&at) });
        self.values.push(Explained { key: table.full("fix"), value: names(&fixers), source });
        fixers
    }

    fn fixer(&mut self, table: &Tab<'_>) -> Option<Fixer> {
        self.reader.only(table, &["name", "run", "kinds", "network"]);
        let kinds = self.pick(table, "kinds", Picked::default(Kinds(Vec::new()))).value.0;
        let network = self.pick(table, "network", Picked::default(Network::None)).value;
        let command = self.required_command(table)?;
        let name = self.pick(table, "name", Picked::default(command.display())).value;
        Some(Fixer { name, command, kinds: kinds.into_iter().collect(), network })
    }

    /// The detected steps, with the file's limits and variables.
    pub(crate) fn detected_steps(&mut self, detection: &Detection, settings: &Settings) -> Vec<CommandStep> {
        let mut steps = Vec::new();
        for unit in &detection.units {
            let source = Source::Detected { evidence: unit.evidence.join(", ") };
            for step in &unit.stages {
                let (limits, env_pass) = (settings.defaults.limits(), settings.pass.value.iter().cloned().collect());
                let step = CommandStep { limits, env_pass, ..step.clone() };
                self.values.extend(describe(&step, &source, settings));
                steps.push(step);
            }
        }
        steps
    }
}

/// Explains every setting of a step that is in no file: its own come from `source`, its limits from the settings.
pub(crate) fn describe(step: &CommandStep, source: &Source, settings: &Settings) -> Vec<Explained> {
    let list = |items: &BTreeSet<String>| items.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut rows = vec![
        ("run".to_owned(), step.command.display(), source.clone()),
        ("stage".to_owned(), step.stage.to_string(), source.clone()),
        ("dir".to_owned(), step.dir.clone(), source.clone()),
        ("needs".to_owned(), list(&step.needs), source.clone()),
        ("caches".to_owned(), list(&step.caches), source.clone()),
        ("fix".to_owned(), names(&step.fixers), source.clone()),
        ("network".to_owned(), step.network.to_string(), source.clone()),
        ("pass".to_owned(), list(&step.env_pass), settings.pass.source.clone()),
    ];
    rows.extend(step.env.iter().map(|(name, value)| (format!("env.{name}"), value.clone(), source.clone())));
    rows.extend(settings.defaults.shown().map(|(key, value, source)| (key.to_owned(), value, source.clone())));
    let explained = |(key, value, source)| Explained { key: format!("steps.{}.{key}", step.name), value, source };
    rows.into_iter().map(explained).collect()
}

fn names(fixers: &[Fixer]) -> String {
    let names: Vec<String> = fixers.iter().take(FIXERS_MAX).map(|fixer| fixer.name.clone()).collect();
    names.show()
}

/// `./a//b/` as `a/b`, and `.` as the root.
fn clean_folder(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let absolute = if path.starts_with('/') { "/" } else { "" };
    format!("{absolute}{}", parts.join("/"))
}

/// Asks core's own rules about one step, so that each broken step is named at its own place.
fn valid_alone(step: &CommandStep) -> Result<(), BadWorkflow> {
    let step = CommandStep { needs: BTreeSet::new(), ..step.clone() };
    Workflow::new("", vec![step.into()]).validate().map(drop)
}
