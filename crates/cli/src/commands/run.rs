//! `mb run`: the whole product in one command, with no server and no configuration.
//!
//! The run is durable all the same: it lives in the data folder, and a process that was killed is picked up by
//! `mb run resume` or by the next `mb up` over the same folder.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use mb_core::event::Event as CoreEvent;
use mb_core::id::{RunId, TenantId};
use mb_core::report::Report;
use mb_core::run::{Run, RunOutcome};
use mb_core::time::Timestamp;
use mb_engine::{
    Engine, EngineOptions, Flag, Layers, Output, OutputLine, RetryRun, StartError, StartRun, Worker, WorkerOptions,
};
use mb_runner::{Patch, Project};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, remote, stored};
use crate::args::{Global, StartArgs, WorkArgs};
use crate::commands::runs;
use crate::exit::{Exit, Failure};
use crate::follow::{Talk, Teller};
use crate::local;
use crate::term::Term;

/// Claims of an embedded run hold this long without a heartbeat.
const LEASE: Duration = Duration::from_secs(30);
/// How often the embedded run looks for events when nothing hints at any.
const POLL: Duration = Duration::from_millis(250);
/// How long running commands may go on after the second interrupt.
const DRAIN: Duration = Duration::from_millis(100);

/// Runs a project or a command to its end.
pub(crate) async fn start(global: &Global, args: &StartArgs, term: Term) -> Result<Exit, Failure> {
    if global.server.is_some() {
        return start_remote(global, args, term).await;
    }
    let probing = local::Probing::start(global, &args.work)?;
    let root = local::folder(&args.dir)?;
    let mut ask = StartRun {
        tenant: TenantId::DEFAULT,
        command: (!args.argv.is_empty()).then(|| args.argv.clone()),
        only: args.only.clone(),
        idempotency_key: None,
        actor: "command line".into(),
        affinity: None,
        repair: !args.no_repair,
        layers: layers(args),
        root,
    };
    let (data, store, env) = local::open(global).await?;
    let frozen = ask.freeze(&data).await.map_err(refused)?;
    let engine = local::over(env, store, data, probing.sandbox().await?, EngineOptions::default());
    let affinity = affinity(&engine);
    ask.affinity = Some(affinity.clone());
    let created = engine.accept(ask, frozen).await.map_err(refused)?.id;
    // Nobody waits for it: where no server is ever started, each run clears up after those before.
    let sweeper = engine.clone();
    tokio::spawn(async move { sweeper.sweep().await });
    let talk = match (args.quiet || global.json, args.verbose) {
        (true, _) => Talk::Quiet,
        (false, true) => Talk::Verbose,
        (false, false) => Talk::Normal,
    };
    // One command's output is what the caller asked for; a workflow's would be noise.
    let show_output = talk != Talk::Quiet && (args.verbose || !args.argv.is_empty());
    let run = carry(&engine, created, affinity, &args.work, Teller::new(term, talk), show_output).await?;
    let exit = finish(global, &engine, &run, args.apply, term).await;
    engine.clear_up().await;
    let exit = exit?;
    let outcome = run.state.outcome();
    let clean = (outcome != Some(RunOutcome::Repaired) || args.apply) && !run.is_flaky();
    Ok(if args.strict && exit == Exit::Ok && !clean { Exit::Degraded } else { exit })
}

/// Starts the run on a server (the folder is one of the server's machine) and follows it.
async fn start_remote(global: &Global, args: &StartArgs, term: Term) -> Result<Exit, Failure> {
    let unfit = [
        (args.apply, "--apply"),
        (args.time.is_some(), "--time"),
        (args.attempts.is_some(), "--attempts"),
        (args.cost.is_some(), "--cost"),
    ];
    if let Some((_, flag)) = unfit.iter().find(|(given, _)| *given) {
        let error = anyhow!("{flag} works only without --server");
        return Err(Failure::new(Exit::Usage, error).mend("set it in the project's meta-builder.toml"));
    }
    let root = local::folder(&args.dir)?;
    let Access::Remote(client) = Access::open(global).await? else {
        return Err(Failure::new(Exit::Usage, anyhow!("no server is named")));
    };
    let wish = mb_api::StartRun {
        root: root.to_string_lossy().into_owned(),
        command: (!args.argv.is_empty()).then(|| args.argv.clone()),
        only: args.only.clone(),
        repair: Some(!args.no_repair),
        ..mb_api::StartRun::default()
    };
    let created = client.start_run(&wish, None).await.map_err(remote)?;
    anstream::eprintln!("{} started", created.id);
    runs::watch(global, Some(&created.id.to_string()), term).await
}

