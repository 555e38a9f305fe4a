//! Executing a repair: propose, pass the gate, verify, keep or roll back.
//!
//! Every candidate is tried in fresh files (the accepted repairs, those held for this step, and what this repair
//! has improved so far). It is accepted when the failed step succeeds *and* every step that had succeeded before
//! still does. "Roll back" is no action: the worktree is dropped.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use mb_core::budget::MicroUsd;
use mb_core::error::chain;
use mb_core::failure::{ExitCause, Failure, FailureKind, TestCounts};
use mb_core::ladder;
use mb_core::repair::{PatchRef, RepairOutcome, Verdict, Verification};
use mb_core::run::Step;
use mb_core::strategy::Strategy;
use mb_core::task::Work;
use mb_core::time::millis;
use mb_core::workflow::StageKind;
use mb_repair::{Command, DirFiles, Edit, Proposal};
use mb_runner::{Patch, PatchLimits, Worktree};
use mb_store::StoredPatch;
use tokio::sync::OwnedMutexGuard;

use crate::context::{Checked, Commanded, Context, TaskError, load};
use crate::workspace::{self, Workspace};

/// Candidates one repair looks at.
const CANDIDATES_MAX: u32 = 50;
/// How often one repair asks its strategy again after something improved.
const ROUNDS_MAX: u32 = 10;
/// With less than this left of the run's time, no candidate is tried.
const LEAST: Duration = Duration::from_millis(100);

/// Tries the repair. As with attempts, only trouble with the store is an error.
pub(crate) async fn execute(context: &Context<'_>) -> Result<(RepairOutcome, Vec<StoredPatch>), TaskError> {
    let begin = context.engine.env().now();
    let mut bench = match Bench::open(context).await {
        Ok(bench) => bench,
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => return Ok((broken(chain(&error)), Vec::new())),
    };
    let verdict = match bench.try_all().await {
        Ok(verdict) => verdict,
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => Verdict::Broken { why: chain(&error) },
    };
    let took = context.engine.env().now().since(begin);
    Ok(bench.outcome(verdict, took))
}

pub(crate) fn broken(why: String) -> RepairOutcome {
    RepairOutcome {
        title: String::new(),
        verdict: Verdict::Broken { why },
        patch: None,
        verified: Vec::new(),
        candidates: 0,
        cost_microusd: MicroUsd(0),
        duration_ms: 0,
    }
}

/// The bench a repair works at: what it starts from and what it has so far.
struct Bench<'a> {
    context: &'a Context<'a>,
    step: Commanded<'a>,
    strategy: Strategy,
    /// What the step fails with now; shrinks when something improves it.
    failure: Failure,
    /// Accepted and held repairs.
    base: Vec<Patch>,
    /// What this repair improved so far, in order.
    held: Vec<Patch>,
    title: String,
    patch: Option<Patch>,
    verified: Vec<Verification>,
    candidates: u32,
    parts: u32,
    /// The step's own worktree, held so that nobody changes what candidates start from.
    warm: Option<OwnedMutexGuard<Option<Workspace>>>,
}

/// How a round of proposals ended.
enum Round {
    Accepted,
    Improved,
    Over,
}

/// What became of one candidate.
enum Tried {
    Accepted,
    Improved,
    Nothing,
    Refused(String),
    Rejected { step: String, why: String },
}

