//! The report of a run: what failed, why, what was tried, what each try did and cost.
//!
//! One struct, three faces: [`Report::text`] for a terminal, [`Report::markdown`] for a pull request, JSON by
//! serde. They can only differ in form.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Spend};
use crate::event::count;
use crate::failure::{
    EvidenceLine, ExitCause, Failure, FailureClass, FailureKind, Fingerprint, Hint, Position, Signal,
};
use crate::id::RunId;
use crate::run::{AppliedPatch, Published, Run, RunOutcome, Step, StepOutcome, StepState};
use crate::time::{Timestamp, human};

/// Diagnostics shown per step; the rest is counted.
const DIAGNOSTICS_SHOWN: usize = 10;
/// Evidence lines shown per step in text and Markdown.
const EVIDENCE_SHOWN: usize = 12;

/// What happened in a run, for people and machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The project's folder.
    pub project: String,
    /// The commit the files are based on.
    pub commit: Option<String>,
    /// `pending`, `running`, or how it ended.
    pub outcome: String,
    /// One sentence.
    pub headline: String,
    /// Whether some step only passed on a re-run.
    pub flaky: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it used.
    pub spend: Spend,
    /// What it was allowed.
    pub budget: Budget,
    /// Its steps.
    pub steps: Vec<StepReport>,
    /// The accepted changes, in order.
    pub changes: Vec<AppliedPatch>,
    /// Where the result is.
    pub published: Option<Published>,
}

/// What happened to a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// What was run.
    pub command: String,
    /// `pending`, `running`, `succeeded`, `failed`, `skipped`, `canceled`.
    pub state: String,
    /// How or why, in words.
    pub how: String,
    /// Attempts made.
    pub attempts: u32,
    /// Wall time of its attempts and repairs, in milliseconds.
    pub duration_ms: u64,
    /// What failed first, if anything did.
    pub failure: Option<FailureReport>,
    /// What was tried.
    pub tried: Vec<Tried>,
}

/// What failed, and how we know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// The fine kind.
    pub kind: FailureKind,
    /// Its class.
    pub class: FailureClass,
    /// What decided: the confidence.
    pub signal: Signal,
    /// One line.
    pub summary: String,
    /// The same for the same failure.
    pub fingerprint: Fingerprint,
    /// Where.
    pub positions: Vec<Position>,
    /// What the tools said, first ones first.
    pub diagnostics: Vec<String>,
    /// Log lines that show it.
    pub evidence: Vec<EvidenceLine>,
    /// What a person can do about it where it is plain: a program to install, a limit to raise.
    #[serde(default)]
    pub mend: Option<String>,
}

/// One thing tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The strategy (`rerun`, ``fixer `cargo fmt` ``).
    pub strategy: String,
    /// What came of it.
    pub verdict: String,
    /// What was changed, or why not.
    pub detail: String,
    /// Wall time, in milliseconds.
    pub duration_ms: u64,
    /// Money, in text (`$0.00`).
    pub cost: String,
}

impl Report {
    /// The report of a run as it stands at `now`.
    pub fn of(now: Timestamp, run: &Run) -> Report {
        let outcome = run.state.outcome().map_or(run.state.word(), RunOutcome::as_str);
        let steps: Vec<StepReport> = run.steps.iter().map(|step| step_report(run, step)).collect();
        Report {
            run: run.id,
            workflow: run.workflow.name.clone(),
            project: run.source.as_ref().map_or(String::new(), |source| source.root.clone()),
            commit: run.source.as_ref().and_then(|source| source.commit.clone()),
            outcome: outcome.to_owned(),
            headline: headline(run, &steps),
            flaky: run.is_flaky(),
            created_at: run.created_at,
            finished_at: run.finished_at,
            spend: run.spend_at(now),
            budget: run.workflow.budget,
            steps,
            changes: run.patches.clone(),
            published: run.published.clone(),
        }
    }

