//! Where runs are looked at: a running server, or the data folder of this machine. One set of questions, the same
//! wire types from both, so that no command needs to know.

mod fleet;

use std::str::FromStr as _;

use anyhow::{Context as _, anyhow};
use mb_api::client::{Client, ClientError, RunQuery};
use mb_api::{Code, Event, LogPage, NewDecision, NewSignal, Page, Run, RunSummary};
use mb_core::id::{RunId, TenantId};
use mb_core::report::Report;
use mb_core::run::Signal;
use mb_core::time::Timestamp;
use mb_engine::Engine;
use mb_server::registry::{Registry, RegistryError};
use mb_store::{Cancel, Cursor, Decision, RunFilter, Told};

use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::local;

/// Who decides when somebody with the data folder does.
const LOCAL: &str = "local";
/// Events read at once.
const PAGE: u32 = 1_000;

/// Where runs are looked at.
pub(crate) enum Access {
    Remote(Client),
    Local(Engine),
}

/// A run as every command shows it: wire form and report, from the same moment.
pub(crate) struct Seen {
    pub(crate) run: Run,
    pub(crate) report: Report,
}

impl Access {
    /// The server, when one is named; else the data folder.
    pub(crate) async fn open(global: &Global) -> Result<Access, Failure> {
        match &global.server {
            Some(url) => Ok(Access::Remote(Client::new(url, global.token.clone()).map_err(remote)?)),
            None => Ok(Access::Local(local::looking(global).await?)),
        }
    }

    /// The run a command names, or the newest when it names none.
    pub(crate) async fn pick(&self, named: Option<&str>) -> Result<RunId, Failure> {
        if let Some(text) = named {
            return RunId::from_str(text).map_err(|e| Failure::new(Exit::Usage, e).mend("mb run ls"));
        }
        let page = self.runs(&RunQuery { limit: Some(1), ..RunQuery::default() }).await?;
        page.items
            .first()
            .map(|run| run.id)
            .ok_or_else(|| Failure::new(Exit::NotFound, anyhow!("there are no runs yet")).mend("mb run -- CMD"))
    }

    pub(crate) async fn runs(&self, query: &RunQuery) -> Result<Page<RunSummary>, Failure> {
        match self {
            Access::Remote(client) => client.runs(query).await.map_err(remote),
            Access::Local(engine) => local_runs(engine, query).await,
        }
    }

    pub(crate) async fn run(&self, id: RunId) -> Result<Seen, Failure> {
        match self {
            Access::Remote(client) => {
                let run = client.run(id).await.map_err(remote)?;
                let report = client.report(id, "application/json").await.map_err(remote)?;
                Ok(Seen { run, report: serde_json::from_str(&report).context("the server's report cannot be read")? })
            }
            Access::Local(engine) => {
                let run = stored(engine, id).await?;
                let now = engine.env().now();
                Ok(Seen { run: Run::from_domain(now, &run), report: Report::of(now, &run) })
            }
        }
    }

    /// All events of a run after `after`, oldest first.
    pub(crate) async fn timeline(&self, id: RunId, mut after: i64) -> Result<Vec<Event>, Failure> {
        let mut all = Vec::new();
        loop {
            let (page, full): (Vec<Event>, bool) = match self {
                Access::Remote(client) => {
                    let page = client.timeline(id, after, 200).await.map_err(remote)?;
                    (page.items, page.next.is_some())
                }
                Access::Local(engine) => {
                    let events = engine
                        .store()
                        .events(TenantId::DEFAULT, Some(id), after, PAGE)
                        .await
                        .context("events cannot be read")?;
                    let full = events.len() == PAGE as usize;
                    (events.iter().map(Event::from_domain).collect(), full)
                }
            };
            after = page.last().map_or(after, |event| event.seq);
            all.extend(page);
            if !full {
                return Ok(all);
            }
        }
    }

    pub(crate) async fn logs(&self, id: RunId, work: &str, from: u64, limit: u32) -> Result<LogPage, Failure> {
        match self {
            Access::Remote(client) => client.logs(id, work, from, limit).await.map_err(remote),
            Access::Local(engine) => {
                let page = engine.log(id, work, from, u64::from(limit)).await.context("the log cannot be read")?;
                let lines = page.lines.into_iter().map(|l| mb_api::LogLine { n: l.n, text: l.text }).collect();
                Ok(LogPage { lines, next: page.next, complete: page.complete })
            }
        }
    }

    pub(crate) async fn diff(&self, id: RunId) -> Result<String, Failure> {
        match self {
            Access::Remote(client) => client.diff(id).await.map_err(remote),
            Access::Local(engine) => {
                let run = stored(engine, id).await?;
                let diffs = engine.store().patches(&run.changes()).await.context("the patches cannot be read")?;
                Ok(diffs.concat())
            }
        }
    }

    pub(crate) async fn cancel(&self, id: RunId, by: &str) -> Result<(), Failure> {
        match self {
            Access::Remote(client) => client.cancel(id).await.map(|_| ()).map_err(remote),
            Access::Local(engine) => {
                match engine
                    .store()
                    .cancel(engine.env().now(), TenantId::DEFAULT, id, by)
                    .await
                    .context("the run cannot be canceled")?
                {
                    Cancel::Requested => Ok(()),
                    Cancel::AlreadyOver => {
                        Err(Failure::new(Exit::Conflict, anyhow!("{id} is already over"))
                            .mend(format!("mb run show {id}")))
                    }
                    Cancel::NotFound => Err(missing(id)),
                }
            }
        }
    }

