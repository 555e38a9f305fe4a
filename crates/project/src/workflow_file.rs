//! Workflow files: a workflow without a project, written as TOML or JSON.
//!
//! The file is the workflow's own form (`docs/reference/workflow-file.md`): what is not known is refused, and a mistake
//! is said with its line. Deliberately absent: detection, layers and defaults from elsewhere. A workflow file says all
//! there is, so that the same file is the same version everywhere.

use mb_core::workflow::{BadWorkflow, Workflow};

/// Largest workflow file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Why a workflow file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkflowFileError {
    /// It is too large.
    #[error("it has {bytes} bytes; at most {FILE_BYTES_MAX} are allowed")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// It cannot be read as TOML or JSON, or holds something unknown.
    #[error("line {line}, column {column}: {what}")]
    Form {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// It is no workflow that can run.
    #[error(transparent)]
    Workflow(#[from] BadWorkflow),
}

/// Reads and checks a workflow file. One that begins with `{` is JSON, any other is TOML.
///
/// # Errors
/// [`WorkflowFileError`]: the first thing found wrong.
pub fn parse_workflow(text: &str) -> Result<Workflow, WorkflowFileError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(WorkflowFileError::TooLarge { bytes: text.len() });
    }
    let workflow = if text.trim_start().starts_with('{') { json(text)? } else { toml(text)? };
    Ok(workflow.validate()?)
}

fn json(text: &str) -> Result<Workflow, WorkflowFileError> {
    serde_json::from_str(text).map_err(|error| {
        // serde_json says the place in its own words at the end.
        let said = error.to_string();
        let what = said.rsplit_once(" at line ").map_or(said.as_str(), |(what, _)| what).to_owned();
        WorkflowFileError::Form { line: error.line(), column: error.column(), what }
    })
}

fn toml(text: &str) -> Result<Workflow, WorkflowFileError> {
    ::toml::from_str(text).map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        WorkflowFileError::Form { line, column, what: error.message().trim().replace('\n', ", ") }
    })
}

/// The line and column of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let got = match parse_workflow(text) {
            Ok(workflow) => {
                let steps: Vec<String> =
                    workflow.steps.iter().map(|step| format!("{} {}", step.name, step.action.kind())).collect();
                format!("{}: {}", workflow.name, steps.join(", "))
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected, "{text}");
    }

    const GREET: &str = r#"
name = "greet"

[inputs.who]
type = "string"
default = "world"

[[steps]]
name = "shout"
kind = "transform"
needs = ["ask"]
value = { text = "{{ inputs.who | upper }}" }

[[steps]]
name = "ask"
command = "echo hello"

[outputs]
text = "{{ steps.shout.output.text }}"
"#;

    #[test]
    fn toml_and_json_are_the_same_workflow() {
        check(GREET, "greet: ask shell, shout transform");
        let workflow = parse_workflow(GREET).expect("good");
        let json = serde_json::to_string(&workflow).expect("plain data");
        assert_eq!(parse_workflow(&json).expect("good").digest(), workflow.digest());
    }

    #[test]
    fn mistakes_are_said_with_their_place() {
        check("name = \"a\"\nsteps = 3\n", "line 2, column 9: invalid type: integer `3`, expected a sequence");
        check(
            "name = \"a\"\n  nmae = 1\nsteps = []",
            "line 2, column 3: unknown field `nmae`, expected one of `name`, `steps`, `budget`, `repair`, `redact`, `inputs`, `outputs`, `timeout_ms`",
        );
        check("name = ", "line 1, column 8: string values must be quoted, expected literal string");
        check("{\"name\": 1}", "line 1, column 10: invalid type: integer `1`, expected a string");
        check("{\n\"name\": \"a\"", "line 2, column 11: EOF while parsing an object");
        check("name = \"a\"\nsteps = []", "the workflow has no steps");
        let text = "name = \"a\"\n[[steps]]\nname = \"x\"\nkind = \"transform\"\nvalue = 1\ncolour = 2\n";
        check(text, "line 2, column 1: step \"x\": unknown field `colour`, expected `value`");
    }

    #[test]
    fn a_file_is_bounded() {
        let padded = |bytes: usize| format!("{GREET}#{}", "x".repeat(bytes - GREET.len() - 1));
        assert!(parse_workflow(&padded(FILE_BYTES_MAX)).is_ok());
        check(&padded(FILE_BYTES_MAX + 1), "it has 1048577 bytes; at most 1048576 are allowed");
    }
}
