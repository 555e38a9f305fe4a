//! What each verb means, by example.

use std::collections::BTreeMap;
use std::time::Duration;

use mb_core::failure::FailureKind;
use mb_core::id::{RunId, TaskId, TenantId, WorkerId};
use mb_core::queue::limit::{Concurrency, Rate};
use mb_core::queue::{
    Beat, Bounds, CLAIM_MAX, Claim, Completion, ENQUEUE_MAX, Enqueued, FULL_RETRY, Fate, Flow, NewTask, Outcome,
    Priority, Refused, TaskCancel,
};
use mb_core::run::{RunOutcome, StepState};
use mb_core::task::{Fence, Lease, QueueClass};
use mb_core::time::Timestamp;

use super::*;
use crate::run;

const TENANT: TenantId = TenantId::DEFAULT;
const OTHER: TenantId = TenantId::from_bytes([9; 16]);
const LEASE: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000) + Duration::from_secs(seconds)
}

fn id(n: u32) -> TaskId {
    TaskId::from_bytes(u128::from(n).to_be_bytes())
}

fn worker(n: u32) -> WorkerId {
    WorkerId::from_bytes(u128::from(n).to_be_bytes())
}

fn new(n: u32) -> NewTask {
    NewTask::new(id(n), TENANT, "noop", QueueClass::Io)
}

fn with(n: u32, change: impl FnOnce(&mut NewTask)) -> NewTask {
    let mut task = new(n);
    change(&mut task);
    task
}

fn claim_of(by: u32, class: QueueClass, slots: usize) -> Claim {
    Claim { worker: worker(by), slots: BTreeMap::from([(class, slots)]), affinity: None, lease: LEASE }
}

fn failed() -> Outcome {
    Outcome::Failed { error: "no".into(), is_permanent: false, retry_after: None }
}

fn failed_for_good() -> Outcome {
    Outcome::Failed { error: "no".into(), is_permanent: true, retry_after: None }
}

impl Model {
    /// Each enqueued by a call of its own, so that they are ranked in this order.
    fn with_tasks(tasks: &[NewTask]) -> Model {
        let mut model = Model::default();
        for task in tasks {
            model.add(0, std::slice::from_ref(task));
        }
        model
    }

    fn add(&mut self, second: u64, tasks: &[NewTask]) -> Vec<Enqueued> {
        self.enqueue(at(second), tasks, &Bounds::default()).expect("they are admitted")
    }

    fn take_one(&mut self, second: u64, by: u32) -> Lease {
        self.claim(at(second), &claim_of(by, QueueClass::Io, 1)).remove(0).lease
    }

    /// The numbers of the tasks a claim grants.
    fn granted(&mut self, second: u64, slots: usize) -> Vec<u8> {
        let granted = self.claim(at(second), &claim_of(1, QueueClass::Io, slots));
        granted.iter().map(|granted| granted.task.id.as_bytes()[15]).collect()
    }

    fn end(&mut self, second: u64, lease: &Lease, outcome: Outcome) -> Completion {
        self.complete(at(second), &[(lease.clone(), outcome)]).remove(0)
    }

    fn fate(&self, n: u32) -> Option<Fate> {
        self.finished.get(&id(n)).map(|record| record.fate)
    }
}

#[test]
fn all_or_nothing_is_enqueued() {
    let mut model = Model::default();
    let bad = with(2, |task| task.options.attempts_max = 0);
    let refused = model.enqueue(at(0), &[new(1), bad], &Bounds::default());
    assert!(matches!(refused, Err(Refused::Bad { index: 1, .. })));
    let many = vec![new(1); ENQUEUE_MAX + 1];
    assert_eq!(model.enqueue(at(0), &many, &Bounds::default()), Err(Refused::TooMany(ENQUEUE_MAX + 1)));
    let bounds = Bounds { class: BTreeMap::from([(QueueClass::Io, 2)]), priority: BTreeMap::new() };
    let unique = |n| with(n, |task| task.options.unique = Some("u".into()));
    let full = Refused::Full { queue: "io", waiting: 0, bound: 2, retry_after: FULL_RETRY };
    assert_eq!(model.enqueue(at(0), &[unique(1), new(2), new(3)], &bounds), Err(full));
    assert_eq!(model.tasks().count(), 0);
    // Duplicates do not count, and a refusal left no key behind.
    let answers = model.enqueue(at(0), &[unique(1), unique(4), new(2)], &bounds);
    assert_eq!(answers, Ok(vec![Enqueued::New(id(1)), Enqueued::Duplicate(id(1)), Enqueued::New(id(2))]));
    let full = Refused::Full { queue: "io", waiting: 2, bound: 2, retry_after: FULL_RETRY };
    assert_eq!(model.enqueue(at(0), &[new(3)], &bounds), Err(full));
    model.take_one(1, 1);
    assert!(model.enqueue(at(1), &[new(3)], &bounds).is_ok(), "what is leased does not wait");
}

