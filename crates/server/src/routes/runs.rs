//! Runs: start, list, look at, stop.
#![allow(unused_qualifications, reason = "utoipa writes the paths of parameters out")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LINK, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mb_api::page::{LIMIT_DEFAULT, LIMIT_MAX, LOG_LIMIT_DEFAULT, LOG_LIMIT_MAX};
use mb_api::run::{Canceling, Limits};
use mb_api::{Code, Created, Event, LogLine, LogPage, Page, Problem, Run, RunSummary, StartRun};
use mb_core::id::{RunId, TenantId};
use mb_core::report::Report;
use mb_core::run::{Run as CoreRun, RunOutcome};
use mb_core::time::Timestamp;
use mb_project::{Flag, Layers};
use mb_store::{Cancel, Cursor, RunFilter};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::{Principal, RunsOperate, RunsRead};
use crate::extract::{Body, Params, Place};
use crate::negotiate::Form;
use crate::problem::{Answer, Refusal};
use crate::query::href;
use crate::state::AppState;
use crate::views::WINDOWS;
use crate::wire;

/// Which runs to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsQuery {
    /// Words of state or outcome, separated by commas (`failed,canceled`).
    #[serde(default)]
    pub(crate) state: String,
    /// Text in id, project, commit or summary; at most 200 characters.
    #[serde(default)]
    pub(crate) text: String,
    /// The workflow's name.
    #[serde(default)]
    pub(crate) workflow: String,
    /// Asked for within the last `15m`, `1h`, `6h`, `24h` or `7d`.
    #[serde(default)]
    pub(crate) window: String,
    /// At most this many, 1 to 200; 50 unless given.
    pub(crate) limit: Option<u32>,
    /// The `next` of the page before.
    #[serde(default)]
    pub(crate) after: String,
}

impl RunsQuery {
    fn filter(&self, now: Timestamp) -> Answer<RunFilter> {
        if self.text.chars().count() > 200 {
            return Err(Refusal::new(Code::BadRequest, "text has at most 200 characters"));
        }
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(RunFilter {
            words: words(&self.state)?,
            workflow: some(&self.workflow),
            text: some(&self.text),
            since: since(now, &self.window)?,
            until: None,
        })
    }

    /// The address of the page behind a cursor, on a path.
    pub(crate) fn next(&self, path: &str, cursor: &str) -> String {
        let limit = self.limit.map(|n| n.to_string()).unwrap_or_default();
        let pairs = [
            ("state", self.state.as_str()),
            ("text", &self.text),
            ("workflow", &self.workflow),
            ("window", &self.window),
            ("limit", &limit),
            ("after", cursor),
        ];
        href(path, &pairs)
    }
}

/// Words of state or outcome; anything else is refused, because a filter with a typing mistake finds nothing.
fn words(text: &str) -> Answer<BTreeSet<String>> {
    const STATES: [&str; 5] = ["pending", "running", "succeeded", "failed", "canceled"];
    let known = |word: &str| STATES.contains(&word) || RunOutcome::from_word(word).is_some();
    let all = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    all.map(|word| {
        let unknown = || {
            Refusal::new(Code::BadRequest, format!("state {word:?} is not one of {}, or an outcome", STATES.join(", ")))
        };
        known(word).then(|| word.to_owned()).ok_or_else(unknown)
    })
    .collect()
}

fn since(now: Timestamp, window: &str) -> Answer<Option<Timestamp>> {
    if window.is_empty() {
        return Ok(None);
    }
    let found = WINDOWS.iter().find(|(word, _)| *word == window);
    let unknown = || Refusal::new(Code::BadRequest, format!("window {window:?} is not one of 15m, 1h, 6h, 24h, 7d"));
    found.map(|(_, secs)| Some(now - Duration::from_secs(*secs))).ok_or_else(unknown)
}

/// A limit between 1 and `max`.
pub(crate) fn limit(asked: Option<u32>, default: u32, max: u32) -> Answer<u32> {
    match asked.unwrap_or(default) {
        n if (1..=max).contains(&n) => Ok(n),
        n => Err(Refusal::new(Code::BadRequest, format!("limit {n} is not between 1 and {max}"))),
    }
}

