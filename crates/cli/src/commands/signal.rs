//! `mb run signal|approve|reject|retry`: what people say to a run.

use anyhow::{Context as _, anyhow};
use mb_api::RetryRun;

use super::run;
use crate::access::{Access, remote};
use crate::args::{DecideArgs, Global, WorkArgs};
use crate::exit::{Exit, Failure};
use crate::term::Term;

pub(crate) async fn signal(global: &Global, named: &str, name: &str, data: &str) -> Result<Exit, Failure> {
    let payload = serde_json::from_str(data).context("--data is no JSON").map_err(|e| Failure::new(Exit::Usage, e))?;
    let access = Access::open(global).await?;
    let id = access.pick(Some(named)).await?;
    let run = access.signal(id, name, payload).await?;
    told(global, &run, &format!("{id} has signal {name}"))
}

pub(crate) async fn decide(global: &Global, args: &DecideArgs, approved: bool) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    let id = access.pick(Some(&args.run)).await?;
    let step = match &args.step {
        Some(step) => step.clone(),
        None => only(&access.run(id).await?.run)?,
    };
    let run = access.decide(id, &step, approved, &args.reason).await?;
    let word = if approved { "approved" } else { "rejected" };
    told(global, &run, &format!("{step} of {id} is {word}"))
}

/// The one step that waits for approval.
fn only(run: &mb_api::Run) -> Result<String, Failure> {
    let is_asked = |step: &&mb_api::Step| step.waiting.as_ref().is_some_and(|waiting| waiting.on == "approval");
    let names: Vec<&str> = run.steps.iter().filter(is_asked).map(|step| step.name.as_str()).collect();
    let id = run.summary.id;
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => Err(Failure::new(Exit::Conflict, anyhow!("no step of {id} waits for approval"))),
        many => Err(Failure::new(Exit::Usage, anyhow!("several steps of {id} wait for approval: {}", many.join(", ")))),
    }
}

fn told(global: &Global, run: &mb_api::Run, line: &str) -> Result<Exit, Failure> {
    if global.json {
        println!("{}", serde_json::to_string_pretty(run)?);
    } else {
        anstream::eprintln!("{line}");
    }
    Ok(Exit::Ok)
}

/// Does a run again: on the server, which goes on by itself, or here, to its end.
pub(crate) async fn retry(
    global: &Global,
    named: Option<&str>,
    from: Option<String>,
    work: &WorkArgs,
    term: Term,
) -> Result<Exit, Failure> {
    let Access::Remote(client) = Access::open(global).await? else {
        return run::retry(global, named, from, work, term).await;
    };
    let id = Access::Remote(client.clone()).pick(named).await?;
    let created = client.retry(id, &RetryRun { from }, None).await.map_err(remote)?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&created)?);
    } else {
        anstream::eprintln!("{} does {id} again; follow it with: mb run watch {}", created.id, created.id);
    }
    Ok(Exit::Ok)
}
