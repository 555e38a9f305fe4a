//! The ladder: what to try next on a failed step. Pure, so every choice can be listed in a test.
//!
//! Cheapest and safest first: the same thing again (where that can tell anything), then the environment, the
//! project's own fixers, and edits that the diagnostics themselves describe. Each is tried once on the same
//! failure; a failure that changed may be asked again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::attempt::Purpose;
use crate::failure::{Diagnostic, Failure, FailureKind, Hint};
use crate::repair::Verdict;
use crate::run::{Step, StopReason};
use crate::strategy::Strategy;
use crate::workflow::{RepairPolicy, Shell};

/// Re-runs of a step whose failure is usually somebody else's (network, limits).
pub const TRANSIENT_RERUNS_MAX: usize = 3;
/// Improvements one step may be built from.
pub const IMPROVEMENTS_MAX: usize = 10;
/// Base and cap of the wait before a transient re-run.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What to do next about a failed step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Run it again, unchanged, after that wait.
    Rerun {
        /// How long.
        wait: Duration,
    },
    /// Try this.
    Try(Strategy),
    /// Nothing more.
    Stop(StopReason),
}

/// Decides what to do next about a failed step.
pub fn next(step: &Step, spec: &Shell, policy: &RepairPolicy) -> Next {
    let Some(failure) = step.failure() else { return Next::Stop(StopReason::NoStrategy) };
    if !policy.enabled {
        return Next::Stop(StopReason::RepairDisabled);
    }
    match failure.kind {
        FailureKind::ToolchainMissing => return Next::Stop(StopReason::ToolchainMissing),
        FailureKind::Security | FailureKind::Policy => return Next::Stop(StopReason::NeedsHuman),
        _ => {}
    }
    let reruns = reruns(step);
    let certain = failure.hints.iter().any(|h| matches!(h, Hint::MissingModule { .. } | Hint::StaleLock { .. }));
    if step.tentative().is_empty() && !certain && reruns < reruns_max(failure.kind) {
        return Next::Rerun { wait: wait(step, reruns) };
    }
    let mut fitting = strategies(failure, spec).into_iter().peekable();
    let any = fitting.peek().is_some();
    let untried = fitting.find(|strategy| !tried(step, strategy));
    match untried {
        Some(strategy) if step.tentative().len() < IMPROVEMENTS_MAX => Next::Try(strategy),
        _ if any || reruns > 0 => Next::Stop(StopReason::Exhausted),
        _ => Next::Stop(StopReason::NoStrategy),
    }
}

/// How often a failure of that kind is run again unchanged before anything else.
pub const fn reruns_max(kind: FailureKind) -> usize {
    match kind {
        FailureKind::NetworkInfra | FailureKind::RateLimit => TRANSIENT_RERUNS_MAX,
        FailureKind::TestAssert
        | FailureKind::TestError
        | FailureKind::Timeout
        | FailureKind::Flaky
        | FailureKind::Resource
        | FailureKind::Unknown => 1,
        FailureKind::Format
        | FailureKind::Lint
        | FailureKind::Typecheck
        | FailureKind::Compile
        | FailureKind::Dependency
        | FailureKind::ToolchainMissing
        | FailureKind::ConfigCi
        | FailureKind::GeneratedDrift
        | FailureKind::SchemaMigration
        | FailureKind::Security
        | FailureKind::Policy
        | FailureKind::Docs => 0,
    }
}

