//! A workflow: a checked DAG of steps with their commands, limits, fixers and budget.
//!
//! A project's build is one workflow; `mb run -- CMD` is a workflow of one step. It is content-addressed:
//! [`Workflow::digest`] names it, and a run keeps the one it began with.
//!
//! Deliberately absent: how a repository is recognised and how `meta-builder.toml` is written. That is the
//! `project` crate; what arrives here is already plain data.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::budget::Budget;
use crate::failure::FailureKind;
use crate::words::words;

/// Steps one workflow may have.
pub const STEPS_MAX: usize = 500;
/// Fixers one step may have.
pub const FIXERS_MAX: usize = 20;

words! {
    /// What a step is for. It is the first thing asked when a failure is classified.
    StageKind {
        /// Lint.
        Lint = "lint",
        /// Formatting check.
        Format = "format",
        /// Type check.
        Typecheck = "typecheck",
        /// Build or compile.
        Build = "build",
        /// Tests.
        Test = "test",
        /// Security checks.
        Security = "security",
        /// Anything else.
        Custom = "custom",
    }
}

/// How a command is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub enum CommandLine {
    /// One line for `sh -c`.
    Shell(String),
    /// A program and its arguments, no shell.
    Argv(Vec<String>),
}

impl CommandLine {
    /// The program and arguments to start.
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Shell(line) => vec!["sh".into(), "-c".into(), line.clone()],
            Self::Argv(argv) => argv.clone(),
        }
    }

    /// The command as one would type it (quoted where needed).
    pub fn display(&self) -> String {
        match self {
            Self::Shell(line) => line.clone(),
            Self::Argv(argv) => argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Shell(line) => line.trim().is_empty(),
            Self::Argv(argv) => argv.first().is_none_or(String::is_empty),
        }
    }
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

words! {
    /// What of the network a step may reach.
    Network {
        /// Nothing, not even loopback of the host.
        None = "none",
        /// Everything the host reaches (restoring dependencies needs it).
        Full = "full",
    }
}

/// Limits of one command. Every one has a unit in its name and a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Wall time, in milliseconds.
    pub timeout_ms: u64,
    /// Time between SIGTERM and SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// Output kept and allowed, in bytes; the command is stopped above it.
    pub output_bytes_max: u64,
    /// Resident memory of the whole tree, in bytes.
    pub memory_bytes_max: u64,
    /// Processes and threads of the whole tree.
    pub pids_max: u64,
    /// Bytes written below the worktree and its private temporary folder.
    pub disk_bytes_max: u64,
}

impl Limits {
    /// The defaults: 30 minutes, 10 s of grace, 64 MiB of output, 8 GiB of memory, 4,096 processes, 10 GiB of disk.
    pub const DEFAULT: Limits = Limits {
        timeout_ms: 30 * 60 * 1000,
        grace_ms: 10_000,
        output_bytes_max: 64 << 20,
        memory_bytes_max: 8 << 30,
        pids_max: 4_096,
        disk_bytes_max: 10 << 30,
    };
}

/// A command that may repair a step: it changes files, we keep the difference only if it verifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixer {
    /// Its name, unique within the step (`cargo fmt`).
    pub name: String,
    /// What to run in the worktree.
    pub command: CommandLine,
    /// Which kinds of failure it is tried for; empty means every kind.
    #[serde(default)]
    pub kinds: BTreeSet<FailureKind>,
    /// What it may reach.
    #[serde(default = "network_none")]
    pub network: Network,
}

fn network_none() -> Network {
    Network::None
}

/// One node of the DAG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// Unique name, letters, digits, `-`, `_`, `.`, `:` and `/`, at most 100 characters (`test`, `web:lint`).
    pub name: String,
    /// What it is for.
    pub stage: StageKind,
    /// What to run.
    pub command: CommandLine,
    /// Folder relative to the project root; empty means the root.
    #[serde(default)]
    pub dir: String,
    /// Names of steps that must succeed first.
    #[serde(default)]
    pub needs: BTreeSet<String>,
    /// Extra environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Names of host variables passed through (everything else is scrubbed).
    #[serde(default)]
    pub env_pass: BTreeSet<String>,
    /// What it may reach.
    #[serde(default = "network_none")]
    pub network: Network,
    /// Limits of each of its commands.
    pub limits: Limits,
    /// What may repair it, in order of trying.
    #[serde(default)]
    pub fixers: Vec<Fixer>,
    /// Folders of build products and installed dependencies that are carried into a worktree copy-on-write
    /// although version control ignores them (`target`, `node_modules`, `.venv`), relative to the root.
    #[serde(default)]
    pub caches: BTreeSet<String>,
}

/// What a repair may do in this project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepairPolicy {
    /// Whether to repair at all.
    pub enabled: bool,
    /// Globs (gitignore syntax) a repair may write to; empty means everything that `deny` leaves.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Globs a repair may never write to. Wins over `allow`.
    #[serde(default)]
    pub deny: Vec<String>,
    /// Largest difference kept, in bytes.
    pub patch_bytes_max: u64,
}

