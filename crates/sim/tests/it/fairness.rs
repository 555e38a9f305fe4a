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
/// How often workers come back for more.
const PERIOD: Duration = Duration::from_millis(10);

fn tenant(number: u32) -> TenantId {
    TenantId::from_bytes(u128::from(number).to_be_bytes())
}

fn task(number: u32, of: u32) -> NewTask {
    let id = TaskId::from_bytes((u128::from(of) << 64 | u128::from(number)).to_be_bytes());
    NewTask::new(id, tenant(of), "noop", QueueClass::Io)
}

/// Every tenant but the first enqueues a task now and then for ten seconds, while workers do `per_second` tasks; the
/// first has enqueued `flood` at once. Says how long the slowest of the others waited.
fn waited(flood: u32, per_second: usize) -> Duration {
    let mut model = Model::default();
    let flood: Vec<NewTask> = (0..flood).map(|number| task(number, 0)).collect();
    model.enqueue(BEGIN, &flood, &Bounds::default()).expect("it is admitted");
    let mut longest = Duration::ZERO;
    for turn in 0..3_000u32 {
        let now = BEGIN + PERIOD * turn;
        if turn < TENANTS {
            let of = turn + 1;
            model.enqueue(now, &[task(0, of), task(1, of)], &Bounds::default()).expect("it is admitted");
        }
        let slots = BTreeMap::from([(QueueClass::Io, per_second / 100)]);
        let worker = WorkerId::from_bytes([1; 16]);
        let claim = Claim { worker, slots, affinity: None, lease: Duration::from_secs(30) };
        let granted = model.claim(now, &claim);
        let of_others = granted.iter().filter(|granted| granted.task.tenant != tenant(0));
        longest = longest.max(of_others.map(|granted| now.since(granted.task.enqueued_at)).max().unwrap_or_default());
        let done: Vec<(Lease, Outcome)> =
            granted.into_iter().map(|granted| (granted.lease, Outcome::Succeeded)).collect();
        model.complete(now, &done);
    }
    let left = model.tasks().filter(|entry| entry.task.tenant != tenant(0)).count();
    if left > 0 {
        eprintln!("left {left}");
    }
    longest
}

#[test]
fn others_do_not_wait_for_a_flood() {
    for per_second in [1_000, 2_000] {
        eprintln!("{per_second}: {:?} {:?}", waited(0, per_second), waited(50_000, per_second));
    }
}
