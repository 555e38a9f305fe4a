//! Triggers: the list, and one with what it started last.

use maud::{Markup, html};
use mb_api::{Fire, Trigger};
use mb_core::time::Timestamp;

use super::layout::{Chrome, page};
use super::schedules::starts;
use super::status::Status;
use super::text;

/// The list of triggers.
pub fn triggers(chrome: &Chrome<'_>, list: &[Trigger]) -> Markup {
    let state = html! {
        div.title { h1 { "Triggers" } }
        @if list.is_empty() {
            div.empty {
                p { "No triggers yet. Have a workflow run when an event is sent, or when a run has ended:" }
                p { (text::command("mb trigger add NAME WORKFLOW --on-event EVENT")) }
                p { (text::command("mb trigger add NAME WORKFLOW --on-run WORKFLOW --outcome failed")) }
            }
        } @else {
            table.runs {
                thead { tr { th { "status" } th { "trigger" } th { "starts" } th { "on" } } }
                tbody { @for trigger in list {
                    tr.row {
                        td.st { (badge(trigger)) }
                        td.pr { a.go href={ "/triggers/" (trigger.name) } { (text::name(&trigger.name)) } }
                        td { (text::name(&trigger.workflow)) }
                        td { (text::name(&trigger.when)) }
                    }
                } }
            }
        }
    };
    page(chrome, &state, &html! {})
}

fn badge(trigger: &Trigger) -> Markup {
    if trigger.paused.is_some() { Status::Skipped.badge("paused") } else { Status::Passed.badge("active") }
}

/// The page of a trigger.
pub fn trigger(chrome: &Chrome<'_>, at: Timestamp, of: &Trigger, fires: &[Fire]) -> Markup {
    let (verb, label) = if of.paused.is_some() { ("resume", "Resume") } else { ("pause", "Pause") };
    let state = html! {
        section.head {
            p.crumbs { a href="/triggers" { "Triggers" } " / " code { (of.id) } (text::copy_only(&of.id.to_string())) }
            div.headline { h1 { (text::name(&of.name)) } }
            p.facts {
                (badge(of))
                span { "starts " a href={ "/workflows/" (of.workflow) } { (text::name(&of.workflow)) } " on " (text::name(&of.when)) }
                span.quiet { "made " (text::ago(at, of.created_at)) " by " (text::name(&of.actor)) }
            }
            @if !of.inputs.is_empty() {
                p.facts { @for (name, value) in &of.inputs { span.quiet { (text::name(name)) " = " code { (text::name(&value.to_string())) } } } }
            }
            @if let Some(why) = &of.paused { p.waiting { (Status::Skipped.icon()) "Paused by " (text::sentence(why)) } }
            div.actions {
                form method="post" action={ "/triggers/" (of.name) "/" (verb) } { button type="submit" { (label) } }
                (text::command(&format!("mb trigger show {}", of.name)))
            }
        }
        section aria-labelledby="last" { div.title { h2 #last { "Last starts" } } (starts(at, fires)) }
    };
    page(chrome, &state, &html! {})
}
