//! The verdict of the home page: one sentence, and the few things that need a person. Pure.

use std::collections::BTreeMap;

use mb_api::probe::Readiness;
use mb_api::{Need, Now, Queue, RunSummary, Tone, Worker};
use mb_core::event::count;
use mb_core::run::RunOutcome;
use mb_core::time::Timestamp;

/// Failed runs named one by one; the list of runs has the rest.
const FAILED_SHOWN: usize = 5;

/// What a verdict is made from.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) at: Timestamp,
    pub(crate) readiness: Readiness,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) recent: Vec<RunSummary>,
    /// Runs that failed within the last day, newest first.
    pub(crate) failed: Vec<RunSummary>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) workers: Vec<Worker>,
}

/// Judges.
pub(crate) fn judge(facts: Facts) -> Now {
    let mut needs: Vec<Need> = probes(&facts.readiness);
    needs.extend(stranded(&facts));
    needs.extend(facts.failed.iter().take(FAILED_SHOWN).map(failed));
    needs.sort_by_key(|need| need.tone != Tone::Bad);
    let tone = match facts.readiness.status.as_str() {
        "not_ready" => Tone::Bad,
        "degraded" => Tone::Warn,
        _ if needs.is_empty() => Tone::Good,
        _ => Tone::Warn,
    };
    Now {
        at: facts.at,
        verdict: sentence(&facts, needs.len()),
        tone,
        needs,
        readiness: facts.readiness,
        counts: facts.counts,
        recent: facts.recent,
        queues: facts.queues,
        workers: facts.workers,
    }
}

fn sentence(facts: &Facts, needs: usize) -> String {
    let state = match facts.readiness.status.as_str() {
        "ready" => "Ready",
        "degraded" => "Degraded",
        _ => "Not ready",
    };
    let busy = facts.counts.get("running").copied().unwrap_or(0);
    let total: u64 = facts.counts.values().sum();
    let rest = match (needs, busy, total) {
        (0, _, 0) => "nothing has run yet".to_owned(),
        (0, 0, _) => "all quiet, nothing needs you".to_owned(),
        (0, busy, _) => format!("{} at work, nothing needs you", count(u32::try_from(busy).unwrap_or(u32::MAX), "run")),
        (1, ..) => "one thing needs you".to_owned(),
        (n, ..) => format!("{n} things need you"),
    };
    format!("{state}: {rest}")
}

fn probes(readiness: &Readiness) -> Vec<Need> {
    let bad = readiness.probes.iter().filter(|probe| probe.status != "ok");
    bad.map(|probe| Need {
        tone: if probe.critical && probe.status == "fail" { Tone::Bad } else { Tone::Warn },
        what: format!("{} is not as it should be", probe.name),
        cause: probe.reason.clone().unwrap_or_else(|| probe.status.clone()),
        next: "mb doctor".into(),
        href: None,
    })
    .collect()
}

/// Work that waits while nobody who could do it was seen.
fn stranded(facts: &Facts) -> Option<Need> {
    let waiting: u64 = facts.queues.iter().map(|queue| queue.ready).sum();
    let nobody = facts.workers.iter().all(|worker| worker.health != "healthy");
    (waiting > 0 && nobody).then(|| Need {
        tone: Tone::Bad,
        what: format!("{} waiting and no worker to take it", count(u32::try_from(waiting).unwrap_or(u32::MAX), "task")),
        cause: "no worker is alive".into(),
        next: "mb worker".into(),
        href: Some("/workers".into()),
    })
}

fn failed(run: &RunSummary) -> Need {
    let cause = match (run.outcome, run.failure_kind) {
        (Some(RunOutcome::BudgetExceeded), _) => "stopped by its budget".to_owned(),
        (_, Some(kind)) => format!("{kind}; what was tried did not help"),
        (_, None) => "see its timeline".to_owned(),
    };
    Need {
        tone: Tone::Bad,
        what: format!("{}: {}", run.project, run.summary.as_deref().unwrap_or("failed")),
        cause,
        next: format!("mb run show {}", run.id),
        href: Some(format!("/runs/{}", run.id)),
    }
}

/// The verdict as text or Markdown: the same words.
pub(crate) fn text(now: &Now) -> String {
    let mut out = format!("# {}\n", now.verdict);
    for need in &now.needs {
        out.push_str(&format!("\n- {} ({}): `{}`", plain(&need.what), plain(&need.cause), need.next));
    }
    if !now.recent.is_empty() {
        out.push_str("\n\n## Recent runs\n\n");
        out.push_str(&runs_text(&now.recent));
    }
    out.push('\n');
    out
}

/// Runs as lines that are a list in Markdown and readable as text.
pub(crate) fn runs_text(runs: &[RunSummary]) -> String {
    let line = |run: &RunSummary| {
        let outcome = run.outcome.map_or_else(|| run.state.clone(), |outcome| outcome.to_string()).replace('_', " ");
        let took = mb_core::time::human(std::time::Duration::from_millis(run.duration_ms));
        let what = run.summary.as_deref().map(|s| format!(": {}", plain(s))).unwrap_or_default();
        format!("- {outcome} `{}` {} ({took}){what}\n", run.id, plain(&run.project))
    };
    runs.iter().map(line).collect()
}

/// Untrusted text on one line, without what Markdown or a terminal would obey, cut to a length one reads.
fn plain(text: &str) -> String {
    let keep = |c: char| if c.is_control() || "<>`|[]*_#\\".contains(c) { ' ' } else { c };
    text.chars().take(200).map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mb_api::probe::Probe;

    fn facts(status: &str) -> Facts {
        Facts {
            at: Timestamp::from_micros(0),
            readiness: Readiness { status: status.into(), probes: Vec::new(), age_ms: 0 },
            counts: BTreeMap::new(),
            recent: Vec::new(),
            failed: Vec::new(),
            queues: Vec::new(),
            workers: Vec::new(),
        }
    }

    #[test]
    fn the_sentence_says_what_there_is_to_do() {
        assert_eq!(judge(facts("ready")).verdict, "Ready: nothing has run yet");
        let mut quiet = facts("ready");
        quiet.counts.insert("succeeded".into(), 3);
        assert_eq!(judge(quiet.clone()).verdict, "Ready: all quiet, nothing needs you");
        quiet.counts.insert("running".into(), 2);
        assert_eq!(judge(quiet).verdict, "Ready: 2 runs at work, nothing needs you");
        let mut broken = facts("not_ready");
        broken.readiness.probes.push(Probe {
            name: "db".into(),
            critical: true,
            status: "fail".into(),
            reason: Some("refused".into()),
            latency_ms: 1,
        });
        let now = judge(broken);
        assert_eq!((now.verdict.as_str(), now.tone), ("Not ready: one thing needs you", Tone::Bad));
        assert_eq!(now.needs[0].cause, "refused");
    }

    #[test]
    fn waiting_work_without_workers_needs_a_person() {
        let mut facts = facts("ready");
        facts.queues.push(Queue {
            class: mb_core::task::QueueClass::Cpu,
            state: mb_core::queue::Flow::Running,
            ready: 2,
            delayed: 0,
            blocked: 0,
            leased: 0,
            capacity: Some(100),
            slots: 0,
            oldest_ready_age_ms: Some(5),
        });
        let now = judge(facts);
        assert_eq!(now.needs[0].what, "2 tasks waiting and no worker to take it");
        assert_eq!(plain("a\u{1b}[31m|<b>"), "a  31m  b ");
    }
}