    /// For a terminal, at most about 100 columns; `paint` may colour a word by the state it stands for.
    pub fn text(&self, paint: &dyn Fn(&str, &str) -> String) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{} {}", paint(&self.outcome, &self.outcome.replace('_', " ")), self.headline);
        for step in &self.steps {
            let took = human(Duration::from_millis(step.duration_ms));
            let _ = writeln!(
                out,
                "  {} {:<20} {:>8}  {}",
                paint(&step.state, symbol(&step.state)),
                step.name,
                took,
                step.how
            );
            if let Some(failure) = &step.failure {
                let _ = writeln!(
                    out,
                    "      {} [{}, by {}] {}",
                    failure.kind, failure.class, failure.signal, failure.summary
                );
                for line in failure.diagnostics.iter().take(DIAGNOSTICS_SHOWN) {
                    let _ = writeln!(out, "      {line}");
                }
                if let Some(mend) = &failure.mend {
                    let _ = writeln!(out, "      mend: {mend}");
                }
                if failure.diagnostics.is_empty() && step.state != "succeeded" {
                    for line in failure.evidence.iter().take(EVIDENCE_SHOWN) {
                        let _ = writeln!(out, "      {:>5} | {}", line.line, line.text);
                    }
                }
            }
            for tried in &step.tried {
                let _ = writeln!(
                    out,
                    "      tried {}: {}: {} ({}, {})",
                    tried.strategy,
                    tried.verdict,
                    tried.detail,
                    human(Duration::from_millis(tried.duration_ms)),
                    tried.cost
                );
            }
        }
        self.text_result(&mut out);
        out
    }

    fn text_result(&self, out: &mut String) {
        for change in &self.changes {
            let p = &change.patch;
            let _ = writeln!(out, "  change {}: {} (+{} -{})", change.title, p.files.join(", "), p.added, p.removed);
        }
        if let Some(published) = &self.published {
            if let Some((branch, _)) = &published.branch {
                let _ = writeln!(out, "  branch {branch}   (git merge {branch})");
            }
            if let Some(file) = &published.patch_file {
                let _ = writeln!(out, "  patch  {file}   (git apply {file})");
            }
            if let Some(problem) = &published.problem {
                let _ = writeln!(out, "  not written: {problem}");
            }
        }
        let s = self.spend;
        let _ = writeln!(
            out,
            "  used   {} of {}, {} of {}, {} of {}",
            human(Duration::from_millis(s.time_ms)),
            human(Duration::from_millis(self.budget.time_ms)),
            s.cost_microusd,
            self.budget.cost_microusd,
            s.attempts,
            count(self.budget.attempts, "attempt"),
        );
    }

    /// For a pull request or an incident.
    pub fn markdown(&self) -> String {
        let mut out = format!("## {}: {}\n\n", self.outcome.replace('_', " "), escape(&self.headline));
        out.push_str("| step | state | took | how |\n|---|---|---|---|\n");
        for step in &self.steps {
            let took = human(Duration::from_millis(step.duration_ms));
            let _ = writeln!(
                out,
                "| {} | {} {} | {took} | {} |",
                escape(&step.name),
                symbol(&step.state),
                step.state,
                escape(&step.how)
            );
        }
        for step in self.steps.iter().filter(|step| step.failure.is_some() || !step.tried.is_empty()) {
            markdown_step(&mut out, step);
        }
        if !self.changes.is_empty() {
            out.push_str("\n### Changes kept\n\n");
            for change in &self.changes {
                let p = &change.patch;
                let _ =
                    writeln!(out, "- {} ({}; +{} -{})", escape(&change.title), p.files.join(", "), p.added, p.removed);
            }
        }
        let _ = writeln!(
            out,
            "\nRun `{}`, {}, {}, {}.",
            self.run,
            human(Duration::from_millis(self.spend.time_ms)),
            self.spend.cost_microusd,
            count(self.spend.attempts, "repair attempt")
        );
        out
    }
}

