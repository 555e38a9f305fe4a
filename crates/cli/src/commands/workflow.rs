//! `mb workflow`: publish a file, look at versions, go back, run.

use std::io::Read as _;
use std::path::Path;

use anyhow::anyhow;
use mb_api::{NamedWorkflow, StartNamed, WorkflowVersion};
use mb_core::workflow::Workflow;
use mb_project::FILE_BYTES_MAX;
use mb_server::registry::inputs_of;
use serde_json::Value;

use crate::access::{Access, refused, registry, remote};
use crate::args::{Global, WorkArgs, WorkflowCommand};
use crate::commands::run::{affinity, carry, finish};
use crate::commands::runs::{self, table};
use crate::exit::{Exit, Failure};
use crate::follow::{Talk, Teller};
use crate::local;
use crate::term::{Term, clean};

/// Workflows of one list at most; there are rarely more.
const ROWS: u32 = 200;

pub(crate) async fn run(global: &Global, command: WorkflowCommand, term: Term) -> Result<Exit, Failure> {
    match command {
        WorkflowCommand::Apply { file, check } => apply(global, &file, check).await,
        WorkflowCommand::Ls => ls(global).await,
        WorkflowCommand::Show { name, version } => show(global, &name, version).await,
        WorkflowCommand::Versions { name, limit } => versions(global, &name, limit).await,
        WorkflowCommand::Rollback { name, to } => rollback(global, &name, to).await,
        WorkflowCommand::Run { name, input, version, watch, key, work } => {
            let ask = Ask { name: &name, version, input: &input, key };
            if watch && global.server.is_none() {
                return run_here(global, ask, &work, term).await;
            }
            start(global, ask, watch, term).await
        }
    }
}

/// Reads and checks a workflow file; `-` is standard input.
fn read(file: &Path) -> Result<Workflow, Failure> {
    let shown = if file == Path::new("-") { "standard input".into() } else { file.display().to_string() };
    let read = || -> std::io::Result<String> {
        let mut text = String::new();
        let limit = FILE_BYTES_MAX as u64 + 1;
        if file == Path::new("-") {
            std::io::stdin().take(limit).read_to_string(&mut text)?;
        } else {
            std::fs::File::open(file)?.take(limit).read_to_string(&mut text)?;
        }
        Ok(text)
    };
    let text = read().map_err(|error| {
        Failure::new(Exit::Usage, anyhow::Error::new(error).context(format!("{shown} cannot be read")))
    })?;
    mb_project::parse_workflow(&text).map_err(|error| {
        Failure::new(Exit::Usage, anyhow::Error::new(error).context(format!("{shown} is not a workflow")))
            .mend("see docs/reference/workflow-file.md")
    })
}

async fn apply(global: &Global, file: &Path, check: bool) -> Result<Exit, Failure> {
    let document = read(file)?;
    if check {
        anstream::eprintln!("{} is good: {} steps", document.name, document.steps.len());
        return Ok(Exit::Ok);
    }
    let applied = match Access::open(global).await? {
        Access::Remote(client) => client.apply_workflow(&document).await.map_err(remote)?,
        Access::Local(engine) => registry(&engine).apply(document).await.map_err(refused)?,
    };
    if global.json {
        println!("{}", serde_json::to_string_pretty(&applied)?);
        return Ok(Exit::Ok);
    }
    let what = match (applied.changed, applied.existed) {
        (false, _) => "nothing changed",
        (true, true) => "runs again",
        (true, false) => "is new and runs from now on",
    };
    println!("{} version {} {what}", applied.name, applied.version);
    Ok(Exit::Ok)
}

async fn ls(global: &Global) -> Result<Exit, Failure> {
    let page = match Access::open(global).await? {
        Access::Remote(client) => client.workflows("", ROWS).await.map_err(remote)?,
        Access::Local(engine) => registry(&engine).workflows("", ROWS).await.map_err(refused)?,
    };
    if !global.json && page.items.is_empty() {
        anstream::eprintln!("no workflows; publish one with: mb workflow apply FILE");
        return Ok(Exit::Ok);
    }
    list(global, &page.items)?;
    if page.next.is_some() {
        anstream::eprintln!("there are more than {ROWS}; see /api/v1/workflows");
    }
    Ok(Exit::Ok)
}

fn list(global: &Global, versions: &[WorkflowVersion]) -> Result<(), Failure> {
    if global.json {
        println!("{}", serde_json::to_string_pretty(versions)?);
        return Ok(());
    }
    let mut table = table(&["WORKFLOW", "VERSION", "RUNS", "DIGEST", "PUBLISHED", "BY"]);
    for version in versions {
        table.add_row(vec![
            version.name.clone(),
            version.version.to_string(),
            if version.current { "now" } else { "-" }.to_owned(),
            version.digest.chars().take(12).collect(),
            version.created_at.to_string(),
            version.actor.clone(),
        ]);
    }
    println!("{table}");
    Ok(())
}

/// A version of a workflow, wherever it is kept.
pub(crate) async fn named(access: &Access, name: &str, version: Option<u32>) -> Result<NamedWorkflow, Failure> {
    match access {
        Access::Remote(client) => client.workflow(name, version).await.map_err(remote),
        Access::Local(engine) => registry(engine).workflow(name, version).await.map_err(refused),
    }
}

