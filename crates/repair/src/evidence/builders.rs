//! Tests and build tools of Go, the JVM, Ruby and native code: what they print in forms of their own.

use mb_core::failure::{FailureKind, Signal};

use super::reading::Reading;
use super::view::View;
use crate::pattern::pattern;

/// `--- FAIL: TestX (0.00s)` and the indented lines that say why.
pub(crate) fn go_tests(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("go test", Signal::ToolLine);
    for (i, text) in view.all().filter(|(_, text)| text.contains("--- FAIL: ")) {
        let Some(found) = pattern!(r"--- FAIL: (\S+) \(").captures(text) else { continue };
        let depth = text.len() - text.trim_start().len();
        let body: Vec<(usize, &str)> = view
            .from(i + 1, 12)
            .take_while(|(_, t)| {
                t.starts_with(&" ".repeat(depth + 4)) || t.starts_with("panic: ") || t.starts_with('\t')
            })
            .collect();
        if body.first().is_some_and(|(_, t)| t.trim_start().starts_with("--- ")) {
            continue; // a parent of the failed subtest
        }
        let place = body.iter().find_map(|(_, t)| pattern!(r"^\s+(\S+\.go):(\d+): (.*)$").captures(t));
        let end = body.last().map_or(i, |(e, _)| *e);
        let panic = body.iter().find(|(_, t)| t.starts_with("panic: "));
        match (place, panic) {
            (Some(at), None) => {
                reading.push(
                    FailureKind::TestAssert,
                    &found[1],
                    &at[3],
                    view.position(&at[1], &at[2], "0"),
                    Some((i, end)),
                );
            }
            (_, panic) => {
                let message = panic.map_or("failed", |(_, t)| *t);
                reading.push(FailureKind::TestError, &found[1], message, None, Some((i, end)));
            }
        }
    }
    reading.some()
}

/// Surefire's and JUnit's lines in Maven and Gradle logs.
pub(crate) fn jvm_tests(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("junit", Signal::ToolLine);
    for (i, text) in view.all() {
        let found = if text.contains("<<<") {
            pattern!(r"^(?:\[ERROR\]\s+)?(\w[\w.$\[\]]*\(?[\w.$]*\)?)\s.*<<< (FAILURE|ERROR)!").captures(text)
        } else if text.ends_with(" FAILED") {
            pattern!(r"^(\S+(?: > .+)) (FAILED)$").captures(text)
        } else {
            None
        };
        let Some(found) = found else { continue };
        if found[1].starts_with("Tests") {
            continue;
        }
        let message = view.text(i + 1).trim().to_owned();
        let asserted = &found[2] == "FAILURE" || message.contains("Assert") || message.contains("ComparisonFailure");
        let kind = if asserted { FailureKind::TestAssert } else { FailureKind::TestError };
        let end = view.from(i + 1, 6).take_while(|(_, t)| !t.is_empty()).last().map_or(i, |(e, _)| e);
        reading.push(kind, &found[1], &message, None, Some((i, end)));
    }
    reading.some()
}

/// Failed examples of RSpec read; each is looked up in the whole log.
const RSPEC_MAX: usize = 100;

/// RSpec's `rspec ./spec/a_spec.rb:3 # title` and minitest's numbered failures.
pub(crate) fn ruby_tests(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("rspec", Signal::ToolLine);
    for (i, text) in view.all().filter(|(_, text)| text.starts_with("rspec ")).take(RSPEC_MAX) {
        let Some(found) = pattern!(r"^rspec (\S+\.rb)(?::(\d+)|\[[^\]]*\]) # (.+)$").captures(text) else { continue };
        let line = found.get(2).map_or("0", |m| m.as_str());
        let head = view.all().find(|(_, t)| pattern!(r"^\s+\d+\) ").is_match(t) && t.ends_with(&found[3]));
        let shown = head.map_or((i, i), |(at, _)| {
            (
                at,
                view.from(at + 1, 12)
                    .take_while(|(_, t)| !t.trim_start().starts_with("# "))
                    .last()
                    .map_or(at, |(e, _)| e),
            )
        });
        let message = head.and_then(|(at, _)| {
            view.from(at + 1, 6).map(|(_, t)| t.trim()).find(|t| !t.is_empty() && !t.starts_with("Failure/Error"))
        });
        let position = view.position(&found[1], line, "0");
        reading.push(FailureKind::TestAssert, &found[3], message.unwrap_or("failed"), position, Some(shown));
    }
    reading.some()
}

/// Undefined references and missing libraries of the linkers.
pub(crate) fn linker(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("ld", Signal::ToolLine);
    for (i, text) in view.all() {
        if let Some(found) = text
            .contains("undefined reference")
            .then(|| {
                pattern!(r"(?:^|[\s/])([\w./-]+\.\w+):(?:(\d+)|\([^)]*\)): (undefined reference to [`'].+')")
                    .captures(text)
            })
            .flatten()
        {
            let line = found.get(2).map_or("0", |m| m.as_str());
            reading.push(FailureKind::Compile, "", &found[3], view.position(&found[1], line, "0"), Some((i, i)));
        } else if let Some(found) = pattern!(
            r"(?:ld(?:\.\w+)?|lld|linker): (?:error: )?((?:cannot find|undefined symbol|unable to find library) .+)$"
        )
        .captures(text)
        {
            reading.push(FailureKind::Compile, "", &found[1], None, Some((i, i)));
        }
    }
    reading.some()
}

/// `CMake Error at CMakeLists.txt:3 (find_package):` and the indented text below.
pub(crate) fn cmake(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("cmake", Signal::ToolLine);
    for (i, text) in view.all().filter(|(_, text)| text.starts_with("CMake Error")) {
        let at = pattern!(r"^CMake Error at (.+?):(\d+) \((\w+)\)").captures(text);
        let body = view.from(i + 1, 20).map(|(_, t)| t.trim()).filter(|t| !t.is_empty());
        let message = body.take(3).collect::<Vec<_>>().join(" ");
        let message = if message.is_empty() { text.to_owned() } else { message };
        let lost = ["FIND", "find_package", "Could NOT find", "Could not find a package"];
        let missing = lost.iter().any(|word| message.contains(word) || text.contains(word));
        let kind = if missing { FailureKind::Dependency } else { FailureKind::ConfigCi };
        let position = at.as_ref().and_then(|at| view.position(&at[1], &at[2], "0"));
        let end =
            view.from(i + 1, 8).take_while(|(_, t)| t.is_empty() || t.starts_with(' ')).last().map_or(i, |(e, _)| e);
        reading.push(
            kind,
            at.as_ref().map_or("", |at| at.get(3).map_or("", |m| m.as_str())),
            &message,
            position,
            Some((i, end)),
        );
    }
    reading.some()
}
