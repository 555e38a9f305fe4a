//! What breaks, and when: chosen by the seed among what its plan allows.

use std::time::Duration;

use super::member::Process;
use super::{BEGIN, Event, World};
use crate::plan::{FAULTS, LEASE};

/// Answers at which a node crashes, of a thousand, where nodes crash: between any two verbs.
const CRASH_AT_ANSWER: u64 = 5;

/// Something that breaks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// A node ends without a word.
    Crash(usize),
    /// A node ends in order.
    Leave(usize),
    /// A process stands still.
    Pause(usize),
    /// A process does not reach the store.
    Cut(usize),
    /// A clock is set.
    SetClock(usize),
    /// The store restarts.
    Restart,
}

impl World {
    pub(super) fn break_something(&mut self) {
        if self.now >= BEGIN + FAULTS {
            return;
        }
        let wait = self.chaos.time(Duration::from_millis(500), Duration::from_secs(8));
        self.at(wait, Event::Chaos);
        let all: Vec<usize> = (0..self.members.len()).collect();
        let any = self.chaos.pick(&all);
        let node = self.chaos.pick(&all[..self.plan.nodes]);
        let plan = &self.plan;
        let possible = [
            (plan.crashes, Fault::Crash(node)),
            (plan.leaves, Fault::Leave(node)),
            (plan.pauses, Fault::Pause(any)),
            (plan.partitions, Fault::Cut(any)),
            (plan.is_skewed, Fault::SetClock(any)),
            (plan.restarts, Fault::Restart),
        ];
        let possible: Vec<Fault> = possible.into_iter().filter(|(is_on, _)| *is_on).map(|(_, fault)| fault).collect();
        if !possible.is_empty() {
            let fault = self.chaos.pick(&possible);
            self.fault(fault);
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.trace.line(self.now, || format!("{fault:?}"));
        match fault {
            Fault::Crash(index) => self.crash(index),
            Fault::Leave(index) => {
                if self.members[index].is_up && self.members[index].stands_still(self.now).is_none() {
                    self.turn(index, |member, turn| {
                        if let Process::Node(node) = &mut member.process {
                            node.leave(turn);
                        }
                    });
                }
            }
            Fault::Pause(index) => {
                let time = self.chaos.time(Duration::from_millis(100), 3 * LEASE);
                self.members[index].stand_still(self.now + time);
            }
            Fault::Cut(index) => {
                let time = self.chaos.time(Duration::from_millis(100), 3 * LEASE);
                self.members[index].cut(self.now + time);
            }
            Fault::SetClock(index) => self.members[index].set_clock(),
            Fault::Restart if self.store.is_up => {
                self.store.stop();
                let time = self.chaos.time(Duration::from_millis(50), Duration::from_secs(5));
                self.at(time, Event::StoreUp);
            }
            Fault::Restart => {}
        }
    }

    fn crash(&mut self, index: usize) {
        let member = &mut self.members[index];
        let Process::Node(node) = &mut member.process else { return };
        if !member.is_up {
            return;
        }
        node.crash();
        member.is_up = false;
        member.incarnation += 1;
        member.heal();
        let time = self.chaos.time(Duration::from_millis(10), 2 * LEASE);
        self.at(time, Event::Start(index));
    }

    /// Whether the node ends just when it is answered.
    pub(super) fn crashes_here(&mut self, index: usize) -> bool {
        let is_node = matches!(self.members[index].process, Process::Node(_));
        is_node && self.plan.crashes && !self.is_quiet && self.chaos.below(1_000) < CRASH_AT_ANSWER
    }
}
