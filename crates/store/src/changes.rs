//! Wake-ups: a hint that events were appended or tasks enqueued, never the truth. Whoever listens also polls.
//!
//! In one process a hint is a number that rises. On PostgreSQL a background task passes it on by `NOTIFY`, as a
//! statement of its own after the commit (inside a transaction it would take a lock all committers share), and
//! several hints become one while the last is still on its way. Another task listens for those of other processes.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::store::Store;

/// Wait before the listener connects again: base and cap.
const RECONNECT_WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// Longest time one `NOTIFY` may take; the hint is dropped then.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Changes {
    sender: watch::Sender<u64>,
    outgoing: Arc<Notify>,
    tasks: Vec<AbortHandle>,
}

/// What tells the hints of this store from those of others in the same database.
pub(crate) struct Channel {
    /// One per schema.
    pub(crate) name: String,
    /// Ours: a hint we sent ourselves is not news.
    pub(crate) sender: String,
}

impl Changes {
    pub(crate) fn in_process() -> Changes {
        Changes { sender: watch::Sender::new(0), outgoing: Arc::default(), tasks: Vec::new() }
    }

    pub(crate) fn over_postgres(pool: &PgPool, channel: Channel) -> Changes {
        let (sender, outgoing, channel) = (watch::Sender::new(0), Arc::<Notify>::default(), Arc::new(channel));
        let notifier = tokio::spawn(pass_on(pool.clone(), channel.clone(), outgoing.clone()));
        let listener = tokio::spawn(listen(pool.clone(), channel, sender.clone()));
        Changes { sender, outgoing, tasks: vec![notifier.abort_handle(), listener.abort_handle()] }
    }

    pub(crate) fn bump(&self) {
        self.sender.send_modify(|n| *n = n.wrapping_add(1));
        self.outgoing.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Store {
    /// A number that rises after each commit that appended events or enqueued tasks: in this process at once, on
    /// PostgreSQL in the others a moment later. A hint only: poll as well.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.sender.subscribe()
    }
}

async fn pass_on(pool: PgPool, channel: Arc<Channel>, outgoing: Arc<Notify>) {
    loop {
        outgoing.notified().await;
        let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(&channel.name).bind(&channel.sender).execute(&pool);
        match tokio::time::timeout(NOTIFY_TIMEOUT, notify).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a wake-up was not sent"),
            Err(_) => tracing::debug!("a wake-up took too long and was dropped"),
        }
    }
}

async fn listen(pool: PgPool, channel: Arc<Channel>, sender: watch::Sender<u64>) {
    let mut wait = RECONNECT_WAIT.0;
    loop {
        match listen_once(&pool, &channel, &sender, &mut wait).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, ?wait, "the wake-up listener lost its connection"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RECONNECT_WAIT.1);
    }
}

/// Listens until the connection breaks (an error) or the pool is closed.
async fn listen_once(
    pool: &PgPool,
    channel: &Channel,
    sender: &watch::Sender<u64>,
    wait: &mut Duration,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(&channel.name).await?;
    *wait = RECONNECT_WAIT.0;
    loop {
        // Whatever happened while nobody listened was missed: connecting counts as a hint, and so does a lost connection.
        sender.send_modify(|n| *n = n.wrapping_add(1));
        loop {
            match listener.try_recv().await {
                Ok(Some(note)) if note.payload() == channel.sender => {}
                Ok(_) => break,
                Err(sqlx::Error::PoolClosed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}