/// Goes on with a run whose process is gone.
pub(crate) async fn resume(global: &Global, named: Option<&str>, work: &WorkArgs, term: Term) -> Result<Exit, Failure> {
    here_only(global, "resume")?;
    let engine = local::engine(global, work).await?;
    let id = match named {
        Some(text) => text.parse::<RunId>().map_err(|e| Failure::new(Exit::Usage, e))?,
        None => unfinished(&engine).await?,
    };
    let run = stored(&engine, id).await?;
    if run.state.outcome().is_some() {
        return Err(Failure::new(Exit::Conflict, anyhow!("{id} is already over")).mend(format!("mb run show {id}")));
    }
    refuse_living(&engine, &run).await?;
    let affinity = affinity(&engine);
    engine.take_over(&run, &affinity).await.context("the run cannot be taken over")?;
    let run = carry(&engine, id, affinity, work, Teller::new(term, Talk::Normal), false).await?;
    let exit = finish(global, &engine, &run, false, term).await;
    engine.clear_up().await;
    exit
}

/// `mb run retry` here: does a finished run again in this process, to its end.
pub(crate) async fn retry(
    global: &Global,
    named: Option<&str>,
    from: Option<String>,
    work: &WorkArgs,
    term: Term,
) -> Result<Exit, Failure> {
    let engine = local::engine(global, work).await?;
    let id = Access::Local(engine.clone()).pick(named).await?;
    let affinity = affinity(&engine);
    let ask = RetryRun {
        tenant: TenantId::DEFAULT,
        run: id,
        from,
        actor: "command line".into(),
        idempotency_key: None,
        affinity: Some(affinity.clone()),
    };
    let run = match engine.retry(ask).await {
        Ok(run) => {
            run.ok_or_else(|| Failure::new(Exit::NotFound, anyhow!("there is no run {id} here")).mend("mb run ls"))?
        }
        Err(StartError::NotAgain(error)) => {
            return Err(Failure::new(Exit::Conflict, error).mend(format!("mb run show {id}")));
        }
        Err(error) => return Err(refused(error)),
    };
    let run = carry(&engine, run.id, affinity, work, Teller::new(term, Talk::Normal), false).await?;
    let exit = finish(global, &engine, &run, false, term).await;
    engine.clear_up().await;
    exit
}

/// Refuses a server for what is done in the data folder and the files of this machine.
fn here_only(global: &Global, command: &str) -> Result<(), Failure> {
    if global.server.is_none() {
        return Ok(());
    }
    let error = anyhow!("mb run {command} works on the data folder of this machine, not through a server");
    Err(Failure::new(Exit::Usage, error).mend("on the server's machine, leave out --server and MB_SERVER"))
}

/// The label that keeps an embedded run to its own process.
pub(crate) fn affinity(engine: &Engine) -> String {
    mb_core::affinity::of_process(engine.data().node(), engine.worker_id())
}

/// Refuses to take a run from a process that lives: its commands would be stopped under it. One that was killed is
/// known by its process id on this machine, and elsewhere by its silence.
async fn refuse_living(engine: &Engine, run: &Run) -> Result<(), Failure> {
    let now = engine.env().now();
    let holders = run.workers();
    let workers = engine.store().workers(now).await.context("workers cannot be listed")?;
    let node = engine.data().node();
    let is_living = |seen: &&mb_store::SeenWorker| {
        let worker = &seen.worker;
        if worker.node.split('/').next() == Some(node) {
            return is_ours(worker.pid);
        }
        now.since(seen.seen_at) < LEASE
    };
    let Some(seen) = workers.iter().filter(|seen| holders.contains(&seen.worker.id)).find(is_living) else {
        return Ok(());
    };
    let error = anyhow!("process {} on {} works on {} now", seen.worker.pid, seen.worker.node, run.id);
    Err(Failure::new(Exit::Conflict, error).mend(format!("mb run watch {}", run.id)))
}

