//! The console's routes: the same addresses answer a browser, a script and a reader of Markdown.
//!
//! The pages themselves are pure functions in [`crate::views`]; here their data is read. Nothing here needs a script.

mod registry;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_extra::extract::cookie::CookieJar;
use mb_api::page::LOG_LIMIT_DEFAULT;
use mb_api::{Code, Event, LogPage, Now, Run};
use mb_core::attempt::AttemptState;
use mb_core::id::{RunId, TenantId};
use mb_core::repair::RepairState;
use mb_core::report::Report;
use mb_core::run::Run as CoreRun;
use mb_engine::Engine;
use serde::Deserialize;

use crate::auth::{self, COOKIE, RunsApprove, RunsOperate, RunsRead};
use crate::extract::{Params, Place, Sent};
use crate::negotiate::{Form, Wanted};
use crate::problem::{Answer, Refusal};
use crate::query::href;
use crate::routes::runs::{RunsQuery, has_work, load, log, page, report_as, stop};
use crate::routes::signals;
use crate::state::AppState;
use crate::verdict::{self, Facts};
use crate::views::{self, Chrome, Live, RunPage, RunsPage};
use crate::{assets, fleet, login, stream};

/// Runs on the home page.
const RECENT: u32 = 10;
/// Events on a run's page; the API pages through more.
const EVENTS_MAX: u32 = 1_000;
/// Diffs on a run's page.
const DIFFS_MAX: usize = 20;

pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(now))
        .route("/runs", get(runs))
        .route("/runs/{id}", get(run))
        .route("/runs/{id}/cancel", post(cancel))
        .route("/runs/{id}/steps/{step}/decide", post(decide))
        .route("/runs/{id}/log/live", get(log_live))
        .route("/live", get(live))
        .route("/login", get(login_page))
        .route("/welcome", get(welcome).post(redeem))
        .route("/logout", post(logout))
        .route("/assets/{hash}/{name}", get(asset))
        .merge(registry::routes())
}

pub(crate) fn chrome<'a>(title: &'a str, here: &'a str, live: Live<'a>) -> Chrome<'a> {
    Chrome { title, here, live, version: Engine::version().version }
}

async fn now(RunsRead(who): RunsRead, State(state): State<AppState>, Wanted(form): Wanted) -> Answer<Response> {
    // The number before the state: a change in between is seen again, never missed.
    let seq = state.store().last_seq().await?;
    let now = verdict::judge(facts(&state, who.tenant).await?);
    let stream = href("/live", &[("after", &seq.to_string())]);
    Ok(match form {
        Form::Html => {
            let chrome = chrome("Now", "/", Live::Stream { stream: &stream, href: "/" });
            form.body(views::now(&chrome, &now).into_string())
        }
        Form::Json => Json::<Now>(now).into_response(),
        Form::Markdown | Form::Text => form.body(verdict::text(&now)),
    })
}

async fn facts(state: &AppState, tenant: TenantId) -> Answer<Facts> {
    let at = state.now();
    let recent = RunsQuery { limit: Some(RECENT), ..RunsQuery::default() };
    // A run that failed longer ago has been seen, or is not missed.
    let failed =
        RunsQuery { state: "failed".into(), window: "24h".into(), limit: Some(RECENT), ..RunsQuery::default() };
    Ok(Facts {
        at,
        readiness: mb_api::probe::Readiness::from_domain(&state.engine().probe().await),
        counts: state.store().run_counts(tenant).await?,
        recent: page(state, tenant, &recent).await?.items,
        failed: page(state, tenant, &failed).await?.items,
        queues: fleet::queues(state.engine()).await?,
        workers: fleet::workers(state.engine()).await?,
    })
}

async fn runs(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Wanted(form): Wanted,
    uri: Uri,
    Params(query): Params<RunsQuery>,
) -> Answer<Response> {
    let seq = state.store().last_seq().await?;
    let page = page(&state, who.tenant, &query).await?;
    match form {
        Form::Json => return Ok(Json(page).into_response()),
        Form::Markdown | Form::Text => return Ok(form.body(verdict::runs_text(&page.items))),
        Form::Html => {}
    }
    let counts = state.store().run_counts(who.tenant).await?;
    let next = page.next.as_deref().map(|cursor| query.next("/runs", cursor));
    let list = RunsPage {
        at: state.now(),
        runs: &page,
        counts: &counts,
        state: &query.state,
        text: &query.text,
        window: &query.window,
        next: next.as_deref(),
    };
    let (stream, here) = (href("/live", &[("after", &seq.to_string())]), own_address(&uri));
    let chrome = chrome("Runs", "/runs", Live::Stream { stream: &stream, href: &here });
    Ok(form.body(views::runs(&chrome, &list).into_string()))
}

