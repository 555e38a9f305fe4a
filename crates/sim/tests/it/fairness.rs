//! A thousand tenants, of whom one floods the queue: the others do not wait for its work.

use std::collections::BTreeMap;
use std::time::Duration;

use mb_core::id::{TaskId, TenantId, WorkerId};
use mb_core::queue::{Bounds, Claim, NewTask, Outcome};
use mb_core::task::{Lease, QueueClass};
use mb_core::time::Timestamp;
use mb_sim::model::Model;

const BEGIN: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const TENANTS: u32 = 1_000;
/// How often they come back.
const TURNS: u32 = 1_500;
/// How often workers come back for more.
const PERIOD: Duration = Duration::from_millis(10);

fn tenant(number: u32) -> TenantId {
    TenantId::from_bytes(u128::from(number).to_be_bytes())
}

fn task(number: u32, of: u32) -> NewTask {
    let id = TaskId::from_bytes((u128::from(of) << 64 | u128::from(number)).to_be_bytes());
    NewTask::new(id, tenant(of), "noop", QueueClass::Io)
}

/// Every tenant but the first enqueues two tasks, one tenant after the other for ten seconds, while workers do
/// `per_second` tasks; the first has enqueued a flood before. Says how long the slowest of the others waited.
fn waited(flood: u32, per_second: usize) -> Duration {
    let mut model = Model::default();
    let flood: Vec<NewTask> = (0..flood).map(|number| task(number, 0)).collect();
    model.enqueue(BEGIN, &flood, &Bounds::default()).expect("it is admitted");
    let (mut longest, mut served) = (Duration::ZERO, 0);
    for turn in 0..TURNS {
        let now = BEGIN + PERIOD * turn;
        if (1..TENANTS).contains(&turn) {
            model.enqueue(now, &[task(0, turn), task(1, turn)], &Bounds::default()).expect("it is admitted");
        }
        let slots = BTreeMap::from([(QueueClass::Io, per_second * PERIOD.as_millis() as usize / 1_000)]);
        let worker = WorkerId::from_bytes([1; 16]);
        let claim = Claim { worker, slots, affinity: None, lease: Duration::from_secs(30) };
        let granted = model.claim(now, &claim);
        for granted in granted.iter().filter(|granted| granted.task.tenant != tenant(0)) {
            longest = longest.max(now.since(granted.task.enqueued_at));
            served += 1;
        }
        let done: Vec<(Lease, Outcome)> =
            granted.into_iter().map(|granted| (granted.lease, Outcome::Succeeded)).collect();
        model.complete(now, &done);
    }
    assert_eq!(served, 2 * (TENANTS - 1), "everybody else is served");
    longest
}

/// With so many tasks done a second, nobody waits longer because of the flood than that.
fn check(per_second: usize, more: Duration) {
    let (alone, beside) = (waited(0, per_second), waited(20_000, per_second));
    assert!(beside <= alone + more, "{per_second} a second: {beside:?} beside a flood, {alone:?} alone");
}

#[test]
fn others_do_not_wait_for_a_flood() {
    // Few and many a second, as the others' work alone nearly fills the workers, and as it does not.
    for per_second in [300, 1_000, 3_000] {
        check(per_second, Duration::from_millis(100));
    }
}
