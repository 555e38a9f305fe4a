//! The store as a whole, against the account: every task is in exactly one place, and it is the right one.

use std::collections::BTreeSet;

use mb_core::id::TaskId;
use mb_core::task::TaskKey;

use super::{Check, Held, Ledger, Live, hold};
use crate::model::{Entry, Model};

impl Ledger {
    /// Compares everything that is there with everything that must be.
    pub(super) fn compare(&mut self, model: &Model) -> Check {
        self.follow_runs(model)?;
        let (mut uniques, mut blocked) = (BTreeSet::new(), false);
        let mut count = 0;
        for entry in model.tasks() {
            count += 1;
            let id = entry.task.id;
            self.learn(id, model);
            let Some(live) = self.live.get(&id) else { return Err(format!("{id} is over and on the queue")) };
            same(entry, live)?;
            hold!(!model.finished().contains_key(&id), "{id} is on the queue and has ended");
            if let Some(key) = &entry.task.options.unique {
                hold!(uniques.insert((entry.task.tenant, key)), "two tasks hold the unique key {key}");
            }
            blocked |= matches!(entry.place, crate::model::Place::Waiting(mb_core::queue::Waiting::Blocked));
        }
        if blocked {
            self.count("blocked");
        }
        if count < self.live.len() {
            self.gone(model)?;
        }
        let (records, over) = (model.finished().len(), self.over.len());
        hold!(records == over, "{over} tasks have ended and {records} have a record");
        Ok(())
    }

    /// A run's task: it comes and goes by what the run machine says, and `runs` checks that.
    pub(super) fn learn(&mut self, id: TaskId, model: &Model) {
        let Some(entry) = model.task(id).filter(|entry| entry.key.is_some()) else { return };
        let new = || Live { key: entry.key.clone(), ..Live::new(entry.task.tenant) };
        self.live.entry(id).or_insert_with(new);
    }

    /// Of what is not in the store any more, only a run's tasks that nobody holds may be missing.
    fn gone(&mut self, model: &Model) -> Check {
        let gone: Vec<TaskId> = self.live.keys().copied().filter(|id| model.task(*id).is_none()).collect();
        for id in gone {
            let live = self.live.remove(&id).expect("it was there");
            let of_run: Option<TaskKey> = live.key;
            hold!(of_run.is_some(), "{id} is lost: it is neither on the queue nor over");
            hold!(live.holder.is_none(), "{id}, a run's task, went away under its worker");
        }
        Ok(())
    }

    /// Every promise that was kept so far. Asked when the store has restarted, and at the end.
    pub(crate) fn promises_kept(&self) -> Check {
        super::promises::kept(self)
    }
}

fn same(entry: &Entry, live: &Live) -> Check {
    let id = entry.task.id;
    let holder = entry.holder().map(|holder| Held { worker: holder.worker, until: holder.until });
    hold!(
        holder.map(|held| held.worker) == live.holder.map(|held| held.worker),
        "{id} is held by {holder:?}, not {:?}",
        live.holder
    );
    hold!(
        live.holder.is_none() || entry.fence == live.fence,
        "{id} has fence {} and was granted {}",
        entry.fence.0,
        live.fence.0
    );
    hold!(entry.task.failures == live.failures, "{id} has {} failures, not {}", entry.task.failures, live.failures);
    hold!(entry.task.losses == live.losses, "{id} has {} losses, not {}", entry.task.losses, live.losses);
    hold!(entry.task.failures < entry.task.options.attempts_max, "{id} waits for a try it did not ask for");
    Ok(())
}
