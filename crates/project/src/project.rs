//! From a folder to its workflow: where the project begins, which layers there are, and what they make together.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::step::CommandStep;
use mb_core::workflow::{BadWorkflow, CommandLine, FIXERS_MAX, Fixer, Network, StageKind, StepSpec, Workflow};

use crate::command::{self, Guess};
use crate::config::doc::{Doc, read_text};
use crate::config::error::{ConfigError, ConfigErrors, Place, Problem};
use crate::config::layers::Layers;
use crate::config::nearest;
use crate::config::resolve::{Resolver, Settings};
use crate::config::steps::describe;
use crate::detect::{self, Detection};
use crate::explain::{Explained, Source};
use crate::survey::relative;

/// The name of the configuration file.
pub const CONFIG_FILE: &str = "meta-builder.toml";

/// Folders above the given one that are looked at.
const ANCESTORS_MAX: usize = 64;

/// What a workflow was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// This file (its steps, or its settings over detected steps).
    File(PathBuf),
    /// The repository alone.
    Detected,
}

/// A project's workflow and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The folder every path of the workflow is relative to: the configuration file's, or the recognised project's.
    pub root: PathBuf,
    /// The workflow, validated.
    pub workflow: Workflow,
    /// What it was made from.
    pub source: ConfigSource,
    /// Every setting with its value and source, global ones first.
    pub values: Vec<Explained>,
}

/// The workflow of the project at `root`: from `meta-builder.toml` there or in an ancestor up to the repository's
/// top, else from detection there or in the nearest such ancestor where anything is recognised.
///
/// # Errors
/// Everything wrong with the file at once, or that there is neither a file nor a known toolchain.
pub fn load(root: &Path) -> Result<Loaded, ConfigErrors> {
    load_with(root, &Layers::default())
}

/// [`load`] with flags and environment above the file.
///
/// # Errors
/// As [`load`]; an override that cannot be read is an error too.
pub fn load_with(root: &Path, layers: &Layers) -> Result<Loaded, ConfigErrors> {
    let project = Project::find(root)?;
    let resolved = project.resolve(layers)?;
    if resolved.steps.is_empty() {
        let at = project.place();
        return Err(ConfigError { at, problem: Problem::NothingFound }.into());
    }
    resolved.into_loaded(&project)
}

/// A workflow of the one command `argv`, run in `root`, with the budget, policy, limits, caches and fixers of the
/// project around it. A command that is a step of the project is that step, without its needs. A single word with
/// spaces in it is a line for the shell.
///
/// The network is what `[defaults]` says (none, unless set); a command that restores dependencies gets all of it.
///
/// # Errors
/// As [`load`], but a folder without anything known is fine; an empty command is not.
pub fn for_command(root: &Path, argv: &[String]) -> Result<Loaded, ConfigErrors> {
    for_command_with(root, argv, &Layers::default())
}

/// [`for_command`] with flags and environment above the file.
///
/// # Errors
/// As [`for_command`]; an override that cannot be read is an error too.
pub fn for_command_with(root: &Path, argv: &[String], layers: &Layers) -> Result<Loaded, ConfigErrors> {
    let project = Project::find(root)?;
    let mut resolved = project.resolve(layers)?;
    let step = one_step(&resolved, &project, argv);
    resolved.values.retain(|value| !value.key.starts_with("steps."));
    let asked = Source::Detected { evidence: "the command".into() };
    resolved.values.extend(describe(&step, &asked, &resolved.settings));
    resolved.steps = vec![step];
    resolved.into_loaded(&project)
}

