//! The waterfall: every attempt and repair as a bar on one axis of time, long waits folded.
//!
//! Lengths are SVG attributes in percent, so the page needs no inline style and no script to draw it.

use maud::{Markup, html};
use mb_api::repair::Repair;
use mb_api::run::{Attempt, Run, Step};
use mb_core::time::Timestamp;
use mb_core::workflow::ActionKind;

use super::status::Status;
use super::text;

/// A gap longer than this share of the busy time is folded.
const FOLD_SHARE: f64 = 0.1;
/// What a folded gap is drawn as, as a share of the busy time.
const FOLDED_SHARE: f64 = 0.03;
/// The least a bar is drawn as, in percent.
const LEAST: f64 = 0.6;

/// Busy spans of time on a shared axis, gaps folded.
struct Axis {
    /// Begin and end of each busy span, with where it begins on the axis, in microseconds.
    spans: Vec<(f64, f64, f64)>,
    /// Length of the axis.
    length: f64,
}

impl Axis {
    fn new(mut busy: Vec<(Timestamp, Timestamp)>) -> Axis {
        busy.sort();
        let mut merged: Vec<(f64, f64)> = Vec::new();
        for (from, to) in busy {
            let (from, to) = (from.as_micros() as f64, to.as_micros() as f64);
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        let total: f64 = merged.iter().map(|(from, to)| to - from).sum::<f64>().max(1.0);
        let (mut spans, mut at) = (Vec::new(), 0.0);
        for (i, (from, to)) in merged.iter().enumerate() {
            if i > 0 {
                let gap = from - merged[i - 1].1;
                at += if gap > total * FOLD_SHARE { total * FOLDED_SHARE } else { gap };
            }
            spans.push((*from, *to, at));
            at += to - from;
        }
        Axis { spans, length: at.max(1.0) }
    }

    /// Where a moment is, in percent of the axis.
    fn percent(&self, at: Timestamp) -> f64 {
        let at = at.as_micros() as f64;
        let span = self.spans.iter().rev().find(|(from, ..)| *from <= at);
        span.map_or(0.0, |(from, to, begin)| (begin + (at.min(*to) - from)) / self.length * 100.0)
    }

    /// Gaps that were folded: where they are drawn, and how long they were in milliseconds.
    fn folds(&self) -> Vec<(f64, u64)> {
        let total: f64 = self.spans.iter().map(|(from, to, _)| to - from).sum();
        let gap = |pair: &[(f64, f64, f64)]| (pair[1].0 - pair[0].1, pair[1].2);
        let long = self.spans.windows(2).map(gap).filter(|(gap, _)| *gap > total * FOLD_SHARE);
        long.map(|(gap, begin)| ((begin - total * FOLDED_SHARE / 2.0) / self.length * 100.0, (gap / 1_000.0) as u64))
            .collect()
    }
}

/// The waterfall of a run as it is at `now`. `work` is the log being shown.
pub(super) fn waterfall(now: Timestamp, run: &Run, work: Option<&str>) -> Markup {
    let axis = Axis::new(run.steps.iter().flat_map(|step| spans(now, step)).collect());
    html! {
        div.waterfall {
            @for step in &run.steps { (row(now, run, step, &axis, work)) }
        }
        @if !axis.folds().is_empty() {
            p.quiet.note { "Folded: " (axis.folds().iter().map(|(_, ms)| format!("{} idle", text::took(*ms))).collect::<Vec<_>>().join(", ")) }
        }
    }
}

fn spans(now: Timestamp, step: &Step) -> Vec<(Timestamp, Timestamp)> {
    let attempts = step.attempts.iter().filter(|a| a.state != "queued").map(|a| (a.since, a.finished_at));
    let repairs = step.repairs.iter().filter(|r| r.state != "queued").map(|r| (r.since, r.finished_at));
    attempts.chain(repairs).filter_map(|(since, end)| Some((since?, end.unwrap_or(now)))).collect()
}

fn row(now: Timestamp, run: &Run, step: &Step, axis: &Axis, work: Option<&str>) -> Markup {
    let status = Status::of_step(step);
    let total: u64 =
        spans(now, step).iter().map(|(from, to)| u64::try_from(to.since(*from).as_millis()).unwrap_or(0)).sum();
    html! {
        div.wrow {
            div.wname { (status.icon()) span title=(step.command) { (text::name(&step.name)) } @if step.kind != ActionKind::Shell { " " span.kind { (step.kind) } } }
            svg.wbars width="100%" height="22" role="group" aria-label={ (step.name) ", " (status.word()) } {
                line.axis x1="0" x2="100%" y1="21.5" y2="21.5" {}
                @for (at, _) in axis.folds() { line.fold x1={ (at) "%" } x2={ (at) "%" } y1="2" y2="20" {} }
                @for attempt in &step.attempts { (attempt_bar(now, run, attempt, axis, work)) }
                @for repair in &step.repairs { (repair_bar(now, run, repair, axis, work)) }
            }
            div.wtook.num { @if total > 0 { (text::took(total)) } }
            @if let Some(note) = &step.note { div.wnote.quiet { (text::sentence(note)) } }
        }
    }
}

struct Bar<'a> {
    work: &'a str,
    class: &'a str,
    title: String,
    from: Timestamp,
    to: Timestamp,
}

