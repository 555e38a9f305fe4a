//! Writes a detection down as a commented `meta-builder.toml`.
//!
//! The text is a pure function of the detection, and it loads back to the same workflow; what is left at its
//! default is shown once, as a comment, and never written.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::step::CommandStep;
use mb_core::workflow::{CommandLine, Fixer, Network};

use crate::detect::Detection;

const HEAD: &str = "\
# What Meta-Builder runs here. Everything below was detected; change what is wrong.
# `mb config explain` shows every setting with its value and where it comes from.
version = 1
name = \"build\"

# Bounds of one run. Beyond any of them nothing more is started.
# [budget]
# time = \"30m\"
# cost_usd = 10.0
# attempts = 10

# What a repair may change, as globs of .gitignore. A list of your own replaces the built-in one.
# [repair]
# enabled = true
# allow = [\"src/\", \"tests/\"]
# deny = [\".env\", \"*.pem\", \".github/\"]

# Variables of the host that steps may see, by name; everything else is hidden from them.
# [secrets]
# pass = [\"NPM_TOKEN\"]

# Limits of every step that does not set its own.
# [defaults]
# timeout = \"30m\"
# memory = \"8GiB\"
# network = \"none\"
";

/// The commented `meta-builder.toml` of what was detected. The same detection gives the same text.
pub fn init_toml(detection: &Detection) -> String {
    let mut text = HEAD.to_owned();
    for note in &detection.notes {
        let _ = write!(text, "\n# note: {}", note.replace(|c: char| c.is_control(), " "));
    }
    if !detection.notes.is_empty() {
        text.push('\n');
    }
    for unit in &detection.units {
        let evidence = unit.evidence.join(", ");
        let _ = write!(text, "\n# {}: {}\n", unit.toolchain, evidence.replace(|c: char| c.is_control(), " "));
        for (n, step) in unit.stages.iter().enumerate() {
            if n > 0 {
                text.push('\n');
            }
            write_step(&mut text, step);
        }
    }
    if detection.units.is_empty() {
        text.push_str(
            "\n# Nothing was recognised. A step looks like this:\n# [steps.test]\n# run = \"./run-tests.sh\"\n",
        );
    }
    text
}

fn write_step(text: &mut String, step: &CommandStep) {
    let name = key(&step.name);
    let _ = writeln!(text, "[steps.{name}]\nstage = {}", quoted(step.stage.as_str()));
    let _ = writeln!(text, "run = {}", command(&step.command));
    if !step.dir.is_empty() {
        let _ = writeln!(text, "dir = {}", quoted(&step.dir));
    }
    if !step.needs.is_empty() {
        let _ = writeln!(text, "needs = {}", list(&step.needs));
    }
    if !step.env.is_empty() {
        let pairs: Vec<String> =
            step.env.iter().map(|(name, value)| format!("{} = {}", key(name), quoted(value))).collect();
        let _ = writeln!(text, "env = {{ {} }}", pairs.join(", "));
    }
    write_network(text, step.network);
    if !step.caches.is_empty() {
        let _ = writeln!(text, "caches = {}", list(&step.caches));
    }
    for fixer in &step.fixers {
        write_fixer(text, &name, fixer);
    }
}

fn write_fixer(text: &mut String, step: &str, fixer: &Fixer) {
    let _ = writeln!(text, "[[steps.{step}.fix]]");
    if fixer.name != fixer.command.display() {
        let _ = writeln!(text, "name = {}", quoted(&fixer.name));
    }
    let _ = writeln!(text, "run = {}", command(&fixer.command));
    if !fixer.kinds.is_empty() {
        let _ = writeln!(text, "kinds = {}", list(&fixer.kinds.iter().map(ToString::to_string).collect()));
    }
    write_network(text, fixer.network);
}

fn write_network(text: &mut String, network: Network) {
    if network != Network::None {
        let _ = writeln!(text, "network = {}", quoted(network.as_str()));
    }
}

fn command(command: &CommandLine) -> String {
    match command {
        CommandLine::Shell(line) => quoted(line),
        CommandLine::Argv(argv) => {
            format!("[{}]", argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", "))
        }
    }
}

fn list(items: &BTreeSet<String>) -> String {
    format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { name.to_owned() } else { quoted(name) }
}

/// A TOML string: literal where that reads better, with escapes where it must be.
fn quoted(text: &str) -> String {
    let plain = |c: char| !c.is_control();
    if text.contains(['"', '\\']) && !text.contains('\'') && text.chars().all(plain) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
