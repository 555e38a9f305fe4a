//! `mb serve`: a server, workers, or both in one process. `mb up` is the same with a login link.
//!
//! On a signal nothing new is taken, running tasks end or are given back, and the process leaves with 0; a second signal
//! ends it at once.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use mb_core::id::TenantId;
use mb_engine::{Engine, Maintenance, NodeLock, Reaper, Scheduler, Worker, WorkerOptions};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::args::{Global, Role, ServeArgs, ServerArgs, WorkerStartArgs};
use crate::commands::worker;
use crate::exit::{Exit, Failure};
use crate::settings::fleet::{Fleet, resolve};
use crate::{local, settings};

/// How often the reaper looks.
const REAP: Duration = Duration::from_secs(5);
/// How often schedules and triggers are looked at.
const SCHEDULE: Duration = Duration::from_millis(500);
/// An embedded run whose process was not seen for this long is adopted.
const STALE: Duration = Duration::from_secs(60);
/// How long running tasks may go on after a shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(20);

pub(crate) async fn run(global: &Global, args: ServeArgs) -> Result<Exit, Failure> {
    if args.role == Role::Worker {
        let ServerArgs { ops_listen, work, fleet, allow_public, .. } = args.server;
        let start = WorkerStartArgs { class: Vec::new(), work, listen: ops_listen, allow_public, fleet };
        return worker::run(global, start).await;
    }
    let server = Server::start(global, args.server, args.role == Role::All).await?;
    for address in &server.addresses {
        anstream::eprintln!("meta-builder serves on http://{address}");
    }
    let told = admin_token(&server.engine, &server.args).await;
    match told {
        Ok(said) => anstream::eprintln!("administrator's token: {said}"),
        Err(failure) => {
            server.stop().await?;
            return Err(failure);
        }
    }
    until_stopped().await;
    server.stop().await?;
    Ok(Exit::Ok)
}

/// A running server.
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) args: ServerArgs,
    pub(crate) fleet: Fleet,
    pub(crate) addresses: Vec<SocketAddr>,
    parts: JoinSet<()>,
    serving: JoinHandle<Result<(), mb_server::ServeError>>,
    stop: CancellationToken,
    _alone: NodeLock,
}

impl Server {
    /// Listens, and works if it is to.
    pub(crate) async fn start(global: &Global, mut args: ServerArgs, works: bool) -> Result<Server, Failure> {
        let data = local::data_dir(global)?;
        let file = settings::load(global, &data)?;
        settings::under(&mut args, &file);
        refuse_public(args.listen.iter().chain(&args.ops_listen), args.allow_public)?;
        let fleet = resolve(&args.fleet, args.work.slots, &file)?;
        let engine = local::serving(global, &args.work, &fleet).await?;
        let alone = take_node(&engine).await?;
        let listeners = bind(&args.listen).await?;
        let ops = match args.ops_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let (stop, mut parts) = (CancellationToken::new(), JoinSet::new());
        if works {
            let roles = ["api".to_owned(), "worker".to_owned()].into();
            let options = WorkerOptions { roles, ..worker_options(&fleet) };
            parts.spawn(work(engine.clone(), options, stop.clone()));
        }
        chores(&engine, &mut parts, &stop);
        let state = mb_server::AppState::new(engine.clone());
        let serving = tokio::spawn(mb_server::serve(listeners, ops, state, stop.clone()));
        Ok(Server { engine, args, fleet, addresses, parts, serving, stop, _alone: alone })
    }

    /// Stops in order: nothing new, what runs, the rest.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.engine.drain();
        self.stop.cancel();
        while self.parts.join_next().await.is_some() {}
        self.engine.resign().await;
        self.engine.clear_up().await;
        self.serving.await.context("the server ended badly")?.context("the server stopped with an error")?;
        self.engine.store().close().await;
        Ok(())
    }
}

async fn work(engine: Engine, options: WorkerOptions, stop: CancellationToken) {
    Worker::new(engine, options).run(stop.clone()).await;
    if !stop.is_cancelled() {
        tracing::warn!(
            "the workers of this process ended as asked; the server goes on, and a restart brings them back"
        );
    }
}

/// The loops every process of an installation runs.
pub(crate) fn chores(engine: &Engine, parts: &mut JoinSet<()>, stop: &CancellationToken) {
    parts.spawn(Reaper::new(engine.clone(), REAP, STALE).run(stop.clone()));
    parts.spawn(Scheduler::new(engine.clone(), SCHEDULE).run(stop.clone()));
    parts.spawn(Maintenance::new(engine.clone()).run(stop.clone()));
}

