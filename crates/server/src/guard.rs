//! What every request passes: an id, a span, counters, security headers, a deadline, and problems written out.

use std::any::Any;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mb_api::{Code, Problem};
use mb_core::time::millis;
use tokio::time::Instant;
use tracing::Instrument;

use crate::negotiate::Form;
use crate::problem::Refusal;
use crate::state::AppState;
use crate::views;

/// How long a request may take, streams aside (their answer begins at once).
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes a body may have.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// The content security policy of every answer: our own files only, no inline script, no inline style, no frame.
pub const CSP: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id taken over from a caller.
const REQUEST_ID_CHARS_MAX: usize = 64;

/// The id of a request, in its log lines, its answer and its problem.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// Gives the request an id and a span, counts it, and writes one line about it.
pub(crate) async fn observe(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let id = request_id(&state, request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |p| p.as_str().to_owned());
    let method = method_word(request.method());
    let span = tracing::info_span!("request", id = %id, method, route = %route);
    request.extensions_mut().insert(RequestId(id.clone()));
    let begin = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status().as_u16(), begin.elapsed());
    state.metrics().answered(method, &route, status, took);
    let took_ms = millis(took);
    // Probes ask all day long; only what is worth a look is a line at the usual level.
    span.in_scope(|| {
        if response.status().is_server_error() {
            tracing::warn!(status, took_ms, "answered");
        } else {
            tracing::debug!(status, took_ms, "answered");
        }
    });
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The method as a label. A caller may invent methods, without a token even; they are all one word.
const fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn request_id(state: &AppState, headers: &HeaderMap) -> String {
    let fine = |id: &&str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(fine);
    given.map_or_else(|| mb_core::workflow::hex(&state.engine().env().random_bytes::<8>()), str::to_owned)
}

/// Headers of every answer.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", CSP),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    // What is behind a login is nobody else's: only what says otherwise may be kept.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Writes the body of a refusal, in the form the reader asked for.
pub(crate) async fn problems(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
    let form = Form::best(request.headers(), &[Form::Json, Form::Html]);
    let mut response = next.run(request).await;
    let Some(mut problem) = response.extensions_mut().remove::<Box<Problem>>() else { return response };
    problem.instance = Some(path);
    problem.request_id = id;
    let mut written = write(&problem, form);
    *written.status_mut() = response.status();
    if let Some(allow) = response.headers_mut().remove(ALLOW) {
        written.headers_mut().insert(ALLOW, allow);
    }
    written
}

fn write(problem: &Problem, form: Form) -> Response {
    let is_anonymous = matches!(problem.code(), Some(Code::NotAuthenticated | Code::BadToken));
    let mut response = match form {
        Form::Html if problem.code() == Some(Code::NotAuthenticated) => Form::Html.body(views::login().into_string()),
        Form::Html => Form::Html.body(views::message(problem).into_string()),
        _ => {
            let json = serde_json::to_vec(problem).unwrap_or_default();
            ([(CONTENT_TYPE, mb_api::problem::MEDIA_TYPE)], json).into_response()
        }
    };
    let headers = response.headers_mut();
    if is_anonymous {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"meta-builder\""));
    }
    if problem.retryable {
        headers.insert(RETRY_AFTER, HeaderValue::from(problem.retry_after_s.unwrap_or(5)));
    }
    response
}

/// Ends a request that takes too long.
pub(crate) async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Refusal::new(Code::Timeout, format!("no answer within {} s", REQUEST_DEADLINE.as_secs())).into_response()
        }
    }
}

/// Makes a refusal of a panic, and counts it.
pub(crate) fn panicked(state: &AppState, panic: &(dyn Any + Send)) -> Response {
    state.metrics().panics.inc();
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("no text"), "a handler panicked");
    Refusal::new(Code::Internal, "the request could not be answered").into_response()
}

pub(crate) async fn not_found(request: Request) -> Refusal {
    Refusal::new(Code::NotFound, format!("no route answers {}", request.uri().path()))
}

pub(crate) async fn method_not_allowed(request: Request) -> Refusal {
    Refusal::new(Code::MethodNotAllowed, format!("{} is not a method of this route", request.method()))
}
