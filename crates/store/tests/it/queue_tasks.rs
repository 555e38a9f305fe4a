//! The queue's verbs on SQLite and PostgreSQL against the model of `mb_sim`, step by step: what each verb says and
//! where every task then is must be the same in all three.
//!
//! A script is played on the model while it is written, so that leases in it are the ones the model granted; a store that
//! granted others says so at that step. The walk draws its steps from a seed.
//!
//! Not compared, because it is not promised: which of two tasks with the same rank goes first (the walks make no equal
//! ranks), and how many wait when a queue is full beyond its bound.

mod step;
mod walk;

use std::collections::BTreeMap;
use std::time::Duration;

use mb_core::id::{TaskId, TenantId};
use mb_core::queue::limit::{Concurrency, Rate};
use mb_core::queue::{Bounds, Claim, Flow, NewTask, Outcome, Priority};
use mb_core::task::{Lease, QueueClass};
use mb_core::time::Timestamp;
use mb_sim::model::Model;
use mb_store::Store;

use crate::support::{Home, LEASE, TENANT, at, worker};
use step::{Step, left_in_model, left_in_store, of_runs};

/// Steps after which everything is looked at, not only what was said.
const LOOK_EVERY: usize = 25;

/// Steps, what the model said to each, and what it then held.
struct Script {
    model: Model,
    now: Timestamp,
    steps: Vec<(Timestamp, Step, String)>,
    /// After so many steps: the tasks there were, and everything that was to be seen.
    looks: BTreeMap<usize, (Vec<(TenantId, TaskId)>, String)>,
    tasks: Vec<(TenantId, TaskId)>,
}

impl Script {
    fn new() -> Script {
        Script { model: Model::default(), now: at(0), steps: Vec::new(), looks: BTreeMap::new(), tasks: Vec::new() }
    }

    /// Later by so much; whatever comes next happens then.
    fn after(&mut self, seconds: u64) -> &mut Script {
        self.now = self.now + Duration::from_secs(seconds);
        self
    }

    fn play(&mut self, step: Step) {
        if let Step::Enqueue(tasks, _) = &step {
            self.tasks.extend(tasks.iter().map(|task| (task.tenant, task.id)));
        }
        let said = step.on_model(&mut self.model, self.now);
        self.steps.push((self.now, step, said));
        if self.steps.len().is_multiple_of(LOOK_EVERY) {
            self.look();
        }
    }

    fn look(&mut self) {
        let tasks = [self.tasks.clone(), of_runs(&self.model)].concat();
        let now = self.steps.last().map_or(self.now, |(now, ..)| *now);
        let left = left_in_model(&self.model, now, &tasks);
        self.looks.insert(self.steps.len(), (tasks, left));
    }

    fn enqueue(&mut self, tasks: &[NewTask]) {
        self.play(Step::Enqueue(tasks.to_vec(), Bounds::default()));
    }

    fn claim(&mut self, by: u64, slots: usize) -> Vec<Lease> {
        let slots = BTreeMap::from([(QueueClass::Io, slots)]);
        let claim = Claim { worker: worker(by), slots, affinity: None, lease: LEASE };
        let before: Vec<TaskId> = self.held().into_iter().map(|lease| lease.task).collect();
        self.play(Step::Claim(claim));
        self.held().into_iter().filter(|lease| !before.contains(&lease.task)).collect()
    }

    /// The leases of everything that is held.
    fn held(&self) -> Vec<Lease> {
        let lease = |entry: &mb_sim::model::Entry| {
            let holder = entry.holder()?;
            let (task, key, fence) = (entry.task.id, entry.key.clone(), entry.fence);
            Some(Lease { task, key, worker: holder.worker, fence, until: holder.until })
        };
        self.model.tasks().filter_map(lease).collect()
    }

    fn complete(&mut self, leases: &[Lease], outcome: &Outcome) {
        self.play(Step::Complete(leases.iter().map(|lease| (lease.clone(), outcome.clone())).collect()));
    }
}

/// Plays a script on a store; every step must say what the model said.
async fn check(store: &Store, script: &Script, name: &str) {
    for (number, (now, step, said)) in script.steps.iter().enumerate() {
        same(&step.on_store(store, *now).await, said, &format!("{name}, step {number}: {step:?}"));
        if let Some((tasks, held)) = script.looks.get(&(number + 1)) {
            let found = left_in_store(store, *now, tasks, &script.model).await;
            same(&found, held, &format!("{name}, after step {number}: {step:?}"));
        }
    }
}

/// Line by line, so that what differs is all that is shown.
fn same(found: &str, expected: &str, what: &str) {
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected, "{what}");
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{what}\n{found}\n{expected}");
}

/// Plays a script on every database there is.
async fn check_everywhere(mut script: Script, name: &str) {
    script.look();
    check(&Home::sqlite().await.store, &script, name).await;
    let Some(home) = Home::postgres().await else { return };
    let (store, name) = (home.store.clone(), name.to_owned());
    let result = tokio::spawn(async move { check(&store, &script, &format!("{name} on PostgreSQL")).await }).await;
    home.drop_schema().await;
    result.unwrap();
}

fn new(n: u64) -> NewTask {
    NewTask::new(TaskId::from_bytes(u128::from(n).to_be_bytes()), TENANT, "noop", QueueClass::Io)
}