async fn show(global: &Global, name: &str, version: Option<u32>) -> Result<Exit, Failure> {
    let found = named(&Access::open(global).await?, name, version).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(Exit::Ok);
    }
    let of = &found.version;
    println!("{} version {}{}", of.name, of.version, if of.current { ", runs now" } else { "" });
    println!("  published {} by {}", of.created_at, of.actor);
    println!("  digest    {}", of.digest);
    for (name, input) in &found.document.inputs {
        let default = input.default.as_ref().map(|value| format!(" = {value}")).unwrap_or_default();
        let required = if input.required { " (required)" } else { "" };
        println!("  input     {name}: {}{default}{required} {}", input.of, input.description);
    }
    let mut table = table(&["STEP", "KIND", "NEEDS", "WHAT"]);
    for step in &found.document.steps {
        let needs: Vec<&str> = step.needs.iter().map(String::as_str).collect();
        let what: String = clean(&step.action.display()).chars().take(80).collect();
        table.add_row(vec![step.name.clone(), step.action.kind().to_string(), needs.join(" "), what]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}

async fn versions(global: &Global, name: &str, limit: u32) -> Result<Exit, Failure> {
    let page = match Access::open(global).await? {
        Access::Remote(client) => client.workflow_versions(name, limit).await.map_err(remote)?,
        Access::Local(engine) => registry(&engine).versions(name, None, limit).await.map_err(refused)?,
    };
    list(global, &page.items)?;
    Ok(Exit::Ok)
}

async fn rollback(global: &Global, name: &str, to: Option<u32>) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    let to = match to {
        Some(version) => version,
        None => {
            let current = named(&access, name, None).await?.version.version;
            let nothing = || Failure::new(Exit::Conflict, anyhow!("{name} has no version before {current}"));
            current.checked_sub(1).filter(|&version| version > 0).ok_or_else(nothing)?
        }
    };
    let chosen = match &access {
        Access::Remote(client) => client.choose_version(name, to).await.map_err(remote)?,
        Access::Local(engine) => registry(engine).choose(name, to).await.map_err(refused)?,
    };
    if global.json {
        println!("{}", serde_json::to_string_pretty(&chosen)?);
    } else {
        println!("{} version {} runs from now on", chosen.name, chosen.version);
    }
    Ok(Exit::Ok)
}

/// A wish for a run.
struct Ask<'a> {
    name: &'a str,
    version: Option<u32>,
    input: &'a [(String, String)],
    key: Option<String>,
}

impl Ask<'_> {
    async fn wish(&self, access: &Access) -> Result<StartNamed, Failure> {
        let inputs = inputs(access, self.name, self.version, self.input, false).await?;
        Ok(StartNamed { inputs, version: self.version })
    }
}

/// What was given as text, in the types of a workflow's inputs. Where templates are filled in later, a text that has
/// one stays text.
pub(crate) async fn inputs(
    access: &Access,
    name: &str,
    version: Option<u32>,
    pairs: &[(String, String)],
    has_templates: bool,
) -> Result<Value, Failure> {
    if pairs.is_empty() {
        return Ok(serde_json::json!({}));
    }
    let document = named(access, name, version).await?.document;
    let (late, now): (Vec<_>, Vec<_>) =
        pairs.iter().cloned().partition(|(_, text)| has_templates && text.contains("{{"));
    let mut inputs = inputs_of(&document, &now).map_err(refused)?;
    if let Value::Object(inputs) = &mut inputs {
        inputs.extend(late.into_iter().map(|(name, text)| (name, Value::String(text))));
    }
    Ok(inputs)
}

async fn start(global: &Global, ask: Ask<'_>, watch: bool, term: Term) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    let wish = ask.wish(&access).await?;
    let id = match &access {
        Access::Remote(client) => client.start_named(ask.name, &wish, ask.key.as_deref()).await.map_err(remote)?.id,
        Access::Local(engine) => registry(engine).start(ask.name, wish, ask.key, None).await.map_err(refused)?.id,
    };
    if watch {
        anstream::eprintln!("{id} started");
        return runs::watch(global, Some(&id.to_string()), term).await;
    }
    if global.json {
        println!("{}", serde_json::json!({ "id": id }));
    } else {
        println!("{id}");
        let how =
            if global.server.is_some() { "mb run watch" } else { "a worker of this data folder runs it (mb up), or" };
        let more = if global.server.is_some() { String::new() } else { "mb run resume ".to_owned() };
        anstream::eprintln!("{how} {more}{id}");
    }
    Ok(Exit::Ok)
}

/// Runs it in this process, as `mb run` runs a project.
async fn run_here(global: &Global, ask: Ask<'_>, work: &WorkArgs, term: Term) -> Result<Exit, Failure> {
    let engine = local::engine(global, work).await?;
    let wish = ask.wish(&Access::Local(engine.clone())).await?;
    let label = affinity(&engine);
    let run = registry(&engine).start(ask.name, wish, ask.key, Some(label.clone())).await.map_err(refused)?;
    let talk = if global.json { Talk::Quiet } else { Talk::Normal };
    let run = carry(&engine, run.id, label, work, Teller::new(term, talk), false).await?;
    let exit = finish(global, &engine, &run, false, term).await;
    engine.clear_up().await;
    exit
}