/// How workers work, as it is set.
pub(crate) fn worker_options(fleet: &Fleet) -> WorkerOptions {
    WorkerOptions {
        slots: fleet.slots.clone(),
        running_max: fleet.running_max,
        lease: fleet.lease,
        poll: fleet.poll,
        task_timeout: fleet.task_timeout,
        drain: DRAIN,
        ..WorkerOptions::default()
    }
}

/// Addresses other machines can reach need a word of the operator: there is no TLS here.
pub(crate) fn refuse_public<'a>(
    addresses: impl IntoIterator<Item = &'a SocketAddr>,
    is_allowed: bool,
) -> Result<(), Failure> {
    let public = addresses.into_iter().find(|address| !address.ip().is_loopback());
    match public {
        Some(address) if !is_allowed => {
            let error = anyhow!("{address} can be reached from other machines and there is no TLS here");
            Err(Failure::new(Exit::Refused, error)
                .mend("put a TLS proxy in front and add --allow-public, or listen on 127.0.0.1"))
        }
        _ => Ok(()),
    }
}

/// One server a node. What the one before left in flight is taken back at once: it is dead, we hold its lock.
async fn take_node(engine: &Engine) -> Result<NodeLock, Failure> {
    let lock = engine.data().lock().context("the node's lock cannot be made")?;
    let lock = lock.ok_or_else(|| {
        let error = anyhow!("another server runs on the data folder {}", engine.data().root().display());
        Failure::new(Exit::Conflict, error).mend("stop it, or choose another folder with --data-dir")
    })?;
    recover(engine, None).await?;
    Ok(lock)
}

/// Takes back what the process before us held, whose lock we have.
pub(crate) async fn recover(engine: &Engine, name: Option<&str>) -> Result<(), Failure> {
    let taken = engine.recover_node(name).await.context("what the last process left could not be taken back")?;
    for task in taken {
        tracing::warn!(%task, "left behind by the process before; on the queue again");
    }
    Ok(())
}

async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        listeners.push(listen(*address).await?);
    }
    Ok(listeners)
}

pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("cannot listen on {address}"));
        Failure::new(Exit::Conflict, error).mend("choose another address with --listen")
    })
}

/// Makes sure somebody can get in, and says where the token is.
pub(crate) async fn admin_token(engine: &Engine, args: &ServerArgs) -> Result<String, Failure> {
    let tokens = engine.store().tokens(TenantId::DEFAULT).await.context("tokens cannot be read")?;
    let file = args.admin_token_file.clone().unwrap_or_else(|| engine.data().root().join("admin-token"));
    keep_token(engine, &file, &tokens).await
}

/// The first administrator's token: taken from the file when it holds one, else made and written there (0600).
async fn keep_token(engine: &Engine, file: &Path, known: &[mb_store::TokenRow]) -> Result<String, Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::read_to_string(file) {
        Ok(text) => {
            mb_server::tokens::adopt(engine, TenantId::DEFAULT, "administrator", text.trim()).await.map_err(
                |error| {
                    let error =
                        anyhow::Error::new(error).context(format!("the token in {} cannot be used", file.display()));
                    Failure::new(Exit::Usage, error).mend("remove the file, and a new token is made")
                },
            )?;
            return Ok(format!("in {}", file.display()));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(anyhow::Error::new(error).context(format!("{} cannot be read", file.display())).into());
        }
    }
    if known.iter().any(|token| token.revoked_at.is_none() && token.scopes.contains("admin")) {
        return Ok("known; make another with mb token add".into());
    }
    let wish = mb_api::NewToken {
        name: "administrator".into(),
        scopes: [mb_core::scope::Scope::Admin].into(),
        expires_in_s: None,
    };
    let secret =
        mb_server::tokens::create(engine, TenantId::DEFAULT, &wish).await.context("the token cannot be stored")?;
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    writeln!(out, "{}", secret.secret).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(format!("in {}", file.display()))
}

/// Waits for the signal to stop.
pub(crate) async fn until_stopped() {
    stop_signal().await;
    anstream::eprintln!("stopping: no new work is taken, running commands may end");
}

/// SIGINT or SIGTERM. A second one, while we stop, ends the process at once.
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).expect("a signal handler can be installed once the runtime runs");
    let mut int = signal(SignalKind::interrupt()).expect("a signal handler can be installed once the runtime runs");
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        std::process::exit(i32::from(Exit::Interrupted.code()));
    });
}