fn own_address(uri: &Uri) -> String {
    uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string)
}

/// Which log a run's page shows.
#[derive(Debug, Default, Deserialize)]
struct RunQuery {
    work: Option<String>,
    from: Option<u64>,
}

async fn run(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Wanted(form): Wanted,
    uri: Uri,
    Place(id): Place<String>,
    Params(query): Params<RunQuery>,
) -> Answer<Response> {
    let seq = state.store().last_seq().await?;
    let core = load(&state, &who, &id).await?;
    let at = state.now();
    let report = Report::of(at, &core);
    match form {
        Form::Json => return Ok(Json(Run::from_domain(at, &core)).into_response()),
        Form::Markdown | Form::Text => return Ok(report_as(&report, form)),
        Form::Html => {}
    }
    let shown = shown_log(&state, &core, query).await?;
    let events = state.store().events(who.tenant, Some(core.id), 0, EVENTS_MAX).await?;
    let events: Vec<Event> = events.iter().map(Event::from_domain).collect();
    let (run, diffs) = (Run::from_domain(at, &core), diffs(&state, &core).await?);
    let data = RunPage {
        at,
        run: &run,
        headline: &report.headline,
        events: &events,
        diffs: &diffs,
        work: shown.work.as_deref(),
        log: &shown.page,
        tail: shown.tail.as_deref(),
    };
    let (stream, here) =
        (href("/live", &[("run", &core.id.to_string()), ("after", &seq.to_string())]), own_address(&uri));
    let live = if run.summary.outcome.is_none() { Live::Stream { stream: &stream, href: &here } } else { Live::Still };
    let title = format!("{} {}", run.summary.project.chars().take(60).collect::<String>(), run.summary.state);
    Ok(form.body(views::run(&chrome(&title, "/runs", live), &data).into_string()))
}

/// The log a page shows, and where it goes on.
struct Shown {
    work: Option<String>,
    page: LogPage,
    tail: Option<String>,
}

async fn shown_log(state: &AppState, run: &CoreRun, query: RunQuery) -> Answer<Shown> {
    if let Some(work) = query.work.as_deref().filter(|work| !has_work(run, work)) {
        return Err(Refusal::new(Code::LogNotFound, format!("the run has no log {work:?}")));
    }
    let Some(work) = query.work.or_else(|| interesting(run)) else {
        return Ok(Shown { work: None, page: LogPage { lines: Vec::new(), next: 1, complete: true }, tail: None });
    };
    let growing = growing(run, &work);
    let page = log(state, run.id, &work, query.from.unwrap_or(1), LOG_LIMIT_DEFAULT).await?;
    let live = format!("/runs/{}/log/live", run.id);
    let tail = (growing && page.complete).then(|| href(&live, &[("work", &work), ("from", &page.next.to_string())]));
    Ok(Shown { work: Some(work), page, tail })
}

/// The log one wants to see first: of what runs now, else of what failed first, else of what ran last.
fn interesting(run: &CoreRun) -> Option<String> {
    let attempts = || run.steps.iter().flat_map(|step| step.attempts.iter().map(move |a| (step, a)));
    let name = |(step, attempt): (&mb_core::run::Step, &mb_core::attempt::Attempt)| {
        format!("{}#{}", step.name, attempt.number)
    };
    let running = attempts().find(|(_, a)| matches!(a.state, AttemptState::Running { .. }));
    let failed = || attempts().find(|(_, a)| a.outcome().is_some_and(|o| !o.success()));
    let last = || attempts().rfind(|(_, a)| a.outcome().is_some());
    running.or_else(failed).or_else(last).map(name)
}

/// Whether the log of an attempt or repair may still grow.
fn growing(run: &CoreRun, work: &str) -> bool {
    run.state.outcome().is_none()
        && run.steps.iter().any(|step| {
            let attempt = step.attempts.iter().any(|a| {
                work == format!("{}#{}", step.name, a.number) && !matches!(a.state, AttemptState::Finished { .. })
            });
            attempt
                || step.repairs.iter().any(|r| {
                    work == format!("{}!{}", step.name, r.number) && !matches!(r.state, RepairState::Finished { .. })
                })
        })
}