fn markdown_step(out: &mut String, step: &StepReport) {
    let _ = writeln!(out, "\n### {}\n\n`{}`\n", escape(&step.name), step.command.replace('`', "'"));
    if let Some(failure) = &step.failure {
        let _ = writeln!(
            out,
            "**{}** ({}, decided by {}): {}\n",
            failure.kind,
            failure.class,
            failure.signal,
            escape(&failure.summary)
        );
        if let Some(mend) = &failure.mend {
            let _ = writeln!(out, "Mend: {}\n", escape(mend));
        }
        if !failure.evidence.is_empty() {
            out.push_str("```text\n");
            for line in failure.evidence.iter().take(EVIDENCE_SHOWN) {
                let _ = writeln!(out, "{:>5} | {}", line.line, line.text.replace("```", "'''"));
            }
            out.push_str("```\n");
        }
    }
    for tried in &step.tried {
        let _ = writeln!(
            out,
            "- {}: **{}**, {} ({})",
            escape(&tried.strategy),
            tried.verdict,
            escape(&tried.detail),
            tried.cost
        );
    }
}

/// Log text is untrusted: nothing in it may become markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '*' | '_' | '[' | ']' | '#' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' | '\r' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

fn symbol(state: &str) -> &'static str {
    match state {
        "succeeded" => "✓",
        "failed" => "✗",
        "skipped" | "canceled" => "○",
        "running" => "▶",
        _ => "·",
    }
}

fn headline(run: &Run, steps: &[StepReport]) -> String {
    let failed: Vec<&StepReport> = steps.iter().filter(|step| step.state == "failed").collect();
    let all = count(u32::try_from(steps.len()).unwrap_or(u32::MAX), "step");
    match run.state.outcome() {
        None => format!("{} of {all} done", steps.iter().filter(|s| s.state == "succeeded").count()),
        Some(RunOutcome::Passed) if run.is_flaky() => format!("{all} passed, at least one of them only on a re-run"),
        Some(RunOutcome::Passed) => format!("{all} passed"),
        Some(RunOutcome::Repaired) => {
            let n = count(run.tree(), "change");
            let pass = if steps.len() == 1 { "passes" } else { "pass" };
            format!("{all} {pass} with {n}, verified; {}", run.spend.cost_microusd)
        }
        Some(RunOutcome::Canceled) => run.cancel.clone().unwrap_or_default(),
        Some(RunOutcome::Failed | RunOutcome::BudgetExceeded) => failed.first().map_or(String::new(), |step| {
            let what = step.failure.as_ref().map_or(step.how.as_str(), |f| f.summary.as_str());
            let more = if failed.len() > 1 { format!(" (and {} more)", failed.len() - 1) } else { String::new() };
            format!("{}: {what}{more}", step.name)
        }),
    }
}

fn step_report(run: &Run, step: &Step) -> StepReport {
    let command = run.workflow.step(&step.name).map_or(String::new(), |spec| spec.action.display());
    let attempts = step.attempts.iter().filter_map(|a| a.outcome().map(|o| o.duration_ms)).sum::<u64>();
    let repairs = step.repairs.iter().filter_map(|r| r.outcome().map(|o| o.duration_ms)).sum::<u64>();
    StepReport {
        name: step.name.clone(),
        command,
        state: step.word().to_owned(),
        how: how(step),
        attempts: u32::try_from(step.attempts.len()).unwrap_or(u32::MAX),
        duration_ms: attempts + repairs,
        failure: step.attempts.iter().find_map(|a| a.outcome()?.failure.as_ref()).map(failure_report),
        tried: tried(step),
    }
}

