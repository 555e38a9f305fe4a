//! The command line: nouns and verbs, the same words as routes and screens.

mod registry;

mod fleet;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::registry::{
    EventCommand, ScheduleArgs, ScheduleCommand, TimingArgs, TriggerCommand, WorkflowCommand,
};
use crate::settings::fleet::SLOTS_MAX;
use crate::term::ColorWhen;

pub(crate) use fleet::{
    ClassArgs, FleetArgs, QueueArgs, QueueCommand, Role, ServeArgs, ServerArgs, TaskAddArgs, TaskCommand, When,
    WorkerArgs, WorkerCommand, WorkerStartArgs,
};

const AFTER: &str = "\
Examples:
  mb run                       run this project's workflow, repair what fails, touch nothing of yours
  mb run -- cargo test         run one command durably, no configuration needed
  mb run --apply               the same, and bring verified repairs into your files
  mb init                      write a commented meta-builder.toml for this repository
  mb up --demo                 server, workers and console in one process, with a run to watch

Topics: mb help exit-codes";

/// Runs your builds durably, repairs the ones that fail inside a budget, and asks before anything irreversible.
#[derive(Debug, Parser)]
#[command(name = "mb", version, after_help = AFTER, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Folder for the embedded store, logs and results
    #[arg(long, global = true, env = "MB_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where durable state lives: `sqlite:PATH` or `postgres://…`
    #[arg(long, global = true, env = "MB_STORE", value_name = "URL", hide_env_values = true)]
    pub(crate) store: Option<String>,
    /// A running server to ask instead of the data folder
    #[arg(long, global = true, env = "MB_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Token for the server
    #[arg(long, global = true, env = "MB_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Settings file (default: config.toml in the data folder)
    #[arg(long, global = true, env = "MB_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Colour: auto, always, never
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: ColorWhen,
    /// Write JSON to standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start server, workers and console in one process
    Up(UpArgs),
    /// Print a new one-time login link for the console
    Open {
        /// Where the server answers
        #[arg(long, default_value = "http://127.0.0.1:8000", value_name = "URL")]
        base: String,
    },
    /// Run a project or a command durably and repair what fails; look at runs
    Run(RunArgs),
    /// Publish named workflows, look at their versions, run them
    Workflow {
        #[command(subcommand)]
        command: WorkflowCommand,
    },
    /// Run workflows at certain times
    Schedule {
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Run workflows when something happens
    Trigger {
        #[command(subcommand)]
        command: TriggerCommand,
    },
    /// Say that something happened
    Event {
        #[command(subcommand)]
        command: EventCommand,
    },
    /// Write a commented meta-builder.toml for this repository
    Init(InitArgs),
    /// Look at the project's configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Check this machine: store, sandbox, tools
    Doctor,
    /// Start server and console, workers, or both: for services, without a login link
    Serve(ServeArgs),
    /// Start a worker process; look at workers and let them end
    Worker(Box<WorkerArgs>),
    /// Look at the queue, pause it, drain it
    Queue {
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// Measure what a store and this machine can do, in a scratch schema or file that is removed
    Bench {
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Put tasks on the queue, look at them, try those that failed again
    Task {
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// Manage API tokens
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Bring the store's schema up to date
    Migrate,
    /// Print the OpenAPI document
    Openapi,
    /// Print a completion script
    Completion {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Print what this binary is
    Version,
    /// Help on a command or a topic (exit-codes)
    Help {
        /// Command or topic
        topic: Vec<String>,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// Also start a run of a shipped example that fails on purpose, and print its timeline
    #[arg(long)]
    pub(crate) demo: bool,
    /// With --demo: stop when the run has ended
    #[arg(long, requires = "demo")]
    pub(crate) exit: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// How commands are executed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WorkArgs {
    /// Builds at once [default: mb run: one per processor, servers and workers: 10]
    #[arg(long, env = "MB_SLOTS", value_name = "N", value_parser = slots)]
    pub(crate) slots: Option<usize>,
    /// Sandbox for commands: auto (the best this host offers), bubblewrap, landlock, none [default: auto]
    #[arg(long, env = "MB_SANDBOX", value_name = "LEVEL")]
    pub(crate) sandbox: Option<String>,
}

fn slots(text: &str) -> Result<usize, String> {
    let number = text.parse::<u64>().ok().filter(|n| (1..=SLOTS_MAX).contains(n));
    number.and_then(|n| usize::try_from(n).ok()).ok_or_else(|| format!("give a number from 1 to {SLOTS_MAX}"))
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct RunArgs {
    #[command(subcommand)]
    pub(crate) command: Option<RunCommand>,
    #[command(flatten)]
    pub(crate) start: StartArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StartArgs {
    /// The project's folder
    #[arg(short = 'C', long, default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Only these steps, and what they need
    #[arg(long, value_name = "STEP")]
    pub(crate) only: Vec<String>,
    /// Bring verified repairs into your files
    #[arg(long)]
    pub(crate) apply: bool,
    /// Run only; repair nothing
    #[arg(long)]
    pub(crate) no_repair: bool,
    /// End with 9 when the files as they are do not pass: a repair was needed and not applied, or a re-run (for CI)
    #[arg(long)]
    pub(crate) strict: bool,
    /// Time budget (90s, 10m, 1h)
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// Attempt budget: re-runs and repairs tried
    #[arg(long, value_name = "N")]
    pub(crate) attempts: Option<u32>,
    /// Cost budget for models, in dollars
    #[arg(long, value_name = "USD")]
    pub(crate) cost: Option<f64>,
    /// Show every event and the commands' output
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print nothing but the result
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
    /// The command, after `--`; without one the project's workflow is run
    #[arg(last = true, value_name = "CMD")]
    pub(crate) argv: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List runs, newest first
    Ls {
        /// pending, running, succeeded, failed, canceled, passed, repaired, budget_exceeded
        #[arg(long)]
        state: Vec<String>,
        /// Text in id, project, commit or summary
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// Where to go on
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
    /// What failed, why, what was tried
    Show {
        /// Run id; the last run when left out
        run: Option<String>,
        /// As Markdown
        #[arg(long)]
        markdown: bool,
    },
    /// Every event, oldest first
    Timeline {
        /// Run id; the last run when left out
        run: Option<String>,
    },
    /// The output of a task
    Logs {
        /// Run id; the last run when left out
        run: Option<String>,
        /// Step, or task (test#2, test!1) [default: the first failed step, else the last]
        task: Option<String>,
        /// First line
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// Only the last N lines
        #[arg(long, value_name = "N", conflicts_with = "from")]
        tail: Option<u64>,
    },
    /// The change a run ended with
    Diff {
        /// Run id; the last run when left out
        run: Option<String>,
    },
    /// Follow a run until it ends
    Watch {
        /// Run id; the last run when left out
        run: Option<String>,
    },
    /// Ask a run to stop
    Cancel {
        /// Run id
        run: String,
        /// Why
        #[arg(long, default_value = "asked on the command line")]
        reason: String,
    },
    /// Send a run a signal: a step that waits for it goes on
    Signal {
        /// Run id
        run: String,
        /// The signal's name
        name: String,
        /// What it carries, as JSON
        #[arg(long, value_name = "JSON", default_value = "null")]
        data: String,
    },
    /// Approve a step that waits for approval
    Approve(DecideArgs),
    /// Reject a step that waits for approval
    Reject(DecideArgs),
    /// Do a run again from where it failed, as a new run that keeps what had succeeded
    Retry {
        /// Run id; the last run when left out
        run: Option<String>,
        /// Begin from this step, whatever had succeeded behind it
        #[arg(long, value_name = "STEP")]
        from: Option<String>,
        #[command(flatten)]
        work: WorkArgs,
    },
    /// Go on with a run whose process was killed
    Resume {
        /// Run id; the last unfinished run when left out
        run: Option<String>,
        #[command(flatten)]
        work: WorkArgs,
    },
    /// Bring a finished run's repairs into your files
    Apply {
        /// Run id; the last run when left out
        run: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// Run id
    pub(crate) run: String,
    /// The step; the only one that waits when left out
    pub(crate) step: Option<String>,
    /// Why
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The project's folder
    #[arg(short = 'C', long, default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Print it instead of writing it
    #[arg(long)]
    pub(crate) print: bool,
    /// Replace an existing file
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Each value, and where it comes from
    Explain {
        /// Only keys that begin with this
        key: Option<String>,
        /// The project's folder
        #[arg(short = 'C', long, default_value = ".", value_name = "DIR")]
        dir: PathBuf,
    },
    /// Say everything that is wrong with meta-builder.toml
    Check {
        /// The project's folder
        #[arg(short = 'C', long, default_value = ".", value_name = "DIR")]
        dir: PathBuf,
    },
    /// The server's settings, and where each comes from
    Server,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List tokens (never their secrets)
    Ls,
    /// Make a token and print it once
    Add {
        /// What it is for
        name: String,
        /// What it may do (repeat): runs:read runs:operate runs:approve workflows:write events:send meta:read tokens:admin admin
        /// What it may do (repeat): runs:read runs:operate fleet:operate meta:read tokens:admin admin
        #[arg(long, required = true)]
        scope: Vec<String>,
        /// Days until it expires
        #[arg(long, value_name = "DAYS")]
        expires: Option<u32>,
    },
    /// Revoke a token
    Revoke {
        /// Token id
        token: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_after_two_dashes_is_left_alone() {
        let cli = Cli::parse_from(["mb", "run", "--no-repair", "--", "sh", "-c", "exit 3", "--json"]);
        let Some(Command::Run(run)) = cli.command else { panic!("a run") };
        assert_eq!(run.start.argv, ["sh", "-c", "exit 3", "--json"]);
        assert!(!cli.global.json);
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Enqueue, drain and time no-op tasks
    Queue(BenchQueueArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BenchQueueArgs {
    /// Tasks of the bulk and drain phases
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000), value_name = "N")]
    pub(crate) tasks: u32,
    /// What to measure (repeat or separate by commas)
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [BenchPhase::Bulk, BenchPhase::Single, BenchPhase::Drain, BenchPhase::Latency], value_name = "PHASE")]
    pub(crate) phase: Vec<BenchPhase>,
    /// Tasks enqueued a second in the latency phase
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub(crate) rate: u32,
    /// Seconds of the latency phase
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600), value_name = "S")]
    pub(crate) seconds: u32,
    /// Tasks at once
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1_000), value_name = "N")]
    pub(crate) slots: u32,
    /// Keep what is measured in, under this name, for a later phase of another process
    #[arg(long, value_name = "NAME")]
    pub(crate) scratch: Option<String>,
    /// With phase work: append a line when a task begins and ends
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// With phase work: how long a task takes, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) sleep_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum BenchPhase {
    /// Enqueue one at a time, by one caller and by eight
    Single,
    /// Enqueue all tasks by the thousand
    Bulk,
    /// Do all tasks that wait
    Drain,
    /// Time from before the enqueueing to the first line of the task
    Latency,
    /// Enqueue tasks for `work`
    Fill,
    /// Do them until none is left, writing down each
    Work,
}
