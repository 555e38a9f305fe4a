//! One simulated history: a queue of events in virtual time, and nothing else that moves.
//!
//! Everything that happens is an event with a moment and a number; the next one is carried out until nothing is left to
//! be done or something is wrong. Two histories of the same seed are the same, which [`Outcome::hash`] shows.

mod chaos;
mod member;
mod net;
mod store;
mod trace;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use mb_core::queue::Flow;
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;

use crate::call::{Answer, Call};
use crate::ledger::Ledger;
use crate::model::Flaw;
use crate::plan::{self, Plan};
use crate::process::{Timer, Turn};
use crate::random::Random;
use chaos::Fault;
use member::Member;
use net::Net;
use store::Store;
use trace::Trace;

/// Events of one history at most. What takes more goes in a circle.
const EVENTS_MAX: u64 = 1_000_000;
/// When virtual time begins.
const BEGIN: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// What came of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Of everything that was asked, answered and left.
    pub hash: u64,
    /// Events carried out.
    pub events: u64,
    /// Virtual time it took.
    pub took: Duration,
    /// What was wrong.
    pub violation: Option<String>,
    /// What happened how often.
    pub counts: BTreeMap<&'static str, u64>,
    /// Every event as a line, if they were asked for.
    pub trace: Vec<String>,
}

/// Something that will happen.
enum Event {
    /// A call reaches the store.
    Arrive(Message),
    /// An answer reaches the caller.
    Answered { id: u64, epoch: u64, answer: Answer },
    /// A caller stops waiting for an answer.
    GiveUp(u64),
    /// A process wakes up.
    Wake { member: usize, incarnation: u32, timer: Timer },
    /// A process starts again.
    Start(usize),
    /// The store starts again.
    StoreUp,
    /// The store does what it has said before that it did.
    Apply,
    /// Something breaks.
    Chaos,
    /// Nothing breaks any more.
    Quiet,
}

/// A call on its way.
#[derive(Clone)]
struct Message {
    id: u64,
    member: usize,
    /// What the caller's clock said.
    clock: Timestamp,
    call: Rc<Call>,
    /// The life of the store in which it was sent; none for a second copy, which outlives its connection.
    epoch: Option<u64>,
}

/// Who waits for an answer.
struct Pending {
    member: usize,
    incarnation: u32,
    call: Rc<Call>,
}

/// A history in the making.
pub(crate) struct World {
    now: Timestamp,
    events: BTreeMap<(Timestamp, u64), Event>,
    numbered: u64,
    plan: Plan,
    net: Net,
    chaos: Random,
    members: Vec<Member>,
    pending: BTreeMap<u64, Pending>,
    calls: u64,
    store: Store,
    ledger: Ledger,
    trace: Trace,
    is_quiet: bool,
}

/// Plays the history of a seed, with a mistake in the store if one is named.
pub fn simulate(seed: u64, flaw: Option<Flaw>, is_traced: bool) -> Outcome {
    let mut world = World::new(seed, flaw, is_traced);
    let (events, violation) = world.play();
    world.trace.end(&world.store.model);
    Outcome {
        hash: world.trace.hash,
        events,
        took: world.now.since(BEGIN),
        violation,
        counts: world.ledger.counts,
        trace: world.trace.lines,
    }
}

impl World {
    fn new(seed: u64, flaw: Option<Flaw>, is_traced: bool) -> World {
        let plan = Plan::of(&mut Random::new(seed, 0));
        let members = Member::all(seed, &plan);
        let mut world = World {
            now: BEGIN,
            events: BTreeMap::new(),
            numbered: 0,
            ledger: Ledger::new(&plan),
            net: Net::new(Random::new(seed, 1), &plan),
            chaos: Random::new(seed, 2),
            plan,
            members,
            pending: BTreeMap::new(),
            calls: 0,
            store: Store::new(Random::new(seed, 3), flaw),
            trace: Trace::new(is_traced),
            is_quiet: false,
        };
        for member in 0..world.members.len() {
            world.at(Duration::ZERO, Event::Start(member));
        }
        world.at(Duration::from_secs(2), Event::Chaos);
        world.at(plan::FAULTS, Event::Quiet);
        world
    }

