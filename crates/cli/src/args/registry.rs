//! The command line of named workflows, schedules, triggers and events.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::WorkArgs;

/// `NAME=VALUE` with a name.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".into()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkflowCommand {
    /// Publish a workflow file: its document becomes the version that runs
    Apply {
        /// The file, TOML or JSON; `-` reads standard input
        file: PathBuf,
        /// Only check it
        #[arg(long)]
        check: bool,
    },
    /// List workflows
    Ls,
    /// A workflow's document, inputs and steps
    Show {
        /// Its name
        name: String,
        /// Which version [default: the current one]
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// The versions of a workflow, newest first
    Versions {
        /// Its name
        name: String,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// Let another version run from now on
    Rollback {
        /// Its name
        name: String,
        /// Which version [default: the one before the current one]
        #[arg(long, value_name = "N")]
        to: Option<u32>,
    },
    /// Start a run of a workflow
    Run {
        /// Its name
        name: String,
        /// An input (repeat): numbers, booleans and JSON as JSON, text as it is
        #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
        input: Vec<(String, String)>,
        /// Which version [default: the current one]
        #[arg(long, value_name = "N")]
        version: Option<u32>,
        /// Follow it until it ends; without a server, run it here
        #[arg(long)]
        watch: bool,
        /// The same key again is the same run
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        #[command(flatten)]
        work: WorkArgs,
    },
}

/// When something happens.
#[derive(Debug, Clone, Args)]
pub(crate) struct TimingArgs {
    /// A cron pattern of five fields, or @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["every", "anchor"])]
    pub(crate) cron: Option<String>,
    /// The pattern's time zone [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    pub(crate) zone: Option<String>,
    /// An interval instead (30s, 15m, 6h, 2d)
    #[arg(long, value_name = "TIME")]
    pub(crate) every: Option<String>,
    /// From when the interval counts (RFC 3339) [default: 1970-01-01T00:00:00Z]
    #[arg(long, value_name = "TIME", requires = "every")]
    pub(crate) anchor: Option<String>,
}

/// A schedule as the command line describes it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ScheduleArgs {
    /// Its name
    pub(crate) name: String,
    /// The workflow to start
    pub(crate) workflow: String,
    #[command(flatten)]
    pub(crate) timing: TimingArgs,
    /// An input (repeat), with templates over schedule.name and schedule.at
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) input: Vec<(String, String)>,
    /// Always this version [default: the current one at each start]
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u32>,
    /// Put each start off by up to so long, always the same for the same time
    #[arg(long, value_name = "TIME")]
    pub(crate) jitter: Option<String>,
    /// What becomes of missed times: skip, last, all [default: last]
    #[arg(long, value_name = "POLICY")]
    pub(crate) catch_up: Option<String>,
    /// How far back that goes [default: 1h]
    #[arg(long, value_name = "TIME")]
    pub(crate) catch_up_window: Option<String>,
    /// How many are made up for at once, with --catch-up all [default: 10]
    #[arg(long, value_name = "N")]
    pub(crate) catch_up_max: Option<u32>,
    /// What happens while a run is open: skip, queue, allow, cancel [default: skip]
    #[arg(long, value_name = "POLICY")]
    pub(crate) overlap: Option<String>,
    /// Change the schedule of that name, if there is one
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Make a schedule
    Add(Box<ScheduleArgs>),
    /// List schedules
    Ls,
    /// A schedule, its next times and what it started last
    Show {
        /// Name or id
        name: String,
    },
    /// Stop starting runs until it is resumed
    Pause {
        /// Name or id
        name: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Go on from now; times during the pause are not made up for
    Resume {
        /// Name or id
        name: String,
    },
    /// Remove a schedule; its runs stay
    Rm {
        /// Name or id
        name: String,
    },
    /// The next times of a schedule, or of a timing you are trying out
    Next {
        /// Name or id
        #[arg(required_unless_present_any = ["cron", "every"], conflicts_with_all = ["cron", "every"])]
        name: Option<String>,
        /// How many
        #[arg(short = 'n', default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
        count: u32,
        #[command(flatten)]
        timing: TimingArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TriggerCommand {
    /// Make a trigger
    Add {
        /// Its name
        name: String,
        /// The workflow to start
        workflow: String,
        /// When an event of this name is sent
        #[arg(long, value_name = "EVENT", required_unless_present_any = ["on_run", "on_any_run"])]
        on_event: Option<String>,
        /// When a run of this workflow has ended
        #[arg(long, value_name = "WORKFLOW", conflicts_with = "on_event")]
        on_run: Option<String>,
        /// When any run has ended
        #[arg(long, conflicts_with_all = ["on_event", "on_run"])]
        on_any_run: bool,
        /// Only with this outcome (repeat): passed, repaired, failed, budget_exceeded, canceled
        #[arg(long, value_name = "OUTCOME", conflicts_with = "on_event")]
        outcome: Vec<String>,
        /// An input (repeat), with templates over event.data or run.id, run.outcome, run.outputs
        #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
        input: Vec<(String, String)>,
        /// Always this version [default: the current one at each start]
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// List triggers
    Ls,
    /// A trigger and what it started last
    Show {
        /// Name or id
        name: String,
    },
    /// Stop starting runs until it is resumed
    Pause {
        /// Name or id
        name: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Go on from now
    Resume {
        /// Name or id
        name: String,
    },
    /// Remove a trigger; its runs stay
    Rm {
        /// Name or id
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    /// Send an event: triggers that wait for it start their workflows
    Send {
        /// Its name
        name: String,
        /// What it carries, as JSON
        #[arg(long, value_name = "JSON", default_value = "null")]
        data: String,
        /// The same id again starts nothing again
        #[arg(long)]
        id: Option<String>,
        /// The run that sends it, so that a circle of runs and events ends
        #[arg(long, value_name = "RUN")]
        cause: Option<String>,
    },
}