fn attempt_bar(now: Timestamp, run: &Run, attempt: &Attempt, axis: &Axis, work: Option<&str>) -> Markup {
    let Some(since) = attempt.since.filter(|_| attempt.state != "queued") else { return html! {} };
    let class = match attempt.success {
        Some(true) => "b-good",
        Some(false) => "b-bad",
        None => "b-run",
    };
    let exit = attempt.exit.as_deref().unwrap_or("running");
    let title = format!("{}: {}, {exit}", attempt.work, attempt.purpose);
    bar(
        run,
        axis,
        work,
        &Bar { work: &attempt.work, class, title, from: since, to: attempt.finished_at.unwrap_or(now) },
    )
}

fn repair_bar(now: Timestamp, run: &Run, repair: &Repair, axis: &Axis, work: Option<&str>) -> Markup {
    let Some(since) = repair.since.filter(|_| repair.state != "queued") else { return html! {} };
    let class = match repair.verdict.as_deref() {
        Some("accepted") => "b-kept",
        Some("improved") => "b-some",
        Some(_) => "b-none",
        None => "b-run",
    };
    let title = format!("{}: {}, {}", repair.work, repair.strategy, repair.verdict.as_deref().unwrap_or("running"));
    bar(run, axis, work, &Bar { work: &repair.work, class, title, from: since, to: repair.finished_at.unwrap_or(now) })
}

fn bar(run: &Run, axis: &Axis, work: Option<&str>, bar: &Bar<'_>) -> Markup {
    let x = axis.percent(bar.from);
    let width = (axis.percent(bar.to) - x).max(LEAST);
    let x = x.min(100.0 - width);
    let href = crate::query::href(&format!("/runs/{}", run.summary.id), &[("work", bar.work)]);
    let here = (work == Some(bar.work)).then_some("true");
    html! {
        a href={ (href) "#log" } aria-label=(bar.title) aria-current=[here] {
            title { (bar.title) }
            rect class={ "wb " (bar.class) } x={ (format!("{x:.2}")) "%" } y="4" width={ (format!("{width:.2}")) "%" } height="14" rx="3" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_micros(s * 1_000_000)
    }

    #[test]
    fn a_long_wait_is_folded_and_order_is_kept() {
        let axis = Axis::new(vec![(at(0), at(10)), (at(1_000), at(1_010))]);
        assert_eq!(axis.folds().len(), 1);
        assert_eq!(axis.folds()[0].1, 990_000);
        let points: Vec<f64> = [0, 5, 10, 500, 1_000, 1_010].iter().map(|&s| axis.percent(at(s))).collect();
        assert!(points.is_sorted(), "{points:?}");
        assert!((points[5] - 100.0).abs() < 0.01 && points[4] < 60.0, "{points:?}");
    }

    #[test]
    fn nothing_on_the_axis_is_no_division_by_zero() {
        let axis = Axis::new(Vec::new());
        assert!(axis.percent(at(5)).abs() < f64::EPSILON && axis.folds().is_empty());
        let point = Axis::new(vec![(at(5), at(5))]);
        assert!(point.percent(at(5)).is_finite());
    }
}
