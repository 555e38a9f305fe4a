//! Why it failed: the kind, what decided it, what the tools said and where, and the log lines that show it.

use maud::{Markup, html};
use mb_api::failure::{Diagnostic, Failure};
use mb_api::run::{Run, Step};

use super::status::Status;
use super::text;

/// Diagnostics shown at once; the rest is one click away.
const SHOWN: usize = 5;

/// One card per step that failed, ended or not.
pub(super) fn why(run: &Run) -> Markup {
    let failing: Vec<(&Step, &Failure, &str)> = run.steps.iter().filter_map(first_failure).collect();
    if failing.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="why" {
            div.title { h2 #why { "Why it failed" } }
            @for (step, failure, work) in failing { (card(run, step, failure, work)) }
        }
    }
}

/// What failed first in a step, with the name of that attempt's log: what a repair then mended.
fn first_failure(step: &Step) -> Option<(&Step, &Failure, &str)> {
    let first = step.attempts.iter().find_map(|a| Some((a.failure.as_ref()?, a.work.as_str())))?;
    Some((step, first.0, first.1))
}

fn card(run: &Run, step: &Step, failure: &Failure, work: &str) -> Markup {
    let log = crate::query::href(&format!("/runs/{}", run.summary.id), &[("work", work)]);
    html! {
        article.card {
            header {
                (Status::of_step(step).icon())
                strong { (text::name(&step.name)) }
                span.kind { (failure.kind) }
                span.quiet { (failure.exit) ", decided by " (failure.signal.as_str().replace('_', " ")) }
                @if let Some(tests) = failure.tests { span.quiet { (tests.failed) " of " (tests.passed + tests.failed) " tests failed" } }
            }
            p.summary { (text::sentence(&failure.summary)) }
            @if !failure.diagnostics.is_empty() { (diagnostics(&failure.diagnostics)) }
            @if !failure.evidence.is_empty() {
                ol.log.evidence { @for line in &failure.evidence {
                    li { a href={ (log) "#L" (line.line) } { (line.line) } code { (super::ansi::line(text::clip(&line.text, 400))) } }
                } }
            }
            footer.quiet { a href={ (log) "#log" } { "log of " (work) } " · fingerprint " code { (failure.fingerprint) } }
        }
    }
}

fn diagnostics(all: &[Diagnostic]) -> Markup {
    let (first, rest) = all.split_at(all.len().min(SHOWN));
    html! {
        ul.diagnostics { @for one in first { (diagnostic(one)) } }
        @if !rest.is_empty() {
            details { summary { (rest.len()) " more" } ul.diagnostics { @for one in rest { (diagnostic(one)) } } }
        }
    }
}

fn diagnostic(one: &Diagnostic) -> Markup {
    html! {
        li {
            @if let Some(file) = &one.file { code.where { (text::name(file)) @if let Some(line) = one.line { ":" (line) @if let Some(column) = one.column { ":" (column) } } } }
            span { (text::sentence(&one.message)) }
            @if !one.rule.is_empty() { code.quiet { (text::name(&one.rule)) } }
        }
    }
}
