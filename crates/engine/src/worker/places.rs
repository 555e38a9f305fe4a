//! Where a worker looks for tasks: a claim is for one affinity, and a worker serves its node's and those of nobody.
//!
//! The two take turns at being first, so that neither starves the other. While the queue gives all that is asked for, the
//! node's own tasks (builds: few and long) are asked for only now and then, for a claim that finds nothing costs a
//! round trip.

use std::time::{Duration, Instant};

use mb_core::affinity;

use super::WorkerOptions;
use crate::Engine;

/// How often a worker that is kept busy by tasks of nobody asks for those of its node.
const OWN_EVERY: Duration = Duration::from_millis(50);

pub(super) struct Places {
    /// The node's own first, then nobody's; or the one affinity this worker is for.
    all: Vec<Option<String>>,
    own_at: Option<Instant>,
    is_own_first: bool,
    was_full: bool,
}

impl Places {
    pub(super) fn of(engine: &Engine, options: &WorkerOptions) -> Places {
        let all = match &options.affinity {
            Some(affinity) => vec![Some(affinity.clone())],
            None => vec![Some(affinity::of_node(engine.data().node())), None],
        };
        Places { all, own_at: None, is_own_first: true, was_full: false }
    }

    pub(super) fn all(&self) -> &[Option<String>] {
        &self.all
    }

    /// Where to look now, in this order.
    pub(super) fn next(&mut self) -> Vec<Option<String>> {
        let [own, others] = self.all.as_slice() else { return self.all.clone() };
        let is_due = self.own_at.is_none_or(|at| at.elapsed() >= OWN_EVERY);
        if self.was_full && !is_due {
            return vec![others.clone()];
        }
        self.own_at = Some(Instant::now());
        self.is_own_first = !self.is_own_first;
        match self.was_full || !self.is_own_first {
            true => vec![own.clone(), others.clone()],
            false => vec![others.clone(), own.clone()],
        }
    }

    /// What the last look gave: all that was asked for, or less.
    pub(super) fn looked(&mut self, is_full: bool) {
        self.was_full = is_full;
    }
}
