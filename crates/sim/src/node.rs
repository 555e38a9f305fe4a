//! A worker process: claims, renews its leases, works, reports in batches, and takes tasks from workers that vanished.
//!
//! The protocol is that of `engine::Worker`: an answer that did not come is a question to be asked again, a lease that
//! was lost is work to be dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use mb_core::failure::FailureKind;
use mb_core::id::{TaskId, WorkerId};
use mb_core::queue::{Beat, Claim, Completion, Outcome, Settled};
use mb_core::task::{Fence, Lease, QueueClass};

use crate::call::{Answer, Call};
use crate::model::{Granted, Report};
use crate::plan::LEASE;
use crate::process::{Promise, Timer, Turn};
use crate::run;

/// Classes every node has slots for.
const CLASSES: [QueueClass; 2] = [QueueClass::Cpu, QueueClass::Io];
/// Leases taken back by one call.
const REAP_MAX: u32 = 50;
/// What fails a run's attempts.
const FAILURES: [FailureKind; 4] =
    [FailureKind::Lint, FailureKind::NetworkInfra, FailureKind::TestAssert, FailureKind::Security];

/// A worker process.
#[derive(Debug)]
pub(crate) struct Node {
    number: u32,
    /// How many workers there were here: each start is a new one.
    generation: u32,
    jobs: BTreeMap<TaskId, Job>,
    /// What is to be reported; the lease is renewed until the report was heard.
    outcomes: Vec<(Lease, Outcome)>,
    reports: Vec<(Lease, Report)>,
    /// What the process before this one held when it ended without a word.
    notes: Vec<Lease>,
    is_claiming: bool,
    is_beating: bool,
    is_completing: bool,
    is_reporting: bool,
    is_leaving: bool,
}

#[derive(Debug)]
struct Job {
    lease: Lease,
    class: QueueClass,
}

impl Node {
    pub(crate) fn new(number: u32) -> Node {
        Node {
            number,
            generation: 0,
            jobs: BTreeMap::new(),
            outcomes: Vec::new(),
            reports: Vec::new(),
            notes: Vec::new(),
            is_claiming: false,
            is_beating: false,
            is_completing: false,
            is_reporting: false,
            is_leaving: false,
        }
    }

    fn worker(&self) -> WorkerId {
        let mut bytes = [0; 16];
        bytes[8..12].copy_from_slice(&self.number.to_be_bytes());
        bytes[12..].copy_from_slice(&self.generation.to_be_bytes());
        WorkerId::from_bytes(bytes)
    }

    /// The process ends without a word; all it leaves is what somebody may have written down.
    pub(crate) fn crash(&mut self) {
        let notes = self.leases();
        *self = Node { generation: self.generation + 1, notes, ..Node::new(self.number) };
    }

