//! Workflows: the list, and one with its steps, versions and a form to start it.

use maud::{Markup, html};
use mb_api::{NamedWorkflow, WorkflowVersion};
use mb_core::time::Timestamp;
use mb_core::workflow::{Input, InputType, StepSpec};

use super::layout::{Chrome, page};
use super::text;

/// A workflow with everything its page shows.
#[derive(Debug, Clone)]
pub struct WorkflowPage<'a> {
    /// When this was true.
    pub at: Timestamp,
    /// The version shown.
    pub workflow: &'a NamedWorkflow,
    /// Its versions, newest first.
    pub versions: &'a [WorkflowVersion],
}

/// The list of workflows.
pub fn workflows(chrome: &Chrome<'_>, at: Timestamp, list: &[WorkflowVersion], next: Option<&str>) -> Markup {
    let state = html! {
        div.title { h1 { "Workflows" } }
        @if list.is_empty() {
            div.empty {
                p { "No workflows yet. Write one into a file and publish it:" }
                p { (text::command("mb workflow apply FILE")) }
            }
        } @else {
            table.runs {
                thead { tr { th { "workflow" } th.num { "version" } th { "digest" } th { "published by" } th.num { "published" } } }
                tbody { @for version in list { (row(at, version)) } }
            }
        }
        @if let Some(next) = next { nav.pages aria-label="Pages" { a href=(next) rel="next" { "More workflows" } } }
    };
    page(chrome, &state, &html! {})
}

fn row(at: Timestamp, version: &WorkflowVersion) -> Markup {
    html! {
        tr.row {
            td.pr { a.go href={ "/workflows/" (version.name) } { (text::name(&version.name)) } }
            td.num { (version.version) }
            td { code.quiet { (text::clip(&version.digest, 12)) } }
            td { (text::name(&version.actor)) }
            td.num.ag { (text::ago(at, version.created_at)) }
        }
    }
}

/// The page of a workflow.
pub fn workflow(chrome: &Chrome<'_>, page_of: &WorkflowPage<'_>) -> Markup {
    let of = &page_of.workflow.version;
    let document = &page_of.workflow.document;
    let state = html! {
        section.head {
            p.crumbs { a href="/workflows" { "Workflows" } " / " code { (of.name) } }
            div.headline { h1 { (text::name(&of.name)) } }
            p.facts {
                span { "version " strong { (of.version) } @if of.current { ", runs now" } @else { ", does not run now" } }
                code.quiet title=(of.digest) { (text::clip(&of.digest, 12)) }
                span.quiet { "published " (text::ago(page_of.at, of.created_at)) " by " (text::name(&of.actor)) }
                a href=(crate::query::href("/runs", &[("workflow", &of.name)])) { "its runs" }
            }
        }
        section aria-labelledby="steps" {
            div.title { h2 #steps { "Steps" } }
            ol.plain.card { @for step in &document.steps { (step_line(step)) } }
        }
        (versions(page_of))
    };
    page(chrome, &state, &start_form(page_of.workflow))
}

fn step_line(step: &StepSpec) -> Markup {
    let needs: Vec<&str> = step.needs.iter().map(String::as_str).collect();
    html! {
        li {
            strong { (text::name(&step.name)) } " " span.kind { (step.action.kind()) } " "
            span.quiet { (text::name(&step.action.display())) }
            @if !needs.is_empty() { span.quiet { " after " (text::name(&needs.join(", "))) } }
            @if let Some(when) = &step.when { span.quiet { " when " code { (text::name(when)) } } }
        }
    }
}

fn versions(page_of: &WorkflowPage<'_>) -> Markup {
    html! {
        section aria-labelledby="versions" {
            div.title { h2 #versions { "Versions" } }
            table.runs {
                thead { tr { th.num { "version" } th { "digest" } th { "published by" } th.num { "published" } th { "runs" } } }
                tbody {
                    @for version in page_of.versions {
                        tr {
                            td.num { a href={ "/workflows/" (version.name) "?version=" (version.version) } { (version.version) } }
                            td { code.quiet { (text::clip(&version.digest, 12)) } }
                            td { (text::name(&version.actor)) }
                            td.num.ag { (text::ago(page_of.at, version.created_at)) }
                            td {
                                @if version.current { "now" } @else {
                                    form method="post" action={ "/workflows/" (version.name) "/rollback" } {
                                        input type="hidden" name="version" value=(version.version);
                                        button type="submit" { "Run this version from now on" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A form with one field for each input; what is left empty has its default.
fn start_form(workflow: &NamedWorkflow) -> Markup {
    let of = &workflow.version;
    html! {
        section aria-labelledby="start" {
            div.title { h2 #start { "Start a run" } }
            form.card method="post" action={ "/workflows/" (of.name) "/start" } {
                input type="hidden" name="version" value=(of.version);
                @for (name, input) in &workflow.document.inputs { p { (field(name, input)) } }
                p { button type="submit" { "Start version " (of.version) } }
                p { (text::command(&format!("mb workflow run {}", of.name))) }
            }
        }
    }
}

fn field(name: &str, input: &Input) -> Markup {
    let default = match &input.default {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let field = format!("input.{name}");
    html! {
        label {
            (text::name(name)) " " span.quiet { (input.of) @if input.required && input.default.is_none() { ", required" } }
            " "
            @match input.of {
                InputType::Boolean => select name=(field) {
                    option value="" selected[default.is_empty()] { "default" }
                    @for word in ["true", "false"] { option value=(word) selected[default == word] { (word) } }
                },
                InputType::Number => input type="number" step="any" name=(field) value=(default);,
                InputType::Json => textarea name=(field) rows="3" { (default) },
                InputType::String => input type="text" name=(field) value=(default);,
            }
        }
        @if !input.description.is_empty() { " " span.quiet { (text::sentence(&input.description)) } }
    }
}