#[test]
fn the_bound_of_a_priority_counts_every_class() {
    let mut model = Model::with_tasks(&[with(1, |task| task.class = QueueClass::Llm)]);
    let bounds = Bounds { class: BTreeMap::new(), priority: BTreeMap::from([(Priority::Normal, 1)]) };
    let full = Refused::Full { queue: "normal", waiting: 1, bound: 1, retry_after: FULL_RETRY };
    assert_eq!(model.enqueue(at(0), &[new(2)], &bounds), Err(full));
    assert!(model.enqueue(at(0), &[with(3, |task| task.priority = Priority::High)], &bounds).is_ok());
}

#[test]
fn keys_find_the_task_that_has_them() {
    let keyed = |n| {
        with(n, |task| {
            task.options.unique = Some("u".into());
            task.idempotency = (n < 3).then(|| "i".into());
        })
    };
    let mut model = Model::with_tasks(&[keyed(1)]);
    assert_eq!(model.add(1, &[keyed(3)]), [Enqueued::Duplicate(id(1))]);
    assert_eq!(model.add(1, &[new(1)]), [Enqueued::Duplicate(id(1))], "the same id, as after an unknown answer");
    assert_eq!(
        model.add(
            1,
            &[with(9, |task| {
                task.tenant = OTHER;
                task.options.unique = Some("u".into());
            })]
        ),
        [Enqueued::New(id(9))]
    );
    let lease = model.take_one(2, 1);
    assert_eq!(model.add(3, &[keyed(3)]), [Enqueued::Duplicate(id(1))], "also while it is leased");
    model.end(4, &lease, Outcome::Succeeded);
    assert_eq!(model.add(5, &[keyed(2)]), [Enqueued::Duplicate(id(1))], "the idempotency key stays");
    assert_eq!(model.add(5, &[keyed(3)]), [Enqueued::New(id(3))], "the unique key is free again");
    assert_eq!(model.purge(at(5)), 1);
    model.take_one(6, 1);
    let by_idempotency = with(4, |task| task.idempotency = Some("i".into()));
    assert_eq!(model.add(6, &[by_idempotency]), [Enqueued::New(id(4))], "and that one until it is purged");
}

#[test]
fn the_lowest_rank_goes_first() {
    let high = with(3, |task| task.priority = Priority::High);
    let other = with(4, |task| task.tenant = OTHER);
    let mut model = Model::with_tasks(&[new(1), new(2), high, other]);
    // The other tenant's first task goes before the second of this one; equal ranks go by id.
    assert_eq!(model.granted(1, 2), [3, 1]);
    assert_eq!(model.granted(1, 9), [4, 2]);
}

#[test]
fn a_task_waits_for_its_time_its_class_and_its_affinity() {
    let mut model = Model::with_tasks(&[
        with(1, |task| task.not_before = Some(at(10))),
        with(2, |task| task.class = QueueClass::Cpu),
    ]);
    model.create_run(
        at(0),
        NewRun { run: run::run(at(0), RunId::from_bytes([1; 16]), TENANT, &["a"]), affinity: Some("p".into()) },
    );
    assert_eq!(model.granted(9, 9), [0; 0]);
    assert_eq!(model.granted(10, 9), [1]);
    let mut claim = claim_of(1, QueueClass::Cpu, 9);
    assert_eq!(model.claim(at(10), &claim).len(), 1);
    claim.affinity = Some("p".into());
    assert!(model.claim(at(10), &claim)[0].lease.key.is_some());
}

#[test]
fn a_claim_is_bounded() {
    let tasks: Vec<NewTask> = (0..=CLAIM_MAX as u32).map(new).collect();
    let mut model = Model::default();
    model.add(0, &tasks);
    assert_eq!(model.claim(at(1), &claim_of(1, QueueClass::Io, usize::MAX)).len(), CLAIM_MAX);
}

