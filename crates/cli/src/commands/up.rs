//! `mb up`: server, workers and console in one process. It is the production server with its defaults.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use mb_core::id::{RunId, TenantId};
use mb_core::report::Report;
use mb_core::run::RunOutcome;
use mb_engine::{Engine, Layers, StartRun};

use crate::access::stored;
use crate::args::{Global, UpArgs};
use crate::commands::serve::{Server, admin_token, stop_signal, until_stopped};
use crate::demo;
use crate::exit::{Exit, Failure};
use crate::follow::{Talk, Teller};
use crate::term::Term;

/// How often the demo's run is looked at when nothing hints at news.
const POLL: Duration = Duration::from_secs(1);

pub(crate) async fn run(global: &Global, args: UpArgs, term: Term) -> Result<Exit, Failure> {
    let server = Server::start(global, args.server, true).await?;
    welcome(&server, term).await?;
    let exit = match args.demo {
        true => with_demo(&server.engine, args.exit, term).await,
        false => {
            until_stopped().await;
            Ok(Exit::Ok)
        }
    };
    server.stop().await?;
    exit
}

/// Prints where the console is and makes sure somebody can get in.
async fn welcome(server: &Server, term: Term) -> Result<(), Failure> {
    let engine = &server.engine;
    let said = admin_token(engine, &server.args).await?;
    let link = mb_server::login::link(engine).await.context("no login link could be made")?;
    let address = server.addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8000)));
    let slots = server.fleet.slots.iter().map(|(class, n)| format!("{class} {n}")).collect::<Vec<_>>().join(", ");
    anstream::eprintln!("{} {} is up", term.state("ok", "✓"), term.bold("meta-builder"));
    anstream::eprintln!("  store    {}", engine.store().kind());
    anstream::eprintln!("  data     {}", engine.data().root().display());
    anstream::eprintln!("  sandbox  {}", engine.sandbox().level());
    anstream::eprintln!("  workers  {slots}; at most {} tasks at once", server.fleet.running_max);
    anstream::eprintln!("  token    {said}");
    anstream::eprintln!(
        "  open     {}   (once, within 30 minutes)",
        term.bold(&format!("http://{address}/welcome?t={link}"))
    );
    Ok(())
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
    until_stopped().await;
    Ok(Exit::Ok)
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
