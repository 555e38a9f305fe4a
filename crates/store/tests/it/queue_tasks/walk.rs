//! Scripts drawn from a seed: every verb, in any order, about tasks with every option.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mb_core::failure::FailureKind;
use mb_core::id::{TaskId, TenantId};
use mb_core::queue::limit::{Concurrency, Rate};
use mb_core::queue::{Bounds, Claim, Flow, NewTask, Outcome, Priority};
use mb_core::task::{Lease, QueueClass};
use mb_sim::model::{Model, Report};

use super::Script;
use super::step::Step;
use crate::random::Numbers;
use crate::support::{LEASE, TENANT, run_id, worker};

/// Walks that are played.
pub(super) const SEEDS: u64 = 4;
/// Steps of each.
const STEPS: usize = 150;
/// Whose the tasks are: one tenant for each class, since those of two begin with equal ranks.
const TENANTS: [TenantId; 2] = [TENANT, TenantId::from_bytes([9; 16])];
const CLASSES: [QueueClass; 2] = [QueueClass::Io, QueueClass::Cpu];

/// The script of a seed.
pub(super) fn script(seed: u64) -> Script {
    let mut walk = Walk { numbers: Numbers(seed), script: Script::new(), leases: Vec::new(), runs: 0 };
    for _ in 0..STEPS {
        // Odd moments, so that no rank is equal to another by chance.
        let wait = Duration::from_micros(1 + walk.numbers.below(4_000_000));
        walk.script.now = walk.script.now + wait;
        let step = walk.step();
        let mut trial = walk.script.model.clone();
        step.on_model(&mut trial, walk.script.now);
        if has_equal_ranks(&trial) {
            continue;
        }
        walk.script.play(step);
        let held = walk.script.held();
        let is_new =
            |lease: &Lease| !walk.leases.iter().any(|known| known.task == lease.task && known.fence == lease.fence);
        let new: Vec<Lease> = held.into_iter().filter(is_new).collect();
        walk.leases.extend(new);
    }
    walk.script
}

/// Whether a store may choose which of two tasks goes first. A step that leads there is not taken.
fn has_equal_ranks(model: &Model) -> bool {
    let mut ranks = BTreeSet::new();
    !model.tasks().all(|entry| ranks.insert((entry.task.class, entry.affinity.clone(), entry.task.rank)))
}

struct Walk {
    numbers: Numbers,
    script: Script,
    /// Every lease there was: some are held, some are old.
    leases: Vec<Lease>,
    runs: u64,
}

impl Walk {
    fn below(&mut self, bound: u64) -> u64 {
        self.numbers.below(bound)
    }

    fn pick<T: Clone>(&mut self, among: &[T]) -> Option<T> {
        let count = among.len() as u64;
        (count > 0).then(|| among[self.below(count) as usize].clone())
    }

    fn step(&mut self) -> Step {
        match self.below(20) {
            0..=4 => self.enqueue(),
            5..=8 => self.claim(),
            9..=12 => self.report(),
            13 => {
                let leases = self.some_leases(5);
                Step::Heartbeat(leases)
            }
            14 => Step::Reap(1 + self.below(5) as u32),
            15 => match self.below(6) {
                0 => Step::WorkerGone(worker(1 + self.below(3))),
                1 => Step::Purge(self.script.now - Duration::from_secs(60)),
                _ => Step::Reap(100),
            },
            16 => {
                let id = self.any_task();
                Step::Cancel(TENANTS[self.below(2) as usize], id)
            }
            17 => {
                let flow = self.pick(&[Flow::Running, Flow::Running, Flow::Paused, Flow::Draining]);
                Step::SetFlow(CLASSES[self.below(2) as usize], flow.unwrap_or(Flow::Running))
            }
            18 => {
                let dead: Vec<(TenantId, TaskId)> =
                    self.script.model.finished().values().map(|record| (record.tenant, record.id)).collect();
                match self.pick(&dead) {
                    Some((tenant, id)) => Step::Requeue(tenant, vec![id]),
                    None => Step::Reap(1),
                }
            }
            _ => self.run(),
        }
    }

    fn any_task(&mut self) -> TaskId {
        let tasks = self.script.tasks.clone();
        self.pick(&tasks).map_or(TaskId::from_bytes([7; 16]), |(_, id)| id)
    }

