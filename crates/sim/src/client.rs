//! A process that makes work: tasks with every option, runs, and what operators do about them.
//!
//! A call whose answer did not come is made again: with the same ids, or, where an idempotency key makes that safe,
//! with new ones, as a client does that was restarted.

use std::time::Duration;

use mb_core::id::{RunId, TaskId, TenantId};
use mb_core::queue::limit::{Concurrency, Rate};
use mb_core::queue::{Backoff, Flow, NewTask, Priority, Refused};
use mb_core::task::QueueClass;

use crate::call::{Answer, Call};
use crate::model::NewRun;
use crate::process::{Promise, Timer, Turn};
use crate::run;

/// Tenants there are.
const TENANTS: u8 = 3;
/// Tasks one call makes at most.
const BATCH_MAX: u64 = 4;
/// Runs one client makes at most.
const RUNS_MAX: usize = 3;

/// A process that makes work.
#[derive(Debug)]
pub(crate) struct Client {
    number: u32,
    /// Ids drawn so far.
    drawn: u32,
    /// Tasks made so far.
    made: u32,
    tasks: Vec<(TenantId, TaskId)>,
    runs: Vec<(TenantId, RunId)>,
    /// Calls without an answer, and those to be made again.
    open: usize,
}

impl Client {
    pub(crate) fn new(number: u32) -> Client {
        Client { number, drawn: 0, made: 0, tasks: Vec::new(), runs: Vec::new(), open: 0 }
    }

