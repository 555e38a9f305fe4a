//! What operators want of workers, and which tasks are whose: kept for a node, for a process, for anybody.

use std::time::Duration;

use mb_core::affinity;
use mb_core::queue::{Bounds, Claim, Flow, Refused};
use mb_core::task::QueueClass;
use mb_store::{NewRun, StoreError};

use crate::queue::row;
use crate::support::{Home, TENANT, at, claim, new_run, run_id, suite, worker};

suite! {
    a_worker_hears_once_asked_that_it_is_to_end,
    what_a_worker_holds_is_counted,
    a_full_or_draining_class_takes_no_new_run_in,
    what_a_dead_process_leaves_stays_on_its_node,
}

async fn a_worker_hears_once_asked_that_it_is_to_end(Home { store, .. }: Home) {
    let embedded = row(3, "n/embedded:n/x", Some("embedded:n/x"));
    for row in [row(1, "n", None), row(2, "m", None), embedded.clone()] {
        assert!(!store.worker_seen(at(0), &row).await.unwrap());
    }
    assert_eq!(store.end_workers(at(1), Some(worker(9))).await.unwrap(), 0, "there is no such worker");
    assert_eq!(store.end_workers(at(1), Some(worker(1))).await.unwrap(), 1);
    assert!(store.worker_seen(at(2), &row(1, "n", None)).await.unwrap());
    assert!(!store.worker_seen(at(2), &row(2, "m", None)).await.unwrap());
    assert_eq!(store.end_workers(at(3), None).await.unwrap(), 1, "the first was asked, the third carries one run");
    assert!(store.worker_seen(at(4), &row(2, "m", None)).await.unwrap());
    assert!(!store.worker_seen(at(4), &embedded).await.unwrap());
    assert!(!store.worker_seen(at(4), &row(4, "m", None)).await.unwrap(), "who starts later was not meant");
    let asked: Vec<bool> = store.workers(at(4)).await.unwrap().iter().map(|seen| seen.is_asked_to_end).collect();
    assert_eq!(asked.iter().filter(|asked| **asked).count(), 2);
}

async fn what_a_worker_holds_is_counted(Home { store, .. }: Home) {
    for n in 1..=3 {
        store.create_run(at(n), new_run(n, at(n), &["a"])).await.unwrap();
    }
    store.worker_seen(at(5), &row(1, "n", None)).await.unwrap();
    assert_eq!(store.claim(at(6), &claim(1, 1)).await.unwrap().len(), 1);
    assert_eq!(store.claim(at(8), &claim(1, 1)).await.unwrap().len(), 1);
    let seen = store.workers(at(9)).await.unwrap().remove(0);
    let held = seen.held[&QueueClass::Cpu];
    assert_eq!((seen.held.len(), held.count, held.since), (1, 2, at(6)));
}

async fn a_full_or_draining_class_takes_no_new_run_in(Home { store, .. }: Home) {
    let bounds = Bounds { class: [(QueueClass::Cpu, 2)].into(), ..Bounds::default() };
    let node = affinity::of_node("n");
    let new = |n, key: Option<&str>| NewRun {
        affinity: Some(node.clone()),
        idempotency_key: key.map(str::to_owned),
        ..new_run(n, at(n), &["a"])
    };
    assert!(!store.create_run_within(at(1), new(1, Some("k")), &bounds).await.unwrap().existed);
    let process = NewRun { affinity: Some(affinity::of_process("n", worker(7))), ..new_run(5, at(5), &["a"]) };
    store.create_run(at(1), process).await.unwrap();
    store.create_run_within(at(2), new(2, None), &bounds).await.unwrap();
    let full = store.create_run_within(at(3), new(3, Some("other")), &bounds).await.unwrap_err();
    assert!(matches!(&full, StoreError::Refused(Refused::Full { waiting: 2, bound: 2, .. })), "{full:?}");
    assert!(store.run(TENANT, run_id(3)).await.unwrap().is_none(), "nothing was stored");
    let known = store.create_run_within(at(3), new(4, Some("k")), &bounds).await.unwrap();
    assert_eq!((known.id, known.existed), (run_id(1), true), "a key that is known finds its run");
    assert!(!store.create_run(at(3), new(6, None)).await.unwrap().existed, "without bounds there is always room");

    let slots = [(QueueClass::Cpu, 9)].into();
    let mine = Claim { affinity: Some(node.clone()), slots, ..claim(1, 1) };
    assert_eq!(store.claim(at(4), &mine).await.unwrap().len(), 3);
    store.create_run_within(at(5), new(3, Some("other")), &bounds).await.unwrap();
    store.set_flow(QueueClass::Cpu, Flow::Draining).await.unwrap();
    let draining = store.create_run_within(at(6), new(7, None), &bounds).await.unwrap_err();
    assert!(matches!(&draining, StoreError::Refused(Refused::Draining(QueueClass::Cpu))), "{draining:?}");
}

async fn what_a_dead_process_leaves_stays_on_its_node(Home { store, .. }: Home) {
    let (node, process) = (affinity::of_node("n"), affinity::of_process("n", worker(1)));
    for (n, affinity) in [(1, &node), (2, &process)] {
        store
            .create_run(at(n), NewRun { affinity: Some(affinity.clone()), ..new_run(n, at(n), &["a"]) })
            .await
            .unwrap();
    }
    let adopted = store.adopt(at(100), Duration::from_secs(30)).await.unwrap();
    assert_eq!(adopted, [run_id(2)], "a node's run waits for its node");
    assert!(store.claim(at(101), &claim(5, 8)).await.unwrap().is_empty(), "nobody else has the files");
    let other = Claim { affinity: Some(affinity::of_node("m")), ..claim(5, 8) };
    assert!(store.claim(at(101), &other).await.unwrap().is_empty());
    let mine = Claim { affinity: Some(node), ..claim(5, 8) };
    assert_eq!(store.claim(at(101), &mine).await.unwrap().len(), 2);
}
