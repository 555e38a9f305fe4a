//! `mb run ls|show|timeline|logs|diff|watch|cancel`: looking at runs, through a server or the data folder.

use std::time::Duration;

use anyhow::anyhow;
use comfy_table::{ContentArrangement, Table, presets};
use mb_api::client::RunQuery;
use mb_api::{RunSummary, Step};
use mb_core::budget::MicroUsd;
use mb_core::id::RunId;
use mb_core::time::human;

use crate::access::Access;
use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::follow::{Talk, Teller};
use crate::term::{Term, clean};

/// Log lines read at once.
const PAGE: u32 = 5_000;
/// Log lines one command prints; the rest is reached with `--from`.
const LINES_MAX: usize = 2_000_000;
/// The narrowest a table is set.
const COLUMNS_MIN: u16 = 80;

/// A table without lines: it can be read, cut and searched.
pub(crate) fn table(headers: &[&str]) -> Table {
    let mut table = Table::new();
    // A terminal that does not say how wide it is (a build server's) says 0; one word a line helps nobody either.
    if table.width().is_some_and(|width| width < COLUMNS_MIN) {
        table.set_width(COLUMNS_MIN);
    }
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headers.to_vec());
    table
}

pub(crate) async fn ls(global: &Global, query: RunQuery, term: Term) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    let page = access.runs(&query).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&page)?);
        return Ok(Exit::Ok);
    }
    if page.items.is_empty() {
        anstream::eprintln!("no runs; start one with: mb run -- CMD");
        return Ok(Exit::Ok);
    }
    let now = access.now();
    let mut table = table(&["RUN", "STATE", "PROJECT", "WORKFLOW", "STEPS", "TRIES", "TOOK", "COST", "AGE", "WHAT"]);
    for run in &page.items {
        let age = human(now.since(run.created_at));
        table.add_row(vec![
            run.id.to_string(),
            term.state(word(run), &word(run).replace('_', " ")),
            clean(&run.project),
            clean(&run.workflow),
            format!("{}/{}", run.tally.steps_done, run.tally.steps_total),
            format!("{}+{}", run.tally.attempts, run.tally.repairs),
            human(Duration::from_millis(run.duration_ms)),
            MicroUsd(run.cost_microusd).to_string(),
            age,
            clean(run.summary.as_deref().unwrap_or("")).chars().take(60).collect(),
        ]);
    }
    anstream::println!("{table}");
    if let Some(next) = page.next {
        anstream::eprintln!("more: mb run ls --after {next}");
    }
    Ok(Exit::Ok)
}

fn word(run: &RunSummary) -> &str {
    match run.outcome {
        Some(mb_core::run::RunOutcome::Passed) if run.flaky => "flaky",
        Some(outcome) => outcome.as_str(),
        None => &run.state,
    }
}

pub(crate) async fn show(global: &Global, named: Option<&str>, markdown: bool, term: Term) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    let seen = access.run(access.pick(named).await?).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "run": seen.run, "report": seen.report }))?);
    } else if markdown {
        print!("{}", seen.report.markdown());
    } else {
        anstream::print!("{}", seen.report.text(&|word, text| term.state(word, text)));
        if let Some(waiting) = &seen.run.waiting {
            println!("  waiting: {waiting}");
        }
    }
    Ok(Exit::Ok)
}

pub(crate) async fn timeline(global: &Global, named: Option<&str>, term: Term) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    let id = access.pick(named).await?;
    access.run(id).await?;
    let events = access.timeline(id, 0).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&events)?);
        return Ok(Exit::Ok);
    }
    for event in &events {
        let at = event.at.to_string();
        anstream::println!("{}  {:<18} {}", term.dim(&at), event.event, clean(&event.text));
    }
    Ok(Exit::Ok)
}

pub(crate) async fn logs(
    global: &Global,
    named: Option<&str>,
    task: Option<&str>,
    from: u64,
    tail: Option<u64>,
) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    let id = access.pick(named).await?;
    let work = task_of(&access, id, task).await?;
    let mut from = from;
    if let Some(tail) = tail {
        let lines = count_lines(&access, id, &work).await?;
        from = lines.saturating_sub(tail) + 1;
    }
    let mut printed = 0;
    loop {
        let page = access.logs(id, &work, from, PAGE).await?;
        for line in &page.lines {
            if global.json {
                println!("{}", serde_json::json!({ "task": work, "n": line.n, "text": line.text }));
            } else {
                anstream::println!("{}", line.text);
            }
        }
        printed += page.lines.len();
        from = page.next;
        if page.complete || page.lines.is_empty() || printed >= LINES_MAX {
            return Ok(Exit::Ok);
        }
    }
}

async fn count_lines(access: &Access, id: RunId, work: &str) -> Result<u64, Failure> {
    let mut from = 1;
    loop {
        let page = access.logs(id, work, from, PAGE).await?;
        from = page.next;
        if page.complete || page.lines.is_empty() {
            return Ok(from - 1);
        }
    }
}

/// The task a command means: the one named, the last of the step named, else the last of the first failed step.
async fn task_of(access: &Access, id: RunId, named: Option<&str>) -> Result<String, Failure> {
    let run = access.run(id).await?.run;
    let last = |step: &Step| step.attempts.last().map(|attempt| format!("{}#{}", step.name, attempt.number));
    match named {
        Some(task) if task.contains(['#', '!']) => Ok(task.to_owned()),
        Some(name) => {
            let step = run.steps.iter().find(|step| step.name == name);
            step.and_then(last).ok_or_else(|| {
                let names: Vec<&str> = run.steps.iter().map(|step| step.name.as_str()).collect();
                Failure::new(
                    Exit::NotFound,
                    anyhow!("no step {name:?} of {id} has run; its steps are {}", names.join(", ")),
                )
            })
        }
        None => {
            let failed = run.steps.iter().find(|step| step.state == "failed");
            let step = failed.or_else(|| run.steps.iter().rev().find(|step| !step.attempts.is_empty()));
            step.and_then(last).ok_or_else(|| Failure::new(Exit::NotFound, anyhow!("nothing of {id} has run yet")))
        }
    }
}

pub(crate) async fn diff(global: &Global, named: Option<&str>) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    let id = access.pick(named).await?;
    let text = access.diff(id).await?;
    if text.is_empty() {
        anstream::eprintln!("{id} changed nothing");
    }
    print!("{text}");
    Ok(Exit::Ok)
}

pub(crate) async fn cancel(global: &Global, run: &str, reason: &str) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    let id = access.pick(Some(run)).await?;
    access.cancel(id, reason).await?;
    anstream::eprintln!("{id} will stop; follow it with: mb run watch {id}");
    Ok(Exit::Ok)
}

/// Follows a run until it is over, and ends the way it ends.
pub(crate) async fn watch(global: &Global, named: Option<&str>, term: Term) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    let id = access.pick(named).await?;
    let talk = if global.json { Talk::Quiet } else { Talk::Normal };
    let mut teller = Teller::new(term, talk);
    let mut seen = 0;
    loop {
        for event in access.timeline(id, seen).await? {
            seen = event.seq;
            teller.event(&event);
            if global.json {
                println!("{}", serde_json::to_string(&event)?);
            }
        }
        let now = access.run(id).await?;
        if let Some(outcome) = now.run.summary.outcome {
            teller.end();
            if !global.json {
                anstream::eprint!("{}", now.report.text(&|word, text| term.state(word, text)));
            }
            return Ok(Exit::of(outcome));
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            Ok(()) = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
        }
    }
}
