//! `mb schedule`: runs at certain times.

use std::fmt::Display;

use anyhow::{Context as _, anyhow};
use mb_api::{Fire, Moment, NewSchedule, Page, Pause, Schedule};
use mb_core::error::chain;
use mb_core::schedule::{CatchUp, Form, Overlap, Timing};
use mb_core::time::Timestamp;
use mb_server::registry as rules;

use crate::access::{Access, refused, registry, remote};
use crate::args::{Global, ScheduleArgs, ScheduleCommand, TimingArgs};
use crate::commands::runs::table;
use crate::commands::workflow::inputs;
use crate::exit::{Exit, Failure};
use crate::term::{Term, clean};

/// Starts shown with a schedule.
const FIRES: u32 = 10;
/// Times shown with a schedule.
const NEXT: u32 = 5;

pub(crate) async fn run(global: &Global, command: ScheduleCommand, term: Term) -> Result<Exit, Failure> {
    if let ScheduleCommand::Next { name: None, count, timing } = &command {
        return try_out(global, timing, *count);
    }
    let access = Access::open(global).await?;
    match command {
        ScheduleCommand::Add(args) => add(global, &access, &args).await,
        ScheduleCommand::Ls => ls(global, &access).await,
        ScheduleCommand::Show { name } => show(global, &access, &name, term).await,
        ScheduleCommand::Pause { name, reason } => {
            let schedule = match &access {
                Access::Remote(client) => client.pause_schedule(&name, &Pause { reason }).await.map_err(remote)?,
                Access::Local(engine) => registry(engine).pause_schedule(&name, &reason).await.map_err(refused)?,
            };
            told(global, &schedule)
        }
        ScheduleCommand::Resume { name } => {
            let schedule = match &access {
                Access::Remote(client) => client.resume_schedule(&name).await.map_err(remote)?,
                Access::Local(engine) => registry(engine).resume_schedule(&name).await.map_err(refused)?,
            };
            told(global, &schedule)
        }
        ScheduleCommand::Rm { name } => {
            match &access {
                Access::Remote(client) => client.remove_schedule(&name).await.map_err(remote)?,
                Access::Local(engine) => registry(engine).remove_schedule(&name).await.map_err(refused)?,
            }
            anstream::eprintln!("{name} is removed; its runs stay");
            Ok(Exit::Ok)
        }
        ScheduleCommand::Next { name, count, .. } => {
            let moments = next(&access, &name.unwrap_or_default(), count).await?;
            moments_out(global, &moments)
        }
    }
}

async fn add(global: &Global, access: &Access, args: &ScheduleArgs) -> Result<Exit, Failure> {
    let form = form(&args.timing)?;
    let seconds_of = |text: &Option<String>| text.as_deref().map(seconds).transpose();
    let wish = NewSchedule {
        name: args.name.clone(),
        workflow: args.workflow.clone(),
        version: args.version,
        inputs: inputs(access, &args.workflow, args.version, &args.input, true).await?,
        cron: form.cron,
        zone: form.zone,
        every_s: form.every_s,
        anchor: form.anchor,
        jitter_s: seconds_of(&args.jitter)?,
        catch_up: word(args.catch_up.as_deref(), "catch-up policy", CatchUp::from_word, CatchUp::ALL)?,
        catch_up_window_s: seconds_of(&args.catch_up_window)?,
        catch_up_max: args.catch_up_max,
        overlap: word(args.overlap.as_deref(), "overlap policy", Overlap::from_word, Overlap::ALL)?,
        revision: None,
    };
    let known = match args.replace {
        true => all(access).await?.iter().any(|schedule| schedule.name == wish.name),
        false => false,
    };
    let schedule = match (access, known) {
        (Access::Remote(client), false) => client.add_schedule(&wish).await.map_err(remote)?,
        (Access::Remote(client), true) => client.change_schedule(&wish).await.map_err(remote)?,
        (Access::Local(engine), false) => registry(engine).add_schedule(&wish).await.map_err(refused)?,
        (Access::Local(engine), true) => registry(engine).change_schedule(&wish.name, &wish).await.map_err(refused)?,
    };
    told(global, &schedule)
}

/// A word of a closed list, or nothing.
pub(crate) fn word<T: Copy + Display>(
    text: Option<&str>,
    what: &str,
    from: fn(&str) -> Option<T>,
    all: &[T],
) -> Result<Option<T>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let known: Vec<String> = all.iter().map(ToString::to_string).collect();
    let unknown = || Failure::new(Exit::Usage, anyhow!("{text:?} is no {what}: use one of {}", known.join(", ")));
    from(text).map(Some).ok_or_else(unknown)
}

/// Seconds of `30s`, `15m`, `6h`, `2d`.
fn seconds(text: &str) -> Result<u64, Failure> {
    let bad = || Failure::new(Exit::Usage, anyhow!("{text:?} is no time: write 30s, 15m, 6h or 2d"));
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(bad()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_s)).ok_or_else(bad)
}

fn form(args: &TimingArgs) -> Result<Form, Failure> {
    let anchor = args.anchor.as_ref().map(|text| {
        serde_json::from_value::<Timestamp>(text.as_str().into()).with_context(|| format!("{text:?} is no moment"))
    });
    Ok(Form {
        cron: args.cron.clone(),
        zone: args.zone.clone(),
        every_s: args.every.as_deref().map(seconds).transpose()?,
        anchor: anchor.transpose().map_err(|error| Failure::new(Exit::Usage, error))?,
    })
}

