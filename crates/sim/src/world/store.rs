//! The store as a process: the model, with restarts.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use mb_core::queue::Bounds;
use mb_core::time::Timestamp;

use crate::call::{Answer, Call};
use crate::model::{Flaw, Model};
use crate::random::Random;

/// The store.
pub(super) struct Store {
    pub(super) model: Model,
    pub(super) is_up: bool,
    /// Its life: a restart cuts every connection.
    pub(super) epoch: u64,
    /// What it has answered and not done ([`Flaw::AckBeforeApply`]).
    pub(super) unapplied: VecDeque<(Timestamp, Rc<Call>)>,
    random: Random,
    is_early: bool,
}

impl Store {
    pub(super) fn new(random: Random, flaw: Option<Flaw>) -> Store {
        let model = flaw.map_or_else(Model::default, Model::with_flaw);
        let is_early = flaw == Some(Flaw::AckBeforeApply);
        Store { model, is_up: true, epoch: 0, unapplied: VecDeque::new(), random, is_early }
    }

    /// Everything in memory is gone: connections, and what was only said.
    pub(super) fn stop(&mut self) {
        self.is_up = false;
        self.epoch += 1;
        self.unapplied.clear();
    }

    /// With the mistake: the answer before the deed, as from a buffer that is not on the disk yet.
    pub(super) fn answer_early(
        &mut self,
        clock: Timestamp,
        call: &Rc<Call>,
        bounds: &Bounds,
    ) -> Option<(Answer, Duration)> {
        if !self.is_early || !matches!(**call, Call::Enqueue(_) | Call::Complete(_)) {
            return None;
        }
        let answer = call.apply(&mut self.model.clone(), clock, bounds);
        self.unapplied.push_back((clock, Rc::clone(call)));
        Some((answer, self.random.time(Duration::from_millis(1), Duration::from_millis(500))))
    }
}