/// A page of runs for a query.
pub(crate) async fn page(state: &AppState, tenant: TenantId, query: &RunsQuery) -> Answer<Page<RunSummary>> {
    let now = state.now();
    let after = match query.after.as_str() {
        "" => None,
        text => Some(text.parse::<Cursor>().map_err(|error| Refusal::new(Code::BadRequest, error.to_string()))?),
    };
    let limit = limit(query.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let page = state.store().run_list(tenant, &query.filter(now)?, after, limit).await?;
    let items = page.items.iter().map(|row| wire::run_summary(now, row)).collect();
    Ok(Page { items, next: page.next.map(|cursor| cursor.to_string()) })
}

/// A run of the caller's tenant.
pub(crate) async fn load(state: &AppState, who: &Principal, id: &str) -> Answer<CoreRun> {
    let unknown =
        || Refusal::new(Code::RunNotFound, format!("no run {:?} of yours", id.chars().take(60).collect::<String>()));
    let id: RunId = id.parse().map_err(|_| unknown())?;
    state.store().run(who.tenant, id).await?.ok_or_else(unknown)
}

/// Lists runs, newest first.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", params(RunsQuery), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "a page; `Link` names the next", body = Page<RunSummary>),
    (status = 400, description = "a filter is not valid", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Params(query): Params<RunsQuery>,
) -> Answer<Response> {
    let page = page(&state, who.tenant, &query).await?;
    let link = page.next.as_deref().map(|next| format!("<{}>; rel=\"next\"", query.next("/api/v1/runs", next)));
    let headers: Vec<_> = link.map(|link| (LINK, link)).into_iter().collect();
    let mut response = Json(page).into_response();
    for (name, value) in headers {
        response.headers_mut().extend(value.parse().ok().map(|value| (name, value)));
    }
    Ok(response)
}

/// Starts a run. The same `Idempotency-Key` again gives the same run.
#[utoipa::path(post, path = "/api/v1/runs", tag = "runs", request_body = StartRun, security(("bearer" = ["runs:operate"])),
    params(("idempotency-key" = Option<String>, Header, description = "1 to 255 bytes; kept with the run")), responses(
    (status = 201, description = "the run was made", body = Created),
    (status = 200, description = "this key had made it", body = Created),
    (status = 422, description = "the body or the project is not valid", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn start(
    RunsOperate(who): RunsOperate,
    State(state): State<AppState>,
    headers: HeaderMap,
    Body(wish): Body<StartRun>,
) -> Answer<Response> {
    if state.engine().is_draining() {
        return Err(Refusal::new(Code::ShuttingDown, "no new runs are taken in"));
    }
    if !Path::new(&wish.root).is_absolute() {
        return Err(Refusal::new(Code::BadBody, "root is a path on the server's machine that begins with /"));
    }
    let key = headers.get("idempotency-key").map(|value| value.to_str().map(str::to_owned)).transpose();
    let idempotency_key = key.map_err(|_| Refusal::new(Code::BadRequest, "the Idempotency-Key is not plain text"))?;
    let ask = mb_engine::StartRun {
        tenant: who.tenant,
        root: PathBuf::from(wish.root),
        command: wish.command,
        only: wish.only,
        idempotency_key,
        actor: who.actor,
        affinity: None,
        layers: layers(wish.budget),
        repair: wish.repair.unwrap_or(true),
    };
    let created = state.engine().start(ask).await?;
    let status = if created.existed { StatusCode::OK } else { StatusCode::CREATED };
    let answer = Json(Created { id: created.id, existed: created.existed });
    Ok((status, [(LOCATION, format!("/api/v1/runs/{}", created.id))], answer).into_response())
}

/// Bounds of a request, as the layer above the project's file.
fn layers(limits: Limits) -> Layers {
    let flag = |key: &str, name: &str, value: String| Flag { key: key.into(), name: format!("budget.{name}"), value };
    let time = limits.time_ms.map(|ms| flag("budget.time", "time_ms", format!("{ms}ms")));
    let cost = limits
        .cost_microusd
        .map(|n| flag("budget.cost_usd", "cost_microusd", format!("{}.{:06}", n / 1_000_000, n % 1_000_000)));
    let attempts = limits.attempts.map(|n| flag("budget.attempts", "attempts", n.to_string()));
    Layers { flags: [time, cost, attempts].into_iter().flatten().collect(), ..Layers::default() }
}

/// A run in full.
#[utoipa::path(get, path = "/api/v1/runs/{id}", tag = "runs", params(("id" = String, Path)), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the run", body = Run),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<Json<Run>> {
    let run = load(&state, &who, &id).await?;
    Ok(Json(Run::from_domain(state.now(), &run)))
}

/// Where to go on in a run's events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Events after this number; from the first unless given.
    #[serde(default)]
    after: i64,
    /// At most this many, 1 to 200; 50 unless given.
    limit: Option<u32>,
}

/// A run's events, oldest first: every decision, refusal and wait.
#[utoipa::path(get, path = "/api/v1/runs/{id}/timeline", tag = "runs", params(("id" = String, Path), EventsQuery), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "a page of events", body = Page<Event>),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn timeline(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(id): Place<String>,
    Params(query): Params<EventsQuery>,
) -> Answer<Json<Page<Event>>> {
    let run = load(&state, &who, &id).await?;
    let limit = limit(query.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let events = state.store().events(who.tenant, Some(run.id), query.after, limit).await?;
    let next = events.last().filter(|_| events.len() >= limit as usize).map(|event| event.seq.to_string());
    Ok(Json(Page { items: events.iter().map(Event::from_domain).collect(), next }))
}

/// Which part of which log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// The attempt (`test#1`) or repair (`test!1`).
    work: String,
    /// From this line, counted from 1.
    from: Option<u64>,
    /// At most this many lines, 1 to 5,000; 500 unless given.
    limit: Option<u32>,
}