/// The strategies beside a re-run that fit a failure, in the order they are tried.
pub fn strategies(failure: &Failure, spec: &Shell) -> Vec<Strategy> {
    let mut list = Vec::new();
    for hint in &failure.hints {
        match hint {
            Hint::MissingModule { .. } => list.push(Strategy::MissingDependency),
            Hint::StaleLock { .. } => list.push(Strategy::LockFile),
            Hint::MissingTool { .. } | Hint::MachineApplicable { .. } | Hint::RetryAfter { .. } => {}
        }
    }
    let fits = |fixer: &&crate::workflow::Fixer| fixer.kinds.is_empty() || fixer.kinds.contains(&failure.kind);
    list.extend(spec.fixers.iter().filter(fits).map(|fixer| Strategy::Fixer { fixer: fixer.name.clone() }));
    if matches!(failure.kind, FailureKind::Compile | FailureKind::Lint | FailureKind::Dependency)
        && failure.diagnostics.iter().any(|d| matches!(d.tool.as_str(), "rustc" | "clippy"))
    {
        list.push(Strategy::RustcSuggestions);
    }
    if failure.diagnostics.iter().any(|d| d.position.is_some() && is_editable(d.kind)) {
        list.push(Strategy::DiagnosticEdit);
    }
    if failure.kind == FailureKind::Dependency {
        list.extend([Strategy::MissingDependency, Strategy::LockFile]);
    }
    let mut seen = std::collections::BTreeSet::new();
    list.retain(|strategy| seen.insert(strategy.clone()));
    list
}

/// Kinds of diagnostics that may describe the edit that mends them.
const fn is_editable(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::Lint
            | FailureKind::Compile
            | FailureKind::Typecheck
            | FailureKind::TestError
            | FailureKind::TestAssert
    )
}

/// Re-runs since the files last changed.
fn reruns(step: &Step) -> usize {
    step.attempts.iter().rev().take_while(|attempt| attempt.purpose == Purpose::Rerun).count()
}

/// Whether this strategy was already tried on this failure (same fingerprint, nothing improved since).
fn tried(step: &Step, strategy: &Strategy) -> bool {
    let last_change = step.repairs.iter().rposition(|repair| {
        repair.outcome().is_some_and(|o| matches!(o.verdict, Verdict::Improved { .. } | Verdict::Accepted))
    });
    let after = last_change.map_or(0, |at| at + 1);
    // An attempt made after the repairs (on files another step's repair changed) starts afresh.
    let since_attempt =
        step.repairs.iter().position(|repair| started_after_last_attempt(step, repair)).unwrap_or(step.repairs.len());
    step.repairs[after.max(since_attempt).min(step.repairs.len())..].iter().any(|repair| repair.strategy == *strategy)
}

fn started_after_last_attempt(step: &Step, repair: &crate::repair::Repair) -> bool {
    use crate::attempt::AttemptState;
    use crate::repair::RepairState;
    let Some(AttemptState::Finished { at: ended, .. }) = step.attempts.last().map(|a| &a.state) else { return true };
    match &repair.state {
        RepairState::Queued { .. } => true,
        RepairState::Running { since, .. } | RepairState::Finished { since, .. } => since >= ended,
    }
}

fn wait(step: &Step, reruns: usize) -> Duration {
    let Some(failure) = step.failure() else { return Duration::ZERO };
    if !matches!(failure.kind, FailureKind::NetworkInfra | FailureKind::RateLimit) {
        return Duration::ZERO;
    }
    let asked = failure.hints.iter().find_map(|hint| match hint {
        Hint::RetryAfter { wait_ms } => Some(Duration::from_millis(*wait_ms)),
        _ => None,
    });
    asked.unwrap_or_else(|| backoff(reruns)).min(BACKOFF.1)
}

/// `min(base · 2^n, cap)`.
fn backoff(n: usize) -> Duration {
    let factor = 1u32 << n.min(16);
    BACKOFF.0.saturating_mul(factor).min(BACKOFF.1)
}

/// Whether `after` is what is left of `before`: strictly fewer diagnostics, and none that was not there.
///
/// A failure without diagnostics cannot be compared, so it never counts as improved.
pub fn improves(before: &Failure, after: &Failure) -> bool {
    let key = |d: &Diagnostic| {
        (d.tool.clone(), d.rule.clone(), d.message.clone(), d.position.as_ref().map(|p| p.file.clone()))
    };
    let mut left: BTreeMap<_, usize> = BTreeMap::new();
    for diagnostic in &before.diagnostics {
        *left.entry(key(diagnostic)).or_default() += 1;
    }
    let all_known = after.diagnostics.iter().all(|d| match left.get_mut(&key(d)) {
        Some(n) if *n > 0 => {
            *n -= 1;
            true
        }
        _ => false,
    });
    !after.diagnostics.is_empty() && all_known && after.diagnostics.len() < before.diagnostics.len()
}