impl RepairPolicy {
    /// What no repair may write to unless the project says otherwise: secrets, continuous-integration
    /// configuration and version control.
    pub const DENY_DEFAULT: &'static [&'static str] = &[
        ".git/",
        ".gitattributes",
        ".gitmodules",
        ".env",
        ".env.*",
        "*.pem",
        "*.key",
        "id_rsa*",
        "secrets/",
        ".github/",
        ".gitlab-ci.yml",
        ".circleci/",
        "meta-builder.toml",
    ];
}

impl Default for RepairPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            allow: Vec::new(),
            deny: Self::DENY_DEFAULT.iter().map(ToString::to_string).collect(),
            patch_bytes_max: 10 << 20,
        }
    }
}

/// A validated DAG of steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Name for people (`build`).
    pub name: String,
    /// The steps, in an order in which each comes after its needs.
    pub steps: Vec<StepSpec>,
    /// Bounds of one run.
    pub budget: Budget,
    /// What a repair may do.
    pub repair: RepairPolicy,
    /// Extra patterns (regular expressions) whose matches are redacted, beside the built-in ones.
    #[serde(default)]
    pub redact: Vec<String>,
}

/// Why a workflow is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWorkflow {
    /// There is nothing to run.
    #[error("the workflow has no steps")]
    Empty,
    /// More steps than allowed.
    #[error("the workflow has {count} steps; at most {STEPS_MAX} are allowed")]
    TooManySteps {
        /// How many there are.
        count: usize,
    },
    /// A step's name cannot be used.
    #[error("step name {name:?} is not valid: use 1 to 100 letters, digits and - _ . : /")]
    Name {
        /// The name.
        name: String,
    },
    /// Two steps share a name.
    #[error("two steps are named {name:?}")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A step has no command.
    #[error("step {step:?} has no command")]
    NoCommand {
        /// The step.
        step: String,
    },
    /// A need names no step.
    #[error("step {step:?} needs {need:?}, which is not a step")]
    UnknownNeed {
        /// The step.
        step: String,
        /// What it needs.
        need: String,
    },
    /// The needs run in a circle.
    #[error("these steps need each other in a circle: {}", .steps.join(" -> "))]
    Cycle {
        /// The steps of the circle.
        steps: Vec<String>,
    },
    /// A folder leaves the project.
    #[error("step {step:?} has dir {dir:?}, which leaves the project")]
    Dir {
        /// The step.
        step: String,
        /// The folder.
        dir: String,
    },
    /// Too many fixers.
    #[error("step {step:?} has {count} fixers; at most {FIXERS_MAX} are allowed")]
    TooManyFixers {
        /// The step.
        step: String,
        /// How many.
        count: usize,
    },
}

impl Workflow {
    /// Checks everything that must hold, and puts the steps in an order in which each comes after its needs
    /// (the given order is kept otherwise).
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn validate(mut self) -> Result<Workflow, BadWorkflow> {
        match self.steps.len() {
            0 => return Err(BadWorkflow::Empty),
            count if count > STEPS_MAX => return Err(BadWorkflow::TooManySteps { count }),
            _ => {}
        }
        let mut names = BTreeSet::new();
        for step in &self.steps {
            check_step(step)?;
            if !names.insert(step.name.as_str()) {
                return Err(BadWorkflow::Duplicate { name: step.name.clone() });
            }
        }
        for step in &self.steps {
            if let Some(need) = step.needs.iter().find(|need| !names.contains(need.as_str())) {
                return Err(BadWorkflow::UnknownNeed { step: step.name.clone(), need: need.clone() });
            }
        }
        self.steps = in_order(self.steps)?;
        Ok(self)
    }

    /// The step of that name.
    pub fn step(&self, name: &str) -> Option<&StepSpec> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Every step that `step` needs, directly or not, in the order of the workflow.
    pub fn needs_of(&self, step: &StepSpec) -> Vec<&StepSpec> {
        let mut wanted: BTreeSet<&str> = step.needs.iter().map(String::as_str).collect();
        // Steps come after what they need, so one walk backwards finds everything.
        for spec in self.steps.iter().rev() {
            if wanted.contains(spec.name.as_str()) {
                wanted.extend(spec.needs.iter().map(String::as_str));
            }
        }
        self.steps.iter().filter(|spec| wanted.contains(spec.name.as_str())).collect()
    }

    /// The name of a step's group: the first step, in the order of the workflow, that it is connected to by needs
    /// (itself, when it is connected to none).
    pub fn group_of(&self, step: &str) -> String {
        let mut group: BTreeSet<&str> = BTreeSet::from([step]);
        // Each pass adds at least one step or is the last.
        for _ in 0..self.steps.len() {
            let before = group.len();
            for spec in &self.steps {
                let name = spec.name.as_str();
                if group.contains(name) || spec.needs.iter().any(|need| group.contains(need.as_str())) {
                    group.insert(name);
                    group.extend(spec.needs.iter().map(String::as_str));
                }
            }
            if group.len() == before {
                break;
            }
        }
        let first = self.steps.iter().find(|spec| group.contains(spec.name.as_str()));
        first.map_or_else(|| step.to_owned(), |spec| spec.name.clone())
    }

