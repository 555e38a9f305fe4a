//! A run: how it stands, what ran when, why it failed, what was tried, and its log.

use std::collections::BTreeMap;

use maud::{Markup, html};
use mb_api::repair::Repair;
use mb_api::run::{AppliedPatch, Run, Step};
use mb_api::{Event, LogPage};
use mb_core::time::Timestamp;

use super::layout::{Chrome, page};
use super::status::{Status, run_badge};
use super::waterfall::waterfall;
use super::why::why;
use super::{diff, log, steps, text, timeline};

/// A run with everything its page shows.
#[derive(Debug, Clone)]
pub struct RunPage<'a> {
    /// When this was true.
    pub at: Timestamp,
    /// The run.
    pub run: &'a Run,
    /// One sentence about it.
    pub headline: &'a str,
    /// Its events, oldest first.
    pub events: &'a [Event],
    /// The diffs of its repairs, by digest.
    pub diffs: &'a BTreeMap<String, String>,
    /// The attempt or repair whose log is shown.
    pub work: Option<&'a str>,
    /// That log.
    pub log: &'a LogPage,
    /// Where the log goes on by itself; none when it will not grow.
    pub tail: Option<&'a str>,
}

/// The page of a run.
pub fn run(chrome: &Chrome<'_>, page_of: &RunPage<'_>) -> Markup {
    let run = page_of.run;
    let state = html! {
        (heading(page_of))
        section aria-label="Steps" { div.title { h2 { "Steps" } (legend()) } (waterfall(page_of.at, run, page_of.work)) }
        (steps::waiting(page_of.at, run))
        (why(run))
        (steps::data(run))
        (repairs(page_of))
        (result(run))
        section aria-labelledby="timeline" {
            div.title { h2 #timeline { "Timeline" } span.quiet { "times in " span data-zone { "UTC" } } button type="button" data-do="bad" title="Failures only (e)" { "failures only" } }
            (timeline::timeline(page_of.events))
        }
    };
    page(chrome, &state, &log_section(page_of))
}

fn heading(page_of: &RunPage<'_>) -> Markup {
    let run = page_of.run;
    let id = run.summary.id.to_string();
    html! {
        section.head {
            p.crumbs { a href="/runs" { "Runs" } " / " code { (id) } (text::copy_only(&id)) }
            div.headline { (Status::of_run(&run.summary).icon()) h1 { (text::sentence(page_of.headline)) } }
            p.facts {
                (run_badge(&run.summary))
                span { strong { (text::name(&run.summary.project)) } " " (text::name(&run.summary.workflow)) }
                @if let Some(commit) = &run.summary.commit { code { (text::clip(commit, 12)) } }
                span.quiet { "asked for " (text::ago(page_of.at, run.summary.created_at)) }
            }
            @if let Some(waiting) = &run.waiting { p.waiting { (Status::Pending.icon()) "Waiting: " (text::sentence(waiting)) } }
            @if let Some(by) = &run.cancel { p.waiting { (Status::Canceled.icon()) "Cancel requested: " (text::sentence(by)) } }
            (budget(run))
            div.actions {
                (text::command(&format!("mb run show {id}")))
                @if run.summary.outcome.is_none() && run.cancel.is_none() { (cancel(run, &id)) }
            }
        }
    }
}

fn budget(run: &Run) -> Markup {
    let (used, bound) = (run.spend, run.budget);
    html! {
        div.meters {
            (text::meter("time", used.time_ms, bound.time_ms, &format!("{} of {}", text::took(used.time_ms), text::took(bound.time_ms))))
            (text::meter("cost", used.cost_microusd, bound.cost_microusd, &format!("{} of {}", text::money(used.cost_microusd), text::money(bound.cost_microusd))))
            (text::meter("attempts", u64::from(used.attempts), u64::from(bound.attempts), &format!("{} of {}", used.attempts, bound.attempts)))
        }
    }
}

fn cancel(run: &Run, id: &str) -> Markup {
    let busy = run.steps.iter().filter(|step| step.state == "running").count();
    html! {
        details.confirm {
            summary { "Cancel…" }
            form method="post" action={ "/runs/" (id) "/cancel" } {
                p { "Stops " (busy) " step" @if busy != 1 { "s" } " at work and starts nothing more. Accepted repairs are kept. This cannot be undone." }
                button.danger type="submit" { "Cancel this run" }
                (text::command(&format!("mb run cancel {id}")))
            }
        }
    }
}

fn legend() -> Markup {
    html! {
        ul.legend aria-hidden="true" {
            li { span.k.b-good {} "passed" } li { span.k.b-bad {} "failed" }
            li { span.k.b-kept {} "repair kept" } li { span.k.b-none {} "repair dropped" }
        }
    }
}

fn repairs(page_of: &RunPage<'_>) -> Markup {
    let all: Vec<(&Step, &Repair)> =
        page_of.run.steps.iter().flat_map(|step| step.repairs.iter().map(move |repair| (step, repair))).collect();
    if all.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="repairs" {
            div.title { h2 #repairs { "Repairs" } span.quiet { (all.len()) " tried" } }
            @for (step, repair) in all { (repair_card(page_of, step, repair)) }
        }
    }
}

fn repair_card(page_of: &RunPage<'_>, step: &Step, repair: &Repair) -> Markup {
    let (status, word) = verdict(repair);
    let log = crate::query::href(&format!("/runs/{}", page_of.run.summary.id), &[("work", &repair.work)]);
    html! {
        article.card {
            header {
                (status.badge(word))
                strong { (text::sentence(repair.title.as_deref().filter(|t| !t.is_empty()).unwrap_or(&repair.strategy))) }
                span.quiet { (text::name(&step.name)) ", " (text::name(&repair.strategy)) }
                span.num.quiet { @if let Some(ms) = repair.duration_ms { (text::took(ms)) ", " } (text::money(repair.cost_microusd)) }
            }
            @if let Some(why) = &repair.why { p { (text::sentence(why)) } }
            @if !repair.verified.is_empty() {
                p.checks { "Verified by " @for check in &repair.verified {
                    span.check { (if check.success { Status::Passed } else { Status::Failed }.icon()) (text::name(&check.step)) " " span.quiet { (check.exit) ", " (text::took(check.duration_ms)) } }
                } }
            }
            @if let Some(patch) = &repair.patch {
                @let kept = repair.verdict.as_deref() == Some("accepted");
                details open[kept] {
                    summary {
                        @for file in patch.files.iter().take(3) { code { (text::name(file)) } " " }
                        @if patch.files.len() > 3 { "and " (patch.files.len() - 3) " more " }
                        span.plus { "+" (patch.added) } " " span.minus { "−" (patch.removed) }
                    }
                    @match page_of.diffs.get(&patch.digest) {
                        Some(text) => { (diff::diff(text, &format!("/api/v1/runs/{}/diff", page_of.run.summary.id))) }
                        None => { p.quiet { "The text of this change is not stored here." } }
                    }
                }
            }
            footer.quiet { a href={ (log) "#log" } { "log of " (text::name(&repair.work)) } }
        }
    }
}

fn verdict(repair: &Repair) -> (Status, &str) {
    match repair.verdict.as_deref() {
        Some("accepted") => (Status::Repaired, "kept"),
        Some("improved") => (Status::Flaky, "helps, not enough"),
        Some("no_candidate") => (Status::Skipped, "nothing to propose"),
        Some("refused") => (Status::Canceled, "refused by the gate"),
        Some("rejected") => (Status::Failed, "rolled back"),
        Some(_) => (Status::Failed, "could not be made"),
        None if repair.state == "queued" => (Status::Pending, "queued"),
        None => (Status::Running, "being verified"),
    }
}

fn result(run: &Run) -> Markup {
    let Some(published) = &run.published else { return html! {} };
    html! {
        section aria-labelledby="result" {
            div.title { h2 #result { "Result" } }
            ul.plain { @for AppliedPatch { title, step, patch, .. } in &run.patches {
                li { (Status::Repaired.icon()) " " (text::sentence(title)) " " span.quiet { (text::name(step)) ", +" (patch.added) " −" (patch.removed) } }
            } }
            @if let Some(branch) = &published.branch { p { (text::command(&format!("git merge {branch}"))) } }
            @if let Some(file) = &published.patch_file { p { (text::command(&format!("git apply {file}"))) } }
            @if let Some(problem) = &published.problem { p.waiting { (Status::Flaky.icon()) "Not everything could be written: " (text::sentence(problem)) } }
        }
    }
}

fn log_section(page_of: &RunPage<'_>) -> Markup {
    let Some(work) = page_of.work else {
        return html! { section #log { div.title { h2 { "Log" } } p.quiet { "Nothing has run yet." } } };
    };
    let id = page_of.run.summary.id;
    html! {
        section #log aria-labelledby="loghead" {
            div.title {
                h2 #loghead { "Log" }
                (picker(page_of.run, work))
                (text::command(&format!("mb run logs {id} --task {work}")))
            }
            ol.log.full tabindex="0" aria-label={ "log of " (work) } hx-sse:connect=[page_of.tail] hx-sse:close=[page_of.tail.map(|_| "end")] hx-swap="beforeend" hx-target="this" {
                (log::lines(&page_of.log.lines))
            }
            @if page_of.log.lines.is_empty() && page_of.tail.is_none() { p.quiet { "This log is empty, or is on the machine that ran it." } }
            @if !page_of.log.complete {
                @let href = crate::query::href(&format!("/runs/{id}"), &[("work", work), ("from", &page_of.log.next.to_string())]);
                p.more { a href={ (href) "#log" } { "Next lines, from " (page_of.log.next) } }
            }
        }
    }
}

/// A form, so that it works without scripts.
fn picker(run: &Run, work: &str) -> Markup {
    html! {
        form.picker action={ "/runs/" (run.summary.id) "#log" } {
            select name="work" aria-label="Attempt or repair" data-submit {
                @for step in &run.steps {
                    @for attempt in &step.attempts { option value=(attempt.work) selected[attempt.work == work] { (text::clip(&attempt.work, 60)) } }
                    @for repair in &step.repairs { option value=(repair.work) selected[repair.work == work] { (text::clip(&repair.work, 60)) } }
                }
            }
            button type="submit" { "Show" }
        }
    }
}
