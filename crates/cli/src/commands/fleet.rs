//! `mb worker ls`, `mb queue ls`.

use std::time::Duration;

use mb_core::time::human;

use crate::access::Access;
use crate::args::Global;
use crate::commands::runs::table;
use crate::exit::{Exit, Failure};

pub(crate) async fn workers(global: &Global) -> Result<Exit, Failure> {
    let workers = Access::open(global).await?.workers().await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&workers)?);
        return Ok(Exit::Ok);
    }
    let mut table = table(&["WORKER", "NODE", "PID", "VERSION", "SLOTS", "SEEN", "STATE"]);
    for worker in workers {
        let slots: Vec<String> = worker.slots.iter().map(|(class, n)| format!("{class} {n}")).collect();
        let seen = format!("{} ago", human(Duration::from_millis(worker.seen_age_ms)));
        let state = if worker.stale { "stale".to_owned() } else { worker.state };
        table.add_row(vec![
            worker.id.to_string(),
            worker.node,
            worker.pid.to_string(),
            worker.version,
            slots.join(", "),
            seen,
            state,
        ]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}

pub(crate) async fn queues(global: &Global) -> Result<Exit, Failure> {
    let queues = Access::open(global).await?.queues().await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&queues)?);
        return Ok(Exit::Ok);
    }
    let mut table = table(&["QUEUE", "READY", "DELAYED", "LEASED", "OLDEST"]);
    for queue in queues {
        let oldest = queue.oldest_ready_age_ms.map_or_else(|| "-".to_owned(), |ms| human(Duration::from_millis(ms)));
        table.add_row(vec![
            queue.class.to_string(),
            queue.ready.to_string(),
            queue.delayed.to_string(),
            queue.leased.to_string(),
            oldest,
        ]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}