#[test]
fn a_class_pauses_drains_and_runs() {
    let mut model = Model::with_tasks(&[new(1)]);
    model.set_flow(QueueClass::Io, Flow::Paused);
    model.add(1, &[new(2)]);
    assert_eq!(model.granted(1, 9), [0; 0]);
    model.set_flow(QueueClass::Io, Flow::Draining);
    assert_eq!(model.enqueue(at(1), &[new(3)], &Bounds::default()), Err(Refused::Draining(QueueClass::Io)));
    assert_eq!(model.granted(1, 1), [1]);
    model.set_flow(QueueClass::Io, Flow::Running);
    model.add(1, &[new(3)]);
    assert_eq!(model.granted(1, 9), [2, 3]);
}

#[test]
fn what_is_past_its_deadline_expires_and_makes_room() {
    let late = |n| with(n, |task| task.options.deadline = Some(at(5)));
    let mut model = Model::with_tasks(&[late(1), late(2), new(3)]);
    assert_eq!(model.granted(5, 1), [1], "not past it yet");
    assert_eq!(model.granted(6, 1), [3]);
    assert_eq!(model.fate(2), Some(Fate::Expired));
    assert!(model.finished[&id(2)].letter.is_some());
}

#[test]
fn a_rate_key_reserves_turns() {
    let rate = Rate { key: "r".into(), count: 1, per_ms: 10_000, burst: 1 };
    let rated = |n| with(n, |task| task.options.rate = Some(rate.clone()));
    let mut model = Model::with_tasks(&[rated(1), rated(2), rated(3), new(4)]);
    assert_eq!(model.granted(0, 2), [1, 4]);
    assert_eq!(model.granted(9, 2), [0; 0]);
    assert_eq!(model.granted(10, 2), [2]);
    assert_eq!(model.granted(20, 2), [3], "its turn was kept for it");
    // The next try takes a turn of its own.
    assert_eq!(model.granted(50, 9), [0; 0]);
    model.reap(at(51), 100);
    assert_eq!(model.granted(51, 9), [1, 4]);
}

#[test]
fn a_concurrency_key_blocks_and_wakes_in_order() {
    let limited = |n| with(n, |task| task.options.concurrency = Some(Concurrency { key: "c".into(), max: 2 }));
    let mut model = Model::with_tasks(&[limited(1), limited(2), limited(3), limited(4), limited(5), new(6)]);
    let (one, two) = (model.take_one(1, 1), model.take_one(1, 1));
    assert_eq!(model.granted(1, 2), [6]);
    let blocked = |model: &Model| model.stats(at(2))[1].blocked;
    assert_eq!(blocked(&model), 3);
    model.complete(at(2), &[(one, Outcome::Succeeded), (two, failed())]);
    assert_eq!(blocked(&model), 1, "as many as were freed");
    assert_eq!(model.granted(2, 9), [3, 4]);
    assert_eq!(model.granted(60, 9), [0; 0], "the failed one is put aside as well");
    assert_eq!(blocked(&model), 2);
    assert_eq!(model.cancel_task(at(60), TENANT, id(5)), TaskCancel::Canceled);
    assert_eq!(blocked(&model), 0, "whatever ends wakes one");
}

#[test]
fn a_reaper_wakes_what_a_lost_wake_up_left() {
    let limited = |n| {
        with(n, |task| {
            task.options.concurrency = Some(Concurrency { key: "c".into(), max: 1 });
            task.options.deadline = (n == 2).then(|| at(5));
        })
    };
    let mut model = Model::with_tasks(&[limited(1), limited(2), limited(3)]);
    let lease = model.take_one(1, 1);
    assert_eq!(model.granted(1, 9), [0; 0]);
    model.end(6, &lease, Outcome::Succeeded);
    assert_eq!(model.granted(6, 9), [0; 0], "the second was woken and has expired");
    model.reap(at(7), 100);
    assert_eq!(model.granted(7, 9), [3]);
}

