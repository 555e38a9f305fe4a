//! Small words of every page: times, durations, money, untrusted names, commands to copy.

use std::time::Duration;

use maud::{Markup, html};
use mb_core::budget::MicroUsd;
use mb_core::time::{Timestamp, human};

/// Characters of an untrusted name that are shown; the rest is in its title.
const NAME_CHARS_MAX: usize = 120;
/// Characters of an untrusted sentence that are shown.
const SENTENCE_CHARS_MAX: usize = 400;
/// Characters kept in a title attribute.
const TITLE_CHARS_MAX: usize = 1_000;

/// An untrusted name, cut and kept in its own direction.
pub(super) fn name(text: &str) -> Markup {
    cut(text, NAME_CHARS_MAX)
}

/// An untrusted sentence, cut and kept in its own direction.
pub(super) fn sentence(text: &str) -> Markup {
    cut(text, SENTENCE_CHARS_MAX)
}

fn cut(text: &str, max: usize) -> Markup {
    match clip(text, max) {
        short if short.len() == text.len() => html! { bdi { (text) } },
        short => html! { bdi title=(clip(text, TITLE_CHARS_MAX)) { (short) "…" } },
    }
}

/// At most `max` characters of a text.
pub(super) fn clip(text: &str, max: usize) -> &str {
    text.char_indices().nth(max).map_or(text, |(end, _)| &text[..end])
}

/// A duration in milliseconds, for people.
pub(super) fn took(ms: u64) -> String {
    human(Duration::from_millis(ms))
}

/// Money, for people.
pub(super) fn money(microusd: u64) -> String {
    MicroUsd(microusd).to_string()
}

/// A moment as the time since it, with the exact time in UTC in its title; a script may show it in the local zone.
pub(super) fn ago(now: Timestamp, at: Timestamp) -> Markup {
    html! { time datetime=(at) title=(at) data-ago { (rough(now.since(at))) " ago" } }
}

/// A moment as the time of day in UTC.
pub(super) fn clock(at: Timestamp) -> Markup {
    let text = at.to_string();
    let of_day = text.get(11..19).unwrap_or(&text);
    html! { time datetime=(text) title=(text) data-clock { (of_day) } }
}

/// A duration in one unit: what "ago" needs.
fn rough(age: Duration) -> String {
    match age.as_secs() {
        0..60 => format!("{} s", age.as_secs()),
        60..3_600 => format!("{} min", age.as_secs() / 60),
        3_600..172_800 => format!("{} h", age.as_secs() / 3_600),
        secs => format!("{} d", secs / 86_400),
    }
}

/// A command to run instead of, or after, looking at the page.
pub(super) fn command(line: &str) -> Markup {
    html! {
        span.cmd { code { (line) } button.copy type="button" data-copy=(line) aria-label={ "copy " (line) } { "copy" } }
    }
}

/// A button that copies a text shown beside it.
pub(super) fn copy_only(value: &str) -> Markup {
    html! { button.copy type="button" data-copy=(value) aria-label={ "copy " (value) } { "copy" } }
}

/// How much of a bound is used: a bar with its numbers beside it.
pub(super) fn meter(label: &str, used: u64, bound: u64, text: &str) -> Markup {
    let percent = used.saturating_mul(100).checked_div(bound).unwrap_or(100).min(100);
    let level = match percent {
        0..80 => "calm",
        80..100 => "near",
        _ => "over",
    };
    html! {
        div.meter {
            span.label { (label) } span.num { (text) }
            svg class={ "gauge " (level) } width="100%" height="6" role="img" aria-label={ (label) ": " (percent) " % used" } {
                rect.track width="100%" height="6" rx="3" {}
                rect.fill width={ (percent) "%" } height="6" rx="3" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_respects_characters_and_keeps_the_rest_reachable() {
        assert_eq!(clip("äöü", 2), "äö");
        let long = "ü".repeat(10_000);
        let shown = name(&long).into_string();
        assert!(shown.chars().count() < 2_000, "a 10 kB name is cut");
        assert!(shown.contains('…'));
        assert_eq!(name("<b>").into_string(), "<bdi>&lt;b&gt;</bdi>");
    }
}