    /// Whether it waits for nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.open == 0
    }

    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        turn.wake_in(0, 1_000, Timer::Act);
    }

    pub(crate) fn timer(&mut self, turn: &mut Turn<'_>, timer: Timer) {
        match timer {
            Timer::Act if turn.is_loading => {
                if let Some(call) = self.act(turn) {
                    self.open += 1;
                    turn.call(call);
                }
                turn.wake_in(50, turn.plan.pace_ms, Timer::Act);
            }
            Timer::Retry(call) => turn.call(*call),
            Timer::Act | Timer::Poll | Timer::Beat | Timer::Reap | Timer::Done(..) => {}
        }
    }

    pub(crate) fn answered(&mut self, turn: &mut Turn<'_>, call: &Call, answer: Option<Answer>) {
        let again = match (call, answer) {
            (Call::Enqueue(tasks), None) => Some((Duration::from_millis(100), Call::Enqueue(self.again(turn, tasks)))),
            (Call::CreateRun(_), None) => Some((Duration::from_millis(100), call.clone())),
            (_, Some(Answer::Enqueued(Err(Refused::Full { retry_after, .. })))) if turn.random.chance(80) => {
                Some((retry_after, call.clone()))
            }
            (_, answer) => {
                self.told(turn, call, answer);
                None
            }
        };
        match again {
            Some((wait, call)) => turn.timers.push((wait, Timer::Retry(Box::new(call)))),
            None => self.open -= 1,
        }
    }

    fn told(&mut self, turn: &mut Turn<'_>, call: &Call, answer: Option<Answer>) {
        match (call, answer) {
            (Call::Enqueue(tasks), Some(Answer::Enqueued(Ok(answers)))) => {
                for (task, answer) in tasks.iter().zip(answers) {
                    turn.promises.push(Promise::Enqueued(answer.id()));
                    self.tasks.push((task.tenant, answer.id()));
                }
            }
            (Call::CreateRun(new), Some(Answer::Created(_))) => turn.promises.push(Promise::Created(new.run.id)),
            _ => {}
        }
    }

    /// The same tasks; those an idempotency key stands for sometimes under new ids.
    fn again(&mut self, turn: &mut Turn<'_>, tasks: &[NewTask]) -> Vec<NewTask> {
        let is_renamed = turn.random.chance(50);
        let renamed = |task: &NewTask| {
            let id = if is_renamed && task.idempotency.is_some() { self.draw() } else { task.id };
            NewTask { id, ..task.clone() }
        };
        tasks.iter().map(renamed).collect()
    }

    fn draw(&mut self) -> TaskId {
        self.drawn += 1;
        let mut bytes = [0; 16];
        bytes[8..12].copy_from_slice(&self.number.to_be_bytes());
        bytes[12..].copy_from_slice(&self.drawn.to_be_bytes());
        TaskId::from_bytes(bytes)
    }

    fn act(&mut self, turn: &mut Turn<'_>) -> Option<Call> {
        let plan = turn.plan;
        match turn.random.below(12) {
            0 if plan.cancels => self.any_task(turn).map(|(tenant, id)| Call::CancelTask(tenant, id)),
            1 if plan.cancels => {
                let run = self.runs.len().checked_sub(1).map(|last| self.runs[last])?;
                Some(Call::CancelRun(run.0, run.1))
            }
            2 if plan.flows => {
                let flow = turn.random.pick(&[Flow::Paused, Flow::Draining, Flow::Running, Flow::Running]);
                Some(Call::SetFlow(QueueClass::Io, flow))
            }
            3 | 4 if plan.requeues => {
                let picked: Vec<(TenantId, TaskId)> = (0..5).filter_map(|_| self.any_task(turn)).collect();
                let (tenant, _) = *picked.first()?;
                Some(Call::Requeue(tenant, picked.into_iter().map(|(_, id)| id).collect()))
            }
            5 if plan.purges => Some(Call::Purge(turn.clock - Duration::from_secs(20))),
            6 if plan.runs && self.runs.len() < RUNS_MAX => Some(self.run(turn)),
            _ => (self.made < plan.tasks).then(|| Call::Enqueue(self.batch(turn))),
        }
    }

    fn any_task(&self, turn: &mut Turn<'_>) -> Option<(TenantId, TaskId)> {
        (!self.tasks.is_empty()).then(|| turn.random.pick(&self.tasks))
    }

    fn run(&mut self, turn: &mut Turn<'_>) -> Call {
        let tenant = tenant(turn);
        let id = RunId::from_bytes(*self.draw().as_bytes());
        self.runs.push((tenant, id));
        let steps: &[&str] = turn.random.pick(&[&["a"], &["a", "b<a"], &["a", "b<a", "c<a", "d"]]);
        Call::CreateRun(Box::new(NewRun { run: run::run(turn.clock, id, tenant, steps), affinity: None }))
    }

    fn batch(&mut self, turn: &mut Turn<'_>) -> Vec<NewTask> {
        let count = turn.random.between(1, BATCH_MAX);
        (0..count).map(|_| self.task(turn)).collect()
    }

    fn task(&mut self, turn: &mut Turn<'_>) -> NewTask {
        self.made += 1;
        let class = turn.random.pick(&[QueueClass::Io, QueueClass::Io, QueueClass::Cpu]);
        let mut task = NewTask::new(self.draw(), tenant(turn), "work", class);
        task.priority = turn.random.pick(&[Priority::High, Priority::Normal, Priority::Normal, Priority::Low]);
        let (work, random) = (turn.plan.work, &mut *turn.random);
        let key = |random: &mut crate::random::Random, of: &str, many: u64| format!("{of}{}", random.below(many));
        if work.delayed && random.chance(30) {
            task.not_before = Some(turn.clock + random.time(Duration::ZERO, Duration::from_secs(20)));
        }
        if work.idempotency && random.chance(50) {
            task.idempotency = Some(key(random, "i", 30));
        }
        let options = &mut task.options;
        options.attempts_max = u32::try_from(random.between(1, 4)).unwrap_or(1);
        options.backoff = Backoff { base_ms: 500, max_ms: 8_000 };
        if work.unique && random.chance(40) {
            options.unique = Some(key(random, "u", 4));
        }
        if work.deadline && random.chance(30) {
            options.deadline = Some(turn.clock + random.time(Duration::from_secs(1), Duration::from_secs(40)));
        }
        // Not both: a turn that a blocked task could not take is one the ledger cannot count.
        if work.concurrency && random.chance(60) {
            let max = random.pick(&[1, 1, 2]);
            options.concurrency = Some(Concurrency { key: key(random, "c", 2), max });
        } else if work.rate && random.chance(60) {
            // Of one tenant, so that many wait for the turns of one key.
            task.tenant = TenantId::from_bytes([0; 16]);
            options.rate = Some(Rate { key: "r".into(), count: 2, per_ms: 1_000, burst: 2 });
        }
        task
    }
}

fn tenant(turn: &mut Turn<'_>) -> TenantId {
    let number = turn.random.pick(&(0..TENANTS).collect::<Vec<u8>>());
    TenantId::from_bytes([number; 16])
}
