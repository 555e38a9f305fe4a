//! What callers were told, which must be so for ever after.

use super::{Check, Ledger, hold};
use crate::process::Promise;

impl Ledger {
    /// Somebody was told so.
    pub(crate) fn promise(&mut self, promise: Promise) {
        self.promises.insert(promise);
    }
}

pub(super) fn kept(ledger: &Ledger) -> Check {
    for promise in &ledger.promises {
        match promise {
            Promise::Enqueued(id) => {
                let is_known =
                    ledger.live.contains_key(id) || ledger.over.contains_key(id) || ledger.purged.contains(id);
                hold!(is_known, "{id} was acknowledged and is lost");
            }
            Promise::Created(id) => hold!(ledger.runs.contains_key(id), "{id} was acknowledged and is lost"),
            Promise::Finished(id, fence) => {
                let is_finished = ledger.finishes.contains(&(*id, *fence));
                hold!(is_finished, "{id} was said to be finished under fence {} and is not", fence.0);
            }
        }
    }
    Ok(())
}