fn how(step: &Step) -> String {
    match &step.state {
        StepState::Blocked => "waits for the steps it needs".into(),
        StepState::Attempting => "running".into(),
        StepState::Failing => "failed; deciding what to try".into(),
        StepState::Waiting(on) => on.to_string(),
        StepState::Repairing => {
            step.repairs.last().map_or(String::new(), |repair| format!("trying {}", repair.strategy))
        }
        StepState::Done { outcome } => match outcome {
            StepOutcome::Succeeded { how } => how.as_str().into(),
            StepOutcome::Failed { reason, why } if why.is_empty() => reason.sentence().into(),
            StepOutcome::Failed { reason, why } => format!("{}: {why}", reason.sentence()),
            StepOutcome::Omitted { when } => format!("not wanted: {when}"),
            StepOutcome::Skipped { need } => format!("needs {need}"),
            StepOutcome::Canceled => "canceled".into(),
        },
    }
}

fn failure_report(failure: &Failure) -> FailureReport {
    let mut positions: Vec<Position> = failure.diagnostics.iter().filter_map(|d| d.position.clone()).collect();
    positions.dedup();
    FailureReport {
        kind: failure.kind,
        class: failure.class(),
        signal: failure.signal,
        summary: failure.summary.clone(),
        fingerprint: failure.fingerprint.clone(),
        positions,
        diagnostics: failure.diagnostics.iter().map(diagnostic_line).collect(),
        evidence: failure.evidence.clone(),
        mend: mend(failure),
    }
}

fn mend(failure: &Failure) -> Option<String> {
    let raise = |key: &str| format!("raise `{key}` of the step in meta-builder.toml, if it really needs more");
    match failure.exit {
        ExitCause::Timeout { .. } => return Some(raise("timeout")),
        ExitCause::OutOfMemory => return Some(raise("memory")),
        ExitCause::TooManyProcesses => return Some(raise("pids")),
        ExitCause::TooMuchOutput { .. } => return Some(raise("output")),
        ExitCause::DiskQuota => return Some(raise("disk")),
        ExitCause::Code { .. }
        | ExitCause::Signal { .. }
        | ExitCause::NotFound
        | ExitCause::NotStarted
        | ExitCause::Canceled => {}
    }
    let missing = failure.hints.iter().find_map(|hint| match hint {
        Hint::MissingTool { tool } => Some(tool),
        Hint::MissingModule { .. }
        | Hint::StaleLock { .. }
        | Hint::MachineApplicable { .. }
        | Hint::RetryAfter { .. } => None,
    });
    missing.map(|tool| format!("install {tool}, or add its folder to PATH"))
}

fn diagnostic_line(d: &crate::failure::Diagnostic) -> String {
    let at = d.position.as_ref().map_or(String::new(), |p| format!("{p}: "));
    let rule = if d.rule.is_empty() { String::new() } else { format!(" [{}]", d.rule) };
    format!("{at}{}{rule}", d.message)
}

fn tried(step: &Step) -> Vec<Tried> {
    use crate::attempt::Purpose;
    let reruns = step.attempts.iter().filter(|a| a.purpose == Purpose::Rerun).filter_map(|attempt| {
        let outcome = attempt.outcome()?;
        let verdict = if outcome.success() { "passed" } else { "failed again" };
        Some(Tried {
            strategy: "rerun".into(),
            verdict: verdict.into(),
            detail: "the same inputs, nothing changed".into(),
            duration_ms: outcome.duration_ms,
            cost: "$0.00".into(),
        })
    });
    let repairs = step.repairs.iter().filter_map(|repair| {
        let outcome = repair.outcome()?;
        let why = outcome.verdict.why();
        let detail = if why.is_empty() { outcome.title.clone() } else { format!("{}: {why}", outcome.title) };
        Some(Tried {
            strategy: repair.strategy.to_string(),
            verdict: outcome.verdict.word().into(),
            detail,
            duration_ms: outcome.duration_ms,
            cost: outcome.cost_microusd.to_string(),
        })
    });
    reruns.chain(repairs).collect()
}
