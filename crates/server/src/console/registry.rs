//! The console's pages of workflows, schedules and triggers, and their forms.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use mb_api::{Choose, Schedule, StartNamed, Trigger};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chrome;
use crate::auth::{Principal, RunsOperate, RunsRead, WorkflowsWrite};
use crate::extract::{Params, Place, Sent};
use crate::negotiate::{Form, Wanted};
use crate::problem::{Answer, Refusal};
use crate::query::href;
use crate::registry::{Registry, inputs_of};
use crate::state::AppState;
use crate::views::{self, Live, SchedulePage, WorkflowPage};

/// Workflows of one page.
const WORKFLOWS: u32 = 100;
/// Versions on a workflow's page.
const VERSIONS: u32 = 20;
/// Times ahead on a schedule's page.
const NEXT: u32 = 5;
/// Starts on a schedule's or trigger's page.
const FIRES: u32 = 20;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/workflows", get(workflows))
        .route("/workflows/{name}", get(workflow))
        .route("/workflows/{name}/rollback", post(rollback))
        .route("/workflows/{name}/start", post(start))
        .route("/schedules", get(schedules))
        .route("/schedules/{name}", get(schedule))
        .route("/schedules/{name}/pause", post(pause_schedule))
        .route("/schedules/{name}/resume", post(resume_schedule))
        .route("/triggers", get(triggers))
        .route("/triggers/{name}", get(trigger))
        .route("/triggers/{name}/pause", post(pause_trigger))
        .route("/triggers/{name}/resume", post(resume_trigger))
}

fn registry<'a>(state: &'a AppState, who: &'a Principal) -> Registry<'a> {
    Registry { engine: state.engine(), tenant: who.tenant, actor: &who.actor }
}

/// JSON, or lines of text for the forms that are read by people elsewhere.
fn plain(form: Form, data: &impl Serialize, lines: impl Iterator<Item = String>) -> Response {
    match form {
        Form::Json => Json(data).into_response(),
        Form::Html | Form::Markdown | Form::Text => {
            form.body(lines.map(|line| format!("- {line}\n")).collect::<String>())
        }
    }
}

/// Where the list goes on.
#[derive(Debug, Default, Deserialize)]
struct After {
    #[serde(default)]
    after: String,
}

async fn workflows(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Wanted(form): Wanted,
    Params(query): Params<After>,
) -> Answer<Response> {
    let page = registry(&state, &who).workflows(&query.after, WORKFLOWS).await?;
    if !matches!(form, Form::Html) {
        return Ok(plain(form, &page, page.items.iter().map(|row| format!("{} version {}", row.name, row.version))));
    }
    let next = page.next.as_deref().map(|after| href("/workflows", &[("after", after)]));
    let chrome = chrome("Workflows", "/workflows", Live::Still);
    Ok(form.body(views::workflows(&chrome, state.now(), &page.items, next.as_deref()).into_string()))
}

/// Which version.
#[derive(Debug, Default, Deserialize)]
struct Version {
    version: Option<u32>,
}

async fn workflow(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Wanted(form): Wanted,
    Place(name): Place<String>,
    Params(query): Params<Version>,
) -> Answer<Response> {
    let registry = registry(&state, &who);
    let workflow = registry.workflow(&name, query.version).await?;
    if !matches!(form, Form::Html) {
        let steps = workflow.document.steps.iter().map(|step| format!("{}: {}", step.name, step.action.display()));
        return Ok(plain(form, &workflow, steps));
    }
    let versions = registry.versions(&name, None, VERSIONS).await?.items;
    let page = WorkflowPage { at: state.now(), workflow: &workflow, versions: &versions };
    Ok(form.body(views::workflow(&chrome(&workflow.version.name, "/workflows", Live::Still), &page).into_string()))
}

async fn rollback(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Sent(wish): Sent<Choose>,
) -> Answer<Redirect> {
    let chosen = registry(&state, &who).choose(&name, wish.version).await?;
    Ok(Redirect::to(&format!("/workflows/{}", chosen.name)))
}

