//! A process and the machine it runs on: its clock, whether it runs, whether it reaches the store.

use std::time::Duration;

use mb_core::time::Timestamp;

use crate::call::{Answer, Call};
use crate::client::Client;
use crate::node::Node;
use crate::plan::Plan;
use crate::process::{Timer, Turn};
use crate::random::Random;

/// How wrong a clock may be.
const SKEW_MAX: Duration = Duration::from_secs(15);

/// A process on its machine.
pub(super) struct Member {
    pub(super) process: Process,
    pub(super) random: Random,
    /// Which start this is: what an earlier one waited for is not for this one.
    pub(super) incarnation: u32,
    pub(super) is_up: bool,
    still_until: Timestamp,
    cut_until: Timestamp,
    skew_us: i64,
}

/// What runs there.
pub(super) enum Process {
    /// A worker.
    Node(Node),
    /// A process that makes work.
    Client(Client),
}

impl Member {
    /// Every process of a plan: workers first.
    pub(super) fn all(seed: u64, plan: &Plan) -> Vec<Member> {
        let nodes = (1..).take(plan.nodes).map(|number| Process::Node(Node::new(number)));
        let clients = (1..).take(plan.clients).map(|number| Process::Client(Client::new(number)));
        let start = Timestamp::default();
        let member = |(stream, process)| {
            let mut member = Member {
                process,
                random: Random::new(seed, stream),
                incarnation: 0,
                is_up: false,
                still_until: start,
                cut_until: start,
                skew_us: 0,
            };
            if plan.is_skewed {
                member.set_clock();
            }
            member
        };
        (100..).zip(nodes.chain(clients)).map(member).collect()
    }

    /// Sets its clock wrong, or right.
    pub(super) fn set_clock(&mut self) {
        let most = i64::try_from(SKEW_MAX.as_micros()).expect("it is small");
        let offset = self.random.below(SKEW_MAX.as_micros() as u64 * 2);
        self.skew_us = i64::try_from(offset).expect("it is small") - most;
    }

    pub(super) fn clock(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_micros(now.as_micros() + self.skew_us)
    }

    pub(super) fn stand_still(&mut self, until: Timestamp) {
        self.still_until = until;
    }

    pub(super) fn cut(&mut self, until: Timestamp) {
        self.cut_until = until;
    }

    /// How long it still stands still, if it does.
    pub(super) fn stands_still(&self, now: Timestamp) -> Option<Duration> {
        (self.still_until > now).then(|| self.still_until.since(now))
    }

    pub(super) fn is_connected(&self, now: Timestamp) -> bool {
        self.cut_until <= now
    }

    /// It runs, and reaches the store. Its clock stays as wrong as it is.
    pub(super) fn heal(&mut self) {
        (self.still_until, self.cut_until) = (Timestamp::default(), Timestamp::default());
    }

    pub(super) fn is_idle(&self) -> bool {
        match &self.process {
            Process::Node(_) => true,
            Process::Client(client) => client.is_idle(),
        }
    }

    pub(super) fn start(&mut self, turn: &mut Turn<'_>) {
        match &mut self.process {
            Process::Node(node) => node.start(turn),
            Process::Client(client) => client.start(turn),
        }
    }

    pub(super) fn timer(&mut self, turn: &mut Turn<'_>, timer: Timer) {
        match &mut self.process {
            Process::Node(node) => node.timer(turn, &timer),
            Process::Client(client) => client.timer(turn, timer),
        }
    }

    pub(super) fn answered(&mut self, turn: &mut Turn<'_>, call: &Call, answer: Option<Answer>) {
        match &mut self.process {
            Process::Node(node) => node.answered(turn, call, answer),
            Process::Client(client) => client.answered(turn, call, answer),
        }
    }
}
