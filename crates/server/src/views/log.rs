//! An attempt's log: numbered lines that can be linked to, and appended to while it grows.

use maud::{Markup, html};
use mb_api::LogLine;

use super::ansi;
use super::text::clip;

/// Characters shown of one line.
const CHARS_MAX: usize = 4_000;

/// Lines of a log, as list items.
pub fn lines(lines: &[LogLine]) -> Markup {
    html! {
        @for line in lines {
            li id={ "L" (line.n) } { a href={ "#L" (line.n) } { (line.n) } code { (ansi::line(clip(&line.text, CHARS_MAX))) } }
        }
    }
}
