//! Machine-readable standard output: the JSON of cargo, ruff, eslint, pyright, mypy, jest, go test and golangci-lint,
//! and SARIF. The shape of the document says which tool it was, not the command line, which may be a script.

use mb_core::failure::{FailureKind, Hint, Signal};
use serde_json::Value;

use super::python::error_kind;
use super::reading::Reading;
use super::reports;
use super::view::View;
use crate::pattern::pattern;

/// Standard output larger than this is not parsed as one document.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Lines of JSON read.
const JSON_LINES_MAX: usize = 100_000;

/// Reads standard output as lines of JSON, or as one document that may follow and precede other text.
pub(crate) fn read(view: &View<'_>) -> Option<Reading> {
    let stdout = view.observed.stdout;
    json_lines(view, stdout).or_else(|| {
        if stdout.len() > DOCUMENT_BYTES_MAX {
            return None;
        }
        let starts = |line: &str| line.starts_with('{') || line.starts_with('[');
        let mut at = 0;
        let start = stdout.split_inclusive('\n').find_map(|line| {
            let here = at;
            at += line.len();
            starts(line).then_some(here)
        })?;
        let document = serde_json::Deserializer::from_str(&stdout[start..]).into_iter::<Value>().next()?.ok()?;
        document_reading(view, &document)
    })
}

fn document_reading(view: &View<'_>, document: &Value) -> Option<Reading> {
    if document.get("runs").is_some() {
        return reports::sarif(view, document);
    }
    if let Some(list) = document.as_array() {
        let first = list.first()?;
        return if first.get("filePath").is_some() { eslint(view, list) } else { ruff(view, list) };
    }
    pyright(view, document).or_else(|| jest(view, document)).or_else(|| golangci(view, document))
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or("")
}

fn number(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_u64).unwrap_or(0).to_string()
}

fn json_lines(view: &View<'_>, stdout: &str) -> Option<Reading> {
    let mut cargo = Reading::new("rustc", Signal::MachineOutput);
    let mut mypy = Reading::new("mypy", Signal::MachineOutput);
    let mut go = Reading::new("go test", Signal::MachineOutput);
    for line in stdout.lines().filter(|line| line.starts_with('{')).take(JSON_LINES_MAX) {
        if line.contains(r#""compiler-message""#) {
            if let Ok(value) = serde_json::from_str::<Value>(line) {
                rustc(view, &value, &mut cargo);
            }
        } else if line.contains(r#""severity""#) && line.contains(r#""file""#) {
            let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
            if text(&value, "/severity") == "error" {
                let position =
                    view.position(text(&value, "/file"), &number(&value, "/line"), &number(&value, "/column"));
                mypy.push(FailureKind::Typecheck, text(&value, "/code"), text(&value, "/message"), position, None);
            }
        } else if line.contains(r#""Action":"fail""#) {
            let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
            if let Some(test) = value.get("Test").and_then(Value::as_str) {
                let id = format!("{}.{test}", text(&value, "/Package"));
                go.push(FailureKind::TestAssert, &id, "failed", None, None);
            }
        }
    }
    cargo.some().or_else(|| mypy.some()).or_else(|| go.some())
}

fn rustc(view: &View<'_>, value: &Value, reading: &mut Reading) {
    let Some(message) = value.get("message").filter(|m| text(m, "/level") == "error") else { return };
    let words = text(message, "/message");
    let spans = message.get("spans").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let Some(span) = spans.iter().find(|span| span.get("is_primary").and_then(Value::as_bool) == Some(true)) else {
        return; // "aborting due to": a sum, not a finding
    };
    let rule = text(message, "/code/code");
    let error_code = pattern!(r"^E\d{4}$").is_match(rule);
    let unlinked = pattern!(r"unlinked crate `(\w+)`|can't find crate for `(\w+)`");
    let missing = unlinked.captures(words).or_else(|| unlinked.captures(text(span, "/label")));
    let kind = match () {
        () if missing.is_some() => FailureKind::Dependency,
        () if rule.is_empty() || error_code => FailureKind::Compile,
        () if rule.starts_with("rustdoc::") => FailureKind::Docs,
        () => FailureKind::Lint,
    };
    if let Some(found) = missing.and_then(|found| found.get(1).or(found.get(2)).map(|m| m.as_str().to_owned())) {
        reading.hints.insert(Hint::MissingModule { ecosystem: "cargo".into(), module: found });
    }
    if message.to_string().contains(r#""MachineApplicable""#) {
        reading.hints.insert(Hint::MachineApplicable { tool: "rustc".into() });
    }
    let position =
        view.position(text(span, "/file_name"), &number(span, "/line_start"), &number(span, "/column_start"));
    reading.push(kind, rule, words, position, None);
}