/// Whether a process of that id lives and is this program (ids are used again).
fn is_ours(pid: u32) -> bool {
    let name = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let name = name.as_deref().and_then(std::path::Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.is_some_and(|name| ["mb", "meta-builder"].contains(&name.trim_end_matches(" (deleted)")))
}

async fn unfinished(engine: &Engine) -> Result<RunId, Failure> {
    let filter = mb_store::RunFilter { words: ["pending".into(), "running".into()].into(), ..Default::default() };
    let page = engine.store().run_list(TenantId::DEFAULT, &filter, None, 1).await.context("runs cannot be listed")?;
    page.items.first().map(|run| run.id).ok_or_else(|| Failure::new(Exit::NotFound, anyhow!("no run is unfinished")))
}

/// What replaces values of the project's configuration: the environment, then the flags of this command.
fn layers(args: &StartArgs) -> Layers {
    let flag = |key: &str, name: &str, value: Option<String>| {
        value.map(|value| Flag { key: key.to_owned(), name: name.to_owned(), value })
    };
    let flags = [
        flag("budget.time", "--time", args.time.clone()),
        flag("budget.attempts", "--attempts", args.attempts.map(|n| n.to_string())),
        flag("budget.cost_usd", "--cost", args.cost.map(|usd| usd.to_string())),
    ];
    Layers { env: local::environment(), flags: flags.into_iter().flatten().collect() }
}

fn refused(error: StartError) -> Failure {
    match error {
        StartError::Config(errors) => {
            let nothing = errors.0.iter().any(|error| matches!(error.problem, mb_project::Problem::NothingFound));
            let mend = if nothing { "mb run -- CMD, or mb init and add a step" } else { "mb config check" };
            Failure::new(Exit::Usage, errors).mend(mend)
        }
        error @ StartError::NoSuchStep { .. } => Failure::new(Exit::Usage, error),
        error @ (StartError::Workflow(_)
        | StartError::Inputs { .. }
        | StartError::NoSuchWorkflow { .. }
        | StartError::Expression(_)
        | StartError::NotAgain(_)
        | StartError::Depth) => Failure::new(Exit::Usage, error),
        error @ StartError::Project(_) => Failure::new(Exit::Usage, error),
        error @ StartError::Store(_) => Failure::new(Exit::Unreachable, error).mend("mb doctor"),
    }
}

/// Works on one run until it is over, telling what happens.
pub(crate) async fn carry(
    engine: &Engine,
    id: RunId,
    affinity: String,
    work: &WorkArgs,
    mut teller: Teller,
    show_output: bool,
) -> Result<Run, Failure> {
    let (sender, mut lines) = mpsc::channel(4_096);
    let options = WorkerOptions {
        slots: local::slots_by_class(work.slots),
        affinity: Some(affinity),
        lease: LEASE,
        poll: POLL,
        drain: DRAIN,
        output: if show_output { Output::to(sender) } else { Output::default() },
        ..WorkerOptions::default()
    };
    let stop = CancellationToken::new();
    let worker = tokio::spawn(Worker::new(engine.clone(), options).run(stop.clone()));
    let followed = follow(engine, id, &mut teller, &mut lines).await;
    teller.end();
    stop.cancel();
    worker.await.context("the worker ended badly")?;
    followed?;
    stored(engine, id).await
}

/// Tells events and output until the run is over. The first interrupt (or SIGTERM, which is how build servers stop a
/// job) cancels it, the second leaves.
async fn follow(
    engine: &Engine,
    id: RunId,
    teller: &mut Teller,
    lines: &mut mpsc::Receiver<OutputLine>,
) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    // Made once: a signal that comes between two looks is kept, not lost.
    let mut interrupt = signal(SignalKind::interrupt()).context("interrupts cannot be listened for")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be listened for")?;
    let mut changes = engine.store().changes();
    let mut seen = 0;
    let mut interrupts = 0;
    let mut silent_since = None;
    loop {
        changes.borrow_and_update();
        let events = events(engine, id, seen, &mut silent_since).await?;
        // Output that was printed before a decision is shown before it.
        while let Ok(line) = lines.try_recv() {
            teller.output(&line.line.text);
        }
        if teller.tell(&events, &mut seen).is_some() {
            return Ok(());
        }
        let stopped = tokio::select! {
            _ = changes.changed() => false,
            () = tokio::time::sleep(POLL) => false,
            Some(line) = lines.recv() => {
                teller.output(&line.line.text);
                false
            }
            _ = interrupt.recv() => true,
            _ = terminate.recv() => true,
        };
        if stopped {
            interrupts += 1;
            stop(engine, id, interrupts).await?;
        }
    }
}

