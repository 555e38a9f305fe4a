//! `mb up`: server, workers and console in one process. It is the production server with its defaults.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use mb_core::id::{RunId, TenantId};
use mb_core::report::Report;
use mb_core::run::RunOutcome;
use mb_engine::{Engine, Layers, Output, Reaper, Scheduler, StartRun, Worker, WorkerOptions};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::stored;
use crate::args::{Global, UpArgs};
use crate::exit::{Exit, Failure};
use crate::follow::{Talk, Teller};
use crate::term::Term;
use crate::{demo, local, settings};

/// A claim holds this long without a heartbeat.
const LEASE: Duration = Duration::from_secs(30);
/// How often workers look for work when nothing hints at any.
const POLL: Duration = Duration::from_secs(1);
/// How often the reaper looks.
const REAP: Duration = Duration::from_secs(5);
/// How often schedules and triggers are looked at.
const SCHEDULE: Duration = Duration::from_millis(500);
/// An embedded run whose process was not seen for this long is adopted.
const STALE: Duration = Duration::from_secs(60);
/// How long running tasks may go on after a shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(20);

pub(crate) async fn run(global: &Global, mut args: UpArgs, term: Term) -> Result<Exit, Failure> {
    let data = local::data_dir(global)?;
    settings::under(&mut args, settings::load(global, &data)?);
    refuse_public(&args)?;
    let engine = local::engine(global, &args.work).await?;
    let _alone = take_node(&engine).await?;
    let listeners = bind(&args.listen).await?;
    let ops = match args.ops_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let stop = CancellationToken::new();
    let mut parts = JoinSet::new();
    parts.spawn(worker(&engine, &args).run(stop.clone()));
    parts.spawn(Reaper::new(engine.clone(), REAP, STALE).run(stop.clone()));
    parts.spawn(Scheduler::new(engine.clone(), SCHEDULE).run(stop.clone()));
    let state = mb_server::AppState::new(engine.clone());
    let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
    let serving = tokio::spawn(mb_server::serve(listeners, ops, state, stop.clone()));
    welcome(&engine, &args, &addresses, term).await?;
    let exit = match args.demo {
        true => with_demo(&engine, args.exit, term).await,
        false => until_stopped().await,
    };
    engine.drain();
    stop.cancel();
    while parts.join_next().await.is_some() {}
    engine.resign().await;
    engine.clear_up().await;
    serving.await.context("the server ended badly")?.context("the server stopped with an error")?;
    engine.store().close().await;
    exit
}

fn worker(engine: &Engine, args: &UpArgs) -> Worker {
    let options = WorkerOptions {
        slots: local::slots_by_class(args.work.slots),
        affinity: None,
        lease: LEASE,
        poll: POLL,
        drain: DRAIN,
        output: Output::default(),
        ..WorkerOptions::default()
    };
    Worker::new(engine.clone(), options)
}

/// Addresses other machines can reach need a word of the operator: there is no TLS here.
fn refuse_public(args: &UpArgs) -> Result<(), Failure> {
    let public = args.listen.iter().chain(&args.ops_listen).find(|address| !address.ip().is_loopback());
    match public {
        Some(address) if !args.allow_public => {
            let error = anyhow!("{address} can be reached from other machines and there is no TLS here");
            Err(Failure::new(Exit::Refused, error)
                .mend("put a TLS proxy in front and add --allow-public, or listen on 127.0.0.1"))
        }
        _ => Ok(()),
    }
}

/// One server a node. What the one before left in flight is taken back at once: it is dead, we hold its lock.
async fn take_node(engine: &Engine) -> Result<mb_engine::NodeLock, Failure> {
    let lock = engine.data().lock().context("the node's lock cannot be made")?;
    let lock = lock.ok_or_else(|| {
        let error = anyhow!("another server runs on the data folder {}", engine.data().root().display());
        Failure::new(Exit::Conflict, error).mend("stop it, or choose another folder with --data-dir")
    })?;
    let taken = engine.recover_node().await.context("what the last process left could not be taken back")?;
    for task in taken {
        tracing::warn!(%task, "left behind by the process before; on the queue again");
    }
    Ok(lock)
}