async fn all(access: &Access) -> Result<Vec<Schedule>, Failure> {
    match access {
        Access::Remote(client) => Ok(client.schedules().await.map_err(remote)?.items),
        Access::Local(engine) => registry(engine).schedules().await.map_err(refused),
    }
}

async fn ls(global: &Global, access: &Access) -> Result<Exit, Failure> {
    let schedules = all(access).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&schedules)?);
        return Ok(Exit::Ok);
    }
    if schedules.is_empty() {
        anstream::eprintln!("no schedules; make one with: mb schedule add NAME WORKFLOW --cron \"0 3 * * *\"");
        return Ok(Exit::Ok);
    }
    let mut table = table(&["SCHEDULE", "WORKFLOW", "WHEN", "NEXT", "STATE"]);
    for schedule in schedules {
        let next = schedule.next_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let state = if schedule.paused.is_some() { "paused" } else { "active" };
        table.add_row(vec![schedule.name, schedule.workflow, schedule.timing, next, state.to_owned()]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}

/// A schedule after it was changed, in one line.
fn told(global: &Global, schedule: &Schedule) -> Result<Exit, Failure> {
    if global.json {
        println!("{}", serde_json::to_string_pretty(schedule)?);
        return Ok(Exit::Ok);
    }
    let next = match (&schedule.paused, schedule.next_at) {
        (Some(why), _) => format!("paused by {why}"),
        (None, Some(at)) => format!("next at {at}"),
        (None, None) => "never again".to_owned(),
    };
    println!("{}: {} {}, {next}", schedule.name, schedule.workflow, schedule.timing);
    Ok(Exit::Ok)
}

async fn show(global: &Global, access: &Access, name: &str, term: Term) -> Result<Exit, Failure> {
    let (schedule, fires): (Schedule, Page<Fire>) = match access {
        Access::Remote(client) => {
            let schedule = client.schedule(name).await.map_err(remote)?;
            (schedule, client.schedule_fires(name, FIRES).await.map_err(remote)?)
        }
        Access::Local(engine) => {
            let schedule = registry(engine).schedule(name).await.map_err(refused)?;
            let items = registry(engine).schedule_fires(name, FIRES).await.map_err(refused)?;
            (schedule, Page { items, next: None })
        }
    };
    let moments = next(access, name, NEXT).await?;
    if global.json {
        let body = serde_json::json!({ "schedule": schedule, "next": moments, "fires": fires.items });
        println!("{}", serde_json::to_string_pretty(&body)?);
        return Ok(Exit::Ok);
    }
    println!("{}  {}", term.bold(&schedule.name), schedule.id);
    let version = schedule.version.map_or_else(|| "the current version".to_owned(), |n| format!("version {n}"));
    println!("  starts    {}, {version}, with {}", schedule.workflow, schedule.inputs);
    println!("  when      {}", schedule.timing);
    if schedule.jitter_s > 0 {
        println!("  jitter    up to {} s", schedule.jitter_s);
    }
    let window = schedule.catch_up_window_s;
    println!("  missed    {} of the last {window} s, at most {}", schedule.catch_up, schedule.catch_up_max);
    println!("  overlap   {}", schedule.overlap);
    println!("  by        {} at {}", schedule.actor, schedule.updated_at);
    if let Some(why) = &schedule.paused {
        println!("  paused    {why}");
    }
    if let Some(at) = schedule.waiting_at {
        println!("  waiting   {at}, for the open run to end");
    }
    println!();
    moments_out(global, &moments)?;
    fires_out(&fires.items);
    Ok(Exit::Ok)
}

/// What a schedule or trigger started last.
pub(crate) fn fires_out(fires: &[Fire]) {
    if fires.is_empty() {
        return println!("\nnothing started yet");
    }
    let mut table = table(&["AT", "STATE", "RUN", "WHY"]);
    for fire in fires {
        let run = fire.run.map_or_else(|| "-".to_owned(), |run| run.to_string());
        let detail = clean(fire.detail.as_deref().unwrap_or_default());
        table.add_row(vec![fire.at.to_string(), fire.state.clone(), run, detail]);
    }
    println!("\n{table}");
}

async fn next(access: &Access, name: &str, count: u32) -> Result<Vec<Moment>, Failure> {
    match access {
        Access::Remote(client) => Ok(client.schedule_next(name, count).await.map_err(remote)?.items),
        Access::Local(engine) => registry(engine).next(name, count).await.map_err(refused),
    }
}

/// The times of a timing that belongs to no schedule yet. Needs neither server nor data folder.
fn try_out(global: &Global, args: &TimingArgs, count: u32) -> Result<Exit, Failure> {
    let timing = Timing::try_from(form(args)?).map_err(|error| Failure::new(Exit::Usage, anyhow!(chain(&error))))?;
    let env = mb_engine::Env::system().context("no randomness from the operating system")?;
    moments_out(global, &rules::next(env.now(), &timing, count))
}

fn moments_out(global: &Global, moments: &[Moment]) -> Result<Exit, Failure> {
    if global.json {
        println!("{}", serde_json::to_string_pretty(moments)?);
        return Ok(Exit::Ok);
    }
    let mut table = table(&["NEXT", "UTC"]);
    for moment in moments {
        table.add_row(vec![moment.local.clone(), moment.at.to_string()]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_number_and_one_unit() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(seconds(text).ok(), expected, "{text}");
        check("30s", Some(30));
        check("15m", Some(900));
        check("6h", Some(21_600));
        check("2d", Some(172_800));
        for bad in ["", "s", "5", "-1s", "1.5h", "5w", "1h30m", "99999999999999999999d", "213503982334602d", "5é"] {
            check(bad, None);
        }
    }
}