/// New events. A store that is away for a while is waited for as long as our claims hold; the run goes on meanwhile.
async fn events(
    engine: &Engine,
    id: RunId,
    seen: i64,
    silent_since: &mut Option<Timestamp>,
) -> Result<Vec<CoreEvent>, Failure> {
    let now = engine.env().now();
    match engine.store().events(TenantId::DEFAULT, Some(id), seen, 1_000).await {
        Ok(events) => {
            *silent_since = None;
            Ok(events)
        }
        Err(error) if error.is_transient() && now.since(*silent_since.get_or_insert(now)) < LEASE => Ok(Vec::new()),
        Err(error) => {
            let error = anyhow::Error::new(error).context("events cannot be read");
            Err(Failure::new(Exit::Unreachable, error).mend(format!("mb run resume {id}")))
        }
    }
}

/// Cancels the run at the first interrupt; leaves it as it is at the second.
async fn stop(engine: &Engine, id: RunId, interrupts: u32) -> Result<(), Failure> {
    if interrupts > 1 {
        let error = anyhow!("left before the run was over");
        return Err(Failure::new(Exit::Interrupted, error).mend(format!("mb run show {id}")));
    }
    anstream::eprintln!("stopping; once more to leave at once");
    let canceled = engine.store().cancel(engine.env().now(), TenantId::DEFAULT, id, "interrupted").await;
    canceled.map(|_| ()).context("the run cannot be canceled").map_err(Failure::from)
}

/// Shows the result, applies it if asked, and says how the process ends.
pub(crate) async fn finish(
    global: &Global,
    engine: &Engine,
    run: &Run,
    apply: bool,
    term: Term,
) -> Result<Exit, Failure> {
    let report = Report::of(engine.env().now(), run);
    let outcome = run.state.outcome().unwrap_or(RunOutcome::Failed);
    let applied = apply && outcome == RunOutcome::Repaired;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        anstream::eprint!("{}", report.text(&|word, text| term.state(word, text)));
    }
    if applied {
        apply_to_source(engine, run).await?;
        anstream::eprintln!("  applied to {}", root_of(run)?.display());
    } else if outcome == RunOutcome::Repaired && !global.json {
        anstream::eprintln!(
            "  your files are untouched; bring the changes in with: {}",
            term.bold(&format!("mb run apply {}", run.id))
        );
    }
    Ok(Exit::of(outcome))
}

/// `mb run apply`: brings a finished run's repairs into the project's own files.
pub(crate) async fn apply(global: &Global, named: Option<&str>) -> Result<Exit, Failure> {
    here_only(global, "apply")?;
    let engine = local::looking(global).await?;
    let id = Access::Local(engine.clone()).pick(named).await?;
    let run = stored(&engine, id).await?;
    if run.state.outcome() != Some(RunOutcome::Repaired) {
        let error = anyhow!("{id} has no repairs to apply: it is {}", run.state);
        return Err(Failure::new(Exit::Conflict, error).mend(format!("mb run show {id}")));
    }
    apply_to_source(&engine, &run).await?;
    anstream::eprintln!("applied {} to {}", mb_core::event::count(run.tree(), "change"), root_of(&run)?.display());
    Ok(Exit::Ok)
}

/// Where the run's project is.
fn root_of(run: &Run) -> Result<PathBuf, Failure> {
    let source = run.source.as_ref();
    source
        .map(|source| PathBuf::from(&source.root))
        .ok_or_else(|| Failure::new(Exit::Conflict, anyhow!("{} is a run of a workflow without a project", run.id)))
}

async fn apply_to_source(engine: &Engine, run: &Run) -> Result<(), Failure> {
    let diffs = engine.store().patches(&run.changes()).await.context("the patches cannot be read")?;
    let patches: Result<Vec<Patch>, _> = diffs.into_iter().map(Patch::parse).collect();
    let patches = patches.context("the stored patch cannot be read")?;
    let project = Project::open(&root_of(run)?).await.context("the project cannot be read")?;
    project.apply_to_source(&patches).await.map_err(|e| {
        let merge =
            run.published.as_ref().and_then(|p| p.branch.as_ref()).map(|(branch, _)| format!("git merge {branch}"));
        let failure = Failure::new(
            Exit::Conflict,
            anyhow::Error::new(e).context("the changes do not fit your files any more; nothing was changed"),
        );
        match merge {
            Some(command) => failure.mend(command),
            None => failure,
        }
    })
}
