//! The terminal: colour where it is wanted, progress where somebody watches.
//!
//! Standard output is data, standard error is talk. Colour follows `--color`, then `NO_COLOR`, `CLICOLOR_FORCE`
//! and `CLICOLOR`, then whether the stream is a terminal.

use std::io::IsTerminal as _;

use mb_api::Tone;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum ColorWhen {
    #[default]
    Auto,
    Always,
    Never,
}

/// What this terminal can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    color: bool,
    /// Whether a person watches standard error.
    pub(crate) live: bool,
}

impl Term {
    pub(crate) fn new(when: ColorWhen) -> Term {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "0");
        let tty = std::io::stderr().is_terminal();
        let color = match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            // By its definition any value counts, `0` too.
            ColorWhen::Auto if std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) => false,
            ColorWhen::Auto if set("CLICOLOR_FORCE") => true,
            ColorWhen::Auto => tty && std::env::var_os("CLICOLOR").is_none_or(|v| v != "0"),
        };
        Term { color, live: tty && !set("CI") }
    }

    /// `text` in the colour that a state's word stands for.
    pub(crate) fn state(self, word: &str, text: &str) -> String {
        let code = match word {
            "succeeded" | "passed" | "repaired" | "accepted" | "ready" | "ok" => "32",
            "failed" | "budget_exceeded" | "not_ready" | "fail" => "31",
            "running" | "pending" => "34",
            "canceled" | "skipped" | "flaky" | "degraded" | "warn" => "33",
            _ => return text.to_owned(),
        };
        self.sgr(code, text)
    }

    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        match tone {
            Tone::Good => self.sgr("32", text),
            Tone::Bad => self.sgr("31", text),
            Tone::Warn => self.sgr("33", text),
            Tone::Plain => text.to_owned(),
        }
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.sgr("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.sgr("1", text)
    }

    fn sgr(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The sign of a tone.
pub(crate) const fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✓",
        Tone::Bad => "✗",
        Tone::Warn => "!",
        Tone::Plain => "·",
    }
}

/// Text from outside without the characters that could move the cursor, forge a line or turn its direction around.
pub(crate) fn clean(text: &str) -> String {
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if (c.is_control() && c != '\t') || turns(c) { '\u{fffd}' } else { c }).collect()
}
