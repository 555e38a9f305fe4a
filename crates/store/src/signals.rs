//! What people and other systems say to a run: signals, and decisions about steps that wait for approval.

use mb_core::advance::{Illegal, RunEvent};
use mb_core::id::{RunId, TenantId};
use mb_core::run::{Run, Signal};
use mb_core::time::Timestamp;

use crate::error::StoreError;
use crate::machine;
use crate::runs;
use crate::store::{Store, transaction};

/// A decision about a step that waits for approval.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The step.
    pub step: String,
    /// Which way.
    pub approved: bool,
    /// Who, as the step's approvers name them.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
}

/// What came of telling a run something.
#[derive(Debug, Clone)]
pub enum Told {
    /// It moved.
    Applied(Box<Run>),
    /// It does not fit the run as it is: nothing was changed.
    Refused(Illegal),
    /// The tenant has no such run.
    NotFound,
}

impl Store {
    /// Sends a run a signal: a step that waits for it goes on, else it is kept.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn signal_run(
        &self,
        now: Timestamp,
        tenant: TenantId,
        id: RunId,
        signal: Signal,
    ) -> Result<Told, StoreError> {
        self.tell(now, tenant, id, RunEvent::Signal(signal)).await
    }

    /// Decides about a step that waits for approval.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn decide(
        &self,
        now: Timestamp,
        tenant: TenantId,
        id: RunId,
        decision: Decision,
    ) -> Result<Told, StoreError> {
        let Decision { step, approved, by, reason } = decision;
        self.tell(now, tenant, id, RunEvent::Decided { step, approved, by, reason }).await
    }

    async fn tell(&self, now: Timestamp, tenant: TenantId, id: RunId, event: RunEvent) -> Result<Told, StoreError> {
        transaction!(self, |tx| {
            // The order of every verb: tasks before runs.
            runs::lock_tasks(tx, &[id]).await?;
            let Some(mut turn) = machine::hold(tx, now, vec![id]).await?.remove(&id) else {
                return Ok(Told::NotFound);
            };
            if turn.run.tenant != tenant {
                return Ok(Told::NotFound);
            }
            if let Err(illegal) = turn.apply(event.clone()) {
                return Ok(Told::Refused(illegal));
            }
            machine::save(tx, &self.inner.fair, [&turn]).await?;
            Ok(Told::Applied(Box::new(turn.run.clone())))
        })
    }
}