/// Whether the log of an attempt or repair of a stored run may still grow.
pub(crate) async fn is_growing(state: &AppState, tenant: TenantId, run: RunId, work: &str) -> Answer<bool> {
    Ok(state.store().run(tenant, run).await?.is_some_and(|run| growing(&run, work)))
}

async fn diffs(state: &AppState, run: &CoreRun) -> Answer<BTreeMap<String, String>> {
    let patches = run.steps.iter().flat_map(|step| &step.repairs).filter_map(|r| r.outcome()?.patch.as_ref());
    let mut diffs = BTreeMap::new();
    for patch in patches.take(DIFFS_MAX) {
        if let Some(text) = state.store().patch(&patch.digest).await? {
            diffs.insert(patch.digest.clone(), text);
        }
    }
    Ok(diffs)
}

async fn cancel(
    RunsOperate(who): RunsOperate,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<Redirect> {
    let id = stop(&state, &who, &id).await?;
    Ok(Redirect::to(&format!("/runs/{id}")))
}

/// What the form of a waiting step says.
#[derive(Debug, Deserialize)]
struct DecisionForm {
    decision: String,
    #[serde(default)]
    reason: String,
}

async fn decide(
    RunsApprove(who): RunsApprove,
    State(state): State<AppState>,
    Place((id, step)): Place<(String, String)>,
    Sent(form): Sent<DecisionForm>,
) -> Answer<Redirect> {
    let approved = match form.decision.as_str() {
        "approve" => true,
        "reject" => false,
        other => return Err(Refusal::new(Code::BadBody, format!("{other:?} is neither approve nor reject"))),
    };
    let run = signals::applied(signals::decide(&state, &who, &id, step, approved, form.reason).await?)?;
    Ok(Redirect::to(&format!("/runs/{}", run.id)))
}

/// What a page watches.
#[derive(Debug, Deserialize)]
struct LiveQuery {
    run: Option<String>,
    #[serde(default)]
    after: i64,
}

async fn live(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    headers: HeaderMap,
    Params(query): Params<LiveQuery>,
) -> Answer<Response> {
    let run = match &query.run {
        Some(id) => Some(load(&state, &who, id).await?.id),
        None => None,
    };
    let after = stream::last_event_id(&headers).unwrap_or(query.after);
    stream::changes(&state, who.tenant, run, after).await
}

/// Which log to follow, from where.
#[derive(Debug, Deserialize)]
struct TailQuery {
    work: String,
    #[serde(default)]
    from: u64,
}

async fn log_live(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    headers: HeaderMap,
    Place(id): Place<String>,
    Params(query): Params<TailQuery>,
) -> Answer<Response> {
    let run = load(&state, &who, &id).await?;
    if !has_work(&run, &query.work) {
        return Err(Refusal::new(Code::LogNotFound, format!("the run has no log {:?}", query.work)));
    }
    // Messages of this stream are numbered by the line that comes next.
    let resumed = stream::last_event_id(&headers).and_then(|n| u64::try_from(n).ok());
    stream::log(&state, who.tenant, run.id, query.work, resumed.unwrap_or(query.from)).await
}

async fn login_page() -> Response {
    Form::Html.body(views::login().into_string())
}

/// The secret of a login link.
#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    t: String,
}

async fn welcome(Params(secret): Params<Secret>) -> Response {
    Form::Html.body(views::welcome(&secret.t).into_string())
}

async fn redeem(State(state): State<AppState>, headers: HeaderMap, Sent(secret): Sent<Secret>) -> Answer<Response> {
    auth::same_origin(&headers)?;
    let Some(cookie) = login::redeem(&state, &secret.t).await? else {
        return Err(Refusal::new(Code::LoginUsed, "it was used, is older than 30 minutes, or was never ours"));
    };
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

async fn logout(State(state): State<AppState>, headers: HeaderMap) -> Answer<Response> {
    auth::same_origin(&headers)?;
    if let Some(cookie) = CookieJar::from_headers(&headers).get(COOKIE) {
        state.store().session_end(&auth::hash(cookie.value())).await?;
    }
    Ok(([(SET_COOKIE, login::farewell(&state))], Redirect::to("/login")).into_response())
}

async fn asset(uri: Uri) -> Answer<Response> {
    let missing = || Refusal::new(Code::NotFound, "no such file in this version");
    let asset = assets::find(uri.path()).ok_or_else(missing)?;
    let headers = [(CONTENT_TYPE, asset.media_type), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((StatusCode::OK, headers, asset.bytes).into_response())
}
