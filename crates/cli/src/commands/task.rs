//! `mb task`: tasks that belong to no run.

use std::time::Duration;

use mb_api::task::{NewTask, Task};
use mb_core::event::count;
use mb_core::time::{human, millis};

use crate::access::Access;
use crate::args::{Global, TaskAddArgs, TaskCommand, When};
use crate::commands::runs::table;
use crate::exit::{Exit, Failure};
use crate::term::clean;

pub(crate) async fn run(global: &Global, command: TaskCommand) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    match command {
        TaskCommand::Add(args) => add(global, &access, *args).await,
        TaskCommand::Show { task } => show(global, &access.task(task).await?),
        TaskCommand::Cancel { task } => {
            access.cancel_task(task).await?;
            if global.json {
                return show(global, &access.task(task).await?);
            }
            anstream::eprintln!("{task} will not be done (again): mb task show {task}");
            Ok(Exit::Ok)
        }
        TaskCommand::Dead { limit, after } => dead(global, &access, limit, after.as_deref()).await,
        TaskCommand::Requeue { task, all, dry_run } => {
            let requeued = access.requeue(&task, all, dry_run).await?;
            if global.json {
                println!("{}", serde_json::to_string_pretty(&requeued)?);
                return Ok(Exit::Ok);
            }
            let tasks = count(u32::try_from(requeued.count).unwrap_or(u32::MAX), "task");
            let what = if dry_run { "would be on the queue again" } else { "on the queue again: mb queue ls" };
            anstream::eprintln!("{tasks} {what}");
            Ok(Exit::Ok)
        }
    }
}

async fn add(global: &Global, access: &Access, args: TaskAddArgs) -> Result<Exit, Failure> {
    let now = access.now();
    let wish = NewTask {
        kind: args.kind,
        class: args.class,
        priority: args.priority,
        payload: args.payload,
        not_before: args.at.map(|when| match when {
            When::At(at) => at,
            When::In(after) => now + after,
        }),
        idempotency_key: args.idempotency_key,
        unique: args.unique,
        attempts_max: args.attempts,
        timeout_ms: args.timeout.map(millis),
        deadline: None,
        backoff: None,
        concurrency: args.concurrency.map(Into::into),
        rate: args.rate.map(Into::into),
    };
    let added = access.enqueue(wish).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&added)?);
    } else {
        println!("{}", added.id);
        if added.existed {
            anstream::eprintln!("it was there already: its key is taken");
        }
    }
    Ok(Exit::Ok)
}

fn show(global: &Global, task: &Task) -> Result<Exit, Failure> {
    if global.json {
        println!("{}", serde_json::to_string_pretty(task)?);
        return Ok(Exit::Ok);
    }
    println!("{} {} {} ({}, {})", task.id, clean(&task.kind), task.state, task.class, task.priority);
    println!("  enqueued  {}", task.enqueued_at);
    for (name, at) in [("ready", task.ready_at), ("started", task.started_at), ("finished", task.finished_at)] {
        if let Some(at) = at {
            println!("  {name:<9} {at}");
        }
    }
    if let Some(worker) = task.worker {
        println!("  worker    {worker}");
    }
    println!("  failures  {}, workers lost {}", task.failures, task.losses);
    if let Some(error) = &task.error {
        println!("  error     {}", clean(error));
    }
    Ok(Exit::Ok)
}

async fn dead(global: &Global, access: &Access, limit: u32, after: Option<&str>) -> Result<Exit, Failure> {
    let page = access.dead_letters(limit, after).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&page)?);
        return Ok(Exit::Ok);
    }
    if page.items.is_empty() {
        anstream::eprintln!("no task has failed for good");
        return Ok(Exit::Ok);
    }
    let now = access.now();
    let mut table = table(&["TASK", "KIND", "CLASS", "HOW", "TRIES", "AGE", "WHY"]);
    for task in &page.items {
        let age = task.finished_at.map_or(Duration::ZERO, |at| now.since(at));
        table.add_row(vec![
            task.id.to_string(),
            clean(&task.kind),
            task.class.to_string(),
            task.state.clone(),
            task.failures.to_string(),
            human(age),
            clean(task.error.as_deref().unwrap_or("-")),
        ]);
    }
    println!("{table}");
    if let Some(next) = page.next {
        anstream::eprintln!("more: mb task dead --after {next}");
    }
    Ok(Exit::Ok)
}
