//! Problems: RFC 9457, with the members an operator needs at three in the morning.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::code::Code;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong with a request. Nothing in it is secret; the cause inside the server is only in its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem; the page of the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:meta-builder:error:E0302")]
    pub kind: String,
    /// The kind in a few words; the same for every problem of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// The path that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The code, with a page in `docs/errors`.
    #[schema(example = "E0302")]
    pub code: String,
    /// What to do first.
    pub hint: String,
    /// The page about this code.
    pub runbook: String,
    /// Whether the same request may succeed later, unchanged.
    #[serde(default)]
    pub retryable: bool,
    /// When to repeat the request, in seconds from now; also in `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// The request's id, as in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// A problem of that code; `detail` is shown to the caller.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        let entry = code.entry();
        Problem {
            kind: format!("urn:meta-builder:error:{code}"),
            title: entry.title.to_owned(),
            status: entry.status,
            detail: detail.into(),
            instance: None,
            code: entry.code.to_owned(),
            hint: entry.hint.to_owned(),
            runbook: format!("docs/errors/{code}.md"),
            retryable: entry.retryable,
            retry_after_s: None,
            request_id: None,
        }
    }

    /// The code, when this program knows it.
    pub fn code(&self) -> Option<Code> {
        Code::from_text(&self.code)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.title, self.detail, self.code)
    }
}