fn ruff(view: &View<'_>, list: &[Value]) -> Option<Reading> {
    let mut reading = Reading::new("ruff", Signal::MachineOutput);
    for item in list.iter().filter(|item| item.get("location").is_some() && item.get("filename").is_some()) {
        let rule = text(item, "/code");
        let broken = rule.is_empty() || rule.starts_with("E9") || rule == "invalid-syntax";
        let kind = if broken { FailureKind::Compile } else { FailureKind::Lint };
        if text(item, "/fix/applicability") == "safe" {
            reading.hints.insert(Hint::MachineApplicable { tool: "ruff".into() });
        }
        let position =
            view.position(text(item, "/filename"), &number(item, "/location/row"), &number(item, "/location/column"));
        reading.push(kind, rule, text(item, "/message"), position, None);
    }
    reading.some()
}

fn eslint(view: &View<'_>, list: &[Value]) -> Option<Reading> {
    let mut reading = Reading::new("eslint", Signal::MachineOutput);
    for file in list {
        let messages = file.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for item in messages.iter().filter(|item| item.get("severity").and_then(Value::as_u64) == Some(2)) {
            let rule = text(item, "/ruleId");
            let kind = match rule {
                "" => FailureKind::Compile,
                "prettier/prettier" => FailureKind::Format,
                _ => FailureKind::Lint,
            };
            if item.get("fix").is_some() {
                reading.hints.insert(Hint::MachineApplicable { tool: "eslint".into() });
            }
            let position = view.position(text(file, "/filePath"), &number(item, "/line"), &number(item, "/column"));
            reading.push(kind, rule, text(item, "/message"), position, None);
        }
    }
    reading.some()
}

fn pyright(view: &View<'_>, document: &Value) -> Option<Reading> {
    let mut reading = Reading::new("pyright", Signal::MachineOutput);
    for item in document.get("generalDiagnostics")?.as_array()?.iter().filter(|i| text(i, "/severity") == "error") {
        // Lines and columns of pyright's JSON count from 0.
        let one_based =
            |path| item.pointer(path).and_then(Value::as_u64).map_or(0, |n| n.saturating_add(1)).to_string();
        let position =
            view.position(text(item, "/file"), &one_based("/range/start/line"), &one_based("/range/start/character"));
        reading.push(FailureKind::Typecheck, text(item, "/rule"), text(item, "/message"), position, None);
    }
    reading.some()
}

fn jest(view: &View<'_>, document: &Value) -> Option<Reading> {
    let mut reading = Reading::new("jest", Signal::MachineOutput);
    for file in document.get("testResults")?.as_array()? {
        let tests = file.get("assertionResults").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let path = text(file, "/name");
        for test in tests.iter().filter(|test| text(test, "/status") == "failed") {
            let message =
                super::view::clean(text(test, "/failureMessages/0").lines().next().unwrap_or("")).into_owned();
            let asserted = message.contains("expect(") || message.contains("AssertionError");
            let kind = if asserted { FailureKind::TestAssert } else { FailureKind::TestError };
            let position = view.position(path, &number(test, "/location/line"), &number(test, "/location/column"));
            reading.push(kind, text(test, "/fullName"), &message, position, None);
        }
        if tests.is_empty() && text(file, "/status") == "failed" {
            let message = super::view::clean(text(file, "/message").lines().next().unwrap_or("")).into_owned();
            let (kind, _) = error_kind(&message);
            reading.push(kind, &view.path(path), &message, view.position(path, "0", "0"), None);
        }
    }
    reading.some()
}

fn golangci(view: &View<'_>, document: &Value) -> Option<Reading> {
    let mut reading = Reading::new("golangci-lint", Signal::MachineOutput);
    for item in document.get("Issues")?.as_array()? {
        let linter = text(item, "/FromLinter");
        let kind = match linter {
            "typecheck" => FailureKind::Compile,
            "gofmt" | "goimports" | "gofumpt" | "gci" => FailureKind::Format,
            _ => FailureKind::Lint,
        };
        let position =
            view.position(text(item, "/Pos/Filename"), &number(item, "/Pos/Line"), &number(item, "/Pos/Column"));
        reading.push(kind, linter, text(item, "/Text"), position, None);
    }
    reading.some()
}
