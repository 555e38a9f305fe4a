//! The timeline: every decision, as a sentence.

use maud::{Markup, html};
use mb_api::{Event, Tone};

use super::text;

/// The events, oldest first.
pub(super) fn timeline(events: &[Event]) -> Markup {
    html! {
        ol.timeline { @for event in events {
            li class={ "t-" (tone(event.tone)) } {
                (text::clock(event.at))
                span.what title=(event.event) { (text::sentence(&event.text)) }
            }
        } }
    }
}

pub(super) const fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Warn => "warn",
        Tone::Plain => "plain",
    }
}
