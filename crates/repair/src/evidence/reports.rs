//! Report files: JUnit XML and SARIF.

use mb_core::failure::{FailureKind, Signal};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;

use super::python::error_kind;
use super::reading::Reading;
use super::view::View;

/// A report larger than this is not read.
const REPORT_BYTES_MAX: usize = 16 << 20;

/// All report files; JUnit and SARIF make one reading each.
pub(crate) fn read(view: &View<'_>) -> Vec<Reading> {
    let mut junit = Reading::new("junit", Signal::MachineOutput);
    let mut readings = Vec::new();
    for (_, content) in view.observed.files.iter().filter(|(_, content)| content.len() <= REPORT_BYTES_MAX) {
        if content.trim_start().starts_with('<') {
            read_junit(view, content, &mut junit);
        } else if let Ok(document) = serde_json::from_str::<Value>(content) {
            readings.extend(sarif(view, &document));
        }
    }
    readings.extend(junit.some());
    readings
}

#[derive(Default)]
struct Case {
    id: String,
    file: String,
    line: String,
    outcome: Option<(FailureKind, String)>,
}

/// Ends quietly at the first malformed piece: what was read until then is true.
fn read_junit(view: &View<'_>, content: &str, reading: &mut Reading) {
    let mut reader = Reader::from_str(content);
    let mut case = Case::default();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) if tag.local_name().as_ref() == b"testcase" => case = new_case(&tag),
            Ok(Event::Start(tag) | Event::Empty(tag)) => open_outcome(&tag, &mut case),
            Ok(Event::Text(text)) => {
                if let Some((_, message)) = case.outcome.as_mut().filter(|(_, message)| message.is_empty()) {
                    let text = text.decode().unwrap_or_default();
                    *message = text.trim().lines().next().unwrap_or_default().to_owned();
                }
            }
            Ok(Event::End(tag)) if tag.local_name().as_ref() == b"testcase" => {
                let done = std::mem::take(&mut case);
                if let Some((kind, message)) = done.outcome {
                    let position =
                        (!done.file.is_empty()).then(|| view.position(&done.file, &done.line, "0")).flatten();
                    reading.push(kind, &done.id, &message, position, None);
                }
            }
            Ok(Event::Eof) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> String {
    let found = tag.try_get_attribute(name).ok().flatten();
    found.and_then(|a| a.unescape_value().ok()).map_or(String::new(), std::borrow::Cow::into_owned)
}

fn new_case(tag: &BytesStart<'_>) -> Case {
    let (class, name) = (attribute(tag, "classname"), attribute(tag, "name"));
    let id = if class.is_empty() { name } else { format!("{class}.{name}") };
    Case { id, file: attribute(tag, "file"), line: attribute(tag, "line"), outcome: None }
}

fn open_outcome(tag: &BytesStart<'_>, case: &mut Case) {
    let failure = match tag.local_name().as_ref() {
        b"failure" => true,
        b"error" => false,
        _ => return,
    };
    let message = attribute(tag, "message").lines().next().unwrap_or_default().to_owned();
    let (kind, _) = error_kind(&message);
    let kind = if failure && kind == FailureKind::TestError { FailureKind::TestAssert } else { kind };
    case.outcome = Some((kind, message));
}

/// Results of SARIF whose level is error or not given.
pub(crate) fn sarif(view: &View<'_>, document: &Value) -> Option<Reading> {
    let mut reading: Option<Reading> = None;
    let text = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
    for run in document.get("runs")?.as_array()? {
        let tool = text(run, "/tool/driver/name");
        let results = run.get("results").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for result in results.iter().filter(|r| !matches!(text(r, "/level").as_str(), "note" | "none" | "warning")) {
            let reading = reading.get_or_insert_with(|| Reading::new(&tool.to_lowercase(), Signal::MachineOutput));
            let place = |path: &str| text(result, &format!("/locations/0/physicalLocation/{path}"));
            let number = |path: &str| {
                let value = result.pointer(&format!("/locations/0/physicalLocation/region/{path}"));
                value.and_then(Value::as_u64).unwrap_or(0).to_string()
            };
            let position = view.position(&place("artifactLocation/uri"), &number("startLine"), &number("startColumn"));
            let position = position.filter(|p| !p.file.is_empty());
            let security = view.observed.step.stage == mb_core::workflow::StageKind::Security;
            let kind = if security { FailureKind::Security } else { FailureKind::Lint };
            reading.push(kind, &text(result, "/ruleId"), &text(result, "/message/text"), position, None);
        }
    }
    reading?.some()
}
