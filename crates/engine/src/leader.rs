//! Leadership of this process: who schedules and takes leases back when several nodes share a database.
//!
//! A loop that only one node may run asks [`Engine::lead`] at every pass and writes with the epoch it gets. Deliberately
//! absent: a task that renews. A process whose loops do not turn should lose the lead.

use std::sync::Mutex;
use std::time::Duration;

use mb_core::error::chain;
use mb_core::time::Timestamp;
use mb_store::Lead;

use crate::{Engine, lock};

/// How long the lead lasts without a renewal. A node that vanishes is followed by another after so long at most.
pub const LEAD_TTL: Duration = Duration::from_secs(10);
/// How often the store is asked by whoever leads.
const RENEW: Duration = Duration::from_secs(3);
/// What is led.
const CONTROL: &str = "control";

/// What the store answered last.
#[derive(Default)]
pub(crate) struct Leadership(Mutex<Option<(Lead, Timestamp)>>);

impl Engine {
    /// The lead, if this process has it or can take it now.
    pub(crate) async fn lead(&self) -> Option<Lead> {
        let now = self.env().now();
        let held = *lock(&self.leadership().0);
        if let Some((lead, renewed_at)) = held
            && now.since(renewed_at) < RENEW
        {
            return Some(lead);
        }
        let lead = match self.store().lead(now, CONTROL, self.worker_id(), LEAD_TTL).await {
            Ok(lead) => lead,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the lead could not be renewed");
                None
            }
        };
        self.remember(lead.map(|lead| (lead, now)));
        lead
    }

    /// Somebody else leads by now, as the store said to a write.
    pub(crate) fn deposed(&self) {
        tracing::warn!("another node leads by now; this one had stood still for too long");
        self.remember(None);
    }

    /// Gives up the lead, so that another node need not wait for its end. To be called when the loops have ended.
    pub async fn resign(&self) {
        let held = *lock(&self.leadership().0);
        if let Some((lead, _)) = held {
            self.remember(None);
            if let Err(error) = self.store().resign(self.env().now(), lead).await {
                tracing::debug!(error = %chain(&error), "the lead could not be given up; it ends by itself");
            }
        }
    }

    /// Whether this process led when it last looked.
    pub fn is_leader(&self) -> bool {
        lock(&self.leadership().0).is_some()
    }

    fn remember(&self, held: Option<(Lead, Timestamp)>) {
        let before = std::mem::replace(&mut *lock(&self.leadership().0), held);
        match (before, held) {
            (None, Some((lead, _))) => tracing::info!(epoch = lead.epoch.0, "this node leads"),
            (Some((lead, _)), None) => tracing::info!(epoch = lead.epoch.0, "this node leads no more"),
            _ => {}
        }
        self.metrics().leads(held.is_some());
    }
}
