//! ANSI colour sequences in log lines, as spans with classes. Everything else a terminal would obey is dropped.

use maud::{Markup, html};

/// What a terminal's state says about the next characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Style {
    bold: bool,
    dim: bool,
    /// 0 to 7, or 8 to 15 for the bright ones.
    colour: Option<u8>,
}

/// A line of a log. The style does not reach into the next line: each can be shown alone.
pub(super) fn line(text: &str) -> Markup {
    if !text.contains(|c: char| c.is_control() && c != '\t') {
        return html! { (text) };
    }
    let spans = spans(text);
    html! { @for (style, part) in &spans { (span(*style, part)) } }
}

fn span(style: Style, part: &str) -> Markup {
    if style == Style::default() {
        return html! { (part) };
    }
    let mut class = String::new();
    if let Some(colour) = style.colour {
        class.push_str(&format!("c{colour} "));
    }
    if style.bold {
        class.push_str("b ");
    }
    if style.dim {
        class.push_str("dim ");
    }
    html! { span class=(class.trim_end()) { (part) } }
}

fn spans(text: &str) -> Vec<(Style, String)> {
    let (mut style, mut spans, mut part) = (Style::default(), Vec::new(), String::new());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                if let Some(parameters) = sequence(&mut rest) {
                    if !part.is_empty() {
                        spans.push((style, std::mem::take(&mut part)));
                    }
                    style = apply(style, &parameters);
                }
            }
            // A carriage return in the middle draws over the line so far: the last drawing is what one would see.
            '\r' if !rest.as_str().is_empty() => {
                spans.clear();
                part.clear();
            }
            c if c.is_control() && c != '\t' => {}
            c => part.push(c),
        }
    }
    if !part.is_empty() {
        spans.push((style, part));
    }
    spans
}

/// Reads an escape sequence; gives the parameters of a colour sequence and nothing for any other.
fn sequence(rest: &mut std::str::Chars<'_>) -> Option<String> {
    match rest.next()? {
        '[' => {
            let mut parameters = String::new();
            for c in rest.by_ref() {
                match c {
                    '0'..='9' | ';' | ':' if parameters.len() < 64 => parameters.push(c),
                    '\u{40}'..='\u{7e}' => return (c == 'm').then_some(parameters),
                    _ => {}
                }
            }
            None
        }
        // An operating-system command (a title, a link) ends with BEL or ESC \.
        ']' => {
            while let Some(c) = rest.next() {
                if c == '\u{7}' || (c == '\u{1b}' && rest.next().is_some()) {
                    break;
                }
            }
            None
        }
        _ => None,
    }
}

fn apply(mut style: Style, parameters: &str) -> Style {
    let mut codes = parameters.split([';', ':']).map(|p| p.parse::<u8>().unwrap_or(0));
    while let Some(code) = codes.next() {
        match code {
            0 => style = Style::default(),
            1 => style.bold = true,
            2 => style.dim = true,
            22 => (style.bold, style.dim) = (false, false),
            30..=37 => style.colour = Some(code - 30),
            90..=97 => style.colour = Some(code - 90 + 8),
            39 => style.colour = None,
            38 | 48 => {
                let colour = palette(&mut codes);
                if code == 38 {
                    style.colour = colour;
                }
            }
            _ => {}
        }
    }
    style
}

/// The rest of an extended colour; only the sixteen named colours of it are shown.
fn palette(codes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    match codes.next()? {
        5 => codes.next().filter(|n| *n < 16),
        2 => {
            codes.nth(2);
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(line(text).into_string(), expected, "{text:?}");
    }

    #[test]
    fn colours_become_classes_and_nothing_else_gets_through() {
        check("plain & <b>", "plain &amp; &lt;b&gt;");
        check("\u{1b}[1;31merror\u{1b}[0m: x", "<span class=\"c1 b\">error</span>: x");
        check("\u{1b}[38;5;9mE\u{1b}[39m.", "<span class=\"c9\">E</span>.");
        check("\u{1b}[38;2;1;2;3mrgb\u{1b}[m", "rgb");
        check("\u{1b}[38;5;200m\u{1b}[1mx", "<span class=\"b\">x</span>");
        check("\u{1b}]8;;http://evil\u{7}link\u{1b}]8;;\u{7}", "link");
        check("\u{1b}[2J\u{1b}[Hcleared", "cleared");
        check("10 %\r50 %\r100 %", "100 %");
        check("done\r", "done");
        check("bell\u{7}\u{8}\u{0}", "bell");
        check("\u{1b}[", "");
        check("\u{1b}[31m<script>", "<span class=\"c1\">&lt;script&gt;</span>");
    }
}
