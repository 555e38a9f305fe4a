//! Refusals: what a handler returns instead of an answer.
//!
//! A refusal becomes a response that carries the problem as an extension; [`crate::guard::problems`] writes the body,
//! because only there are the request's id, path and wishes about the form known. Causes go to the log, never out.

use axum::extract::rejection::{FormRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mb_api::{Code, Problem};
use mb_core::error::chain;
use mb_core::queue::Refused;
use mb_engine::StartError;
use mb_store::StoreError;

use crate::registry::RegistryError;
/// When to ask a draining queue again, in seconds: an operator ends that, not time.
const DRAINING_RETRY_S: u64 = 30;

/// A request that is not answered as asked.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Box<Problem>);

pub(crate) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Refusal {
        Refusal(Box::new(Problem::new(code, detail)))
    }

    /// A refusal whose cause is written to the log only.
    pub(crate) fn caused(code: Code, detail: &str, cause: &dyn std::error::Error) -> Refusal {
        tracing::error!(code = code.as_str(), error = %chain(cause), "{detail}");
        Refusal::new(code, detail)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        let code = match &error {
            StoreError::Unavailable { .. }
            | StoreError::Timeout { .. }
            | StoreError::Busy { .. }
            | StoreError::Schema { .. } => Code::StoreUnavailable,
            StoreError::Full { .. } => Code::StoreFull,
            StoreError::Conflict { .. } => Code::Conflict,
            StoreError::Refused(refused) => return queue_refusal(refused),
            StoreError::Invalid { what, .. } => return Refusal::new(Code::BadRequest, what.clone()),
            StoreError::Corrupt { .. } => Code::Internal,
        };
        Refusal::caused(code, "the store did not do what was asked", &error)
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Refusal {
        match error {
            StartError::Store(cause) => cause.into(),
            StartError::NotAgain(error) => Refusal::new(Code::DoesNotFit, error.to_string()),
            // These are about the caller's own project, and the detail is what mends them.
            other => Refusal::new(Code::BadProject, chain(&other)),
        }
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Refusal {
        match error {
            RegistryError::Refused { code, detail } => Refusal::new(code, detail),
            RegistryError::Store(cause) => cause.into(),
        }
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Refusal {
        Refusal::new(Code::BadRequest, rejection.body_text())
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Refusal {
        Refusal::new(Code::BadRequest, rejection.body_text())
    }
}

impl From<FormRejection> for Refusal {
    fn from(rejection: FormRejection) -> Refusal {
        Refusal::new(body_code(rejection.status()), rejection.body_text())
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Refusal {
        Refusal::new(body_code(rejection.status()), rejection.body_text())
    }
}

fn queue_refusal(refused: &Refused) -> Refusal {
    let mut refusal = Refusal::new(queue_code(refused), chain(refused));
    refusal.0.retry_after_s = match refused {
        // Rounded up: earlier would be refused again.
        Refused::Full { retry_after, .. } => Some(retry_after.as_millis().div_ceil(1_000) as u64),
        Refused::Draining(_) => Some(DRAINING_RETRY_S),
        Refused::Bad { .. } | Refused::TooMany(_) => None,
    };
    refusal
}

const fn queue_code(refused: &Refused) -> Code {
    match refused {
        Refused::Full { .. } => Code::QueueFull,
        Refused::Draining(_) => Code::QueueDraining,
        Refused::Bad { .. } | Refused::TooMany(_) => Code::BadRequest,
    }
}

fn body_code(status: StatusCode) -> Code {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::BadMediaType,
        _ => Code::BadBody,
    }
}
