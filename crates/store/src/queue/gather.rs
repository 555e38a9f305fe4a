//! Group commit: callers that enqueue a few tasks at the same time share a transaction.
//!
//! While one group is being committed the next one gathers, so nobody waits for company and a commit to disk is paid
//! once for all who wait for it. A group that is refused, or fails, is tried caller by caller, so that everybody gets
//! the answer to what they asked.
//!
//! Deliberately absent: an acknowledgement before the commit.

use std::sync::Weak;

use mb_core::queue::{Bounds, Enqueued, NewTask};
use mb_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;
use crate::store::{Inner, Store};

/// A call with more tasks than this is a transaction of its own.
pub(super) const FEW: usize = 32;
/// Calls that share a transaction at most.
const GROUP_MAX: usize = 256;
/// Calls that may wait; more wait for a place.
const WAITING_MAX: usize = 1_024;

type Answer = Result<Vec<Enqueued>, StoreError>;

struct Asked {
    now: Timestamp,
    tasks: Vec<NewTask>,
    bounds: Bounds,
    answer: oneshot::Sender<Answer>,
}

/// Where calls come together.
pub(crate) struct Gather(mpsc::Sender<Asked>);

impl Gather {
    /// Starts the task that commits groups; it ends with the store.
    pub(crate) fn start(store: Weak<Inner>) -> Gather {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(commit_all(store, receiver));
        Gather(sender)
    }

    pub(super) async fn enqueue(&self, now: Timestamp, tasks: &[NewTask], bounds: &Bounds) -> Answer {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { now, tasks: tasks.to_vec(), bounds: bounds.clone(), answer };
        let closed = || StoreError::from(sqlx::Error::PoolClosed);
        self.0.send(asked).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

async fn commit_all(store: Weak<Inner>, mut receiver: mpsc::Receiver<Asked>) {
    let mut group = Vec::new();
    while receiver.recv_many(&mut group, GROUP_MAX).await > 0 {
        let Some(inner) = store.upgrade() else { return };
        let store = Store { inner };
        // Those with the same bounds, which is all of them in one process.
        while let Some(first) = group.first() {
            let bounds = first.bounds.clone();
            let (same, rest) = group.drain(..).partition(|asked| asked.bounds == bounds);
            group = rest;
            commit(&store, same, &bounds).await;
        }
    }
}

async fn commit(store: &Store, group: Vec<Asked>, bounds: &Bounds) {
    if group.len() > 1 {
        let now = group.iter().map(|asked| asked.now).max().unwrap_or_default();
        let tasks: Vec<NewTask> = group.iter().flat_map(|asked| asked.tasks.iter().cloned()).collect();
        if let Ok(mut answers) = store.enqueue_together(now, &tasks, bounds).await {
            // From the end, so that each takes its own off.
            for asked in group.into_iter().rev() {
                let own = answers.split_off(answers.len() - asked.tasks.len());
                let _ = asked.answer.send(Ok(own));
            }
            return;
        }
    }
    for asked in group {
        let answer = store.enqueue_together(asked.now, &asked.tasks, bounds).await;
        let _ = asked.answer.send(answer);
    }
}