    fn claim(&mut self) -> Step {
        let slots = BTreeMap::from(CLASSES.map(|class| (class, self.below(4) as usize)));
        let affinity = (self.below(8) == 0).then(|| "process".to_owned());
        Step::Claim(Claim { worker: worker(1 + self.below(3)), slots, affinity, lease: LEASE })
    }

    /// Leases that are or were, each once.
    fn some_leases(&mut self, most: u64) -> Vec<Lease> {
        let mut some = BTreeMap::new();
        for _ in 0..=self.below(most) {
            let recent = self.leases[self.leases.len().saturating_sub(8)..].to_vec();
            if let Some(lease) = self.pick(&recent) {
                some.insert((lease.task, lease.fence), lease);
            }
        }
        some.into_values().collect()
    }

    fn report(&mut self) -> Step {
        let leases = self.some_leases(4);
        if let Some(lease) = leases.iter().find(|lease| lease.key.is_some()) {
            let work = lease.key.as_ref().map(|key| key.work.clone()).unwrap();
            let kinds = [FailureKind::Lint, FailureKind::NetworkInfra, FailureKind::TestAssert];
            let failure = if self.below(2) == 0 { self.pick(&kinds) } else { None };
            let report = if self.below(8) == 0 { Report::GaveBack } else { mb_sim::run::report(&work, failure) };
            return Step::Finish(lease.clone(), Box::new(report));
        }
        Step::Complete(leases.into_iter().map(|lease| (lease, self.outcome())).collect())
    }

    fn outcome(&mut self) -> Outcome {
        let fails = |is_permanent, retry_after| Outcome::Failed { error: "it broke".into(), is_permanent, retry_after };
        match self.below(10) {
            0..=3 => Outcome::Succeeded,
            4 | 5 => fails(false, None),
            6 => fails(false, Some(Duration::from_secs(3))),
            7 => fails(true, None),
            8 => Outcome::Snoozed { until: self.script.now + Duration::from_secs(self.below(10)) },
            _ => self.pick(&[Outcome::GaveBack, Outcome::Canceled]).unwrap(),
        }
    }

    fn run(&mut self) -> Step {
        if self.runs > 0 && self.below(3) == 0 {
            return Step::CancelRun(TENANTS[1], run_id(1 + self.below(self.runs)));
        }
        self.runs += 1;
        let run = mb_sim::run::run(self.script.now, run_id(self.runs), TENANTS[1], &["a", "b<a", "c"]);
        let affinity = (self.below(4) == 0).then(|| "process".to_owned());
        Step::CreateRun(Box::new(run), affinity)
    }

    fn enqueue(&mut self) -> Step {
        let is_delayed = self.below(5) == 0;
        let count = 1 + self.below(4);
        let mut tasks: Vec<NewTask> = (0..count).map(|_| self.task()).collect();
        if is_delayed {
            tasks[0].not_before = Some(self.script.now + Duration::from_secs(self.below(20)));
        }
        let mut bounds = Bounds::default();
        if self.below(4) == 0 {
            bounds.class.insert(QueueClass::Io, 4 + self.below(6));
            bounds.priority.insert(Priority::Normal, 4 + self.below(12));
        }
        Step::Enqueue(tasks, bounds)
    }

    fn task(&mut self) -> NewTask {
        let place = self.below(2) as usize;
        // Refused ones keep theirs: an id is drawn once.
        let number = 1_000 * (self.script.steps.len() as u64 + 1) + self.below(1_000_000) * 1_000_000;
        let id = TaskId::from_bytes(u128::from(number).to_be_bytes());
        let mut task = NewTask::new(id, TENANTS[place], "noop", CLASSES[place]);
        task.priority = self.pick(Priority::ALL).unwrap();
        task.payload = format!("{{\"n\":{number}}}");
        task.idempotency = (self.below(3) == 0).then(|| format!("i{}", self.below(12)));
        let options = &mut task.options;
        options.attempts_max = 1 + self.numbers.below(3) as u32;
        options.deadline =
            (self.numbers.below(6) == 0).then(|| self.script.now + Duration::from_secs(self.numbers.below(30)));
        options.unique = (self.numbers.below(3) == 0).then(|| format!("u{}", self.numbers.below(4)));
        if self.numbers.below(3) == 0 {
            let key = format!("c{}", self.numbers.below(2));
            options.concurrency = Some(Concurrency { key, max: 1 + self.numbers.below(2) as u32 });
        }
        if self.numbers.below(4) == 0 {
            options.rate = Some(Rate { key: "r".into(), count: 1, per_ms: 3_000, burst: 2 });
        }
        task
    }
}
