//! Queues: what waits and why, and the switches, each with what it will do.

use maud::{Markup, html};
use mb_api::fleet::{PriorityStatus, Queue, QueueStatus};
use mb_core::event::count;
use mb_core::queue::Flow;
use mb_core::time::Timestamp;

use super::layout::{Chrome, page};
use super::status::Status;
use super::text;

/// The queues with what the page says around them.
#[derive(Debug, Clone)]
pub struct QueuesPage<'a> {
    /// When this was true.
    pub at: Timestamp,
    /// By class.
    pub queues: &'a [Queue],
    /// By priority.
    pub priorities: &'a [PriorityStatus],
    /// Whether there are dead letters.
    pub has_dead: bool,
}

/// The queues page.
pub fn queues(chrome: &Chrome<'_>, data: &QueuesPage<'_>) -> Markup {
    let state = html! {
        div.title {
            h1 { "Queues" }
            span.quiet { "as of " (text::clock(data.at)) " " span data-zone { "UTC" } }
            a.all href="/dead-letters" { @if data.has_dead { "Dead letters" } @else { "No dead letters" } }
        }
        div.cards { @for queue in data.queues { (card(queue)) } }
        section aria-labelledby="priorities" {
            div.title { h2 #priorities { "By priority, over all classes" } }
            div.meters { @for p in data.priorities {
                (text::meter(p.priority.as_str(), p.depth, p.capacity, &format!("{} of {} wait", p.depth, p.capacity)))
            } }
        }
        section aria-labelledby="stuck" {
            div.title { h2 #stuck { "Stuck tasks" } }
            p.quiet { "A task whose worker vanished goes back on the queue by itself, within two lease times." }
            div.actions { (confirm("Clear stuck", "/queues/clear-stuck",
                "Takes back, now, every task whose lease has run out. Tasks of workers that are alive are not touched.", "mb queue clear-stuck", false)) }
        }
    };
    page(chrome, &state, &html! {})
}

fn card(queue: &Queue) -> Markup {
    let status = queue.status();
    html! {
        section.card aria-label={ "Queue " (queue.class) } {
            header { h2 { (queue.class) } (badge(queue.state)) span.num.quiet { (oldest(queue)) } }
            div.gauges {
                @match queue.capacity {
                    Some(bound) => { (text::meter("waiting", status.depth, bound, &format!("{} of {bound}", status.depth))) }
                    None => { p.quiet { (status.depth) " waiting; no bound" } }
                }
                @if queue.slots > 0 {
                    (text::meter("slots", queue.leased.min(queue.slots), queue.slots, &format!("{} of {} in use", queue.leased.min(queue.slots), queue.slots)))
                } @else { p.quiet { (queue.leased) " leased; no healthy worker serves this class" } }
            }
            dl.split {
                div { dt { "ready" } dd { (queue.ready) } }
                div { dt { "delayed" } dd { (queue.delayed) } }
                div { dt { "blocked" } dd { (queue.blocked) } }
                div { dt { "leased" } dd { (queue.leased) } }
            }
            (switches(queue, &status))
        }
    }
}

fn oldest(queue: &Queue) -> String {
    match queue.oldest_ready_age_ms {
        Some(ms) => format!("oldest waits {}", text::took(ms)),
        None => "nothing ready".to_owned(),
    }
}

fn badge(flow: Flow) -> Markup {
    match flow {
        Flow::Running => Status::Passed.badge("running"),
        Flow::Paused => Status::Skipped.badge("paused"),
        Flow::Draining => Status::Flaky.badge("draining"),
    }
}

fn switches(queue: &Queue, status: &QueueStatus) -> Markup {
    let class = queue.class.as_str();
    let act = |verb: &str| format!("/queues/{class}/{verb}");
    let held = count(u32::try_from(queue.leased).unwrap_or(u32::MAX), "leased task");
    let pause = format!(
        "Gives no task of class {class} out any more, on any node. {held} go on to their end, new ones are taken in and wait ({} do now).",
        status.depth
    );
    let drain = format!(
        "Takes no new task of class {class} in: they are refused with 503. What waits ({}) and what is leased ({}) is done, and runs that have begun still go on.",
        status.depth, queue.leased
    );
    let resume = format!("Gives {} out again.", count(u32::try_from(queue.ready).unwrap_or(u32::MAX), "ready task"));
    html! {
        div.actions {
            @if queue.state == Flow::Running {
                (confirm("Pause", &act("pause"), &pause, &format!("mb queue pause {class}"), true))
                (confirm("Drain", &act("drain"), &drain, &format!("mb queue drain {class}"), true))
            } @else if queue.state == Flow::Paused {
                (confirm("Resume", &act("resume"), &resume, &format!("mb queue resume {class}"), false))
            } @else {
                (confirm("Restart", &act("restart"), "Takes new tasks in again.", &format!("mb queue restart {class}"), false))
            }
        }
    }
}

/// A button that says what it will do before it does.
pub(super) fn confirm(label: &str, action: &str, effect: &str, command: &str, is_hard: bool) -> Markup {
    html! {
        details.confirm {
            summary { (label) "…" }
            form method="post" action=(action) {
                p { (effect) }
                button.danger[is_hard].primary[!is_hard] type="submit" { (label) }
                (text::command(command))
            }
        }
    }
}
