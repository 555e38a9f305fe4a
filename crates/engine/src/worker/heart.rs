//! Renews leases, says that the worker is alive, and hears what is no longer wanted.

use std::sync::Arc;
use std::time::Duration;

use mb_core::error::chain;
use mb_core::queue::Beat;
use mb_core::task::Lease;
use mb_store::WorkerRow;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::WorkerOptions;
use super::desk::Desk;
use crate::Engine;

/// Changes that come together are answered by one look at the interrupts.
const COALESCE: Duration = Duration::from_millis(100);
/// Longest time between two, however long leases are: whoever looks at the fleet counts on it.
const BEAT_MAX: Duration = Duration::from_millis(2_500);
/// Beats per lease: three may be missed.
const BEATS: u32 = 4;

/// Beats until `stop`. When something changed it asks sooner whether a task is to stop, so that a command nobody wants
/// any more ends at once and not at the next renewal.
pub(super) async fn beat(engine: Engine, desk: Arc<Desk>, options: WorkerOptions, stop: CancellationToken) {
    let mut tick = tokio::time::interval((options.lease / BEATS).min(BEAT_MAX));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut changes = engine.store().changes();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => renew(&engine, &desk, &options).await,
            () = changed(&mut changes) => listen(&engine, &desk).await,
        }
    }
}

async fn renew(engine: &Engine, desk: &Desk, options: &WorkerOptions) {
    let now = engine.env().now();
    match engine.store().worker_seen(now, &registration(engine, desk, options)).await {
        Ok(false) => {}
        Ok(true) => desk.asked_to_end.cancel(),
        Err(error) => tracing::warn!(error = %chain(&error), "this worker could not say that it is alive"),
    }
    let leases = desk.leases();
    if leases.is_empty() {
        return;
    }
    match engine.store().heartbeat(now, &leases, options.lease).await {
        Ok(beats) => leases.iter().zip(beats).for_each(|(lease, beat)| take_beat(desk, lease, beat)),
        Err(error) => tracing::warn!(error = %chain(&error), "leases could not be renewed"),
    }
}

async fn listen(engine: &Engine, desk: &Desk) {
    if desk.is_idle() {
        return;
    }
    match engine.store().interrupted(engine.worker_id()).await {
        Ok(tasks) => desk.interrupt(&tasks),
        Err(error) => tracing::warn!(error = %chain(&error), "it is not known whether a task is to stop"),
    }
}

/// Waits for a change, and for those that come with it.
async fn changed(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        // The store is closing; the renewals go on until we are stopped.
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(COALESCE).await;
    changes.borrow_and_update();
}

fn take_beat(desk: &Desk, lease: &Lease, beat: Beat) {
    desk.with((lease.task, lease.fence), |mine, cancel| match beat {
        Beat::Kept(until) => mine.until = until,
        Beat::Interrupt => cancel.cancel(),
        Beat::Lost => {
            tracing::warn!(task = %lease, "its lease was lost; stopping it");
            cancel.cancel();
        }
    });
}

fn registration(engine: &Engine, desk: &Desk, options: &WorkerOptions) -> WorkerRow {
    WorkerRow {
        id: engine.worker_id(),
        // An embedded run is no part of the node's server: a server that starts must not take its tasks.
        node: engine.data().worker_node(options.affinity.as_deref().or(options.name.as_deref())),
        pid: std::process::id(),
        version: Engine::version().version.to_owned(),
        roles: options.roles.clone(),
        slots: options.slots.clone(),
        affinity: options.affinity.clone(),
        started_at: engine.started_at(),
        state: if desk.is_closing() || engine.is_draining() { "draining" } else { "active" }.to_owned(),
    }
}
