//! The console's addresses of queues, workers and dead letters; the rest is in [`crate::console`].

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use mb_api::task::Requeue;
use mb_core::id::TaskId;
use mb_core::queue::Flow;

use crate::auth::{FleetOperate, RunsRead};
use crate::console::chrome;
use crate::extract::{Params, Place};
use crate::fleet;
use crate::negotiate::{Form, Wanted};
use crate::problem::{Answer, Refusal};
use crate::query::href;
use crate::routes::fleet::{class_of, end_one};
use crate::routes::tasks::{DeadQuery, dead_page};
use crate::state::AppState;
use crate::views::{self, DeadPage, Live, QueuesPage, WorkersPage};

pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/queues", get(queues))
        .route("/queues/clear-stuck", post(clear_stuck))
        .route("/queues/{class}/{verb}", post(set))
        .route("/workers", get(workers))
        .route("/workers/shutdown", post(end_all))
        .route("/workers/{id}/drain", post(end))
        .route("/dead-letters", get(dead_letters))
        .route("/dead-letters/requeue-all", post(requeue_all))
        .route("/dead-letters/{id}/requeue", post(requeue))
}

async fn queues(RunsRead(who): RunsRead, State(state): State<AppState>, Wanted(form): Wanted) -> Answer<Response> {
    let queues = fleet::queues(state.engine()).await?;
    let status = fleet::queues_status(state.engine()).await?;
    let text = || {
        let line = |q: &mb_api::fleet::QueueStatus| {
            let capacity = q.capacity.map_or_else(|| "no bound".to_owned(), |n| format!("of {n}"));
            format!("- {} ({}): {} waiting ({capacity}), {} leased\n", q.class, q.state, q.depth, q.in_flight)
        };
        format!("# Queues\n\n{}", status.queues.iter().map(line).collect::<String>())
    };
    Ok(match form {
        Form::Json => Json(&status).into_response(),
        Form::Markdown | Form::Text => form.body(text()),
        Form::Html => {
            let dead = fleet::dead_letters(state.engine(), who.tenant, 1, None).await?;
            let page = QueuesPage {
                at: status.at,
                queues: &queues,
                priorities: &status.priorities,
                has_dead: !dead.items.is_empty(),
            };
            let chrome = chrome("Queues", "/queues", Live::Often { href: "/queues" });
            form.body(views::queues(&chrome, &page).into_string())
        }
    })
}

async fn set(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
    Place((class, verb)): Place<(String, String)>,
) -> Answer<Redirect> {
    let class = class_of(&class)?;
    let flow = match verb.as_str() {
        "pause" => Flow::Paused,
        "drain" => Flow::Draining,
        "resume" | "restart" => Flow::Running,
        _ => return Err(Refusal::new(mb_api::Code::NotFound, "a queue is paused, resumed, drained or restarted")),
    };
    state.engine().set_flow(&who.actor, &[class], flow).await?;
    Ok(Redirect::to("/queues"))
}

async fn clear_stuck(FleetOperate(who): FleetOperate, State(state): State<AppState>) -> Answer<Redirect> {
    state.engine().clear_stuck(&who.actor).await?;
    Ok(Redirect::to("/queues"))
}

async fn workers(_: RunsRead, State(state): State<AppState>, Wanted(form): Wanted) -> Answer<Response> {
    let status = fleet::workers_status(state.engine()).await?;
    let text = || {
        let line = |w: &mb_api::Worker| format!("- {} `{}`: {}, {}\n", w.node, w.id, w.health, w.state);
        format!("# Workers\n\n{}", status.workers.iter().map(line).collect::<String>())
    };
    Ok(match form {
        Form::Json => Json(&status).into_response(),
        Form::Markdown | Form::Text => form.body(text()),
        Form::Html => {
            let health = fleet::workers_health(state.engine()).await?;
            let page = WorkersPage { at: status.at, workers: &status.workers, health: &health };
            let chrome = chrome("Workers", "/workers", Live::Often { href: "/workers" });
            form.body(views::workers(&chrome, &page).into_string())
        }
    })
}

async fn end_all(FleetOperate(who): FleetOperate, State(state): State<AppState>) -> Answer<Redirect> {
    state.engine().end_workers(&who.actor, None).await?;
    Ok(Redirect::to("/workers"))
}

async fn end(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<Redirect> {
    end_one(&state, &who, &id).await?;
    Ok(Redirect::to("/workers"))
}

async fn dead_letters(
    RunsRead(who): RunsRead,
    State(state): State<AppState>,
    Wanted(form): Wanted,
    Params(query): Params<DeadQuery>,
) -> Answer<Response> {
    let tasks = dead_page(&state, &who, &query).await?;
    let text = || {
        let why =
            |task: &mb_api::task::Task| task.error.clone().unwrap_or_default().replace(['\n', '`', '<', '>'], " ");
        let line = |task: &mb_api::task::Task| format!("- {} `{}` {}: {}\n", task.state, task.id, task.kind, why(task));
        format!("# Dead letters\n\n{}", tasks.items.iter().map(line).collect::<String>())
    };
    Ok(match form {
        Form::Json => Json(&tasks).into_response(),
        Form::Markdown | Form::Text => form.body(text()),
        Form::Html => {
            let all = Requeue { all: true, dry_run: true, ..Requeue::default() };
            let total = fleet::requeue(state.engine(), &who.actor, who.tenant, &all).await?.count;
            let next = tasks.next.as_deref().map(|cursor| href("/dead-letters", &[("after", cursor)]));
            let page = DeadPage { at: state.now(), tasks: &tasks, next: next.as_deref(), total };
            let chrome = chrome("Dead letters", "/queues", Live::Still);
            form.body(views::dead_letters(&chrome, &page).into_string())
        }
    })
}

async fn requeue_all(FleetOperate(who): FleetOperate, State(state): State<AppState>) -> Answer<Redirect> {
    let all = Requeue { all: true, ..Requeue::default() };
    fleet::requeue(state.engine(), &who.actor, who.tenant, &all).await?;
    Ok(Redirect::to("/dead-letters"))
}

async fn requeue(
    FleetOperate(who): FleetOperate,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<Redirect> {
    let short: String = id.chars().take(60).collect();
    let unknown = || Refusal::new(mb_api::Code::TaskNotFound, format!("no dead letter {short:?} of yours"));
    let id: TaskId = id.parse().map_err(|_| unknown())?;
    if state.engine().requeue(&who.actor, who.tenant, &[id]).await?.is_empty() {
        return Err(unknown());
    }
    Ok(Redirect::to("/dead-letters"))
}
