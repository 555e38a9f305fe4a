//! The only binary: `meta-builder`, and `mb` for short.
//!
//! The composition root. It alone reads the environment, installs the TLS provider, tracing and the panic hook,
//! and turns errors into exit codes. What a command does is in `commands`, one file per noun.

mod access;
mod args;
mod commands;
mod demo;
mod exit;
mod follow;
mod local;
mod settings;
mod term;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use mb_api::client::RunQuery;

use crate::args::{BenchCommand, Cli, Command, Global, RunArgs, RunCommand};
use crate::exit::{Exit, Failure};
use crate::term::Term;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Asking for help is no mistake.
            return ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { Exit::Ok.code() });
        }
    };
    let term = Term::new(cli.global.color);
    trace(serves(&cli));
    let json = cli.global.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return report(
                &Failure::new(Exit::Failed, anyhow::Error::new(error).context("no threads could be started")),
                json,
                term,
            );
        }
    };
    let result = runtime.block_on(dispatch(cli, term));
    // Blocking reads that are still going on (a log being classified) must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => report(&failure, json, term),
    }
}

/// Whether others are served, so that who did what belongs into the log.
fn serves(cli: &Cli) -> bool {
    match &cli.command {
        Some(Command::Up(_) | Command::Serve(_)) => true,
        Some(Command::Worker(args)) => args.command.is_none(),
        _ => false,
    }
}

/// Logs go to standard error as text, or as JSON with `MB_LOG_FORMAT=json`; `MB_LOG` filters them.
fn trace(serves: bool) {
    use tracing_subscriber::EnvFilter;
    let usual = if serves { "warn,audit=info" } else { "warn" };
    let filter = EnvFilter::try_from_env("MB_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::env::var("MB_LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().init();
    } else {
        builder.with_target(false).init();
    }
}

/// Prints an error once: what was wrong, why, and the command that mends it.
fn report(failure: &Failure, json: bool, term: Term) -> ExitCode {
    let said = chain(&failure.error);
    if json {
        let body = serde_json::json!({ "error": said, "exit": failure.exit.code(), "suggestion": failure.mend });
        eprintln!("{body}");
    } else {
        anstream::eprintln!("{} {said}", term.state("failed", "error:"));
        if let Some(mend) = &failure.mend {
            anstream::eprintln!("  mend: {mend}");
        }
    }
    ExitCode::from(failure.exit.code())
}

