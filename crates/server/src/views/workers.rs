//! Workers: who is there, what they hold, and which need a look.

use maud::{Markup, html};
use mb_api::Worker;
use mb_api::fleet::WorkersHealth;
use mb_core::time::Timestamp;

use super::layout::{Chrome, page};
use super::queues::confirm;
use super::status::Status;
use super::text;

/// The workers with what the page says around them.
#[derive(Debug, Clone)]
pub struct WorkersPage<'a> {
    /// When this was true.
    pub at: Timestamp,
    /// Every worker heard of within a day.
    pub workers: &'a [Worker],
    /// How they are together.
    pub health: &'a WorkersHealth,
}

/// The workers page.
pub fn workers(chrome: &Chrome<'_>, data: &WorkersPage<'_>) -> Markup {
    let state = html! {
        div.title {
            h1 { "Workers" }
            (health(&data.health.status))
            span.quiet { "as of " (text::clock(data.at)) " " span data-zone { "UTC" } }
        }
        @if !data.health.problems.is_empty() {
            ul.needs { @for problem in &data.health.problems {
                li { (Status::Flaky.icon()) div { p.what { (text::sentence(problem)) } } }
            } }
        }
        @if data.workers.is_empty() { (teach()) } @else {
            section aria-label="Workers" { div.cards { @for worker in data.workers { (card(data.at, worker)) } } }
            (end_all(data.workers))
        }
    };
    page(chrome, &state, &html! {})
}

fn teach() -> Markup {
    html! {
        div.empty {
            p { "No worker has been heard of within a day. On any machine that reaches the database:" }
            p { (text::command("mb worker --class io --slots 20")) }
            p { "or server and workers in one process:" }
            p { (text::command("mb up")) }
        }
    }
}

fn health(word: &str) -> Markup {
    match word {
        "healthy" => Status::Passed.badge("healthy"),
        "degraded" => Status::Flaky.badge("degraded"),
        _ => Status::Failed.badge("down"),
    }
}

fn badge(worker: &Worker) -> Markup {
    match (worker.health.as_str(), worker.asked_to_end || worker.state != "active") {
        ("healthy", false) => Status::Passed.badge("active"),
        ("healthy", true) => Status::Running.badge("draining"),
        ("unhealthy", _) => Status::Flaky.badge("unhealthy"),
        _ => Status::Failed.badge("stale"),
    }
}

fn card(now: Timestamp, worker: &Worker) -> Markup {
    let id = worker.id.to_string();
    html! {
        section.card aria-label={ "Worker " (id) } {
            header { (badge(worker)) h2 title=(id) { (text::name(&worker.node)) } span.num.quiet { "heard of " (text::ago(now, worker.seen_at)) } }
            p.facts.quiet {
                span { (worker.roles.iter().cloned().collect::<Vec<_>>().join(", ")) }
                span { "process " (worker.pid) }
                @if worker.version_skew { span.s-flaky { "version " (worker.version) ", not this server's" } } @else { span { "version " (worker.version) } }
                span { "up since " (text::ago(now, worker.started_at)) }
            }
            div.gauges { @for (class, slots) in &worker.slots {
                @let held = worker.held.get(class).copied().unwrap_or(0);
                (text::meter(class, held.min(*slots), *slots, &format!("{held} of {slots}")))
            } }
            @if !worker.asked_to_end && worker.health != "stale" {
                div.actions { (confirm("Drain", &format!("/workers/{id}/drain"),
                    &format!("Claims nothing more, finishes the {} it holds or gives them back, and ends. A service manager does not start it again.", tasks(worker)),
                    &format!("mb worker drain {id}"), true)) }
            }
        }
    }
}

fn tasks(worker: &Worker) -> String {
    let held: u64 = worker.held.values().sum();
    mb_core::event::count(u32::try_from(held).unwrap_or(u32::MAX), "task")
}

fn end_all(workers: &[Worker]) -> Markup {
    let living = workers.iter().filter(|worker| worker.health != "stale" && !worker.asked_to_end).count();
    html! {
        @if living > 1 {
            section aria-labelledby="all" {
                div.title { h2 #all { "All workers" } }
                div.actions { (confirm("Drain all", "/workers/shutdown",
                    &format!("Asks {living} workers on all nodes to finish what they hold and end. Nothing is done until some are started again; servers go on answering."),
                    "mb worker drain --all", true)) }
            }
        }
    }
}
