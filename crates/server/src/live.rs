//! New events, read once and given to everybody who watches.
//!
//! One task per watched tenant reads the store when it says that something changed (and once a second, because the
//! hint may be lost), and sends each event into a bounded channel. A hundred open pages cost the store as much as one.
//! A watcher that reads too slowly is told so and has to read the state again. Nobody watching: the task ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mb_core::event::Event;
use mb_core::id::TenantId;
use mb_store::{Store, StoreError};
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

/// Events a slow watcher may be behind.
const BACKLOG: usize = 1_024;
/// Events read at once.
const BATCH: u32 = 500;
/// How often to look without a hint.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The wait after the store failed.
const RETRY_AFTER: Duration = Duration::from_secs(2);

type Senders = Arc<Mutex<BTreeMap<TenantId, Sender<Arc<Event>>>>>;

/// Where watchers find their channel.
pub(crate) struct Hub {
    store: Store,
    senders: Senders,
    closing: CancellationToken,
}

impl Hub {
    pub(crate) fn new(store: Store, closing: CancellationToken) -> Hub {
        Hub { store, senders: Senders::default(), closing }
    }

    /// Watches a tenant's events from now on. What came before is the caller's to read, after this.
    ///
    /// # Errors
    /// When the store does not say where the stream ends.
    pub(crate) async fn watch(&self, tenant: TenantId) -> Result<Receiver<Arc<Event>>, StoreError> {
        let last = self.store.last_seq().await?;
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = senders.get(&tenant) {
            return Ok(sender.subscribe());
        }
        let (sender, receiver) = channel(BACKLOG);
        senders.insert(tenant, sender.clone());
        let reader = Reader { store: self.store.clone(), senders: Arc::clone(&self.senders), tenant, sender, last };
        tokio::spawn(reader.run(self.closing.clone()));
        Ok(receiver)
    }
}

struct Reader {
    store: Store,
    senders: Senders,
    tenant: TenantId,
    sender: Sender<Arc<Event>>,
    last: i64,
}

impl Reader {
    async fn run(mut self, closing: CancellationToken) {
        let mut changes = self.store.changes();
        loop {
            if let Err(error) = self.read().await {
                tracing::warn!(error = %mb_core::error::chain(&error), "new events could not be read");
                tokio::select! { () = closing.cancelled() => break, () = tokio::time::sleep(RETRY_AFTER) => {} }
            }
            if self.is_alone() {
                return;
            }
            tokio::select! {
                () = closing.cancelled() => break,
                changed = changes.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.tenant);
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        loop {
            let events = self.store.events(self.tenant, None, self.last, BATCH).await?;
            let is_full = events.len() >= BATCH as usize;
            for event in events {
                self.last = event.seq;
                // Nobody listening at this moment is no error.
                let _ = self.sender.send(Arc::new(event));
            }
            if !is_full {
                return Ok(());
            }
        }
    }

    /// Leaves the table when nobody watches; under its lock, so that nobody can begin to at the same moment.
    fn is_alone(&self) -> bool {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = self.sender.receiver_count() == 0;
        if alone {
            senders.remove(&self.tenant);
        }
        alone
    }
}
