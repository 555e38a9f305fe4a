//! Dead letters and old records: back on the queue, or gone.

use std::collections::BTreeSet;

use mb_core::id::{TaskId, TenantId};
use mb_core::queue::{FlowKey, Rank, Task, TaskOptions, Waiting};
use mb_core::task::Fence;
use mb_core::time::Timestamp;

use super::{Entry, Finished, Flaw, Model, Place};

impl Model {
    /// Puts dead letters of a tenant on the queue again, as if they were new but under their ids; names them. One whose
    /// unique key is taken stays over. A deadline is not kept: it would end the task at once.
    pub fn requeue(&mut self, now: Timestamp, tenant: TenantId, ids: &[TaskId]) -> Vec<TaskId> {
        let ids: BTreeSet<TaskId> = ids.iter().copied().collect();
        let is_dead = |id: &TaskId| self.finished.get(id).is_some_and(|record| record.tenant == tenant);
        let dead: Vec<Task> =
            ids.iter().filter(|id| is_dead(id)).filter_map(|id| task(now, &self.finished[id])).collect();
        let back: Vec<Task> = dead.into_iter().filter(|task| self.keys.retake(task)).collect();
        let flow = |task: &Task| FlowKey { tenant, class: task.class, priority: task.priority };
        let ranks: Vec<Rank> = back.iter().map(|task| self.ranks(now, flow(task), 1)[0]).collect();
        // Above every fence of the life before: a late report from there is not about this one.
        let first = if self.has(Flaw::FencesStartAgain) { 0 } else { u64::try_from(now.as_micros()).unwrap_or(0) };
        let fence = Fence(first);
        let names = back.iter().map(|task| task.id).collect();
        for (task, rank) in back.into_iter().zip(ranks) {
            self.finished.remove(&task.id);
            let place = Place::Waiting(Waiting::Ready);
            let task = Task { rank, ..task };
            self.tasks.put(Entry { task, fence, affinity: None, ready_at: now, is_reserved: false, key: None, place });
        }
        names
    }

    /// Forgets what ended, idempotency keys that were made and turns that were taken before a moment; says how many
    /// records.
    pub fn purge(&mut self, before: Timestamp) -> usize {
        let count = self.finished.len();
        self.finished.retain(|_, record| record.finished_at >= before);
        self.keys.purge(before);
        self.arrivals.retain(|_, arrival| *arrival >= before);
        count - self.finished.len()
    }
}

/// The task of a dead letter, as if it were new; its rank is still to be drawn.
fn task(now: Timestamp, record: &Finished) -> Option<Task> {
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
        enqueued_at: now,
        rank: Rank(0),
        options: TaskOptions { deadline: None, ..letter.options },
    })
}
