//! Steps beside commands: what waits for a person, and the data that steps and the run pass on.

use maud::{Markup, html};
use mb_api::run::{Run, Step};
use mb_api::waiting::Waiting;
use mb_core::time::Timestamp;
use serde_json::Value;

use super::status::Status;
use super::text;

/// Characters of a value that are shown; the API has the whole.
const SHOWN: usize = 4_000;

/// One card for each step that waits for a person, a time, a signal or another run.
pub(super) fn waiting(at: Timestamp, run: &Run) -> Markup {
    let waiting: Vec<(&Step, &Waiting)> =
        run.steps.iter().filter_map(|step| Some((step, step.waiting.as_ref()?))).collect();
    let shown = |on: &str| matches!(on, "approval" | "time" | "signal" | "child");
    if !waiting.iter().any(|(_, waiting)| shown(&waiting.on)) {
        return html! {};
    }
    html! {
        section aria-labelledby="waits" {
            div.title { h2 #waits { "Waiting" } }
            @for (step, waiting) in waiting.into_iter().filter(|(_, waiting)| shown(&waiting.on)) {
                article.card {
                    header {
                        (Status::Pending.icon())
                        strong { (text::name(&step.name)) }
                        span.kind { (step.kind) }
                        @if let Some(until) = waiting.until { span.quiet { "until " (until) @if until > at { ", in " (text::took(mb_core::time::millis(until.since(at)))) } } }
                    }
                    (reason(run, step, waiting))
                }
            }
        }
    }
}

fn reason(run: &Run, step: &Step, waiting: &Waiting) -> Markup {
    let id = run.summary.id;
    match waiting.on.as_str() {
        "approval" => approval(run, step, waiting),
        "signal" => {
            let name = waiting.signal.as_deref().unwrap_or_default();
            html! { p { "For signal " code { (text::name(name)) } } (text::command(&format!("mb run signal {id} {name}"))) }
        }
        "child" => html! {
            @if let Some(child) = waiting.run { p { "For " a href={ "/runs/" (child) } { code { (child) } } } }
        },
        _ => html! { p { "For its time." } },
    }
}

fn approval(run: &Run, step: &Step, waiting: &Waiting) -> Markup {
    let id = run.summary.id;
    let action = format!("/runs/{id}/steps/{}/decide", mb_api::client::segment(&step.name));
    html! {
        p.summary { (text::sentence(waiting.prompt.as_deref().unwrap_or_default())) }
        p.quiet { "Waiting for approval by "
            @if waiting.approvers.is_empty() { "anybody with the scope " code { "runs:approve" } }
            @else { @for (n, name) in waiting.approvers.iter().enumerate() { @if n > 0 { " or " } strong { (text::name(name)) } } }
        }
        form.decide method="post" action=(action) {
            label { "Reason " input type="text" name="reason" maxlength="1000"; }
            button type="submit" name="decision" value="approve" { "Approve" }
            button.danger type="submit" name="decision" value="reject" { "Reject" }
        }
        (text::command(&format!("mb run approve {id} {}", step.name)))
    }
}

/// Inputs, outputs of steps, and what the run gives.
pub(super) fn data(run: &Run) -> Markup {
    let has_inputs = run.inputs.as_object().is_some_and(|inputs| !inputs.is_empty());
    let outputs: Vec<(&Step, &Value)> =
        run.steps.iter().filter_map(|step| Some((step, step.output.as_ref()?))).collect();
    if !has_inputs && outputs.is_empty() && run.outputs.is_none() {
        return html! {};
    }
    html! {
        section aria-labelledby="data" {
            div.title { h2 #data { "Data" } }
            @if has_inputs { (value("inputs", &run.inputs, false)) }
            @for (step, output) in outputs { (value(&step.name, output, false)) }
            @if let Some(outputs) = &run.outputs { (value("outputs of the run", outputs, true)) }
        }
    }
}

fn value(name: &str, value: &Value, open: bool) -> Markup {
    let whole = serde_json::to_string_pretty(value).unwrap_or_default();
    let shown = text::clip(&whole, SHOWN);
    html! {
        details open[open] {
            summary { (text::name(name)) }
            pre { code { (shown) @if shown.len() < whole.len() { "…" } } }
        }
    }
}