/// Every setting of the project at `root` with its value and source, or those at and below `key`
/// (`steps.test` or `steps.test.timeout`).
///
/// # Errors
/// As [`load_with`], but a folder without anything known still has its global settings; a key nobody knows is an
/// error that names the nearest one.
pub fn explain(root: &Path, env: &BTreeMap<String, String>, key: Option<&str>) -> Result<Vec<Explained>, ConfigErrors> {
    let layers = Layers { env: env.clone(), flags: Vec::new() };
    let mut values = Project::find(root)?.resolve(&layers)?.values;
    let Some(key) = key else { return Ok(values) };
    let known: Vec<String> = values.iter().map(|value| value.key.clone()).collect();
    values.retain(|value| value.key == key || value.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')));
    if values.is_empty() {
        let problem = Problem::NoSetting { key: key.into(), nearest: nearest(key, known.iter().map(String::as_str)) };
        return Err(ConfigError { at: Place::Request, problem }.into());
    }
    Ok(values)
}

/// A project on disk.
struct Project {
    root: PathBuf,
    /// The folder that was asked about, relative to `root`.
    dir: String,
    /// The file and its text.
    file: Option<(PathBuf, String)>,
    /// What was detected; a file with its own steps is read without looking.
    detection: OnceCell<Detection>,
}

/// What the layers make together.
struct Resolved {
    settings: Settings,
    steps: Vec<CommandStep>,
    places: BTreeMap<String, Place>,
    values: Vec<Explained>,
}

impl Project {
    fn find(asked: &Path) -> Result<Self, ConfigErrors> {
        let asked = asked.canonicalize().unwrap_or_else(|_| asked.to_owned());
        let ancestors: Vec<&Path> = asked.ancestors().take(ANCESTORS_MAX).collect();
        // Outside a repository nothing above the folder is ours.
        let top = ancestors.iter().position(|dir| dir.join(".git").exists()).unwrap_or(0);
        let candidates = &ancestors[..=top];
        let below =
            |root: &Path| asked.strip_prefix(root).map_or(String::new(), |dir| dir.to_string_lossy().into_owned());
        for &root in candidates {
            let path = root.join(CONFIG_FILE);
            if path.symlink_metadata().is_ok() {
                let text = read_text(&path)?;
                let (root, dir) = (root.to_owned(), below(root));
                return Ok(Self { root, dir, file: Some((path, text)), detection: OnceCell::new() });
            }
        }
        for &root in candidates {
            let detection = detect::detect(root);
            if !detection.units.is_empty() {
                return Ok(Self { root: root.to_owned(), dir: below(root), file: None, detection: detection.into() });
            }
        }
        let root = candidates.last().map_or(asked.clone(), |root| root.to_path_buf());
        Ok(Self { dir: below(&root), root, file: None, detection: Detection::default().into() })
    }

    fn detection(&self) -> &Detection {
        self.detection.get_or_init(|| detect::detect(&self.root))
    }

    fn place(&self) -> Place {
        let path = self.file.as_ref().map_or(&self.root, |(path, _)| path);
        Place::File { path: path.clone(), line: 0, column: 0 }
    }

    fn resolve(&self, layers: &Layers) -> Result<Resolved, ConfigErrors> {
        let (path, text) = self.file_or_none();
        let mut doc = Doc::parse(path, text);
        // After a syntax error the rest of the file may stand in the wrong table; its mistakes would be ours.
        finish(std::mem::take(&mut doc.errors))?;
        let (root, reader) = doc.split();
        let mut resolver = Resolver { path, reader, layers, values: Vec::new() };
        let settings = resolver.settings(&root);
        let table = resolver.reader.table(&root, "steps");
        let (steps, places) = if table.is_filled() {
            let found = resolver.file_steps(&table, &settings);
            let places = found.iter().map(|(step, place)| (step.name.clone(), place.clone())).collect();
            (found.into_iter().map(|(step, _)| step).collect(), places)
        } else {
            (resolver.detected_steps(self.detection(), &settings), BTreeMap::new())
        };
        let values = resolver.values;
        finish(doc.errors).map(|()| Resolved { settings, steps, places, values })
    }

    fn file_or_none(&self) -> (&Path, &str) {
        self.file.as_ref().map_or((Path::new(CONFIG_FILE), ""), |(path, text)| (path, text))
    }
}

fn finish(mut errors: Vec<ConfigError>) -> Result<(), ConfigErrors> {
    if errors.is_empty() {
        return Ok(());
    }
    errors.sort_by_key(|error| match error.at {
        Place::File { line, column, .. } => (0, line, column),
        Place::Env { .. } | Place::Flag { .. } | Place::Request => (1, 0, 0),
    });
    Err(ConfigErrors(errors))
}

impl Resolved {
    fn into_loaded(self, project: &Project) -> Result<Loaded, ConfigErrors> {
        let Settings { name, budget, repair, redact, .. } = self.settings;
        let steps = self.steps.into_iter().map(StepSpec::from).collect();
        let workflow = Workflow { budget, repair, redact, ..Workflow::new(name, steps) };
        let workflow = workflow.validate().map_err(|problem| {
            let at = match &problem {
                BadWorkflow::Cycle { steps } => steps.first().and_then(|step| self.places.get(step)).cloned(),
                _ => None,
            };
            ConfigError { at: at.unwrap_or_else(|| project.place()), problem: problem.into() }
        })?;
        let source = match &project.file {
            Some((path, _)) => ConfigSource::File(path.clone()),
            None => ConfigSource::Detected,
        };
        Ok(Loaded { root: project.root.clone(), workflow, source, values: self.values })
    }
}

/// The step of a command run in `dir`.
fn one_step(resolved: &Resolved, project: &Project, argv: &[String]) -> CommandStep {
    let dir = &project.dir;
    let command = match argv {
        [line] if line.trim().contains(char::is_whitespace) => CommandLine::Shell(line.clone()),
        _ => CommandLine::Argv(argv.to_vec()),
    };
    let same = |step: &&CommandStep| step.dir == *dir && step.command.display() == command.display();
    if let Some(step) = resolved.steps.iter().find(same) {
        return CommandStep { needs: BTreeSet::new(), ..step.clone() };
    }
    let Guess { name, stage, restores } = command::guess(&command);
    let network = if restores { Network::Full } else { resolved.settings.defaults.network.value };
    // A file's own steps know nothing of fixers it did not list, so what was detected helps in either case.
    let around: Vec<&CommandStep> = resolved.steps.iter().chain(project.detection().steps()).collect();
    CommandStep {
        name,
        stage,
        command,
        dir: dir.clone(),
        needs: BTreeSet::new(),
        env: BTreeMap::new(),
        env_pass: resolved.settings.pass.value.iter().cloned().collect(),
        network,
        limits: resolved.settings.defaults.limits(),
        fixers: fixers_for(dir, stage, &around),
        caches: around.iter().flat_map(|step| step.caches.iter().cloned()).collect(),
    }
}

/// The fixers of every step whose folder holds `dir` or lies in it, those of the same stage first. A fixer for
/// every kind of failure is taken only from the same stage: elsewhere it says nothing about this command.
fn fixers_for(dir: &str, stage: StageKind, around: &[&CommandStep]) -> Vec<Fixer> {
    let mut near: Vec<&CommandStep> = around.iter().copied().filter(|step| way(dir, &step.dir).is_some()).collect();
    near.sort_by_key(|step| step.stage != stage);
    let mut fixers: Vec<Fixer> = Vec::new();
    for step in near {
        let Some(way) = way(dir, &step.dir) else { continue };
        for fixer in step.fixers.iter().filter(|fixer| step.stage == stage || !fixer.kinds.is_empty()) {
            let fixer = moved(fixer, &way);
            if fixers.iter().all(|known| known.name != fixer.name) && fixers.len() < FIXERS_MAX {
                fixers.push(fixer);
            }
        }
    }
    fixers
}

/// How to get from `dir` to `other` when one holds the other: `web`, `../..`, or nothing.
fn way(dir: &str, other: &str) -> Option<String> {
    if dir == other {
        return Some(String::new());
    }
    let up = |below: &str| vec![".."; below.split('/').count()].join("/");
    relative(other, dir).map(str::to_owned).or_else(|| relative(dir, other).map(up))
}

fn moved(fixer: &Fixer, way: &str) -> Fixer {
    if way.is_empty() {
        return fixer.clone();
    }
    let cd = CommandLine::Argv(vec!["cd".into(), way.to_owned()]).display();
    let name = format!("{} in {way}", fixer.name);
    Fixer { name, command: CommandLine::Shell(format!("{cd} && {}", fixer.command.display())), ..fixer.clone() }
}