    fn at(&mut self, wait: Duration, event: Event) {
        self.numbered += 1;
        self.events.insert((self.now + wait, self.numbered), event);
    }

    /// Carries out events until everything is over; says how many, and what was wrong.
    fn play(&mut self) -> (u64, Option<String>) {
        for count in 1..=EVENTS_MAX {
            let Some(((moment, _), event)) = self.events.pop_first() else {
                return (count, Some("nothing happens any more".to_owned()));
            };
            self.now = moment;
            if let Err(wrong) = self.carry_out(event) {
                return (count, Some(wrong));
            }
            if self.is_over() {
                return (count, self.last_check().err());
            }
            if self.now > BEGIN + plan::END {
                return (count, Some(self.unended()));
            }
        }
        (EVENTS_MAX, Some("it goes in a circle".to_owned()))
    }

    fn carry_out(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Arrive(message) => self.arrive(message),
            Event::Answered { id, epoch, answer } => {
                self.answered(id, epoch, answer);
                Ok(())
            }
            Event::GiveUp(id) => {
                self.tell(id, None);
                Ok(())
            }
            Event::Wake { member, incarnation, timer } => {
                self.wake(member, incarnation, timer);
                Ok(())
            }
            Event::Start(member) => {
                self.start(member);
                Ok(())
            }
            Event::StoreUp => {
                self.store.is_up = true;
                self.ledger.promises_kept()
            }
            Event::Apply => self.apply_late(),
            Event::Chaos => {
                self.break_something();
                Ok(())
            }
            Event::Quiet => self.quiet(),
        }
    }

    /// A call reaches the store, which carries it out and answers.
    fn arrive(&mut self, message: Message) -> Result<(), String> {
        let is_connected = self.members[message.member].is_connected(self.now);
        let is_cut = message.epoch.is_some_and(|epoch| epoch != self.store.epoch);
        if !self.store.is_up || !is_connected || is_cut {
            return Ok(());
        }
        let Message { id, clock, call, .. } = message;
        let answer = match self.store.answer_early(clock, &call, &self.plan.bounds) {
            Some((answer, wait)) => {
                self.at(wait, Event::Apply);
                answer
            }
            None => self.apply(clock, &call)?,
        };
        self.trace.line(self.now, || format!("{id} {call} -> {answer}"));
        let epoch = self.store.epoch;
        for wait in self.net.deliveries() {
            self.at(wait, Event::Answered { id, epoch, answer: answer.clone() });
        }
        Ok(())
    }

    fn apply(&mut self, clock: Timestamp, call: &Call) -> Result<Answer, String> {
        let answer = call.apply(&mut self.store.model, clock, &self.plan.bounds);
        let checked = self.ledger.observe(clock, call, &answer, &self.store.model, &self.plan.bounds);
        if let Err(wrong) = &checked {
            self.trace.line(self.now, || format!("{call} -> {answer}: {wrong}"));
        }
        checked.map(|()| answer)
    }

    fn apply_late(&mut self) -> Result<(), String> {
        let Some((clock, call)) = self.store.unapplied.pop_front() else { return Ok(()) };
        self.apply(clock, &call).map(|_| ())
    }

    fn answered(&mut self, id: u64, epoch: u64, answer: Answer) {
        let member = self.pending.get(&id).map(|pending| pending.member);
        if epoch == self.store.epoch && member.is_some_and(|member| self.members[member].is_connected(self.now)) {
            self.tell(id, Some(answer));
        }
    }

    /// Tells a caller what came of its call, as soon as it runs.
    fn tell(&mut self, id: u64, answer: Option<Answer>) {
        let Some(pending) = self.pending.get(&id) else { return };
        let (member, incarnation) = (pending.member, pending.incarnation);
        if let Some(wait) = self.members[member].stands_still(self.now) {
            let event = match answer {
                Some(answer) => Event::Answered { id, epoch: self.store.epoch, answer },
                None => Event::GiveUp(id),
            };
            return self.at(wait, event);
        }
        let Some(Pending { call, .. }) = self.pending.remove(&id) else { return };
        if self.members[member].incarnation != incarnation {
            return;
        }
        if answer.is_some() && self.crashes_here(member) {
            return self.fault(Fault::Crash(member));
        }
        self.turn(member, |member, turn| member.answered(turn, &call, answer));
    }

    fn wake(&mut self, member: usize, incarnation: u32, timer: Timer) {
        if self.members[member].incarnation != incarnation {
            return;
        }
        if let Some(wait) = self.members[member].stands_still(self.now) {
            return self.at(wait, Event::Wake { member, incarnation, timer });
        }
        self.turn(member, |member, turn| member.timer(turn, timer));
    }

    fn start(&mut self, member: usize) {
        self.members[member].is_up = true;
        self.turn(member, Member::start);
    }

    /// Lets a process act, and does what it wants done.
    fn turn(&mut self, index: usize, act: impl FnOnce(&mut Member, &mut Turn<'_>)) {
        let member = &mut self.members[index];
        let mut random = member.random.clone();
        let mut turn = Turn {
            clock: member.clock(self.now),
            random: &mut random,
            plan: &self.plan,
            is_loading: self.now < BEGIN + plan::LOAD,
            is_quiet: self.is_quiet,
            calls: Vec::new(),
            timers: Vec::new(),
            promises: Vec::new(),
        };
        act(member, &mut turn);
        let Turn { clock, calls, timers, promises, .. } = turn;
        member.random = random;
        let incarnation = member.incarnation;
        promises.into_iter().for_each(|promise| self.ledger.promise(promise));
        for (wait, timer) in timers {
            self.at(wait, Event::Wake { member: index, incarnation, timer });
        }
        for call in calls {
            self.send(index, incarnation, clock, call);
        }
    }

    fn send(&mut self, member: usize, incarnation: u32, clock: Timestamp, call: Call) {
        self.calls += 1;
        let (id, call) = (self.calls, Rc::new(call));
        self.pending.insert(id, Pending { member, incarnation, call: Rc::clone(&call) });
        self.at(plan::CALL_TIMEOUT, Event::GiveUp(id));
        let epoch = self.store.epoch;
        // An operator asks once. A second copy of the same moment would begin the same life twice, under the same fences.
        let copies = if matches!(*call, Call::Requeue(..)) { 1 } else { usize::MAX };
        for (copy, wait) in self.net.deliveries().into_iter().take(copies).enumerate() {
            let epoch = (copy == 0).then_some(epoch);
            self.at(wait, Event::Arrive(Message { id, member, clock, call: Rc::clone(&call), epoch }));
        }
    }

    /// From now on nothing breaks, and everybody is there.
    fn quiet(&mut self) -> Result<(), String> {
        self.is_quiet = true;
        self.net.heal();
        self.members.iter_mut().for_each(Member::heal);
        for class in QueueClass::ALL {
            let call = Call::SetFlow(*class, Flow::Running);
            let now = self.now;
            self.apply(now, &call)?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.is_quiet
            && self.store.model.tasks().next().is_none()
            && self.store.unapplied.is_empty()
            && self.members.iter().all(Member::is_idle)
    }

    fn last_check(&self) -> Result<(), String> {
        self.ledger.promises_kept()?;
        self.ledger.replay(&self.store.model)?;
        let open = self.store.model.runs().values().find(|run| run.state.outcome().is_none());
        open.map_or(Ok(()), |run| Err(format!("{} is open and waits for nothing", run.id)))
    }

    fn unended(&self) -> String {
        let left: Vec<String> =
            self.store.model.tasks().take(5).map(|entry| format!("{} {:?}", entry.task.id, entry.place)).collect();
        format!("{:?} after the faults it is not over: {}", plan::END - plan::FAULTS, left.join(", "))
    }
}
