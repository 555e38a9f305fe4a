//! Pages for somebody who is not logged in, or who asked for something that is not there.

use maud::{Markup, html};
use mb_api::Problem;

use super::layout::bare;
use super::text;

/// How to log in.
pub fn login() -> Markup {
    bare(
        "Log in",
        &html! {
            h1 { "Log in" }
            p { "This console has no passwords. On the machine it runs on, ask for a link that works once:" }
            p { (text::command("mb open")) }
            p.quiet { "The link is also printed when " code { "mb up" } " starts. Scripts and agents use tokens: " code { "mb token add NAME --scope runs:read" } "." }
        },
    )
}

/// The page behind a login link. Looking at it does nothing, so nothing that merely fetches links can use it up.
pub fn welcome(token: &str) -> Markup {
    bare(
        "Welcome",
        &html! {
            h1 { "Welcome" }
            p { "This link logs in this browser for 12 hours. It works once." }
            form method="post" action="/welcome" {
                input type="hidden" name="t" value=(token);
                button.primary type="submit" autofocus { "Log in" }
            }
        },
    )
}

/// A problem, as a page.
pub fn message(problem: &Problem) -> Markup {
    bare(
        &problem.title,
        &html! {
            p.code { (problem.code) " · " (problem.status) }
            h1 { (problem.title) }
            p { (text::sentence(&problem.detail)) }
            p.quiet { (problem.hint) }
            @if let Some(id) = &problem.request_id { p.quiet { "Request " code { (id) } } }
            p { a href="/" { "Now" } " · " a href="/runs" { "Runs" } " · " a href="/login" { "Log in" } }
        },
    )
}