/// An error with its causes, as one line. Some libraries print their cause themselves: it is not said twice.
fn chain(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if said.is_empty() {
            said = cause;
        } else if !said.ends_with(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

async fn dispatch(cli: Cli, term: Term) -> Result<Exit, Failure> {
    let global = &cli.global;
    let Some(command) = cli.command else { return help(&[]) };
    match command {
        Command::Open { base } => open(global, &base).await,
        Command::Up(args) => commands::up::run(global, args, term).await,
        Command::Run(args) => run(global, args, term).await,
        Command::Workflow { command } => commands::workflow::run(global, command, term).await,
        Command::Schedule { command } => commands::schedule::run(global, command, term).await,
        Command::Trigger { command } => commands::trigger::run(global, command, term).await,
        Command::Event { command } => commands::trigger::send(global, command).await,
        Command::Init(args) => commands::init::run(global, &args),
        Command::Config { command } => commands::config::run(global, &command),
        Command::Doctor => commands::doctor::run(global, term).await,
        Command::Bench { command: BenchCommand::Queue(args) } => commands::bench::queue(global, &args).await,
        Command::Serve(args) => commands::serve::run(global, args).await,
        Command::Worker(args) => match args.command {
            None => commands::worker::run(global, args.start).await,
            Some(command) => commands::worker::look(global, command).await,
        },
        Command::Queue { command } => commands::queue::run(global, &command).await,
        Command::Task { command } => commands::task::run(global, command).await,
        Command::Token { command } => commands::token::run(global, &command).await,
        Command::Migrate => migrate(global).await,
        Command::Openapi => openapi(),
        Command::Completion { shell } => Ok(completion(shell)),
        Command::Man => man(),
        Command::Version => Ok(version(global)),
        Command::Help { topic } => help(&topic),
    }
}

async fn run(global: &Global, args: RunArgs, term: Term) -> Result<Exit, Failure> {
    match args.command {
        None => commands::run::start(global, &args.start, term).await,
        Some(RunCommand::Ls { state, search, limit, after }) => {
            let state = (!state.is_empty()).then(|| state.join(","));
            commands::runs::ls(
                global,
                RunQuery { state, text: search, limit: Some(limit), after, ..RunQuery::default() },
                term,
            )
            .await
        }
        Some(RunCommand::Show { run, markdown }) => commands::runs::show(global, run.as_deref(), markdown, term).await,
        Some(RunCommand::Timeline { run }) => commands::runs::timeline(global, run.as_deref(), term).await,
        Some(RunCommand::Logs { run, task, from, tail }) => {
            // `mb run logs test` means the newest run: no step's task can be mistaken for a run's id.
            let (run, task) = match (run, task) {
                (Some(word), None) if !word.starts_with("run_") => (None, Some(word)),
                given => given,
            };
            commands::runs::logs(global, run.as_deref(), task.as_deref(), from, tail).await
        }
        Some(RunCommand::Diff { run }) => commands::runs::diff(global, run.as_deref()).await,
        Some(RunCommand::Watch { run }) => commands::runs::watch(global, run.as_deref(), term).await,
        Some(RunCommand::Signal { run, name, data }) => commands::signal::signal(global, &run, &name, &data).await,
        Some(RunCommand::Approve(args)) => commands::signal::decide(global, &args, true).await,
        Some(RunCommand::Reject(args)) => commands::signal::decide(global, &args, false).await,
        Some(RunCommand::Retry { run, from, work }) => {
            commands::signal::retry(global, run.as_deref(), from, &work, term).await
        }
        Some(RunCommand::Cancel { run, reason }) => commands::runs::cancel(global, &run, &reason).await,
        Some(RunCommand::Resume { run, work }) => commands::run::resume(global, run.as_deref(), &work, term).await,
        Some(RunCommand::Apply { run }) => commands::run::apply(global, run.as_deref()).await,
    }
}

async fn open(global: &Global, base: &str) -> Result<Exit, Failure> {
    let engine = local::looking(global).await?;
    let link = mb_server::login::link(&engine).await?;
    println!("{}/welcome?t={link}", base.trim_end_matches('/'));
    Ok(Exit::Ok)
}

async fn migrate(global: &Global) -> Result<Exit, Failure> {
    // Opening brings the schema up to date.
    local::open(global).await?;
    anstream::eprintln!("the schema is up to date");
    Ok(Exit::Ok)
}

fn openapi() -> Result<Exit, Failure> {
    println!("{}", mb_server::openapi_json()?);
    Ok(Exit::Ok)
}

fn completion(shell: clap_complete::Shell) -> Exit {
    clap_complete::generate(shell, &mut Cli::command(), "mb", &mut std::io::stdout());
    Exit::Ok
}

fn man() -> Result<Exit, Failure> {
    clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?;
    Ok(Exit::Ok)
}

fn version(global: &Global) -> Exit {
    let version = mb_engine::Engine::version();
    if global.json {
        println!("{}", serde_json::json!({ "version": version.version, "commit": version.commit }));
    } else {
        println!("meta-builder {} ({})", version.version, version.commit);
    }
    Exit::Ok
}

fn help(topic: &[String]) -> Result<Exit, Failure> {
    if topic.first().is_some_and(|topic| topic == "exit-codes") {
        print!("{}", Exit::page());
        return Ok(Exit::Ok);
    }
    let mut command = Cli::command();
    command.build();
    let mut target = &mut command;
    for word in topic {
        target = target.find_subcommand_mut(word).ok_or_else(|| {
            Failure::new(Exit::Usage, anyhow::anyhow!("there is no command or topic {word:?}")).mend("mb help")
        })?;
    }
    anstream::print!("{}", target.render_long_help().ansi());
    Ok(Exit::Ok)
}
