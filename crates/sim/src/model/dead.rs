//! Dead letters and old records: back on the queue, or gone.

use mb_core::id::{TaskId, TenantId};
use mb_core::queue::{Task, Waiting};
use mb_core::task::Fence;
use mb_core::time::Timestamp;

use super::{Entry, Finished, Model, Place};

impl Model {
    /// Puts dead letters of a tenant on the queue again, with nothing counted against them; says how many. One whose
    /// unique key is taken stays over.
    pub fn requeue(&mut self, now: Timestamp, tenant: TenantId, ids: &[TaskId]) -> usize {
        ids.iter().filter(|id| self.requeue_one(now, tenant, **id).is_some()).count()
    }

    fn requeue_one(&mut self, now: Timestamp, tenant: TenantId, id: TaskId) -> Option<()> {
        let record = self.finished.get(&id).filter(|record| record.tenant == tenant)?;
        let mut task = task(record)?;
        if !self.keys.retake(&task) {
            return None;
        }
        self.finished.remove(&id);
        task.rank = self.ranks.next(now, tenant, task.priority, 1);
        let place = Place::Waiting(Waiting::Ready);
        let (fence, affinity, key) = (Fence(0), None, None);
        self.tasks.put(Entry { task, fence, affinity, ready_at: now, is_reserved: false, key, place });
        Some(())
    }

    /// Forgets what ended, and idempotency keys that were made, before a moment; says how many records.
    pub fn purge(&mut self, before: Timestamp) -> usize {
        let count = self.finished.len();
        self.finished.retain(|_, record| record.finished_at >= before);
        self.keys.purge(before);
        count - self.finished.len()
    }
}

/// The task of a dead letter, as it was enqueued; its rank is still to be drawn.
fn task(record: &Finished) -> Option<Task> {
    let letter = record.letter.clone()?;
    Some(Task {
        id: record.id,
        tenant: record.tenant,
        kind: record.kind.clone(),
        class: record.class,
        priority: record.priority,
        payload: letter.payload,
        failures: 0,
        losses: 0,
        enqueued_at: record.enqueued_at,
        rank: mb_core::queue::Rank(0),
        options: letter.options,
    })
}