impl<'a> Bench<'a> {
    async fn open(context: &'a Context<'a>) -> Result<Bench<'a>, TaskError> {
        let corrupt = |what: &str| TaskError::Corrupt(format!("{what} of {} is missing", context.work));
        let own = context.commanded()?;
        let step = context.run.step(own.name).ok_or_else(|| corrupt("the step"))?;
        let Work::Repair { number, .. } = context.work else { return Err(corrupt("the repair")) };
        let repair = step.repairs.iter().find(|r| r.number == *number).ok_or_else(|| corrupt("the repair"))?;
        let failure = step.failure().ok_or_else(|| corrupt("the failure"))?.clone();
        let mut base = context.patches().await?;
        let tentative = step.tentative();
        let held: Vec<&str> =
            tentative.iter().filter_map(|r| r.outcome()?.patch.as_ref()).map(|patch| patch.digest.as_str()).collect();
        base.extend(load(context.engine.store(), &held).await?);
        Ok(Bench {
            context,
            step: own,
            strategy: repair.strategy.clone(),
            failure,
            base,
            held: Vec::new(),
            title: repair.strategy.to_string(),
            patch: None,
            verified: Vec::new(),
            candidates: 0,
            parts: 0,
            warm: context.idle_workspace(own),
        })
    }

    /// Rounds of proposals: whatever improves the step is kept, and the strategy is asked again about what is left,
    /// because its edits are made for the files as they are.
    async fn try_all(&mut self) -> Result<Verdict, TaskError> {
        let mut last = Verdict::NoCandidate { why: "nothing in the failure fits this strategy".into() };
        for _ in 0..ROUNDS_MAX {
            match self.round(&mut last).await? {
                Round::Accepted => return Ok(Verdict::Accepted),
                Round::Improved => {}
                Round::Over => break,
            }
        }
        Ok(if self.held.is_empty() { last } else { Verdict::Improved { left: Box::new(self.failure.clone()) } })
    }

    /// One round: proposals in order, until one is accepted or improves the step.
    async fn round(&mut self, last: &mut Verdict) -> Result<Round, TaskError> {
        let mut proposals = VecDeque::from(self.propose().await?);
        while let Some(proposal) = proposals.pop_front() {
            let out_of_time = self.context.cancel.is_cancelled() || self.context.time_left() < LEAST;
            if self.candidates >= CANDIDATES_MAX || out_of_time {
                break;
            }
            self.candidates += 1;
            match self.try_one(&proposal).await? {
                Tried::Accepted => return Ok(Round::Accepted),
                Tried::Improved => return Ok(Round::Improved),
                Tried::Nothing => *last = Verdict::NoCandidate { why: format!("{} changed nothing", proposal.title) },
                Tried::Refused(why) => *last = Verdict::Refused { why },
                Tried::Rejected { step, why } => {
                    if let Some(tidied) = self.tidied(proposal, &step) {
                        proposals.push_front(tidied);
                    }
                    *last = Verdict::Rejected { step, why };
                }
            }
        }
        Ok(Round::Over)
    }

    /// The candidate once more with the fixers of the earlier step it broke: an edit that is right but not formatted
    /// the project's way is no reason to give up. None for the failed step itself, and when that was tried.
    fn tidied(&self, proposal: Proposal, broken: &str) -> Option<Proposal> {
        let spec = self.context.run.workflow.step(broken).filter(|spec| spec.name != self.step.name)?;
        let shell = spec.as_shell()?;
        let style = matches!(shell.stage, StageKind::Format | StageKind::Lint);
        let fixer = shell.fixers.first().filter(|_| style)?;
        let command = Command { argv: fixer.command.argv(), dir: shell.dir.clone(), network: fixer.network };
        if proposal.commands.contains(&command) {
            return None;
        }
        let title = format!("{}, then {}", proposal.title, fixer.name);
        Some(Proposal { title, commands: proposal.commands.into_iter().chain([command]).collect(), ..proposal })
    }

    /// What the strategy has to offer, most promising first.
    async fn propose(&mut self) -> Result<Vec<Proposal>, TaskError> {
        if let Strategy::Fixer { fixer } = &self.strategy {
            let Some(fixer) = self.step.shell.fixers.iter().find(|f| f.name == *fixer) else { return Ok(Vec::new()) };
            let command =
                Command { argv: fixer.command.argv(), dir: self.step.shell.dir.clone(), network: fixer.network };
            return Ok(vec![Proposal { title: fixer.name.clone(), edits: Vec::new(), commands: vec![command] }]);
        }
        let worktree = self.fresh().await?;
        let files = DirFiles::new(worktree.path());
        if self.strategy != Strategy::RustcSuggestions {
            return Ok(mb_repair::propose(&self.strategy, &self.failure, self.step.shell, &files));
        }
        // The step's command asked for text; the suggestions are only in the compiler's JSON.
        let command = mb_repair::suggestions_command(&self.failure, self.step.shell);
        let outcome = self.context.command(self.step, &command, &worktree).await?;
        Ok(mb_repair::rustc_suggestions(&String::from_utf8_lossy(&outcome.stdout.bytes), &files))
    }

    async fn fresh(&mut self) -> Result<workspace::Lent, TaskError> {
        self.parts += 1;
        let patches: Vec<Patch> = self.base.iter().chain(&self.held).cloned().collect();
        let mut worktree = self.context.worktree(self.parts, &patches).await?;
        if let Some(warm) = self.warm.as_deref().and_then(Option::as_ref) {
            worktree.carry_from(&warm.worktree, &self.context.run.workflow.caches())?;
        }
        Ok(worktree)
    }

    async fn try_one(&mut self, proposal: &Proposal) -> Result<Tried, TaskError> {
        self.context.note(&format!("candidate {}: {}", self.candidates, proposal.title))?;
        let mut worktree = self.fresh().await?;
        if !proposal.commands.is_empty() {
            // A fixer may be one of the things the needed steps install.
            if let Some((need, checked)) =
                workspace::prepare(self.context, self.step, &worktree, &mut BTreeSet::new()).await?
            {
                return Ok(Tried::Rejected {
                    why: format!("{need}, which the step needs, fails: {}", summary(&checked)),
                    step: need,
                });
            }
            worktree.settle().await?;
        }
        if let Err(why) = self.make(proposal, &worktree).await? {
            return Ok(Tried::Rejected { step: self.step.name.to_owned(), why });
        }
        let limits =
            PatchLimits { bytes_max: self.context.run.workflow.repair.patch_bytes_max, ..PatchLimits::default() };
        let patch = match worktree.diff(limits).await {
            Ok(patch) => patch,
            Err(error) => return Ok(Tried::Refused(chain(&error))),
        };
        if patch.is_empty() {
            return Ok(Tried::Nothing);
        }
        let files: Vec<String> = patch.files.iter().map(|file| file.path.clone()).collect();
        if let Err(refusal) =
            mb_repair::patch_gate(&patch.diff, &files, &self.context.run.workflow.repair, self.failure.kind)
        {
            self.show(proposal, patch, Vec::new());
            return Ok(Tried::Refused(refusal.to_string()));
        }
        self.verify(proposal, &worktree, patch).await
    }

    /// Makes the change: edits first, then commands. The inner error says in words what could not be done.
    async fn make(&mut self, proposal: &Proposal, worktree: &Worktree) -> Result<Result<(), String>, TaskError> {
        for edit in &proposal.edits {
            if let Err(error) = apply_edit(worktree, edit) {
                return Ok(Err(format!("an edit could not be written: {error}")));
            }
        }
        let locks = self.absent_locks(worktree);
        for command in &proposal.commands {
            let outcome = self.context.command(self.step, command, worktree).await?;
            // Many fixers exit with an error when they found something they could not fix, so only a command
            // that did not run, or was stopped, is a failure of the strategy.
            if !matches!(outcome.exit, ExitCause::Code { .. }) || outcome.exit.shell_code() == 127 {
                let detail = outcome.detail.map_or(String::new(), |d| format!(": {d}"));
                return Ok(Err(format!("`{}`: {}{detail}", command.argv.join(" "), outcome.exit)));
            }
        }
        for lock in locks.into_iter().filter(|lock| lock.is_file()) {
            if let Err(error) = fs::remove_file(&lock) {
                return Ok(Err(format!("{} could not be removed: {error}", lock.display())));
            }
        }
        Ok(Ok(()))
    }

    /// Lock files the project does not keep. A package manager writes one wherever it runs; unless the failure is
    /// about dependencies, that is no part of a repair.
    fn absent_locks(&self, worktree: &Worktree) -> Vec<PathBuf> {
        if self.failure.kind == FailureKind::Dependency {
            return Vec::new();
        }
        let folders = BTreeSet::from([worktree.path().to_owned(), worktree.path().join(&self.step.shell.dir)]);
        let locks = folders.iter().flat_map(|folder| mb_repair::LOCK_FILES.iter().map(|name| folder.join(name)));
        locks.filter(|lock| lock.symlink_metadata().is_err()).collect()
    }

    /// The steps the failed one needs, then itself, then every other step that had succeeded. All in these files.
    async fn verify(&mut self, proposal: &Proposal, worktree: &Worktree, patch: Patch) -> Result<Tried, TaskError> {
        let (context, own) = (self.context, self.step);
        let workflow = &context.run.workflow;
        let needs = workflow.needs_of(own.spec);
        let needed = |name: &str| needs.iter().any(|need| need.name == name);
        let succeeded = |step: &Commanded<'_>| context.run.step(step.name).is_some_and(Step::succeeded);
        let others = workflow.steps.iter().filter_map(Commanded::of).filter(|step| step.name != own.name);
        let earlier: Vec<Commanded<'_>> = others.filter(succeeded).collect();
        let order = earlier
            .iter()
            .filter(|step| needed(step.name))
            .chain([&own])
            .chain(earlier.iter().filter(|step| !needed(step.name)));
        let mut verified = Vec::new();
        for step in order {
            self.context.note(&format!("verify {}", step.name))?;
            let checked = self.context.check(*step, worktree).await?;
            verified.push(verification(step.name, &checked.outcome));
            if step.name == self.step.name {
                if let Some(tried) = self.judge(proposal, &patch, &verified, checked) {
                    return Ok(tried);
                }
            } else if checked.failure.is_some() {
                let why = format!("{} succeeded before and fails with it: {}", step.name, summary(&checked));
                self.show(proposal, patch, verified);
                return Ok(Tried::Rejected { step: step.name.to_owned(), why });
            }
        }
        self.keep(proposal, patch, verified);
        Ok(Tried::Accepted)
    }

    /// What the failed step says to the change; none when it succeeds and verification goes on.
    fn judge(
        &mut self,
        proposal: &Proposal,
        patch: &Patch,
        verified: &[Verification],
        checked: Checked,
    ) -> Option<Tried> {
        let Some(failure) = checked.failure else {
            let why = fewer_tests(&self.failure, checked.tests)?;
            self.show(proposal, patch.clone(), verified.to_vec());
            return Some(Tried::Refused(why));
        };
        if ladder::improves(&self.failure, &failure) {
            self.keep(proposal, patch.clone(), verified.to_vec());
            self.failure = failure;
            return Some(Tried::Improved);
        }
        self.show(proposal, patch.clone(), verified.to_vec());
        Some(Tried::Rejected { step: self.step.name.to_owned(), why: failure.summary })
    }

    /// Takes the candidate into what is held.
    fn keep(&mut self, proposal: &Proposal, patch: Patch, verified: Vec<Verification>) {
        self.title = match self.held.len() {
            0 => proposal.title.clone(),
            _ => format!("{}; {}", self.title, proposal.title),
        };
        self.held.push(patch);
        self.patch = None;
        self.verified = verified;
    }

    /// Remembers a candidate that was not kept, to be shown, unless something was.
    fn show(&mut self, proposal: &Proposal, patch: Patch, verified: Vec<Verification>) {
        if self.held.is_empty() {
            self.title.clone_from(&proposal.title);
            self.patch = Some(patch);
            self.verified = verified;
        }
    }

    fn outcome(self, verdict: Verdict, took: Duration) -> (RepairOutcome, Vec<StoredPatch>) {
        // Patches we took ourselves can be read, so joining them cannot fail.
        let patch = if self.held.is_empty() { self.patch } else { Patch::join(&self.held).unwrap_or_default() };
        let stored = patch.iter().map(|p| StoredPatch { digest: p.digest(), diff: p.diff.clone() }).collect();
        let outcome = RepairOutcome {
            title: self.title,
            verdict,
            patch: patch.as_ref().map(patch_ref),
            verified: self.verified,
            candidates: self.candidates,
            cost_microusd: MicroUsd(0),
            duration_ms: millis(took),
        };
        (outcome, stored)
    }
}