    /// A process begins.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        turn.wake_in(0, 500, Timer::Poll);
        turn.wake_in(0, 3_000, Timer::Beat);
        turn.wake_in(0, 5_000, Timer::Reap);
        let notes = std::mem::take(&mut self.notes);
        if turn.plan.notes {
            let worker = self.worker();
            let renamed = notes.into_iter().filter(|lease| lease.key.is_none()).map(|lease| Lease { worker, ..lease });
            self.outcomes.extend(renamed.map(|lease| (lease, Outcome::Succeeded)));
        }
        if self.generation > 0 && turn.random.chance(50) {
            let before = Node { generation: self.generation - 1, ..Node::new(self.number) };
            turn.call(Call::Release(before.worker()));
        }
    }

    /// The process is asked to end in order.
    pub(crate) fn leave(&mut self, turn: &mut Turn<'_>) {
        self.is_leaving = true;
        for (_, job) in std::mem::take(&mut self.jobs) {
            self.hand_in(job.lease, Outcome::GaveBack, Report::GaveBack);
        }
        self.send(turn);
    }

    pub(crate) fn timer(&mut self, turn: &mut Turn<'_>, timer: &Timer) {
        match timer {
            Timer::Poll => {
                self.claim(turn);
                self.send(turn);
                turn.wake_in(300, 900, Timer::Poll);
            }
            Timer::Beat => {
                let leases = self.leases();
                if !self.is_beating && !leases.is_empty() {
                    self.is_beating = true;
                    turn.call(Call::Heartbeat(leases, LEASE));
                }
                turn.wake_in(2_500, 3_500, Timer::Beat);
            }
            Timer::Reap => {
                turn.call(Call::Reap(REAP_MAX));
                turn.wake_in(4_000, 6_000, Timer::Reap);
            }
            Timer::Done(id, fence) => self.done(turn, *id, *fence),
            Timer::Act | Timer::Retry(_) => {}
        }
    }

    /// What came of a call; none when no answer came.
    pub(crate) fn answered(&mut self, turn: &mut Turn<'_>, call: &Call, answer: Option<Answer>) {
        match (call, answer) {
            (Call::Claim(_), answer) => {
                self.is_claiming = false;
                if let Some(Answer::Granted(granted)) = answer {
                    granted.into_iter().for_each(|granted| self.begin(turn, granted));
                }
            }
            (Call::Heartbeat(leases, _), answer) => {
                self.is_beating = false;
                if let Some(Answer::Beats(beats)) = answer {
                    leases.iter().zip(beats).for_each(|(lease, beat)| self.beaten(turn, lease, beat));
                }
            }
            (Call::Complete(sent), answer) => {
                self.is_completing = false;
                if let Some(Answer::Completed(completions)) = answer {
                    self.heard(turn, sent, &completions);
                }
            }
            (Call::Report(lease, _), answer) => {
                self.is_reporting = false;
                if answer.is_some() {
                    self.reports.retain(|(held, _)| !is_same(held, lease));
                }
            }
            (Call::Release(worker), Some(_)) if self.is_leaving && *worker == self.worker() => {
                *self = Node { generation: self.generation + 1, ..Node::new(self.number) };
            }
            _ => {}
        }
    }

    fn claim(&mut self, turn: &mut Turn<'_>) {
        let used = |class| self.jobs.values().filter(|job| job.class == class).count();
        let free = CLASSES.map(|class| (class, turn.plan.slots.saturating_sub(used(class))));
        let slots: BTreeMap<QueueClass, usize> = free.into_iter().filter(|(_, free)| *free > 0).collect();
        if !self.is_claiming && !self.is_leaving && !slots.is_empty() {
            self.is_claiming = true;
            turn.call(Call::Claim(Claim { worker: self.worker(), slots, affinity: None, lease: LEASE }));
        }
    }

    fn begin(&mut self, turn: &mut Turn<'_>, granted: Granted) {
        let Granted { lease, task } = granted;
        let is_long = turn.plan.work.long && turn.random.chance(20);
        let most = if is_long { 2 * LEASE } else { Duration::from_secs(3) };
        let wait = turn.random.time(Duration::from_millis(10), most);
        turn.timers.push((wait, Timer::Done(lease.task, lease.fence)));
        self.jobs.insert(lease.task, Job { lease, class: task.class });
    }

    fn done(&mut self, turn: &mut Turn<'_>, id: TaskId, fence: Fence) {
        if self.jobs.get(&id).is_none_or(|job| job.lease.fence != fence) {
            return;
        }
        let Some(Job { lease, .. }) = self.jobs.remove(&id) else { return };
        let failure = (!turn.is_quiet && turn.random.chance(40)).then(|| turn.random.pick(&FAILURES));
        let report = lease.key.as_ref().map_or(Report::GaveBack, |key| run::report(&key.work, failure));
        self.hand_in(lease, outcome(turn), report);
        if turn.random.chance(50) {
            self.send(turn);
        }
    }

    fn beaten(&mut self, turn: &mut Turn<'_>, lease: &Lease, beat: Beat) {
        let is_its = self.jobs.get(&lease.task).is_some_and(|job| is_same(&job.lease, lease));
        if !is_its || matches!(beat, Beat::Kept(_)) {
            return;
        }
        self.jobs.remove(&lease.task);
        if beat == Beat::Interrupt {
            let outcome = if turn.random.chance(70) { Outcome::Canceled } else { outcome(turn) };
            let report = lease.key.as_ref().map_or(Report::GaveBack, |key| run::report(&key.work, Some(FAILURES[0])));
            self.hand_in(lease.clone(), outcome, report);
        }
    }

    fn hand_in(&mut self, lease: Lease, outcome: Outcome, report: Report) {
        if lease.key.is_some() {
            self.reports.push((lease, report));
        } else {
            self.outcomes.push((lease, outcome));
        }
    }

    fn send(&mut self, turn: &mut Turn<'_>) {
        if !self.is_completing && !self.outcomes.is_empty() {
            self.is_completing = true;
            turn.call(Call::Complete(self.outcomes.clone()));
        }
        if let Some((lease, report)) = self.reports.first().filter(|_| !self.is_reporting) {
            self.is_reporting = true;
            turn.call(Call::Report(lease.clone(), Box::new(report.clone())));
        }
        if self.is_leaving && self.outcomes.is_empty() && self.reports.is_empty() {
            turn.call(Call::Release(self.worker()));
        }
    }

    fn heard(&mut self, turn: &mut Turn<'_>, sent: &[(Lease, Outcome)], completions: &[Completion]) {
        for ((lease, _), completion) in sent.iter().zip(completions) {
            if matches!(completion, Completion::Settled(Settled::Finished(_))) {
                turn.promises.push(Promise::Finished(lease.task, lease.fence));
            }
        }
        self.outcomes.retain(|(held, _)| !sent.iter().any(|(lease, _)| is_same(held, lease)));
    }

    /// Everything to be renewed.
    fn leases(&self) -> Vec<Lease> {
        let jobs = self.jobs.values().map(|job| &job.lease);
        let unheard = self.outcomes.iter().map(|(lease, _)| lease).chain(self.reports.iter().map(|(lease, _)| lease));
        jobs.chain(unheard).cloned().collect()
    }
}

/// Whether it is the same grant, however often it was renewed.
fn is_same(one: &Lease, other: &Lease) -> bool {
    (one.task, one.fence, one.worker) == (other.task, other.fence, other.worker)
}

fn outcome(turn: &mut Turn<'_>) -> Outcome {
    let fails = |is_permanent, retry_after| Outcome::Failed { error: "it broke".into(), is_permanent, retry_after };
    let draw = turn.random.below(100);
    match draw {
        _ if !turn.plan.work.failing => Outcome::Succeeded,
        0..15 => fails(false, None),
        15..20 if !turn.is_quiet => fails(false, Some(Duration::from_secs(2))),
        20..30 if !turn.is_quiet => fails(true, None),
        30..37 if !turn.is_quiet => Outcome::Snoozed { until: turn.clock + Duration::from_secs(3) },
        _ => Outcome::Succeeded,
    }
}
