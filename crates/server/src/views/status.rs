//! The eight statuses: each a colour, a symbol and a word, so that none of them alone has to carry the meaning.

use maud::{Markup, PreEscaped, html};
use mb_api::run::{RunSummary, Step};
use mb_core::run::{RunOutcome, Success};

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not begun.
    Pending,
    /// At work.
    Running,
    /// Ended well, at once.
    Passed,
    /// Ended well with a repair.
    Repaired,
    /// Ended well only on a re-run.
    Flaky,
    /// Ended badly.
    Failed,
    /// Not run, because of another.
    Skipped,
    /// Stopped by somebody.
    Canceled,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 8] = [
        Status::Pending,
        Status::Running,
        Status::Passed,
        Status::Repaired,
        Status::Flaky,
        Status::Failed,
        Status::Skipped,
        Status::Canceled,
    ];

    /// Its word, also the name of its colour.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Repaired => "repaired",
            Self::Flaky => "flaky",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Canceled => "canceled",
        }
    }

    /// The status of a run.
    pub fn of_run(run: &RunSummary) -> Status {
        match run.outcome {
            Some(RunOutcome::Repaired) => Self::Repaired,
            Some(RunOutcome::Passed) if run.flaky => Self::Flaky,
            Some(RunOutcome::Passed) => Self::Passed,
            Some(RunOutcome::Failed | RunOutcome::BudgetExceeded) => Self::Failed,
            Some(RunOutcome::Canceled) => Self::Canceled,
            None if run.state == "pending" => Self::Pending,
            None => Self::Running,
        }
    }

    /// The status of a step.
    pub fn of_step(step: &Step) -> Status {
        match step.state.as_str() {
            "succeeded" => match step.how {
                Some(Success::Flaky) => Self::Flaky,
                Some(Success::Repaired | Success::Rechecked) => Self::Repaired,
                Some(Success::Clean | Success::Retried | Success::Kept) | None => Self::Passed,
            },
            "failed" => Self::Failed,
            "skipped" => Self::Skipped,
            "canceled" => Self::Canceled,
            // Nothing of it runs: it waits for a person, a time, a signal or another run.
            "running" if step.waiting.is_some() => Self::Pending,
            "running" => Self::Running,
            _ => Self::Pending,
        }
    }

    const fn shape(self) -> &'static str {
        match self {
            Self::Pending => {
                r#"<circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray="2.2 2.2"/>"#
            }
            Self::Running => {
                r#"<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-opacity=".3" stroke-width="2"/><path class="spin" d="M8 2a6 6 0 0 1 6 6" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"/>"#
            }
            Self::Passed => {
                r#"<circle cx="8" cy="8" r="7" fill="currentColor"/><path d="m4.8 8.2 2.2 2.2 4.2-4.6" fill="none" stroke="var(--on)" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"/>"#
            }
            Self::Repaired => {
                r#"<circle cx="8" cy="8" r="7" fill="currentColor"/><path d="M8 4.6v6.8M4.6 8h6.8" stroke="var(--on)" stroke-width="1.8" stroke-linecap="round"/>"#
            }
            Self::Flaky => {
                r#"<path d="M8 1.3 15.2 14H.8Z" fill="currentColor" stroke="currentColor" stroke-width="1" stroke-linejoin="round"/><path d="M8 6v3.6M8 11.8v.1" stroke="var(--on)" stroke-width="1.7" stroke-linecap="round"/>"#
            }
            Self::Failed => {
                r#"<rect x="1" y="1" width="14" height="14" rx="3.5" fill="currentColor"/><path d="m5.3 5.3 5.4 5.4m0-5.4-5.4 5.4" stroke="var(--on)" stroke-width="1.8" stroke-linecap="round"/>"#
            }
            Self::Skipped => {
                r#"<circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="M5.2 8h5.6" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"/>"#
            }
            Self::Canceled => {
                r#"<circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.5"/><rect x="5.6" y="5.6" width="4.8" height="4.8" rx="1" fill="currentColor"/>"#
            }
        }
    }

    /// The symbol alone; decoration beside its word.
    pub fn icon(self) -> Markup {
        html! { svg class={ "i s-" (self.word()) } viewBox="0 0 16 16" aria-hidden="true" { (PreEscaped(self.shape())) } }
    }

    /// Symbol and word.
    pub fn badge(self, word: &str) -> Markup {
        html! { span class={ "badge s-" (self.word()) } { (self.icon()) (word) } }
    }
}

/// A run's badge: its status, in the most exact word.
pub(super) fn run_badge(run: &RunSummary) -> Markup {
    let status = Status::of_run(run);
    let word = match run.outcome {
        Some(RunOutcome::BudgetExceeded) => "over budget",
        _ => status.word(),
    };
    status.badge(word)
}
