//! `mb worker`: a process that does tasks and nothing else, many of them on one database; and a look at those there are.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use mb_core::event::count;
use mb_core::task::QueueClass;
use mb_core::time::human;
use mb_engine::{Worker, WorkerOptions};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::args::{Global, WorkerCommand, WorkerStartArgs};
use crate::commands::runs::table;
use crate::commands::serve::{chores, listen, recover, refuse_public, stop_signal, worker_options};
use crate::exit::{Exit, Failure};
use crate::settings::fleet::{Fleet, resolve};
use crate::{local, settings};

/// Where probes and metrics are, unless said otherwise: the first of these ports that is free.
const PORTS: std::ops::RangeInclusive<u16> = 9_091..=9_099;

/// Works until a signal, or until an operator asks it to end.
pub(crate) async fn run(global: &Global, mut args: WorkerStartArgs) -> Result<Exit, Failure> {
    refuse_public(&args.listen, args.allow_public)?;
    let file = settings::load(global, &local::data_dir(global)?)?;
    args.work.sandbox = args.work.sandbox.take().or_else(|| file.sandbox.clone());
    let mut fleet = resolve(&args.fleet, None, &file)?;
    fleet.slots = slots(&fleet, &args);
    let engine = local::serving(global, &args.work, &fleet).await?;
    let classes = fleet.slots.keys().map(ToString::to_string).collect::<Vec<_>>().join("-");
    let named = engine.data().lock_worker(&classes).context("the lock of this worker cannot be made")?;
    let (name, _alone) = named.ok_or_else(|| {
        Failure::new(Exit::Conflict, anyhow!("100 worker processes of class {classes} run on this node already"))
            .mend("mb worker ls")
    })?;
    recover(&engine, Some(&name)).await?;
    let ops = probes(args.listen).await?;
    anstream::eprintln!("worker {} takes tasks: {}", engine.data().worker_node(Some(&name)), said(&fleet));
    if let Ok(address) = ops.local_addr() {
        anstream::eprintln!("probes and metrics on http://{address}");
    }
    let (stop, mut parts) = (CancellationToken::new(), JoinSet::new());
    chores(&engine, &mut parts, &stop);
    let state = mb_server::AppState::new(engine.clone());
    let serving = tokio::spawn(mb_server::serve(Vec::new(), Some(ops), state, stop.clone()));
    let options = WorkerOptions { name: Some(name), ..worker_options(&fleet) };
    let mut worker = tokio::spawn(Worker::new(engine.clone(), options).run(CancellationToken::new()));
    tokio::select! {
        () = stop_signal() => {
            anstream::eprintln!("stopping: no new task is taken, running ones may end");
            engine.drain();
            (&mut worker).await
        }
        ended = &mut worker => {
            anstream::eprintln!("ended, as an operator asked");
            ended
        }
    }
    .context("the worker ended badly")?;
    stop.cancel();
    while parts.join_next().await.is_some() {}
    engine.clear_up().await;
    serving.await.context("the listener ended badly")?.context("the listener stopped with an error")?;
    engine.store().close().await;
    Ok(Exit::Ok)
}

/// Slots of the classes that were named, or of the usual ones.
fn slots(fleet: &Fleet, args: &WorkerStartArgs) -> std::collections::BTreeMap<QueueClass, usize> {
    let classes = match args.class.as_slice() {
        [] => &[QueueClass::Cpu, QueueClass::Io, QueueClass::Llm],
        named => named,
    };
    let slots_of = |class| args.work.slots.or_else(|| fleet.slots.get(&class).copied()).unwrap_or(1);
    classes.iter().map(|&class| (class, slots_of(class))).collect()
}

fn said(fleet: &Fleet) -> String {
    let slots: Vec<String> = fleet.slots.iter().map(|(class, n)| format!("{class} {n}")).collect();
    format!("{}; at most {} at once", slots.join(", "), fleet.running_max)
}

async fn probes(named: Option<SocketAddr>) -> Result<TcpListener, Failure> {
    if let Some(address) = named {
        return listen(address).await;
    }
    for port in PORTS {
        if let Ok(listener) = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await {
            return Ok(listener);
        }
    }
    Err(Failure::new(Exit::Conflict, anyhow!("no port from 9091 to 9099 is free on 127.0.0.1"))
        .mend("name an address with --listen 127.0.0.1:PORT"))
}

/// `mb worker ls` and `mb worker drain`.
pub(crate) async fn look(global: &Global, command: WorkerCommand) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    match command {
        WorkerCommand::Ls => ls(global, &access).await,
        WorkerCommand::Drain { worker, .. } => {
            let asked = access.end_workers(worker).await?;
            if let (Some(id), 0) = (worker, asked) {
                return Err(Failure::new(Exit::NotFound, anyhow!("there is no worker {id}")).mend("mb worker ls"));
            }
            if global.json {
                println!("{}", serde_json::json!({ "asked": asked }));
            } else {
                let workers = count(u32::try_from(asked).unwrap_or(u32::MAX), "worker");
                anstream::eprintln!("{workers} asked to end; they finish what they do first: mb worker ls");
            }
            Ok(Exit::Ok)
        }
    }
}

async fn ls(global: &Global, access: &Access) -> Result<Exit, Failure> {
    let workers = access.workers().await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&workers)?);
        return Ok(Exit::Ok);
    }
    if workers.is_empty() {
        anstream::eprintln!("no workers; start one with: mb worker, or mb up");
        return Ok(Exit::Ok);
    }
    let mut table = table(&["WORKER", "NODE", "ROLES", "PID", "VERSION", "SLOTS", "SEEN", "STATE"]);
    for worker in workers {
        let slots: Vec<String> = worker
            .slots
            .iter()
            .map(|(class, n)| format!("{class} {}/{n}", worker.held.get(class).copied().unwrap_or(0)))
            .collect();
        let version = if worker.version_skew { format!("{} (differs)", worker.version) } else { worker.version };
        table.add_row(vec![
            worker.id.to_string(),
            worker.node,
            worker.roles.into_iter().collect::<Vec<_>>().join(", "),
            worker.pid.to_string(),
            version,
            slots.join(", "),
            format!("{} ago", human(Duration::from_millis(worker.seen_age_ms))),
            if worker.health == "healthy" { worker.state } else { worker.health },
        ]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}