#[test]
fn a_late_worker_changes_nothing() {
    let mut model = Model::with_tasks(&[new(1)]);
    let first = model.take_one(1, 1);
    assert_eq!(first.fence, Fence(1));
    assert_eq!(model.heartbeat(at(20), std::slice::from_ref(&first), LEASE), [Beat::Kept(at(50))]);
    assert_eq!(model.reap(at(50), 100), [], "until then it holds");
    assert_eq!(model.heartbeat(at(51), std::slice::from_ref(&first), LEASE), [Beat::Kept(at(81))], "not reaped yet");
    assert_eq!(model.reap(at(82), 100), [id(1)]);
    let second = model.take_one(0, 1);
    assert_eq!(second.fence, Fence(first.fence.0 + 1));
    assert_eq!(model.heartbeat(at(83), std::slice::from_ref(&first), LEASE), [Beat::Lost]);
    assert_eq!(model.end(83, &first, Outcome::Succeeded), Completion::StaleFence);
    let stranger = Lease { worker: worker(7), ..second.clone() };
    assert_eq!(model.heartbeat(at(83), std::slice::from_ref(&stranger), LEASE), [Beat::Lost]);
    assert_eq!(model.end(83, &stranger, Outcome::Succeeded), Completion::StaleFence);
    let twice = [(second.clone(), Outcome::Succeeded), (second, Outcome::Succeeded)];
    let answers = model.complete(at(83), &twice);
    assert!(matches!(answers[..], [Completion::Settled(_), Completion::StaleFence]));
    let record = &model.finished[&id(1)];
    assert_eq!((record.fate, record.losses, record.worker), (Fate::Succeeded, 1, Some(worker(1))));
    assert_eq!((record.started_at, record.finished_at, record.letter.as_ref()), (Some(at(0)), at(83), None));
}

#[test]
fn reaping_takes_the_oldest_and_poison_is_quarantined() {
    let mut model = Model::with_tasks(&[new(1), new(2)]);
    model.take_one(1, 1);
    model.take_one(2, 1);
    assert_eq!(model.reap(at(90), 1), [id(1)]);
    assert_eq!(model.granted(91, 9), [1]);
    assert_eq!(model.release(at(92), worker(1)), [id(1), id(2)]);
    assert_eq!(model.granted(100, 9), [1, 2]);
    model.reap(at(200), 100);
    assert_eq!((model.fate(1), model.fate(2)), (Some(Fate::Quarantined), None));
    assert_eq!(model.finished[&id(1)].losses, 3);
}

#[test]
fn a_cancelled_task_ends_wherever_it_is() {
    let mut model = Model::with_tasks(&[new(1), new(2), new(3), new(4)]);
    let lease = model.take_one(1, 1);
    assert_eq!(model.cancel_task(at(2), OTHER, id(1)), TaskCancel::Unknown);
    assert_eq!(model.cancel_task(at(2), TENANT, id(8)), TaskCancel::Unknown);
    assert_eq!(model.cancel_task(at(2), TENANT, id(2)), TaskCancel::Canceled);
    assert_eq!(model.cancel_task(at(2), TENANT, id(2)), TaskCancel::Over);
    assert_eq!(model.cancel_task(at(2), TENANT, id(1)), TaskCancel::Interrupted);
    assert_eq!(model.heartbeat(at(3), std::slice::from_ref(&lease), LEASE), [Beat::Interrupt]);
    model.end(4, &lease, failed());
    assert_eq!((model.fate(1), model.fate(2)), (Some(Fate::Canceled), Some(Fate::Canceled)));
    // What it did before it heard of that counts; and a worker that vanished does not bring it back.
    for (n, outcome) in [(3, Some(Fate::Succeeded)), (4, Some(Fate::Canceled))] {
        let lease = model.take_one(5, 1);
        assert_eq!(model.cancel_task(at(6), TENANT, id(n)), TaskCancel::Interrupted);
        if outcome == Some(Fate::Succeeded) {
            model.end(7, &lease, Outcome::Succeeded);
        } else {
            model.reap(at(90), 100);
        }
        assert_eq!(model.fate(n), outcome);
    }
}

#[test]
fn dead_letters_come_back_as_new() {
    let unique = |n| with(n, |task| task.options.unique = Some("u".into()));
    let mut model = Model::with_tasks(&[unique(1)]);
    let lease = model.take_one(1, 1);
    model.end(2, &lease, failed_for_good());
    assert_eq!((model.fate(1), model.finished[&id(1)].failures), (Some(Fate::Failed), 1));
    model.add(3, &[unique(2)]);
    assert_eq!(model.requeue(at(4), TENANT, &[id(1)]), [], "its unique key is taken");
    let second = model.take_one(5, 1);
    model.end(6, &second, Outcome::Succeeded);
    assert_eq!(model.requeue(at(7), OTHER, &[id(1)]), []);
    assert_eq!(model.requeue(at(7), TENANT, &[id(1), id(1), id(2), id(9)]), [id(1)], "no success, and once");
    let Granted { lease: again, task } = model.claim(at(8), &claim_of(1, QueueClass::Io, 1)).remove(0);
    assert!(again.fence > lease.fence, "a late report of its life before is not about this one");
    assert_eq!((task.id, task.failures, task.losses, task.enqueued_at), (id(1), 0, 0, at(7)));
    assert_eq!(model.add(9, &[unique(3)]), [Enqueued::Duplicate(id(1))], "it holds its key again");
}