fn patch_ref(patch: &Patch) -> PatchRef {
    PatchRef {
        digest: patch.digest(),
        files: patch.files.iter().map(|file| file.path.clone()).collect(),
        added: patch.files.iter().map(|file| file.added).sum(),
        removed: patch.files.iter().map(|file| file.removed).sum(),
    }
}

fn verification(step: &str, outcome: &mb_runner::Outcome) -> Verification {
    let duration_ms = millis(outcome.duration);
    Verification { step: step.to_owned(), exit: outcome.exit, duration_ms }
}

fn summary(checked: &Checked) -> String {
    checked.failure.as_ref().map_or_else(|| checked.outcome.exit.to_string(), |failure| failure.summary.clone())
}

/// A repair that makes tests disappear is no repair.
fn fewer_tests(before: &Failure, after: Option<TestCounts>) -> Option<String> {
    let (before, after) = (before.tests?.executed(), after?.executed());
    (after < before).then(|| format!("{after} tests ran with it, {before} without: a repair may not remove tests"))
}

/// Writes an edit, never outside the worktree and never through a link.
fn apply_edit(worktree: &Worktree, edit: &Edit) -> io::Result<()> {
    let (Edit::Write { path, .. } | Edit::Delete { path }) = edit;
    let relative = Path::new(path);
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{path} leaves the project")));
    }
    let mut below = worktree.path().to_owned();
    for part in relative {
        below.push(part);
        if fs::symlink_metadata(&below).is_ok_and(|meta| meta.is_symlink()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{path} leads through a link")));
        }
    }
    match edit {
        Edit::Write { content, .. } => {
            if let Some(folder) = below.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&below, content)
        }
        Edit::Delete { .. } => fs::remove_file(&below),
    }
}
