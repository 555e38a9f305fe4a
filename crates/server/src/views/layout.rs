//! The frame of every page: head, bar, main, footer.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::assets;

/// What surrounds a page.
#[derive(Debug, Clone)]
pub struct Chrome<'a> {
    /// The window's title.
    pub title: &'a str,
    /// Which entry of the bar is the present one (`/`, `/runs`).
    pub here: &'a str,
    /// How the page stays fresh.
    pub live: Live<'a>,
    /// The program's version.
    pub version: &'a str,
}

/// How a page stays fresh.
#[derive(Debug, Clone, Copy)]
pub enum Live<'a> {
    /// It does not change.
    Still,
    /// Its state is read again every few seconds: tasks that belong to no run have no stream of events.
    Often {
        /// The page's own address, with its query.
        href: &'a str,
    },
    /// Its state follows this stream: each message makes the page read `href` again.
    Stream {
        /// The stream's address.
        stream: &'a str,
        /// The page's own address, with its query.
        href: &'a str,
    },
}

const LOGO: &str = r#"<svg class="logo" viewBox="0 0 20 20" aria-hidden="true"><path d="M2.5 16.5v-9l5 4.2V7.5l5 4.2v-8" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round"/><circle cx="16.2" cy="15.2" r="2.6" fill="var(--repaired)"/></svg>"#;

/// A whole page. `state` is read again when something changes; `rest` (a log, say) is left alone.
pub(super) fn page(chrome: &Chrome<'_>, state: &Markup, rest: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(chrome.title))
            body {
                a.skip href="#main" { "Skip to content" }
                (bar(chrome))
                main #main {
                    (live(chrome.live, state))
                    (rest)
                }
                footer {
                    span { "Meta-Builder " (chrome.version) }
                    span.keys { kbd { "/" } " search " kbd { "g" } kbd { "n" } " now " kbd { "g" } kbd { "r" } " runs " kbd { "g" } kbd { "q" } " queues " kbd { "g" } kbd { "w" } " workers " kbd { "e" } " failures only " kbd { "t" } " theme " kbd { "z" } " zone" }
                }
            }
        }
    }
}

/// A page for somebody who is not logged in.
pub(super) fn bare(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body.bare { main #main { div.card { div.brand { (PreEscaped(LOGO)) "Meta-Builder" } (body) } } }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="same-origin";
            meta name="htmx-config" content=r#"{"includeIndicatorCSS":false}"#;
            title { (title) " · Meta-Builder" }
            link rel="icon" href=(assets::url("icon.svg")) type="image/svg+xml";
            link rel="stylesheet" href=(assets::url("app.css"));
            script src=(assets::url("app.js")) {}
            script src=(assets::url("htmx.min.js")) defer {}
            script src=(assets::url("hx-sse.min.js")) defer {}
        }
    }
}

fn bar(chrome: &Chrome<'_>) -> Markup {
    let here = |path: &str| (chrome.here == path).then_some("page");
    html! {
        header.bar {
            a.brand href="/" { (PreEscaped(LOGO)) span { "Meta-Builder" } }
            nav aria-label="Main" {
                a href="/" aria-current=[here("/")] data-go="n" { "Now" }
                a href="/runs" aria-current=[here("/runs")] data-go="r" { "Runs" }
                a href="/workflows" aria-current=[here("/workflows")] data-go="w" { "Workflows" }
                a href="/schedules" aria-current=[here("/schedules")] data-go="s" { "Schedules" }
                a href="/triggers" aria-current=[here("/triggers")] { "Triggers" }
                a href="/queues" aria-current=[here("/queues")] data-go="q" { "Queues" }
                a href="/workers" aria-current=[here("/workers")] data-go="w" { "Workers" }
            }
            form.search role="search" action="/runs" {
                input #q type="search" name="text" placeholder="run id, project, commit, error text" aria-label="Search runs" maxlength="200";
            }
            div.tools {
                @if matches!(chrome.live, Live::Stream { .. }) { span #pulse.pulse role="status" { "live" } }
                button type="button" data-do="zone" title="Time zone (z)" { "UTC" }
                button type="button" data-do="theme" title="Theme (t)" aria-label="Switch theme" { "◐" }
                form method="post" action="/logout" { button type="submit" { "Log out" } }
            }
        }
    }
}

fn live(live: Live<'_>, state: &Markup) -> Markup {
    match live {
        Live::Still => html! { div #state { (state) } },
        Live::Often { href } => html! {
            div #state data-refresh hx-get=(href) hx-trigger="refresh" hx-select="#state" hx-target="this" hx-swap="outerMorph" { (state) }
        },
        Live::Stream { stream, href } => html! {
            div #live hx-sse:connect=(stream) hx-swap="none" {}
            div #state hx-get=(href) hx-trigger="change from:#live throttle:1s" hx-select="#state" hx-target="this" hx-swap="outerMorph" { (state) }
        },
    }
}
