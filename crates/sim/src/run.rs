//! Runs of the simulation: small workflows, and what a worker may say of their tasks.
//!
//! Written as the documents that are stored, so that a field with a default that is added to a type is not named here.

use mb_core::attempt::AttemptOutcome;
use mb_core::failure::FailureKind;
use mb_core::id::{RunId, TenantId};
use mb_core::repair::RepairOutcome;
use mb_core::run::{Published, Run};
use mb_core::task::Work;
use mb_core::time::Timestamp;
use mb_core::workflow::{Limits, RepairPolicy, Workflow};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::model::Report;

/// Re-runs and repairs of one run.
const ATTEMPTS: u32 = 6;

/// A run of steps written as `name` or `name<need`, each with one fixer.
pub fn run(now: Timestamp, id: RunId, tenant: TenantId, steps: &[&str]) -> Run {
    let step = |text: &&str| {
        let (name, need) = text.split_once('<').map_or((*text, None), |(name, need)| (name, Some(need)));
        let fixer = json!({ "name": "fix", "command": "fix" });
        json!({
            "name": name, "stage": "lint", "command": "true", "needs": need.as_slice(),
            "limits": Limits::DEFAULT, "fixers": [fixer],
        })
    };
    let steps: Vec<Value> = steps.iter().map(step).collect();
    let budget = json!({ "time_ms": 30 * 60 * 1000, "cost_microusd": 0, "attempts": ATTEMPTS });
    let policy = RepairPolicy::default();
    let workflow: Workflow = read(json!({ "name": "build", "steps": steps, "budget": budget, "repair": policy }));
    let source = read(json!({ "root": "project", "snapshot": null, "commit": null }));
    Run::new(now, id, tenant, workflow.validate().expect("the workflow is one"), source)
}

/// An attempt that succeeded, or failed in that way.
pub fn attempted(failure: Option<FailureKind>) -> Report {
    let exit = json!({ "cause": "code", "code": i32::from(failure.is_some()) });
    let failure = failure.map(|kind| {
        json!({
            "kind": kind, "signal": "tool_line", "exit": exit, "summary": "broken", "tool": null, "diagnostics": [],
            "evidence": [], "hints": [], "tests": null, "fingerprint": kind,
        })
    });
    let outcome: AttemptOutcome = read(json!({
        "exit": exit, "duration_ms": 1, "cpu_ms": 1, "rss_bytes_max": 0, "log_lines": 0, "log_bytes": 0,
        "sandbox": "none", "failure": failure,
    }));
    Report::Attempted(outcome)
}

/// A repair that was kept, or was not.
pub fn repaired(step: &str, is_accepted: bool) -> Report {
    let verdict = if is_accepted {
        json!({ "verdict": "accepted" })
    } else {
        json!({ "verdict": "rejected", "step": step, "why": "it still fails" })
    };
    let outcome: RepairOutcome = read(json!({
        "title": "an edit", "verdict": verdict, "verified": [], "candidates": 1, "cost_microusd": 0, "duration_ms": 1,
        "patch": { "digest": "d", "files": ["a"], "added": 1, "removed": 1 },
    }));
    Report::Repaired(outcome)
}

/// What a worker reports that did the work well, or did not.
pub fn report(work: &Work, failure: Option<FailureKind>) -> Report {
    match work {
        Work::Attempt { .. } => attempted(failure),
        Work::Repair { step, .. } => repaired(step, failure.is_none()),
        Work::Publish => Report::Published(Published { branch: None, patch_file: None, problem: None }),
    }
}

fn read<T: DeserializeOwned>(document: Value) -> T {
    serde_json::from_value(document).expect("the document is one of its type")
}
