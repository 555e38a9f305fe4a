//! `mb trigger` and `mb event`: runs because something happened.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use mb_api::{NewEvent, NewTrigger, Pause, Trigger};
use mb_core::run::RunOutcome;
use mb_core::trigger::On;

use crate::access::{Access, refused, registry, remote};
use crate::args::{EventCommand, Global, TriggerCommand};
use crate::commands::runs::table;
use crate::commands::schedule::{fires_out, word};
use crate::commands::workflow::inputs;
use crate::exit::{Exit, Failure};
use crate::term::Term;

/// Starts shown with a trigger.
const FIRES: u32 = 10;

pub(crate) async fn run(global: &Global, command: TriggerCommand, term: Term) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    match command {
        TriggerCommand::Add { name, workflow, on_event, on_run, on_any_run: _, outcome, input, version } => {
            let on = on(on_event.as_deref(), on_run, &outcome)?;
            let inputs = inputs(&access, &workflow, version, &input, true).await?;
            let inputs = inputs.as_object().cloned().unwrap_or_default().into_iter().collect();
            let wish = NewTrigger { name, workflow, version, on, inputs };
            let trigger = match &access {
                Access::Remote(client) => client.add_trigger(&wish).await.map_err(remote)?,
                Access::Local(engine) => registry(engine).add_trigger(&wish).await.map_err(refused)?,
            };
            told(global, &trigger)
        }
        TriggerCommand::Ls => ls(global, &access).await,
        TriggerCommand::Show { name } => show(global, &access, &name, term).await,
        TriggerCommand::Pause { name, reason } => {
            let trigger = match &access {
                Access::Remote(client) => client.pause_trigger(&name, &Pause { reason }).await.map_err(remote)?,
                Access::Local(engine) => registry(engine).pause_trigger(&name, Some(&reason)).await.map_err(refused)?,
            };
            told(global, &trigger)
        }
        TriggerCommand::Resume { name } => {
            let trigger = match &access {
                Access::Remote(client) => client.resume_trigger(&name).await.map_err(remote)?,
                Access::Local(engine) => registry(engine).pause_trigger(&name, None).await.map_err(refused)?,
            };
            told(global, &trigger)
        }
        TriggerCommand::Rm { name } => {
            match &access {
                Access::Remote(client) => client.remove_trigger(&name).await.map_err(remote)?,
                Access::Local(engine) => registry(engine).remove_trigger(&name).await.map_err(refused)?,
            }
            anstream::eprintln!("{name} is removed; its runs stay");
            Ok(Exit::Ok)
        }
    }
}

fn on(event: Option<&str>, workflow: Option<String>, outcomes: &[String]) -> Result<On, Failure> {
    if let Some(name) = event {
        let name = name.parse().map_err(|error: mb_core::name::BadName| Failure::new(Exit::Usage, error))?;
        return Ok(On::Event { name });
    }
    let outcomes = outcomes.iter().map(|text| {
        let found = word(Some(text), "outcome", RunOutcome::from_word, RunOutcome::ALL)?;
        found.ok_or_else(|| Failure::new(Exit::Usage, anyhow!("an outcome is missing")))
    });
    Ok(On::RunFinished { workflow, outcomes: outcomes.collect::<Result<BTreeSet<_>, _>>()? })
}

fn told(global: &Global, trigger: &Trigger) -> Result<Exit, Failure> {
    if global.json {
        println!("{}", serde_json::to_string_pretty(trigger)?);
        return Ok(Exit::Ok);
    }
    let state = trigger.paused.as_ref().map(|why| format!(", paused by {why}")).unwrap_or_default();
    println!("{}: starts {} on {}{state}", trigger.name, trigger.workflow, trigger.when);
    Ok(Exit::Ok)
}

async fn ls(global: &Global, access: &Access) -> Result<Exit, Failure> {
    let triggers = match access {
        Access::Remote(client) => client.triggers().await.map_err(remote)?.items,
        Access::Local(engine) => registry(engine).triggers().await.map_err(refused)?,
    };
    if global.json {
        println!("{}", serde_json::to_string_pretty(&triggers)?);
        return Ok(Exit::Ok);
    }
    if triggers.is_empty() {
        anstream::eprintln!("no triggers; make one with: mb trigger add NAME WORKFLOW --on-event EVENT");
        return Ok(Exit::Ok);
    }
    let mut table = table(&["TRIGGER", "WORKFLOW", "ON", "STATE"]);
    for trigger in triggers {
        let state = if trigger.paused.is_some() { "paused" } else { "active" };
        table.add_row(vec![trigger.name, trigger.workflow, trigger.when, state.to_owned()]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}

async fn show(global: &Global, access: &Access, name: &str, term: Term) -> Result<Exit, Failure> {
    let (trigger, fires) = match access {
        Access::Remote(client) => {
            let trigger = client.trigger(name).await.map_err(remote)?;
            (trigger, client.trigger_fires(name, FIRES).await.map_err(remote)?.items)
        }
        Access::Local(engine) => {
            let trigger = registry(engine).trigger(name).await.map_err(refused)?;
            (trigger, registry(engine).trigger_fires(name, FIRES).await.map_err(refused)?)
        }
    };
    if global.json {
        let body = serde_json::json!({ "trigger": trigger, "fires": fires });
        println!("{}", serde_json::to_string_pretty(&body)?);
        return Ok(Exit::Ok);
    }
    println!("{}  {}", term.bold(&trigger.name), trigger.id);
    let version = trigger.version.map_or_else(|| "the current version".to_owned(), |n| format!("version {n}"));
    let inputs = serde_json::to_string(&trigger.inputs)?;
    println!("  starts    {}, {version}, with {inputs}", trigger.workflow);
    println!("  on        {}", trigger.when);
    println!("  by        {} at {}", trigger.actor, trigger.created_at);
    if let Some(why) = &trigger.paused {
        println!("  paused    {why}");
    }
    fires_out(&fires);
    Ok(Exit::Ok)
}

/// `mb event send`.
pub(crate) async fn send(global: &Global, command: EventCommand) -> Result<Exit, Failure> {
    let EventCommand::Send { name, data, id, cause } = command;
    let data = serde_json::from_str(&data).with_context(|| format!("--data {data:?} is not JSON"));
    let data = data.map_err(|error| Failure::new(Exit::Usage, error))?;
    let cause = cause.map(|text| text.parse()).transpose();
    let cause = cause.map_err(|error: mb_core::id::BadId| Failure::new(Exit::Usage, error).mend("mb run ls"))?;
    let event = NewEvent { id, data, cause };
    let sent = match Access::open(global).await? {
        Access::Remote(client) => client.send_event(&name, &event).await.map_err(remote)?,
        Access::Local(engine) => registry(&engine).send(&name, event).await.map_err(refused)?,
    };
    if global.json {
        println!("{}", serde_json::to_string_pretty(&sent)?);
        return Ok(Exit::Ok);
    }
    println!("{}", sent.id);
    let triggers = mb_core::event::count(u32::try_from(sent.triggers).unwrap_or(u32::MAX), "trigger");
    anstream::eprintln!("{triggers} waited for it, {} started", sent.fires);
    Ok(Exit::Ok)
}