    /// Sends a run a signal.
    pub(crate) async fn signal(&self, id: RunId, name: &str, payload: serde_json::Value) -> Result<Run, Failure> {
        match self {
            Access::Remote(client) => client.signal(id, name, &NewSignal { payload }).await.map_err(remote),
            Access::Local(engine) => {
                let now = engine.env().now();
                let signal = Signal { name: name.to_owned(), payload, by: LOCAL.to_owned() };
                let told = engine.store().signal_run(now, TenantId::DEFAULT, id, signal).await;
                taken(now, id, told.context("the signal cannot be sent")?)
            }
        }
    }

    /// Approves or rejects a step.
    pub(crate) async fn decide(&self, id: RunId, step: &str, approved: bool, reason: &str) -> Result<Run, Failure> {
        match self {
            Access::Remote(client) => {
                let decision = NewDecision { reason: reason.to_owned() };
                client.decide(id, step, approved, &decision).await.map_err(remote)
            }
            Access::Local(engine) => {
                let now = engine.env().now();
                let (step, by, reason) = (step.to_owned(), LOCAL.to_owned(), reason.to_owned());
                let told =
                    engine.store().decide(now, TenantId::DEFAULT, id, Decision { step, approved, by, reason }).await;
                taken(now, id, told.context("the decision cannot be stored")?)
            }
        }
    }

    /// What time it is for ages shown.
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Access::Local(engine) => engine.env().now(),
            Access::Remote(_) => mb_engine::Env::system().map_or_else(|_| Timestamp::default(), |env| env.now()),
        }
    }
}

/// The named things of a data folder, as its owner works with them.
pub(crate) fn registry(engine: &Engine) -> Registry<'_> {
    Registry { engine, tenant: TenantId::DEFAULT, actor: "command line" }
}

async fn local_runs(engine: &Engine, query: &RunQuery) -> Result<Page<RunSummary>, Failure> {
    let words = query.state.iter().flat_map(|words| words.split(',')).filter(|w| !w.is_empty());
    let filter =
        RunFilter { words: words.map(str::to_owned).collect(), text: query.text.clone(), ..RunFilter::default() };
    let after = query.after.as_deref().map(Cursor::from_str).transpose().map_err(|e| {
        Failure::new(Exit::Usage, anyhow::Error::new(e).context("--after takes the cursor a list ended with"))
    })?;
    let page = engine
        .store()
        .run_list(TenantId::DEFAULT, &filter, after, query.limit.unwrap_or(mb_api::LIMIT_DEFAULT))
        .await
        .context("runs cannot be listed")?;
    let now = engine.env().now();
    let items = page.items.iter().map(|row| mb_server::wire::run_summary(now, row)).collect();
    Ok(Page { items, next: page.next.map(|cursor| cursor.to_string()) })
}

/// What a run told something became, or why it cannot take it.
fn taken(now: Timestamp, id: RunId, told: Told) -> Result<Run, Failure> {
    match told {
        Told::Applied(run) => Ok(Run::from_domain(now, &run)),
        Told::Refused(illegal) => Err(Failure::new(Exit::Conflict, anyhow!("{id} cannot take this: {}", illegal.why))
            .mend(format!("mb run show {id}"))),
        Told::NotFound => Err(missing(id)),
    }
}

pub(crate) async fn stored(engine: &Engine, id: RunId) -> Result<mb_core::run::Run, Failure> {
    let run = engine.store().run(TenantId::DEFAULT, id).await.context("the run cannot be read")?;
    run.ok_or_else(|| missing(id))
}

fn missing(id: RunId) -> Failure {
    Failure::new(Exit::NotFound, anyhow!("there is no run {id} here")).mend("mb run ls")
}

/// The exit code of a command that ends with a problem of this status.
fn exit_of(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::Denied,
        404 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        400 | 413 | 422 => Exit::Usage,
        503 => Exit::Unreachable,
        504 => Exit::TimedOut,
        _ => Exit::Failed,
    }
}

/// What the data folder refused, as a server would have.
pub(crate) fn refused(error: RegistryError) -> Failure {
    match &error {
        RegistryError::Refused { code, .. } => {
            let entry = code.entry();
            Failure::new(exit_of(entry.status), error).mend(entry.hint)
        }
        RegistryError::Store(_) => Failure::new(Exit::Unreachable, error).mend("mb doctor"),
    }
}

/// A client's error with the exit code its problem's code stands for.
pub(crate) fn remote(error: ClientError) -> Failure {
    let exit = match &error {
        ClientError::Unreachable { .. } | ClientError::Foreign { .. } | ClientError::Stream(_) => Exit::Unreachable,
        ClientError::Address { .. } => Exit::Usage,
        ClientError::Problem(problem) if problem.code() == Some(Code::QueueFull) => Exit::Degraded,
        ClientError::Problem(problem) => exit_of(problem.status),
    };
    let mend = match &error {
        ClientError::Problem(problem) if !problem.hint.is_empty() => Some(problem.hint.clone()),
        ClientError::Unreachable { .. } => Some("mb up, or leave out --server to use the data folder".to_owned()),
        _ => None,
    };
    Failure { exit, error: error.into(), mend }
}
