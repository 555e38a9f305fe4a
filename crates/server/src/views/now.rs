//! Now: is everything all right, and if not, what is there to do?

use maud::{Markup, html};
use mb_api::probe::Probe;
use mb_api::{Need, Now, Queue, Tone, Worker};

use super::layout::{Chrome, page};
use super::runs;
use super::status::Status;
use super::text;
use super::timeline::tone;

/// The home page.
pub fn now(chrome: &Chrome<'_>, now: &Now) -> Markup {
    let state = html! {
        section class={ "verdict t-" (tone(now.tone)) } { (icon(now.tone)) h1 { (now.verdict) } }
        @if !now.needs.is_empty() { (needs(&now.needs)) }
        section aria-labelledby="recent" {
            div.title { h2 #recent { "Recent runs" } (counts(now)) a.all href="/runs" { "All runs" } }
            @if now.recent.is_empty() { (runs::teach()) } @else { (runs::table(now.at, &now.recent)) }
        }
        div.cols {
            section aria-labelledby="queues" { div.title { h2 #queues { "Queues" } a.all href="/queues" { "All" } } (queues(&now.queues)) }
            section aria-labelledby="workers" { div.title { h2 #workers { "Workers" } a.all href="/workers" { "All" } } (workers(now, &now.workers)) }
            section aria-labelledby="probes" {
                div.title { h2 #probes { "Probes" } span.quiet { (now.readiness.status.replace('_', " ")) } }
                (probes(&now.readiness.probes))
            }
        }
    };
    page(chrome, &state, &html! {})
}

fn icon(tone: Tone) -> Markup {
    match tone {
        Tone::Good | Tone::Plain => Status::Passed.icon(),
        Tone::Warn => Status::Flaky.icon(),
        Tone::Bad => Status::Failed.icon(),
    }
}

fn needs(needs: &[Need]) -> Markup {
    html! {
        section aria-labelledby="needs" {
            div.title { h2 #needs { "Needs a person" } span.quiet { (needs.len()) } }
            ul.needs { @for need in needs {
                li {
                    (icon(need.tone))
                    div {
                        p.what { @match &need.href { Some(href) => { a href=(href) { (text::sentence(&need.what)) } } None => { (text::sentence(&need.what)) } } }
                        p.quiet { (text::sentence(&need.cause)) }
                    }
                    (text::command(&need.next))
                }
            } }
        }
    }
}

fn counts(now: &Now) -> Markup {
    html! {
        ul.counts { @for (state, n) in &now.counts { @if *n > 0 {
            li { a href={ "/runs?state=" (state) } { strong { (n) } " " (state) } }
        } } }
    }
}

fn queues(queues: &[Queue]) -> Markup {
    html! {
        div.scroll { table.small {
            thead { tr { th { "class" } th.num { "ready" } th.num { "delayed" } th.num { "leased" } th.num { "oldest" } } }
            tbody { @for queue in queues {
                tr {
                    td { (queue.class) @if queue.state != mb_core::queue::Flow::Running { " " span.s-flaky { (queue.state) } } }
                    td.num { (queue.ready) } td.num { (queue.delayed) } td.num { (queue.leased) }
                    td.num { @match queue.oldest_ready_age_ms { Some(ms) => { (text::took(ms)) } None => { "–" } } }
                }
            } }
        } }
        @if queues.iter().all(|q| q.ready + q.delayed + q.leased == 0) { p.quiet { "Nothing is queued." } }
    }
}

fn workers(now: &Now, workers: &[Worker]) -> Markup {
    if workers.is_empty() {
        return html! { p.quiet { "No worker has been seen. Start one:" } p { (text::command("mb worker")) } };
    }
    html! {
        div.scroll { table.small {
            thead { tr { th { "node" } th { "state" } th { "slots" } th.num { "seen" } } }
            tbody { @for worker in workers {
                tr {
                    td title=(worker.id) { (text::name(&worker.node)) " " span.quiet { (worker.pid) } }
                    td { @if worker.health != "healthy" { span.s-failed { (worker.health) } } @else { (worker.state) } }
                    td { (worker.slots.iter().map(|(class, n)| format!("{class} {n}")).collect::<Vec<_>>().join(", ")) }
                    td.num { (text::ago(now.at, worker.seen_at)) }
                }
            } }
        } }
    }
}

fn probes(probes: &[Probe]) -> Markup {
    html! {
        ul.probes { @for probe in probes {
            @let status = match probe.status.as_str() { "ok" => Status::Passed, "warn" => Status::Flaky, _ => Status::Failed };
            li {
                (status.icon())
                span { (probe.name) @if !probe.critical { span.quiet { " optional" } } }
                span.quiet { @match &probe.reason { Some(reason) => { (text::sentence(reason)) } None => { (probe.status) } } }
                span.num.quiet { (probe.latency_ms) " ms" }
            }
        } }
    }
}