fn with(n: u64, change: impl FnOnce(&mut NewTask)) -> NewTask {
    let mut task = new(n);
    change(&mut task);
    task
}

fn failed(is_permanent: bool) -> Outcome {
    Outcome::Failed { error: "it broke".into(), is_permanent, retry_after: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_bounds() {
    let unique = |n| with(n, |task| task.options.unique = Some("u".into()));
    let idempotent = |n| with(n, |task| task.idempotency = Some("i".into()));
    let both = |n| {
        with(n, |task| {
            task.options.unique = Some("u".into());
            task.idempotency = Some("j".into());
        })
    };
    let mut script = Script::new();
    script.enqueue(&[unique(1), unique(2), new(3), idempotent(4), idempotent(5)]);
    script.after(1).enqueue(&[both(6)]);
    // The second has the idempotency key of the first, which has the unique key of the one that waits.
    let second = with(40, |task| task.idempotency = Some("k".into()));
    let first = NewTask { idempotency: second.idempotency.clone(), ..unique(41) };
    script.after(1).enqueue(&[first, second]);
    let leases = script.after(1).claim(1, 9);
    script.after(1).enqueue(&[unique(7), idempotent(8)]);
    script.after(1).complete(&leases, &Outcome::Succeeded);
    script.after(1).enqueue(&[both(9), unique(10), idempotent(11)]);
    let purge = Step::Purge(script.now);
    script.after(1).play(purge);
    script.after(1).enqueue(&[idempotent(12), both(13)]);
    let bounds =
        Bounds { class: BTreeMap::from([(QueueClass::Io, 4)]), priority: BTreeMap::from([(Priority::High, 1)]) };
    script.after(1).play(Step::Enqueue(vec![new(14), new(15), new(16)], bounds.clone()));
    script.after(1).play(Step::Enqueue(vec![new(17), unique(18), idempotent(19)], bounds.clone()));
    let high = |n| with(n, |task| task.priority = Priority::High);
    script.after(1).play(Step::Enqueue(vec![high(20), high(21)], bounds.clone()));
    script.after(1).play(Step::Enqueue(vec![high(22)], bounds));
    script.after(1).enqueue(&[with(23, |task| task.options.attempts_max = 0)]);
    check_everywhere(script, "keys and bounds").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_by_key() {
    let limited = |n| with(n, |task| task.options.concurrency = Some(Concurrency { key: "c".into(), max: 2 }));
    let rate = Rate { key: "r".into(), count: 1, per_ms: 10_000, burst: 1 };
    let rated = |n| with(n, |task| task.options.rate = Some(rate.clone()));
    let late = |n| with(n, |task| task.options.deadline = Some(at(5)));
    let mut script = Script::new();
    script.enqueue(&[limited(1), limited(2), limited(3), limited(4), new(5)]);
    script.enqueue(&[rated(6), rated(7), rated(8), late(9)]);
    let first = script.after(1).claim(1, 4);
    script.after(9).claim(1, 9);
    script.after(1).complete(&first[..1], &Outcome::Succeeded);
    script.after(1).complete(&first[1..2], &failed(false));
    script.after(1).claim(2, 9);
    script.after(60).play(Step::Reap(100));
    script.after(1).claim(3, 9);
    script.after(7).claim(3, 9);
    script.after(20).play(Step::WorkerGone(worker(3)));
    script.after(300).claim(4, 9);
    script.after(31).play(Step::Reap(100));
    script.after(1).claim(4, 9);
    check_everywhere(script, "limits by key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancels_flows_and_dead_letters() {
    let mut script = Script::new();
    script.enqueue(&(1..=6).map(new).collect::<Vec<_>>());
    let leases = script.after(1).claim(1, 3);
    for n in [1, 4, 4, 9] {
        script.after(1).play(Step::Cancel(TENANT, new(n).id));
    }
    script.after(1).play(Step::Heartbeat(leases.clone()));
    script.after(1).complete(&leases[..2], &failed(false));
    script.after(1).complete(&leases[2..], &failed(true));
    script.after(1).complete(&leases, &Outcome::Succeeded);
    script.after(1).play(Step::Heartbeat(leases.clone()));
    for (n, flow) in (10..).zip([Flow::Paused, Flow::Draining, Flow::Running]) {
        script.after(1).play(Step::SetFlow(QueueClass::Io, flow));
        script.after(1).enqueue(&[new(n)]);
        script.after(1).claim(2, 1);
    }
    script.after(1).play(Step::Requeue(TENANT, vec![leases[2].task]));
    script.after(1).play(Step::Requeue(TENANT, vec![leases[2].task, new(4).id]));
    let again = script.after(1).claim(1, 9);
    script.after(1).complete(&leases, &Outcome::Succeeded);
    script.after(1).complete(&again, &Outcome::Snoozed { until: at(500) });
    let first = script.after(500).claim(1, 9);
    // The worker that had lost it gets it again, and says of both grants at once that it is done.
    script.after(60).play(Step::Reap(100));
    let both: Vec<Lease> = first.into_iter().chain(script.after(60).claim(1, 9)).collect();
    script.after(1).complete(&both, &Outcome::Succeeded);
    check_everywhere(script, "cancels, flows and dead letters").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn walks_are_the_same_everywhere() {
    for seed in 0..walk::SEEDS {
        check_everywhere(walk::script(seed), &format!("walk {seed}")).await;
    }
}