/// The form's fields are `version` and one `input.NAME` for each input; an empty one is not given.
async fn start(
    RunsOperate(who): RunsOperate,
    State(state): State<AppState>,
    Place(name): Place<String>,
    Sent(fields): Sent<Vec<(String, String)>>,
) -> Answer<Redirect> {
    let registry = registry(&state, &who);
    let version = fields.iter().find(|(name, _)| name == "version").and_then(|(_, text)| text.parse().ok());
    let workflow = registry.workflow(&name, version).await?;
    let given = fields.into_iter().filter(|(_, text)| !text.is_empty());
    let pairs: Vec<(String, String)> =
        given.filter_map(|(name, text)| Some((name.strip_prefix("input.")?.to_owned(), text))).collect();
    let inputs: Value = inputs_of(&workflow.document, &pairs).map_err(Refusal::from)?;
    let run = registry.start(&name, StartNamed { inputs, version }, None, None).await?;
    Ok(Redirect::to(&format!("/runs/{}", run.id)))
}

async fn schedules(RunsRead(who): RunsRead, State(state): State<AppState>, Wanted(form): Wanted) -> Answer<Response> {
    let list: Vec<Schedule> = registry(&state, &who).schedules().await?;
    if !matches!(form, Form::Html) {
        return Ok(plain(form, &list, list.iter().map(|row| format!("{}: {} {}", row.name, row.workflow, row.timing))));
    }
    Ok(form.body(views::schedules(&chrome("Schedules", "/schedules", Live::Still), &list).into_string()))
}

async fn schedule(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Wanted(form): Wanted,
    Place(name): Place<String>,
) -> Answer<Response> {
    let registry = registry(&state, &who);
    let schedule = registry.schedule(&name).await?;
    let next = registry.next(&name, NEXT).await?;
    if !matches!(form, Form::Html) {
        return Ok(plain(form, &schedule, next.iter().map(|moment| moment.local.clone())));
    }
    let fires = registry.schedule_fires(&name, FIRES).await?;
    let page = SchedulePage { at: state.now(), schedule: &schedule, next: &next, fires: &fires };
    Ok(form.body(views::schedule(&chrome(&schedule.name, "/schedules", Live::Still), &page).into_string()))
}

async fn pause_schedule(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
) -> Answer<Redirect> {
    let schedule = registry(&state, &who).pause_schedule(&name, "").await?;
    Ok(Redirect::to(&format!("/schedules/{}", schedule.name)))
}

async fn resume_schedule(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
) -> Answer<Redirect> {
    let schedule = registry(&state, &who).resume_schedule(&name).await?;
    Ok(Redirect::to(&format!("/schedules/{}", schedule.name)))
}

async fn triggers(RunsRead(who): RunsRead, State(state): State<AppState>, Wanted(form): Wanted) -> Answer<Response> {
    let list: Vec<Trigger> = registry(&state, &who).triggers().await?;
    if !matches!(form, Form::Html) {
        return Ok(plain(
            form,
            &list,
            list.iter().map(|row| format!("{}: {} on {}", row.name, row.workflow, row.when)),
        ));
    }
    Ok(form.body(views::triggers(&chrome("Triggers", "/triggers", Live::Still), &list).into_string()))
}

async fn trigger(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Wanted(form): Wanted,
    Place(name): Place<String>,
) -> Answer<Response> {
    let registry = registry(&state, &who);
    let trigger = registry.trigger(&name).await?;
    let fires = registry.trigger_fires(&name, FIRES).await?;
    if !matches!(form, Form::Html) {
        return Ok(plain(form, &trigger, fires.iter().map(|fire| format!("{} {}", fire.occasion, fire.state))));
    }
    let chrome = chrome(&trigger.name, "/triggers", Live::Still);
    Ok(form.body(views::trigger(&chrome, state.now(), &trigger, &fires).into_string()))
}

async fn pause_trigger(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
) -> Answer<Redirect> {
    let trigger = registry(&state, &who).pause_trigger(&name, Some("")).await?;
    Ok(Redirect::to(&format!("/triggers/{}", trigger.name)))
}

async fn resume_trigger(
    WorkflowsWrite(who): WorkflowsWrite,
    State(state): State<AppState>,
    Place(name): Place<String>,
) -> Answer<Redirect> {
    let trigger = registry(&state, &who).pause_trigger(&name, None).await?;
    Ok(Redirect::to(&format!("/triggers/{}", trigger.name)))
}