    /// All folders that any step wants carried: connected steps see the same files.
    pub fn caches(&self) -> BTreeSet<String> {
        self.steps.iter().flat_map(|spec| spec.caches.iter().cloned()).collect()
    }

    /// SHA-256 of the canonical JSON, in hex: the name a workflow version is stored under.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("a workflow is plain data and serialises");
        hex(&Sha256::digest(json))
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn check_step(step: &StepSpec) -> Result<(), BadWorkflow> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if step.name.is_empty() || step.name.len() > 100 || !step.name.chars().all(allowed) {
        return Err(BadWorkflow::Name { name: step.name.clone() });
    }
    if step.command.is_empty() {
        return Err(BadWorkflow::NoCommand { step: step.name.clone() });
    }
    if step.dir.starts_with('/') || step.dir.split('/').any(|part| part == "..") {
        return Err(BadWorkflow::Dir { step: step.name.clone(), dir: step.dir.clone() });
    }
    if step.fixers.len() > FIXERS_MAX {
        return Err(BadWorkflow::TooManyFixers { step: step.name.clone(), count: step.fixers.len() });
    }
    Ok(())
}

/// Kahn's algorithm, taking the first ready step of the given order each time.
fn in_order(mut rest: Vec<StepSpec>) -> Result<Vec<StepSpec>, BadWorkflow> {
    let mut done = BTreeSet::new();
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let Some(next) = rest.iter().position(|step| step.needs.iter().all(|need| done.contains(need))) else {
            return Err(BadWorkflow::Cycle { steps: rest.into_iter().map(|step| step.name).collect() });
        };
        let step = rest.remove(next);
        done.insert(step.name.clone());
        ordered.push(step);
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, needs: &[&str]) -> StepSpec {
        StepSpec {
            name: name.into(),
            stage: StageKind::Custom,
            command: CommandLine::Shell("true".into()),
            dir: String::new(),
            needs: needs.iter().map(ToString::to_string).collect(),
            env: BTreeMap::new(),
            env_pass: BTreeSet::new(),
            network: Network::None,
            limits: Limits::DEFAULT,
            fixers: Vec::new(),
            caches: BTreeSet::new(),
        }
    }

    fn check(steps: Vec<StepSpec>, expected: &str) {
        let workflow = Workflow {
            name: "w".into(),
            steps,
            budget: Budget::DEFAULT,
            repair: RepairPolicy::default(),
            redact: Vec::new(),
        };
        let got = match workflow.validate() {
            Ok(w) => w.steps.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" "),
            Err(e) => e.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn steps_are_ordered_and_mistakes_are_named() {
        check(vec![step("b", &["a"]), step("a", &[])], "a b");
        check(vec![step("b", &[]), step("a", &[])], "b a");
        check(vec![], "the workflow has no steps");
        check(vec![step("a", &[]), step("a", &[])], "two steps are named \"a\"");
        check(vec![step("a", &["x"])], "step \"a\" needs \"x\", which is not a step");
        check(vec![step("a", &["b"]), step("b", &["a"])], "these steps need each other in a circle: a -> b");
        check(vec![step("a b", &[])], "step name \"a b\" is not valid: use 1 to 100 letters, digits and - _ . : /");
        let mut outside = step("a", &[]);
        outside.dir = "../x".into();
        check(vec![outside], "step \"a\" has dir \"../x\", which leaves the project");
    }

    #[test]
    fn steps_connected_by_needs_are_one_group() {
        let steps = vec![
            step("install", &[]),
            step("format", &[]),
            step("build", &["install"]),
            step("lint", &["install"]),
            step("test", &["build"]),
        ];
        let workflow = Workflow {
            name: "w".into(),
            steps,
            budget: Budget::DEFAULT,
            repair: RepairPolicy::default(),
            redact: Vec::new(),
        };
        let groups: Vec<String> = workflow.steps.iter().map(|s| workflow.group_of(&s.name)).collect();
        assert_eq!(groups, ["install", "format", "install", "install", "install"]);
        let needs = |name: &str| {
            let spec = workflow.step(name).expect("a step");
            workflow.needs_of(spec).iter().map(|s| s.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(needs("test"), ["install", "build"]);
        assert_eq!(needs("format"), Vec::<String>::new());
    }

    #[test]
    fn the_digest_follows_the_content() {
        let make = |name: &str| Workflow {
            name: "w".into(),
            steps: vec![step(name, &[])],
            budget: Budget::DEFAULT,
            repair: RepairPolicy::default(),
            redact: Vec::new(),
        };
        assert_eq!(make("a").digest(), make("a").digest());
        assert_ne!(make("a").digest(), make("b").digest());
    }

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let argv = CommandLine::Argv(vec!["sh".into(), "-c".into(), "echo it's".into()]);
        assert_eq!(argv.display(), r"sh -c 'echo it'\''s'");
    }
}
