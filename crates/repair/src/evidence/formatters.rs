//! Formatters that only name the files they would change.

use mb_core::failure::{FailureKind, Hint, Signal};

use super::reading::Reading;
use super::view::View;
use crate::pattern::pattern;

/// black, ruff format, isort, prettier, clang-format and `gofmt -l`.
pub(crate) fn read(view: &View<'_>) -> Option<Reading> {
    let mut reading: Option<Reading> = None;
    let prettier = view.names("prettier");
    for (i, text) in view.all() {
        let Some((tool, file)) = would_change(view, i, text, prettier) else { continue };
        let reading = reading.get_or_insert_with(|| Reading::new(tool, Signal::ToolLine));
        reading.hints.insert(Hint::MachineApplicable { tool: tool.into() });
        let position = view.position(&file, "0", "0");
        reading.push(FailureKind::Format, "", "would be reformatted", position, Some((i, i)));
    }
    reading
}

fn would_change(view: &View<'_>, index: usize, text: &str, prettier: bool) -> Option<(&'static str, String)> {
    if let Some(file) = text.strip_prefix("would reformat ").or_else(|| text.strip_prefix("Would reformat: ")) {
        let ruff = text.starts_with('W') || view.command.contains("ruff");
        return Some((if ruff { "ruff format" } else { "black" }, file.to_owned()));
    }
    if text == "unformatted: File would be reformatted" {
        let at = pattern!(r"^\s*--> (.+?):\d+:\d+$").captures(view.text(index + 1))?;
        return Some(("ruff format", at[1].to_owned()));
    }
    if let Some(found) = text
        .ends_with("sorted and/or formatted.")
        .then(|| pattern!(r"^ERROR: (.+?) Imports are incorrectly sorted and/or formatted\.$").captures(text))
    {
        return Some(("isort", found?[1].to_owned()));
    }
    if let Some(file) = text.strip_prefix("[warn] ") {
        let named = pattern!(r"^\S+\.\w+$").is_match(file);
        return (named && prettier).then(|| ("prettier", file.to_owned()));
    }
    if text.ends_with("[-Wclang-format-violations]") {
        let at = pattern!(r"^(.+?):\d+:\d+: ").captures(text)?;
        return Some(("clang-format", at[1].to_owned()));
    }
    let listed = view.command.contains("gofmt") || view.command.contains("goimports");
    (listed && pattern!(r"^\S+\.go$").is_match(text)).then(|| ("gofmt", text.to_owned()))
}

impl View<'_> {
    /// Whether the command, or the tool's own last words, name it.
    fn names(&self, tool: &str) -> bool {
        let title = |text: &str| text.to_ascii_lowercase().contains(tool);
        self.command.contains(tool) || self.all().any(|(_, text)| text.starts_with("[warn]") && title(text))
    }
}
