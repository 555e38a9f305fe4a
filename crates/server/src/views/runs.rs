//! Runs: the list, its filters, and what an empty list teaches.

use std::collections::BTreeMap;

use maud::{Markup, html};
use mb_api::{Page, RunSummary};
use mb_core::time::Timestamp;

use super::layout::{Chrome, page};
use super::status::{Status, run_badge};
use super::text;

/// The windows of time a list can be narrowed to, with their seconds.
pub const WINDOWS: [(&str, u64); 5] = [("15m", 900), ("1h", 3_600), ("6h", 21_600), ("24h", 86_400), ("7d", 604_800)];

/// Steps drawn as cells; beyond it the number is enough.
const CELLS_MAX: usize = 16;

/// The list with everything that narrows it.
#[derive(Debug, Clone)]
pub struct RunsPage<'a> {
    /// When this was true.
    pub at: Timestamp,
    /// The runs.
    pub runs: &'a Page<RunSummary>,
    /// Runs per state, all of them.
    pub counts: &'a BTreeMap<String, u64>,
    /// The state asked for; empty for all.
    pub state: &'a str,
    /// The text asked for.
    pub text: &'a str,
    /// The window asked for; empty for all time.
    pub window: &'a str,
    /// Address of the next page.
    pub next: Option<&'a str>,
}

/// The runs page.
pub fn runs(chrome: &Chrome<'_>, list: &RunsPage<'_>) -> Markup {
    let state = html! {
        div.title { h1 { "Runs" } }
        (filters(list))
        @if list.runs.items.is_empty() { (nothing(list)) } @else { (table(list.at, &list.runs.items)) }
        @if let Some(next) = list.next { nav.pages aria-label="Pages" { a href=(next) rel="next" { "Older runs" } } }
    };
    page(chrome, &state, &html! {})
}

/// What to do when there are no runs at all.
pub(super) fn teach() -> Markup {
    html! {
        div.empty {
            p { "No runs yet. In any project:" }
            p { (text::command("mb run")) }
            p { "or any command, run durably and repaired within a budget:" }
            p { (text::command("mb run -- cargo test")) }
            p { "or watch one being repaired:" }
            p { (text::command("mb up --demo")) }
        }
    }
}

fn nothing(list: &RunsPage<'_>) -> Markup {
    if list.state.is_empty() && list.text.is_empty() && list.window.is_empty() {
        return teach();
    }
    html! { div.empty { p { "No run matches." } p { a href="/runs" { "Show all runs" } } } }
}

fn filters(list: &RunsPage<'_>) -> Markup {
    let total: u64 = list.counts.values().sum();
    html! {
        form.filters action="/runs" {
            div.chips role="group" aria-label="State" {
                (chip(list, "", "all", total))
                @for state in ["running", "pending", "succeeded", "failed", "canceled"] {
                    (chip(list, state, state, list.counts.get(state).copied().unwrap_or(0)))
                }
            }
            @if !list.state.is_empty() { input type="hidden" name="state" value=(list.state); }
            input type="search" name="text" value=(list.text) placeholder="id, project, commit, text" aria-label="Text" maxlength="200";
            select name="window" aria-label="Window of time" {
                option value="" { "all time" }
                @for (word, _) in WINDOWS { option value=(word) selected[word == list.window] { "last " (word) } }
            }
            button type="submit" { "Filter" }
        }
        p.quiet.note { "A window counts runs by when they were asked for. Times in " span data-zone { "UTC" } "." }
    }
}

fn chip(list: &RunsPage<'_>, state: &str, label: &str, n: u64) -> Markup {
    let href = crate::query::href("/runs", &[("state", state), ("text", list.text), ("window", list.window)]);
    html! { a.chip href=(href) aria-current=[(list.state == state).then_some("true")] { (label) " " strong { (n) } } }
}

/// Runs as a table; on a narrow screen each row folds into a card.
pub(super) fn table(now: Timestamp, runs: &[RunSummary]) -> Markup {
    html! {
        table.runs {
            thead { tr {
                th { "status" } th { "project" } th { "what" } th { "steps" } th.num { "repairs" } th.num { "took" } th.num { "cost" } th.num { "asked for" }
            } }
            tbody { @for run in runs { (row(now, run)) } }
        }
    }
}

fn row(now: Timestamp, run: &RunSummary) -> Markup {
    let id = run.id.to_string();
    html! {
        tr id=(id) class={ "row t-" (Status::of_run(run).word()) } {
            td.st { (run_badge(run)) }
            td.pr {
                a.go href={ "/runs/" (id) } title=(id) { (text::name(&run.project)) }
                span.quiet { " " (text::name(&run.workflow)) }
                @if let Some(commit) = &run.commit { " " code.quiet { (text::clip(commit, 8)) } }
            }
            td.wh {
                @if let Some(kind) = run.failure_kind { span.kind { (kind) } " " }
                @if let Some(summary) = &run.summary { (text::name(summary)) }
                @else if run.changes > 0 { (mb_core::event::count(run.changes, "change")) " kept, verified" }
                @else if Status::of_run(run) == Status::Flaky { "passed only on a re-run" }
            }
            td.cells { (cells(run)) }
            td.num.rp { (run.tally.repairs) }
            td.num.tk { (text::took(run.duration_ms)) }
            td.num.ct { (text::money(run.cost_microusd)) }
            td.num.ag { (text::ago(now, run.created_at)) }
        }
    }
}

/// One cell per step; tried again draws a dot below it.
fn cells(run: &RunSummary) -> Markup {
    let is = |word: &str| run.cells.iter().filter(|cell| cell.state == word).count();
    let all = run.cells.len();
    let label = format!("{} of {all} steps succeeded, {} failed", is("succeeded"), is("failed"));
    html! {
        svg.pips width=(all.min(CELLS_MAX) * 9) height="15" role="img" aria-label=(label) {
            title { (label) }
            @for (i, cell) in run.cells.iter().take(CELLS_MAX).enumerate() {
                rect class={ "p-" (cell.state) } x=(i * 9 + 1) y="1" width="6" height="9" rx="1.5" {}
                @if cell.attempts + cell.repairs > 1 { circle.again cx=(i * 9 + 4) cy="13" r="1.3" {} }
            }
        }
        @if all > CELLS_MAX { span.quiet { " " (is("succeeded")) "/" (all) } }
    }
}
