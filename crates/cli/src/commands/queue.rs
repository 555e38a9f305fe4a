//! `mb queue`: how much waits, and what the classes do about it.

use std::time::Duration;

use mb_core::event::count;
use mb_core::queue::Flow;
use mb_core::time::human;

use crate::access::Access;
use crate::args::{ClassArgs, Global, QueueCommand};
use crate::commands::runs::table;
use crate::exit::{Exit, Failure};

pub(crate) async fn run(global: &Global, command: &QueueCommand) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    match command {
        QueueCommand::Ls => ls(global, &access).await,
        QueueCommand::Pause(named) => set(global, &access, named, "pause", Flow::Paused).await,
        QueueCommand::Resume(named) => set(global, &access, named, "resume", Flow::Running).await,
        QueueCommand::Drain(named) => set(global, &access, named, "drain", Flow::Draining).await,
        QueueCommand::Restart(named) => set(global, &access, named, "restart", Flow::Running).await,
        QueueCommand::ClearStuck => {
            let cleared = access.clear_stuck().await?;
            if global.json {
                println!("{}", serde_json::json!({ "cleared": cleared }));
            } else {
                let tasks = count(u32::try_from(cleared).unwrap_or(u32::MAX), "task");
                anstream::eprintln!("{tasks} taken back from workers that vanished; live ones keep theirs");
            }
            Ok(Exit::Ok)
        }
    }
}

async fn set(global: &Global, access: &Access, named: &ClassArgs, verb: &str, flow: Flow) -> Result<Exit, Failure> {
    access.set_flow(named.classes(), verb, flow).await?;
    if global.json {
        return ls(global, access).await;
    }
    let does = match flow {
        Flow::Running => "takes tasks in and gives them out",
        Flow::Paused => "takes tasks in and gives none out; leased ones go on: mb queue resume",
        Flow::Draining => "gives tasks out and takes none in: mb queue restart",
    };
    for class in named.classes() {
        anstream::eprintln!(
            "{class} {does}{}",
            if flow == Flow::Running { String::new() } else { format!(" {class}") }
        );
    }
    Ok(Exit::Ok)
}

async fn ls(global: &Global, access: &Access) -> Result<Exit, Failure> {
    let queues = access.queues().await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&queues)?);
        return Ok(Exit::Ok);
    }
    let mut table = table(&["QUEUE", "STATE", "READY", "DELAYED", "BLOCKED", "CAPACITY", "LEASED", "SLOTS", "OLDEST"]);
    for queue in queues {
        let oldest = queue.oldest_ready_age_ms.map_or_else(|| "-".to_owned(), |ms| human(Duration::from_millis(ms)));
        table.add_row(vec![
            queue.class.to_string(),
            queue.state.to_string(),
            queue.ready.to_string(),
            queue.delayed.to_string(),
            queue.blocked.to_string(),
            queue.capacity.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            queue.leased.to_string(),
            queue.slots.to_string(),
            oldest,
        ]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}
