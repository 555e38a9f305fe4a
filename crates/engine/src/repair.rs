//! Executing a repair: propose, pass the gate, verify, keep or roll back.
//!
//! Every candidate is tried in fresh files (the accepted repairs, those held for this step, and what this repair
//! has improved so far). It is accepted when the failed step succeeds *and* every step that had succeeded before
//! still does. "Roll back" is no action: the worktree is dropped.

use std::time::Duration;

use mb_core::budget::MicroUsd;
use mb_core::failure::{ExitCause, Failure};
use mb_core::ladder;
use mb_core::repair::{PatchRef, RepairOutcome, Verdict, Verification};
use mb_core::run::Step;
use mb_core::strategy::Strategy;
use mb_core::task::Work;
use mb_core::workflow::StepSpec;
use mb_repair::{DirFiles, Edit, Proposal};
use mb_runner::{LogSink, Patch, PatchLimits, Worktree};
use mb_store::StoredPatch;

use crate::attempt::chain;
use crate::context::{Context, TaskError, load};

/// Candidates one repair looks at.
const CANDIDATES_MAX: u32 = 50;

/// Tries the repair. As with attempts, only trouble with the store is an error.
pub(crate) async fn execute(context: &Context<'_>) -> Result<(RepairOutcome, Vec<StoredPatch>), TaskError> {
    let begin = context.engine.env().now();
    let mut bench = match Bench::open(context).await {
        Ok(bench) => bench,
        Err(TaskError::Store(error)) => return Err(TaskError::Store(error)),
        Err(error) => return Ok((broken(chain(&error)), Vec::new())),
    };
    let verdict = match bench.try_all().await {
        Ok(verdict) => verdict,
        Err(TaskError::Store(error)) => return Err(TaskError::Store(error)),
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
    spec: &'a StepSpec,
    step: &'a Step,
    strategy: Strategy,
    /// What the step fails with now; shrinks when something improves it.
    failure: Failure,
    /// Accepted and held repairs.
    base: Vec<Patch>,
    /// What this repair improved so far, in order.
    held: Vec<Patch>,
    log: LogSink,
    title: String,
    patch: Option<Patch>,
    verified: Vec<Verification>,
    candidates: u32,
    parts: u32,
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
        let spec = context.spec()?;
        let step = context.run.step(&spec.name).ok_or_else(|| corrupt("the step"))?;
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
            spec,
            step,
            strategy: repair.strategy.clone(),
            failure,
            base,
            held: Vec::new(),
            log: context.log()?,
            title: repair.strategy.to_string(),
            patch: None,
            verified: Vec::new(),
            candidates: 0,
            parts: 0,
        })
    }

    async fn try_all(&mut self) -> Result<Verdict, TaskError> {
        let proposals = self.propose().await?;
        let mut last = Verdict::NoCandidate { why: "nothing in the failure fits this strategy".into() };
        for proposal in proposals {
            if self.candidates >= CANDIDATES_MAX || self.context.cancel.is_cancelled() || self.context.time_left() < Duration::from_millis(100) {
                break;
            }
            self.candidates += 1;
            match self.try_one(&proposal).await? {
                Tried::Accepted => return Ok(Verdict::Accepted),
                Tried::Improved => {}
                Tried::Nothing => last = Verdict::NoCandidate { why: format!("{} changed nothing", proposal.title) },
                Tried::Refused(why) => last = Verdict::Refused { why },
                Tried::Rejected { step, why } => last = Verdict::Rejected { step, why },
            }
        }
        Ok(if self.held.is_empty() { last } else { Verdict::Improved { left: Box::new(self.failure.clone()) } })
    }

    /// What the strategy has to offer, cheapest first.
    async fn propose(&mut self) -> Result<Vec<Proposal>, TaskError> {
        if let Strategy::Fixer { fixer } = &self.strategy {
            let Some(fixer) = self.spec.fixers.iter().find(|f| f.name == *fixer) else { return Ok(Vec::new()) };
            let command = mb_repair::Command { argv: fixer.command.argv(), dir: self.spec.dir.clone(), network: fixer.network };
            return Ok(vec![Proposal { title: fixer.name.clone(), edits: Vec::new(), commands: vec![command] }]);
        }
        let worktree = self.fresh().await?;
        let files = DirFiles::new(worktree.path());
        let proposals = if self.strategy == Strategy::RustcSuggestions {
            let output = self.rustc_json(&worktree).await;
            mb_repair::rustc_suggestions(&output, &files)
        } else {
            mb_repair::propose(&self.strategy, &self.failure, self.spec, &files)
        };
        worktree.remove().await;
        Ok(proposals)
    }

    /// The compiler's diagnostics as JSON: the step's command asks for text, so the compiler is asked again.
    async fn rustc_json(&mut self, worktree: &Worktree) -> String {
        let argv = ["cargo", "check", "--workspace", "--all-targets", "--message-format=json", "--keep-going"];
        let argv = argv.iter().map(ToString::to_string).collect();
        let outcome = self.context.command(self.spec, argv, self.spec.network, worktree, self.log.clone()).await;
        String::from_utf8_lossy(&outcome.stdout.bytes).into_owned()
    }

    async fn fresh(&mut self) -> Result<Worktree, TaskError> {
        self.parts += 1;
        let patches: Vec<Patch> = self.base.iter().chain(&self.held).cloned().collect();
        self.context.worktree(self.spec, self.parts, &patches).await
    }

    async fn try_one(&mut self, proposal: &Proposal) -> Result<Tried, TaskError> {
        let worktree = self.fresh().await?;
        let tried = self.try_in(proposal, &worktree).await;
        worktree.remove().await;
        tried
    }

    async fn try_in(&mut self, proposal: &Proposal, worktree: &Worktree) -> Result<Tried, TaskError> {
        self.log.note(&format!("candidate {}: {}", self.candidates, proposal.title));
        if let Err(why) = self.make(proposal, worktree).await {
            return Ok(Tried::Rejected { step: self.spec.name.clone(), why });
        }
        let bytes_max = self.context.run.workflow.repair.patch_bytes_max;
        let patch = match worktree.diff(PatchLimits { bytes_max }).await {
            Ok(patch) => patch,
            Err(error) => return Ok(Tried::Refused(chain(&error))),
        };
        if patch.is_empty() {
            return Ok(Tried::Nothing);
        }
        let files: Vec<String> = patch.files.iter().map(|file| file.path.clone()).collect();
        if let Err(refusal) = mb_repair::patch_gate(&patch.diff, &files, &self.context.run.workflow.repair, self.failure.kind) {
            self.title.clone_from(&proposal.title);
            return Ok(Tried::Refused(refusal.to_string()));
        }
        self.verify(proposal, worktree, patch).await
    }

    /// Makes the change: edits first, then commands. The error says in words what could not be done.
    async fn make(&mut self, proposal: &Proposal, worktree: &Worktree) -> Result<(), String> {
        for edit in &proposal.edits {
            apply_edit(worktree, edit).map_err(|error| format!("an edit could not be written: {error}"))?;
        }
        for command in &proposal.commands {
            let spec = StepSpec { dir: command.dir.clone(), ..self.spec.clone() };
            let outcome = self.context.command(&spec, command.argv.clone(), command.network, worktree, self.log.clone()).await;
            // Many fixers exit with an error when they found something they could not fix, so only a command
            // that did not run, or was stopped, is a failure of the strategy.
            if !matches!(outcome.exit, ExitCause::Code { .. }) || outcome.exit.shell_code() == 127 {
                let detail = outcome.detail.map_or(String::new(), |d| format!(": {d}"));
                return Err(format!("`{}` {}{detail}", command.argv.join(" "), outcome.exit));
            }
        }
        Ok(())
    }

    /// The failed step first, then every step that had succeeded, in the order of the workflow.
    async fn verify(&mut self, proposal: &Proposal, worktree: &Worktree, patch: Patch) -> Result<Tried, TaskError> {
        let mut verified = Vec::new();
        let (outcome, failure) = self.context.check(self.spec, worktree, self.log.clone()).await;
        verified.push(verification(&self.spec.name, &outcome));
        if let Some(failure) = failure {
            let improved = ladder::improves(&self.failure, &failure);
            let why = failure.summary.clone();
            if improved {
                self.keep(proposal, patch, verified);
                self.failure = failure;
                return Ok(Tried::Improved);
            }
            self.show(proposal, patch, verified);
            return Ok(Tried::Rejected { step: self.spec.name.clone(), why });
        }
        if let Some(why) = fewer_tests(&self.failure, &outcome) {
            self.show(proposal, patch, verified);
            return Ok(Tried::Refused(why));
        }
        let earlier = self.context.run.steps.iter().filter(|step| step.succeeded() && step.name != self.step.name);
        for step in earlier {
            let Some(spec) = self.context.run.workflow.step(&step.name) else { continue };
            self.log.note(&format!("verify {}", spec.name));
            let (outcome, failure) = self.context.check(spec, worktree, self.log.clone()).await;
            verified.push(verification(&spec.name, &outcome));
            if let Some(failure) = failure {
                self.show(proposal, patch, verified);
                let why = format!("{} succeeded before and fails with it: {}", spec.name, failure.summary);
                return Ok(Tried::Rejected { step: spec.name.clone(), why });
            }
        }
        self.keep(proposal, patch, verified);
        Ok(Tried::Accepted)
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
        let patch = if self.held.is_empty() { self.patch } else { Patch::join(&self.held) };
        let stored = patch.iter().map(|p| StoredPatch { digest: p.digest(), diff: p.diff.clone() }).collect();
        let outcome = RepairOutcome {
            title: self.title,
            verdict,
            patch: patch.as_ref().map(patch_ref),
            verified: self.verified,
            candidates: self.candidates,
            cost_microusd: MicroUsd(0),
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
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
    let duration_ms = u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX);
    Verification { step: step.to_owned(), exit: outcome.exit, duration_ms }
}

/// A repair that makes tests disappear is no repair.
fn fewer_tests(before: &Failure, outcome: &mb_runner::Outcome) -> Option<String> {
    let before = before.tests?.executed();
    let after = mb_repair::test_counts(&String::from_utf8_lossy(&outcome.stdout.bytes))?.executed();
    (after < before).then(|| format!("{after} tests ran with it, {before} without: a repair may not remove tests"))
}

fn apply_edit(worktree: &Worktree, edit: &Edit) -> std::io::Result<()> {
    match edit {
        Edit::Write { path, content } => worktree.write(path, content),
        Edit::Delete { path } => worktree.delete(path),
    }
}

