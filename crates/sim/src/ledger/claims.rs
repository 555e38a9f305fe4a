//! Who holds what: grants, heartbeats, and tasks taken back.

use std::time::Duration;

use mb_core::id::TaskId;
use mb_core::queue::{Beat, Claim, Fate, Flow};
use mb_core::task::Lease;
use mb_core::time::Timestamp;

use super::{Check, Held, Ledger, hold};
use crate::call::Call;
use crate::model::{Granted, Model};

/// By how much calls may overtake each other that are neither held up nor doubled.
const LATENCY_MAX: Duration = Duration::from_millis(20);

impl Ledger {
    pub(super) fn claimed(&mut self, now: Timestamp, claim: &Claim, granted: &[Granted], model: &Model) -> Check {
        for (class, slots) in &claim.slots {
            let count = granted.iter().filter(|granted| granted.task.class == *class).count();
            hold!(count <= *slots, "{count} tasks of class {class} were granted for {slots} slots");
            hold!(
                count == 0 || self.flows.get(class) != Some(&Flow::Paused),
                "class {class} is paused and gave tasks out"
            );
        }
        for Granted { lease, .. } in granted {
            self.learn(lease.task, model);
            self.granted(now, claim, lease)?;
        }
        Ok(())
    }

    fn granted(&mut self, now: Timestamp, claim: &Claim, lease: &Lease) -> Check {
        let (id, latest) = (lease.task, self.latest);
        hold!(
            lease.worker == claim.worker && lease.until == now + claim.lease,
            "{id}: the lease is not what was asked for"
        );
        let Some(live) = self.live.get_mut(&id) else { return Err(format!("{id} was granted and is over")) };
        hold!(live.holder.is_none(), "{id} was granted to two workers at once");
        hold!(lease.fence > live.fence, "{id}: fence {} does not rise above {}", lease.fence.0, live.fence.0);
        hold!(live.not_before.is_none_or(|moment| moment <= latest), "{id} was granted before its time");
        hold!(live.options.deadline.is_none_or(|deadline| deadline >= now), "{id} was granted after its deadline");
        live.fence = lease.fence;
        live.holder = Some(Held { worker: lease.worker, until: lease.until });
        let live = live.clone();
        hold!(self.fences.entry(id).or_default().insert(lease.fence), "{id}: fence {} was used before", lease.fence.0);
        self.count("granted");
        if let Some(limit) = &live.options.concurrency {
            let shares = |other: &&super::Live| {
                let has_key = other.options.concurrency.as_ref().is_some_and(|other| other.key == limit.key);
                other.holder.is_some() && other.tenant == live.tenant && has_key
            };
            let held = self.live.values().filter(shares).count();
            hold!(held <= limit.max as usize, "{id}: {held} tasks with key {} run and {} may", limit.key, limit.max);
            self.count("granted with a concurrency key");
        }
        self.begun(now, &live)
    }

    /// The n-th task with a rate key begins no earlier than the algorithm gives out the n-th turn. The first turn is of
    /// the clock of whoever took it; the others have come when some clock has reached them. Where all clocks are one,
    /// there are also never more in any time than the rate allows, and a turn's tolerance more.
    fn begun(&mut self, now: Timestamp, live: &super::Live) -> Check {
        let Some((rate, gate)) = live.rate() else { return Ok(()) };
        let begins = self.begins.entry(gate).or_default();
        let first = begins.first().copied().unwrap_or(now);
        let interval = Duration::from_micros(rate.per_ms * 1_000 / u64::from(rate.count));
        let (begun, burst) = (u32::try_from(begins.len()).unwrap_or(u32::MAX), rate.burst);
        let early = (first + interval * (begun + 1).saturating_sub(burst)).since(self.latest);
        hold!(early.is_zero(), "key {}: task {begun} began {early:?} before its turn", rate.key);
        begins.push(now);
        for (back, begin) in (0..).zip(begins.iter().rev()).filter(|_| self.is_exact) {
            let (least, passed) = (interval.saturating_mul(u32::saturating_sub(back, burst)), now.since(*begin));
            hold!(passed + LATENCY_MAX >= least, "key {}: {back} more tasks began within {passed:?}", rate.key);
        }
        self.count("granted with a rate key");
        Ok(())
    }

    pub(super) fn beaten(&mut self, until: Timestamp, leases: &[Lease], beats: &[Beat]) -> Check {
        for (lease, beat) in leases.iter().zip(beats) {
            let is_held = self.is_held(lease);
            hold!(
                is_held == (*beat != Beat::Lost),
                "{}: {beat:?} was said to a worker that holds it: {is_held}",
                lease.task
            );
            if let Some(held) = self.live.get_mut(&lease.task).and_then(|live| live.holder.as_mut()).filter(|_| is_held)
            {
                held.until = until;
            }
            match beat {
                Beat::Lost => self.count("lease found lost"),
                Beat::Interrupt => self.count("interrupted"),
                Beat::Kept(_) => {}
            }
        }
        Ok(())
    }

    /// Tasks were taken from workers of whom that is true.
    pub(super) fn taken(&mut self, now: Timestamp, ids: &[TaskId], model: &Model, of: impl Fn(Held) -> bool) -> Check {
        for id in ids {
            let Some(live) = self.live.get_mut(id) else { return Err(format!("{id} was taken back and is over")) };
            let held = live.holder.take();
            hold!(held.is_some_and(&of), "{id} was taken from {held:?}");
            let is_of_run = live.key.is_some();
            self.count("taken back");
            if is_of_run {
                continue;
            }
            let Some(record) = model.finished().get(id) else {
                let live = self.live.get_mut(id).expect("it was there");
                live.losses += 1;
                live.not_before = None;
                continue;
            };
            hold!(matches!(record.fate, Fate::Quarantined | Fate::Canceled), "{id} was lost and has {}", record.fate);
            self.count(record.fate.as_str());
            self.end(now, *id);
        }
        Ok(())
    }

    /// Tasks that a claim found past their deadlines.
    pub(super) fn expire(&mut self, now: Timestamp, call: &Call, model: &Model) {
        if !matches!(call, Call::Claim(_)) {
            return;
        }
        let is_late =
            |live: &super::Live| live.holder.is_none() && live.options.deadline.is_some_and(|deadline| deadline < now);
        let late: Vec<TaskId> = self.live.iter().filter(|(_, live)| is_late(live)).map(|(id, _)| *id).collect();
        for id in late.into_iter().filter(|id| model.finished().contains_key(id)) {
            self.end(now, id);
            self.count("expired");
        }
    }
}
