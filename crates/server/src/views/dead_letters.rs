//! Dead letters: tasks that failed for good, why, and the way back.

use maud::{Markup, html};
use mb_api::Page;
use mb_api::task::Task;
use mb_core::time::Timestamp;

use super::layout::{Chrome, page};
use super::queues::confirm;
use super::status::Status;
use super::text;

/// A page of dead letters.
#[derive(Debug, Clone)]
pub struct DeadPage<'a> {
    /// When this was true.
    pub at: Timestamp,
    /// The tasks, latest end first.
    pub tasks: &'a Page<Task>,
    /// Address of the next page.
    pub next: Option<&'a str>,
    /// How many enqueueing all of them again would be.
    pub total: u64,
}

/// The dead letters page.
pub fn dead_letters(chrome: &Chrome<'_>, data: &DeadPage<'_>) -> Markup {
    let state = html! {
        p.crumbs { a href="/queues" { "Queues" } " / dead letters" }
        div.title { h1 { "Dead letters" } span.quiet { (data.total) } }
        @if data.tasks.items.is_empty() {
            div.empty {
                p { (Status::Passed.icon()) " No task has failed for good." }
                p.quiet { "One that fails with every try used, passes its deadline or costs three workers is kept here with all it takes to do it again." }
            }
        } @else {
            (table(data.at, &data.tasks.items))
            @if let Some(next) = data.next { nav.pages aria-label="Pages" { a href=(next) rel="next" { "Older" } } }
            div.actions { (confirm("Requeue all", "/dead-letters/requeue-all",
                &format!("Puts {} on the queue again, each with all its tries. Mend the cause first, or they come back.", mb_core::event::count(u32::try_from(data.total).unwrap_or(u32::MAX), "task")),
                "mb task requeue --all", true)) }
        }
    };
    page(chrome, &state, &html! {})
}

fn table(now: Timestamp, tasks: &[Task]) -> Markup {
    html! {
        table.runs {
            thead { tr { th { "how" } th { "task" } th { "why" } th.num { "failures" } th.num { "lost" } th.num { "ended" } th { span.sr { "actions" } } } }
            tbody { @for task in tasks { (row(now, task)) } }
        }
    }
}

fn row(now: Timestamp, task: &Task) -> Markup {
    let id = task.id.to_string();
    let why = task.error.as_deref().unwrap_or("no reason was given");
    html! {
        tr.row id=(id) {
            td.st { (Status::Failed.badge(&task.state)) }
            td.pr { strong { (text::name(&task.kind)) } " " span.quiet { (task.class) ", " (task.priority) } br; code.quiet { (id) } }
            td.wh.wrap { (text::sentence(why)) }
            td.num.rp { (task.failures) }
            td.num.rp { (task.losses) }
            td.num.ag { @if let Some(at) = task.finished_at { (text::ago(now, at)) } }
            td.act { form method="post" action={ "/dead-letters/" (id) "/requeue" } { button type="submit" title={ "mb task requeue " (id) } { "Requeue" } } }
        }
    }
}
