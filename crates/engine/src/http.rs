//! The HTTP step: one request, its redirects followed by hand so that each is checked like the first.
//!
//! Deliberately absent: cookies, proxies (a proxy would resolve names out of our sight) and retries, which are the
//! run machine's. A request that changes something carries an `Idempotency-Key` named after run and step, so that
//! the same request again, after a crash or as a retry, can be told by the other side.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use mb_core::attempt::AttemptOutcome;
use mb_core::error::chain;
use mb_core::expression::{self, Scope};
use mb_core::failure::{Failure, FailureKind};
use mb_core::time::{millis, retry_after};
use mb_core::workflow::{Action, Http, Method, StepSpec, Workflow};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Body, Client, Request, Response, StatusCode, Url};
use serde_json::{Map, Value, json};

use crate::context::{Context, TaskError};
use crate::net::{self, Denied, Guard};
use crate::plain;

/// Longest wait a service may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// Headers of an answer that are passed on.
const HEADERS_MAX: usize = 50;
/// Headers that are for one place only: a redirect elsewhere does not carry them.
const PRIVATE_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
const TOOL: &str = "http";

/// A client that reaches only what is allowed.
pub(crate) fn client(allow_private: bool) -> Result<Client, reqwest::Error> {
    Client::builder()
        .dns_resolver(std::sync::Arc::new(Guard { allow_private }))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("meta-builder/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .build()
}

/// The host variables a workflow's requests name as secrets, with their values.
pub(crate) fn secrets(workflow: &Workflow) -> BTreeMap<String, String> {
    let of = |action: &Action| match action {
        Action::Http(http) => http.secrets.clone(),
        Action::Foreach(each) => match &*each.action {
            Action::Http(http) => http.secrets.clone(),
            _ => Default::default(),
        },
        _ => Default::default(),
    };
    let actions = |spec: &StepSpec| [Some(of(&spec.action)), spec.compensate.as_ref().map(of)];
    let names = workflow.steps.iter().flat_map(actions).flatten().flatten();
    names.filter_map(|name| std::env::var(&name).ok().map(|value| (name, value))).collect()
}

/// Makes the request. Whatever becomes of it is the attempt's outcome.
pub(crate) async fn execute(context: &Context<'_>, http: &Http) -> Result<AttemptOutcome, TaskError> {
    let begin = context.engine.env().now();
    let limit = Duration::from_millis(http.request_timeout_ms).min(context.time_left());
    let answered = tokio::select! {
        () = context.cancel.cancelled() => Err(plain::canceled(TOOL)),
        timed = tokio::time::timeout(limit, ask(context, http)) => {
            timed.unwrap_or_else(|_| Err(plain::timed_out(TOOL, millis(limit))))
        }
    };
    let took_ms = millis(context.engine.env().now().since(begin));
    let outcome = match answered {
        Ok(output) => AttemptOutcome { output: Some(output), ..AttemptOutcome::plain(took_ms, None) },
        Err(mut failure) => {
            failure.summary = context.redact(&failure.summary);
            context.note(&failure.summary)?;
            AttemptOutcome::plain(took_ms, Some(*failure))
        }
    };
    Ok(AttemptOutcome { log_lines: context.lines().await, ..outcome })
}

async fn ask(context: &Context<'_>, http: &Http) -> Result<Value, Box<Failure>> {
    let client = context.engine.client().map_err(|error| wrong(format!("no client can be made: {error}")))?;
    let mut request = prepare(context, http)?;
    for hop in 0..=http.redirects_max {
        check_host(request.url(), context.engine.outbound().allow_private)?;
        let (method, url) = (request.method().clone(), request.url().clone());
        let again = request.try_clone();
        let answer = client.execute(request).await.map_err(|error| unreachable(&url, &error))?;
        let note = format!("{method} {url} answered {}", answer.status());
        context.note(&note).map_err(|error| wrong(chain(&error)))?;
        match redirected(&answer, &url) {
            Some(_) if hop == http.redirects_max => {
                return Err(wrong(format!("{url} leads on after {} redirects", http.redirects_max)));
            }
            Some(target) => {
                let again = again.ok_or_else(|| wrong("the request cannot be sent again".into()))?;
                request = follow(again, answer.status(), &url, target);
            }
            None => return judge(context, http, &url, answer).await,
        }
    }
    Err(wrong("the request leads nowhere".into()))
}

fn wrong(why: String) -> Box<Failure> {
    plain::failure(TOOL, FailureKind::ConfigCi, why)
}

fn prepare(context: &Context<'_>, http: &Http) -> Result<Request, Box<Failure>> {
    let (step, ..) = context.part().map_err(|error| wrong(chain(&error)))?;
    let known: Map<String, Value> =
        secrets(&context.run.workflow).into_iter().map(|(name, value)| (name, value.into())).collect();
    if let Some(missing) = http.secrets.iter().find(|name| !known.contains_key(*name)) {
        return Err(wrong(format!("the worker's environment has no variable {missing}")));
    }
    let own = known.into_iter().filter(|(name, _)| http.secrets.contains(name)).collect();
    let scope = Scope::of(context.run, step).with("secrets", &Value::Object(own));
    let bad = |error: expression::BadExpression| wrong(error.to_string());
    let url = expression::render(&http.url, &scope).map_err(bad)?;
    let url = Url::parse(url.trim()).map_err(|error| wrong(format!("{url:?} is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("{url} is neither http nor https")));
    }
    let mut request = Request::new(method(http.method), url);
    if !matches!(http.method, Method::Get | Method::Head) {
        let key = format!("{}/{}", context.run.id, step.name);
        request.headers_mut().extend(header("idempotency-key", &key)?);
    }
    match &http.body {
        None => {}
        Some(Value::String(text)) => {
            *request.body_mut() = Some(Body::from(expression::render(text, &scope).map_err(bad)?));
        }
        Some(body) => {
            request.headers_mut().extend(header("content-type", "application/json")?);
            *request.body_mut() = Some(Body::from(expression::fill(body, &scope).map_err(bad)?.to_string()));
        }
    }
    for (name, value) in &http.headers {
        request.headers_mut().extend(header(name, &expression::render(value, &scope).map_err(bad)?)?);
    }
    Ok(request)
}

fn header(name: &str, value: &str) -> Result<HeaderMap, Box<Failure>> {
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(format!("{name:?} is no header's name")))?;
    // The value may be a secret, so it is not quoted.
    let value = HeaderValue::from_str(value).map_err(|_| wrong(format!("the value of header {name} has bad signs")))?;
    Ok(HeaderMap::from_iter([(key, value)]))
}

const fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

/// An address in the URL itself is never resolved, so it is asked about here.
fn check_host(url: &Url, allow_private: bool) -> Result<(), Box<Failure>> {
    let host = url.host_str().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    match address {
        Some(address) if !net::is_allowed(address, allow_private) => {
            Err(plain::failure(TOOL, FailureKind::Policy, Denied { host: host.to_owned() }.to_string()))
        }
        _ => Ok(()),
    }
}

fn unreachable(url: &Url, error: &reqwest::Error) -> Box<Failure> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(source) = cause {
        if source.is::<Denied>() {
            return plain::failure(TOOL, FailureKind::Policy, source.to_string());
        }
        cause = source.source();
    }
    let host = url.host_str().unwrap_or_default();
    plain::failure(TOOL, FailureKind::NetworkInfra, format!("{host} cannot be reached: {}", chain(error)))
}

/// Where an answer leads on to.
fn redirected(answer: &Response, url: &Url) -> Option<Url> {
    let status = answer.status();
    let leads = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let target = answer.headers().get(LOCATION)?.to_str().ok()?;
    url.join(target).ok().filter(|_| leads)
}

fn follow(mut request: Request, status: StatusCode, from: &Url, to: Url) -> Request {
    let keeps = matches!(status.as_u16(), 307 | 308);
    if !keeps && *request.method() != reqwest::Method::HEAD {
        *request.method_mut() = reqwest::Method::GET;
        *request.body_mut() = None;
        request.headers_mut().remove("content-type");
    }
    if from.origin() != to.origin() {
        for name in PRIVATE_HEADERS {
            request.headers_mut().remove(name);
        }
    }
    *request.url_mut() = to;
    request
}

/// What an answer means.
async fn judge(context: &Context<'_>, http: &Http, url: &Url, answer: Response) -> Result<Value, Box<Failure>> {
    let status = answer.status();
    let headers = answer.headers().clone();
    let body = read(answer, http.response_bytes_max).await.map_err(|why| wrong(format!("{url}: {why}")))?;
    let expected = if http.expect.is_empty() { status.is_success() } else { http.expect.contains(&status.as_u16()) };
    let text = context.redact(&String::from_utf8_lossy(&body));
    if !expected {
        return Err(refused(context, url, status, &headers, &text));
    }
    let is_json = headers.get("content-type").and_then(|value| value.to_str().ok()).is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind == "application/json" || kind.ends_with("+json")
    });
    let body = if is_json { serde_json::from_str(&text).unwrap_or(Value::String(text)) } else { Value::String(text) };
    let shown = headers.iter().filter(|(name, _)| name.as_str() != "set-cookie").take(HEADERS_MAX);
    let shown: Map<String, Value> = shown
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), context.redact(value.to_str().ok()?).into())))
        .collect();
    Ok(json!({ "status": status.as_u16(), "headers": shown, "body": body }))
}

fn refused(context: &Context<'_>, url: &Url, status: StatusCode, headers: &HeaderMap, text: &str) -> Box<Failure> {
    let kind = match status.as_u16() {
        429 => FailureKind::RateLimit,
        408 | 425 | 500..=599 => FailureKind::NetworkInfra,
        _ => FailureKind::ConfigCi,
    };
    let start: String = text.chars().take(200).collect();
    let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = asked.and_then(|value| retry_after(context.engine.env().now(), value));
    let failure = plain::failure(TOOL, kind, format!("{url} answered {status}: {}", start.trim()));
    plain::asking(failure, wait.map(|wait| millis(wait.min(RETRY_AFTER_MAX))))
}

/// The body, of which no more than the bound is ever held.
pub(crate) async fn read(mut answer: Response, bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| format!("the answer broke off: {}", chain(&error)))? {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > bytes_max {
            return Err(format!("the answer has more than {bytes_max} bytes"));
        }
    }
    Ok(body)
}