#[test]
fn old_records_are_forgotten() {
    let mut model = Model::with_tasks(&[new(1), new(2)]);
    for second in [5, 6] {
        let lease = model.take_one(second, 1);
        model.end(second, &lease, Outcome::Succeeded);
    }
    assert_eq!(model.purge(at(6)), 1);
    assert_eq!((model.fate(1), model.fate(2)), (None, Some(Fate::Succeeded)));
}

#[test]
fn stats_tell_what_is_where() {
    let mut model = Model::with_tasks(&[new(1), new(2), with(3, |task| task.not_before = Some(at(10)))]);
    model.take_one(1, 1);
    let io = |model: &Model, second| model.stats(at(second))[1];
    let expected = QueueStats {
        class: QueueClass::Io,
        ready: 1,
        delayed: 1,
        blocked: 0,
        leased: 1,
        oldest_ready_age: Some(Duration::from_secs(4)),
    };
    assert_eq!(io(&model, 4), expected);
    assert_eq!((io(&model, 10).ready, io(&model, 10).delayed), (2, 0), "due without a claim that says so");
}

fn with_run(steps: &[&str]) -> (Model, RunId) {
    let (mut model, id) = (Model::default(), RunId::from_bytes([1; 16]));
    let new = NewRun { run: run::run(at(0), id, TENANT, steps), affinity: None };
    assert!(model.create_run(at(0), new.clone()));
    assert!(!model.create_run(at(0), new), "it is there already");
    (model, id)
}

fn take_cpu(model: &mut Model, second: u64) -> Lease {
    model.claim(at(second), &claim_of(1, QueueClass::Cpu, 1)).remove(0).lease
}

#[test]
fn a_run_goes_on_by_what_is_reported() {
    let (mut model, id) = with_run(&["a", "b<a"]);
    for (second, failure) in (1..).zip([Some(FailureKind::Lint), None, None, None]) {
        let lease = take_cpu(&mut model, second);
        let report = run::report(&lease.key.as_ref().expect("a run's").work, failure);
        assert_eq!(model.report(at(second), &lease, report.clone()), Some(Finish::Applied));
        assert_eq!(model.report(at(second), &lease, report), Some(Finish::StaleFence));
    }
    assert_eq!(model.runs()[&id].state.outcome(), Some(RunOutcome::Repaired));
    assert_eq!((model.tasks().count(), model.finished().len()), (0, 0));
}

#[test]
fn a_runs_task_that_was_lost_keeps_its_fence() {
    let (mut model, _) = with_run(&["a"]);
    let first = take_cpu(&mut model, 1);
    assert_eq!(model.reap(at(60), 100), [first.task]);
    let second = take_cpu(&mut model, 0);
    assert_eq!(second.fence, Fence(first.fence.0 + 1));
    assert_eq!(model.report(at(61), &first, run::attempted(None)), Some(Finish::StaleFence));
    assert_eq!(model.report(at(61), &second, run::repaired("a", true)), None, "a report about something else");
    assert_eq!(model.report(at(61), &second, Report::GaveBack), Some(Finish::Applied));
    assert_eq!(take_cpu(&mut model, 62).task, first.task);
}

#[test]
fn a_cancelled_run_takes_back_what_waits() {
    let (mut model, id) = with_run(&["a", "b"]);
    let lease = take_cpu(&mut model, 1);
    assert_eq!(model.cancel_task(at(2), TENANT, lease.task), TaskCancel::Unknown, "cancel the run");
    assert_eq!(model.cancel_run(at(2), OTHER, id, "eve"), CancelRun::NotFound);
    assert_eq!(model.cancel_run(at(2), TENANT, id, "ann"), CancelRun::Requested);
    assert_eq!(model.tasks().count(), 1);
    assert_eq!(model.heartbeat(at(3), std::slice::from_ref(&lease), LEASE), [Beat::Interrupt]);
    model.report(at(4), &lease, run::attempted(Some(FailureKind::Unknown)));
    assert_eq!(model.cancel_run(at(5), TENANT, id, "ann"), CancelRun::AlreadyOver);
    assert!(model.runs()[&id].steps.iter().all(|step| matches!(step.state, StepState::Done { .. })));
    assert_eq!(model.tasks().count(), 0);
}
