//! Which lines of the log show the failure.
//!
//! Lines of the diagnostics where a tool said where it failed; else the lines above the line that names the failed goal;
//! else the end of the failing command, which over hundreds of real logs beats every list of keywords.

use mb_core::failure::{EvidenceLine, Failure, Signal};

use super::reading::Reading;
use super::view::{View, cut};
use crate::pattern::pattern;

/// Lines of one finding.
const FINDING_LINES_MAX: usize = 12;
/// Lines taken from the end when nothing better is known.
const TAIL_LINES: usize = 35;
/// Lines above the one that names the failed goal.
const GOAL_LINES: usize = 12;
/// Bytes of one line of evidence.
const TEXT_BYTES_MAX: usize = 2_000;

/// The evidence, in the order of the log.
pub(crate) fn excerpt(view: &View<'_>, deciding: Option<&Reading>) -> Vec<EvidenceLine> {
    let mut chosen = std::collections::BTreeSet::new();
    if let Some(reading) = deciding {
        let goal = if reading.signal == Signal::GoalLine { GOAL_LINES } else { 0 };
        for (start, end) in reading.findings.iter().filter_map(|finding| finding.shown) {
            let range = start.saturating_sub(goal)..=end.min(start + FINDING_LINES_MAX - 1);
            chosen.extend(range.filter(|i| *i < view.lines.len()));
            if chosen.len() >= Failure::EVIDENCE_MAX {
                break;
            }
        }
    }
    if chosen.is_empty() || deciding.is_some_and(|reading| reading.signal == Signal::Text) {
        chosen.extend(tail(view));
    }
    let line = |i: usize| EvidenceLine {
        line: view.lines[i].number,
        text: cut(&view.lines[i].text, TEXT_BYTES_MAX).to_owned(),
    };
    chosen.into_iter().map(line).filter(|line| !line.text.trim().is_empty()).take(Failure::EVIDENCE_MAX).collect()
}

/// The last lines of the failing command, from the first that speaks of a failure if one does.
fn tail(view: &View<'_>) -> Vec<usize> {
    let end = end_of_failing_command(view);
    let starts = |i: usize| pattern!(r"^(?:\$ |\+ |> |##\[group\]|travis_(?:time|fold):start)").is_match(view.text(i));
    let spoken = (0..end).rev().filter(|i| !view.text(*i).trim().is_empty());
    let mut last: Vec<usize> = spoken.take(TAIL_LINES).take_while(|i| !starts(*i)).collect();
    last.reverse();
    let failure = pattern!(
        r"(?i)\b(?:error|fail(?:ed|ure|s)?|fatal|exception|panic(?:ked)?|cannot|can't|could not|couldn't|unable|abort(?:ed)?|not found|no such|undefined|invalid|missing|unexpected|refused|denied|timed out)\b|✖|✗|❌|\[-\]|^\s*\d+\) |\*\*\*|^(?:diff|---|\+\+\+) "
    );
    let first = last.iter().position(|i| failure.is_match(view.text(*i))).unwrap_or(0);
    last.split_off(first)
}

/// The index after the last line of the command that failed: where a driver says that it exited, else the end.
fn end_of_failing_command(view: &View<'_>) -> usize {
    let says_exit = |text: &str| {
        (text.contains("exited with") || text.contains("exit code") || text.contains("failed and exited"))
            && pattern!(
                r#"^(?:.*" (?:failed and )?exited with [1-9]\d*\.?$|##\[error\]Process completed with exit code|.*ERROR: Job failed: exit code)"#
            )
            .is_match(text)
    };
    view.all().find(|(_, text)| says_exit(text)).map_or(view.lines.len(), |(i, _)| i)
}