async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        listeners.push(listen(*address).await?);
    }
    Ok(listeners)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("cannot listen on {address}"));
        Failure::new(Exit::Conflict, error).mend("choose another address with --listen")
    })
}

/// Prints where the console is and makes sure somebody can get in.
async fn welcome(engine: &Engine, args: &UpArgs, addresses: &[SocketAddr], term: Term) -> Result<(), Failure> {
    let tokens = engine.store().tokens(TenantId::DEFAULT).await.context("tokens cannot be read")?;
    let file = args.admin_token_file.clone().unwrap_or_else(|| engine.data().root().join("admin-token"));
    let said = admin_token(engine, &file, &tokens).await?;
    let link = mb_server::login::link(engine).await.context("no login link could be made")?;
    let address = addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8000)));
    anstream::eprintln!("{} {} is up", term.state("ok", "✓"), term.bold("meta-builder"));
    anstream::eprintln!("  store    {}", engine.store().kind());
    anstream::eprintln!("  data     {}", engine.data().root().display());
    anstream::eprintln!("  sandbox  {}", engine.sandbox().level());
    anstream::eprintln!(
        "  workers  {}",
        mb_core::event::count(u32::try_from(local::slots(args.work.slots)).unwrap_or(u32::MAX), "slot")
    );
    anstream::eprintln!("  token    {said}");
    anstream::eprintln!(
        "  open     {}   (once, within 30 minutes)",
        term.bold(&format!("http://{address}/welcome?t={link}"))
    );
    Ok(())
}

/// The first administrator's token: taken from the file when it holds one, else made and written there (0600).
async fn admin_token(engine: &Engine, file: &Path, known: &[mb_store::TokenRow]) -> Result<String, Failure> {
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

async fn until_stopped() -> Result<Exit, Failure> {
    stop_signal().await;
    anstream::eprintln!("stopping: no new work is taken, running commands may end");
    Ok(Exit::Ok)
}

/// SIGINT or SIGTERM. A second one, while we stop, ends the process at once.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).expect("a signal handler can be installed once the runtime runs");
    let mut int = signal(SignalKind::interrupt()).expect("a signal handler can be installed once the runtime runs");
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        std::process::exit(i32::from(Exit::Interrupted.code()));
    });
}

/// Starts the demo's run, tells its timeline, and stays unless asked to leave.
async fn with_demo(engine: &Engine, exit: bool, term: Term) -> Result<Exit, Failure> {
    let root = demo::write(engine.data().root()).context("the demo's project cannot be written")?;
    let ask = StartRun {
        tenant: TenantId::DEFAULT,
        root,
        command: None,
        only: Vec::new(),
        idempotency_key: None,
        actor: "demo".into(),
        affinity: None,
        repair: true,
        layers: Layers::default(),
    };
    let created = engine.start(ask).await.context("the demo's run cannot be started")?;
    anstream::eprintln!(
        "  demo     {}: a small Rust project that fails on purpose. Watch it being repaired:\n",
        created.id
    );
    let outcome = tokio::select! {
        followed = tell(engine, created.id, term) => followed?,
        () = stop_signal() => return Ok(Exit::Interrupted),
    };
    if exit {
        return Ok(Exit::of(outcome));
    }
    anstream::eprintln!("\n  next     mb run -- cargo test, in any project of yours; Ctrl-C stops this server");
    until_stopped().await
}

async fn tell(engine: &Engine, id: RunId, term: Term) -> Result<RunOutcome, Failure> {
    let mut teller = Teller::new(term, Talk::Normal);
    let mut changes = engine.store().changes();
    let mut seen = 0;
    loop {
        changes.borrow_and_update();
        let events =
            engine.store().events(TenantId::DEFAULT, Some(id), seen, 1_000).await.context("events cannot be read")?;
        if let Some(outcome) = teller.tell(&events, &mut seen) {
            teller.end();
            let report = Report::of(engine.env().now(), &stored(engine, id).await?);
            anstream::eprint!("\n{}", report.text(&|word, text| term.state(word, text)));
            return Ok(outcome);
        }
        tokio::select! { _ = changes.changed() => {}, () = tokio::time::sleep(POLL) => {} }
    }
}