/// Lines of the log of an attempt or repair.
#[utoipa::path(get, path = "/api/v1/runs/{id}/logs", tag = "runs", params(("id" = String, Path), LogQuery), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "lines", body = LogPage),
    (status = 404, description = "no such run or log", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn logs(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(id): Place<String>,
    Params(query): Params<LogQuery>,
) -> Answer<Json<LogPage>> {
    let run = load(&state, &who, &id).await?;
    if !has_work(&run, &query.work) {
        return Err(Refusal::new(Code::LogNotFound, format!("the run has no log {:?}", query.work)));
    }
    let limit = limit(query.limit, LOG_LIMIT_DEFAULT, LOG_LIMIT_MAX)?;
    Ok(Json(log(&state, run.id, &query.work, query.from.unwrap_or(1), limit).await?))
}

/// Whether a run has an attempt or repair of that name. What is not in this list never becomes a path.
pub(crate) fn has_work(run: &CoreRun, work: &str) -> bool {
    run.steps.iter().any(|step| {
        let attempt = step.attempts.iter().any(|a| work == format!("{}#{}", step.name, a.number));
        attempt || step.repairs.iter().any(|r| work == format!("{}!{}", step.name, r.number))
    })
}

/// A part of a log in its wire form.
pub(crate) async fn log(state: &AppState, run: RunId, work: &str, from: u64, limit: u32) -> Answer<LogPage> {
    let page = state.engine().log(run, work, from, u64::from(limit)).await;
    let page = page.map_err(|error| Refusal::caused(Code::LogNotFound, "the log cannot be read here", &error))?;
    let lines = page.lines.into_iter().map(|line| LogLine { n: line.n, text: line.text }).collect();
    Ok(LogPage { lines, next: page.next, complete: page.complete })
}

/// What failed, why, what was tried, what each try did and cost.
#[utoipa::path(get, path = "/api/v1/runs/{id}/report", tag = "runs", params(("id" = String, Path)), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "the report, in the form asked for", content(
        (serde_json::Value = "application/json"), (String = "text/markdown"), (String = "text/plain"))),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn report(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    headers: HeaderMap,
    Place(id): Place<String>,
) -> Answer<Response> {
    let run = load(&state, &who, &id).await?;
    let report = Report::of(state.now(), &run);
    Ok(report_as(&report, Form::best(&headers, &[Form::Json, Form::Markdown, Form::Text])))
}

/// A report in one of its forms.
pub(crate) fn report_as(report: &Report, form: Form) -> Response {
    match form {
        Form::Markdown => form.body(report.markdown()),
        Form::Text => form.body(report.text(&|_, word| word.to_owned())),
        Form::Json | Form::Html => Form::Json.body(serde_json::to_vec(report).unwrap_or_default()),
    }
}

/// The accepted changes of a run, in order, as unified diffs; empty when there are none.
#[utoipa::path(get, path = "/api/v1/runs/{id}/diff", tag = "runs", params(("id" = String, Path)), security(("bearer" = ["runs:read"])), responses(
    (status = 200, description = "unified diffs", body = String, content_type = "text/x-diff"),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn diff(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<Response> {
    let run = load(&state, &who, &id).await?;
    let text = state.store().patches(&run.changes()).await?.concat();
    Ok(([(CONTENT_TYPE, "text/x-diff; charset=utf-8")], text).into_response())
}

/// Asks a run to stop. Its commands are ended; accepted repairs are kept.
#[utoipa::path(post, path = "/api/v1/runs/{id}/cancel", tag = "runs", params(("id" = String, Path)), security(("bearer" = ["runs:operate"])), responses(
    (status = 202, description = "asked", body = Canceling),
    (status = 404, description = "no such run", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "it is over", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn cancel(
    RunsOperate(who): RunsOperate,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<Response> {
    let id = stop(&state, &who, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(Canceling { id, status: "cancel_requested".into() })).into_response())
}

/// Asks a run to stop.
pub(crate) async fn stop(state: &AppState, who: &Principal, id: &str) -> Answer<RunId> {
    let run = load(state, who, id).await?;
    match state.store().cancel(state.now(), who.tenant, run.id, &who.actor).await? {
        Cancel::Requested => Ok(run.id),
        Cancel::AlreadyOver => Err(Refusal::new(Code::AlreadyOver, format!("{} had ended before", run.id))),
        Cancel::NotFound => Err(Refusal::new(Code::RunNotFound, format!("no run {} of yours", run.id))),
    }
}
