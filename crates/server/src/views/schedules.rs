//! Schedules: the list, and one with its next times, what it started last, and a switch.

use maud::{Markup, html};
use mb_api::{Fire, Moment, Schedule};
use mb_core::time::Timestamp;

use super::layout::{Chrome, page};
use super::status::Status;
use super::text;

/// A schedule with everything its page shows.
#[derive(Debug, Clone)]
pub struct SchedulePage<'a> {
    /// When this was true.
    pub at: Timestamp,
    /// The schedule.
    pub schedule: &'a Schedule,
    /// Its next times.
    pub next: &'a [Moment],
    /// What it started last, newest first.
    pub fires: &'a [Fire],
}

/// The list of schedules.
pub fn schedules(chrome: &Chrome<'_>, list: &[Schedule]) -> Markup {
    let state = html! {
        div.title { h1 { "Schedules" } }
        @if list.is_empty() {
            div.empty {
                p { "No schedules yet. Have a workflow run every night:" }
                p { (text::command("mb schedule add NAME WORKFLOW --cron \"0 3 * * *\" --zone Europe/Oslo")) }
            }
        } @else {
            table.runs {
                thead { tr { th { "status" } th { "schedule" } th { "workflow" } th { "when" } th { "next (UTC)" } } }
                tbody { @for schedule in list { (row(schedule)) } }
            }
        }
    };
    page(chrome, &state, &html! {})
}

fn row(schedule: &Schedule) -> Markup {
    html! {
        tr.row {
            td.st { (badge(schedule)) }
            td.pr { a.go href={ "/schedules/" (schedule.name) } { (text::name(&schedule.name)) } }
            td { (text::name(&schedule.workflow)) }
            td { (text::name(&schedule.timing)) }
            td { @if let Some(at) = schedule.next_at { (at) } @else { "–" } }
        }
    }
}

fn badge(schedule: &Schedule) -> Markup {
    if schedule.paused.is_some() { Status::Skipped.badge("paused") } else { Status::Passed.badge("active") }
}

/// The page of a schedule.
pub fn schedule(chrome: &Chrome<'_>, page_of: &SchedulePage<'_>) -> Markup {
    let of = page_of.schedule;
    let state = html! {
        section.head {
            p.crumbs { a href="/schedules" { "Schedules" } " / " code { (of.id) } (text::copy_only(&of.id.to_string())) }
            div.headline { h1 { (text::name(&of.name)) } }
            p.facts {
                (badge(of))
                span { "starts " a href={ "/workflows/" (of.workflow) } { (text::name(&of.workflow)) } @if let Some(version) = of.version { ", always version " (version) } }
                span { (text::name(&of.timing)) @if of.jitter_s > 0 { ", up to " (of.jitter_s) " s later" } }
                span.quiet { "changed " (text::ago(page_of.at, of.updated_at)) " by " (text::name(&of.actor)) }
            }
            p.facts {
                span.quiet { "missed times: " (of.catch_up) ", within " (of.catch_up_window_s) " s, at most " (of.catch_up_max) }
                span.quiet { "while a run is open: " (of.overlap) }
                span.quiet { "inputs: " code { (text::name(&of.inputs.to_string())) } }
            }
            @if let Some(why) = &of.paused { p.waiting { (Status::Skipped.icon()) "Paused by " (text::sentence(why)) } }
            @if let Some(at) = of.waiting_at { p.waiting { (Status::Pending.icon()) "The time " (at) " waits for the open run to end" } }
            div.actions { (switch(of)) (text::command(&format!("mb schedule show {}", of.name))) }
        }
        section aria-labelledby="next" {
            div.title { h2 #next { "Next times" } @if of.paused.is_some() { span.quiet { "if it is resumed" } } }
            (times(of, page_of.next))
        }
        section aria-labelledby="last" { div.title { h2 #last { "Last starts" } } (starts(page_of.at, page_of.fires)) }
    };
    page(chrome, &state, &html! {})
}

fn switch(schedule: &Schedule) -> Markup {
    let (verb, label) = if schedule.paused.is_some() { ("resume", "Resume") } else { ("pause", "Pause") };
    html! {
        form method="post" action={ "/schedules/" (schedule.name) "/" (verb) } { button type="submit" { (label) } }
    }
}

fn times(schedule: &Schedule, next: &[Moment]) -> Markup {
    let zone = schedule.zone.as_deref().unwrap_or("UTC");
    html! {
        @if next.is_empty() { p.quiet { "There is none any more." } } @else {
            table.runs {
                thead { tr { th { "in " (text::name(zone)) } th { "in UTC" } } }
                tbody { @for moment in next { tr { td { (moment.local) } td { (moment.at) } } } }
            }
        }
    }
}

/// What a schedule or trigger started, newest first.
pub(super) fn starts(at: Timestamp, fires: &[Fire]) -> Markup {
    html! {
        @if fires.is_empty() { p.quiet { "None yet." } } @else {
            table.runs {
                thead { tr { th { "status" } th { "for" } th { "run" } th { "why" } th.num { "decided" } } }
                tbody { @for fire in fires { (start(at, fire)) } }
            }
        }
    }
}

fn start(at: Timestamp, fire: &Fire) -> Markup {
    let status = match fire.state.as_str() {
        "started" => Status::Passed,
        "skipped" => Status::Skipped,
        "failed" => Status::Failed,
        _ => Status::Pending,
    };
    html! {
        tr {
            td.st { (status.badge(&fire.state)) }
            td { (text::name(&fire.occasion)) }
            td { @if let Some(run) = fire.run { a href={ "/runs/" (run) } { code { (run) } } } }
            td.wh { (text::name(fire.detail.as_deref().unwrap_or_default())) }
            td.num.ag { (text::ago(at, fire.decided_at)) }
        }
    }
}
