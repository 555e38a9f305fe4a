//! The queue: claims, fences, heartbeats, losses, affinity, waiting.

use std::collections::BTreeSet;
use std::time::Duration;

use mb_core::advance::LOSSES_MAX;
use mb_core::attempt::AttemptState;
use mb_core::failure::FailureKind;
use mb_core::queue::{Beat, Claim};
use mb_core::run::{RunOutcome, RunState, StepOutcome, StepState, StopReason};
use mb_core::task::{Fence, QueueClass, Work};
use mb_store::{Cancel, Finished, Report, StoreError, WorkerRow};

use crate::support::{Home, LEASE, TENANT, at, claim, failed, new_run, passed, run_id, suite, worker};

suite! {
    a_task_is_claimed_once_and_finished_once,
    a_report_after_the_lease_was_lost_changes_nothing,
    a_lost_task_comes_back_with_a_higher_fence_and_at_last_is_given_up,
    a_heartbeat_says_kept_interrupt_or_lost,
    a_report_of_another_kind_is_refused_and_keeps_the_task,
    two_workers_race_for_two_hundred_tasks,
    steps_of_one_run_finish_side_by_side,
    a_node_that_restarts_gets_its_tasks_back,
    a_worker_that_ends_gives_its_tasks_back,
    affinity_keeps_runs_apart,
    an_orphan_is_adopted,
    a_task_waits_for_its_time,
    cancel_takes_what_is_queued_and_interrupts_what_runs,
}

async fn a_task_is_claimed_once_and_finished_once(Home { store, .. }: Home) {
    store.create_run(at(0), new_run(1, at(0), &["a"])).await.unwrap();
    let claimed = store.claim(at(1), &claim(1, 8)).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].lease.fence, Fence(1));
    assert_eq!(claimed[0].lease.until, at(1) + LEASE);
    let begun = claimed[0].run.as_deref().unwrap();
    assert_eq!(begun.state, RunState::Running);
    assert!(store.claim(at(1), &claim(2, 8)).await.unwrap().is_empty(), "it is held");
    assert_eq!(store.run(TENANT, run_id(1)).await.unwrap(), Some(begun.clone()));

    let done = store.finish(at(2), &claimed[0].lease, Report::Attempted(passed())).await.unwrap();
    let Finished::Applied { run, .. } = done else { panic!("{done:?}") };
    assert_eq!(run.state, RunState::Done { outcome: RunOutcome::Passed });
    let stored = store.run(TENANT, run_id(1)).await.unwrap().unwrap();
    assert_eq!(stored.state, run.state);
    assert_eq!(stored.steps[0].attempts[0].outcome().unwrap().notes, ["a note with \u{fffd} in it"]);

    let twice = store.finish(at(3), &claimed[0].lease, Report::Attempted(passed())).await.unwrap();
    assert!(matches!(twice, Finished::StaleFence), "{twice:?}");
    assert_eq!(store.run(TENANT, run_id(1)).await.unwrap(), Some(stored));
    assert!(store.queue_stats(at(3)).await.unwrap().iter().all(|class| class.ready + class.leased == 0));
}

async fn a_report_after_the_lease_was_lost_changes_nothing(Home { store, .. }: Home) {
    store.create_run(at(0), new_run(1, at(0), &["a"])).await.unwrap();
    let first = store.claim(at(1), &claim(1, 1)).await.unwrap().remove(0);
    assert!(store.reap(at(31), 10).await.unwrap().is_empty(), "the lease lasts until its end");
    let reaped = store.reap(at(32), 10).await.unwrap();
    assert_eq!(reaped.iter().map(|lease| &lease.key).collect::<Vec<_>>(), [&first.lease.key]);
    for step in ["before it is claimed again", "after"] {
        let before = store.run(TENANT, run_id(1)).await.unwrap();
        let seq = store.last_seq().await.unwrap();
        let late = store.finish(at(33), &first.lease, Report::Attempted(passed())).await.unwrap();
        assert!(matches!(late, Finished::StaleFence), "{step}: {late:?}");
        assert_eq!(store.run(TENANT, run_id(1)).await.unwrap(), before, "{step}");
        assert_eq!(store.last_seq().await.unwrap(), seq, "{step}");
        if step == "after" {
            break;
        }
        let second = store.claim(at(33), &claim(2, 1)).await.unwrap().remove(0);
        assert_eq!(second.lease.fence, Fence(2));
    }
}

async fn a_lost_task_comes_back_with_a_higher_fence_and_at_last_is_given_up(Home { store, .. }: Home) {
    store.create_run(at(0), new_run(1, at(0), &["a"])).await.unwrap();
    for round in 1..=u64::from(LOSSES_MAX) {
        let task = store.claim(at(100 * round), &claim(round, 1)).await.unwrap().remove(0);
        assert_eq!(task.lease.fence, Fence(round));
        assert_eq!(store.reap(at(100 * round + 50), 1).await.unwrap().len(), 1);
    }
    let run = store.run(TENANT, run_id(1)).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Done { outcome: RunOutcome::Failed });
    let lost = StepState::Done { outcome: StepOutcome::Failed { reason: StopReason::WorkerLost, why: String::new() } };
    assert_eq!(run.steps[0].state, lost);
    assert!(store.claim(at(900), &claim(9, 1)).await.unwrap().is_empty(), "nothing is left on the queue");
}

async fn a_heartbeat_says_kept_interrupt_or_lost(Home { store, .. }: Home) {
    for n in 1..=3 {
        store.create_run(at(n), new_run(n, at(n), &["a"])).await.unwrap();
    }
    let tasks = store.claim(at(5), &claim(1, 8)).await.unwrap();
    let mut leases: Vec<_> = tasks.iter().map(|task| task.lease.clone()).collect();
    leases.reverse();
    assert_eq!(store.cancel(at(6), TENANT, run_id(2), "ann").await.unwrap(), Cancel::Requested);
    store.finish(at(6), &tasks[2].lease, Report::Attempted(passed())).await.unwrap();
    let beats = store.heartbeat(at(7), &leases, LEASE).await.unwrap();
    assert_eq!(beats, [Beat::Lost, Beat::Interrupt, Beat::Kept(at(37))]);
    assert!(store.reap(at(37), 10).await.unwrap().is_empty(), "both were renewed");
    assert!(store.heartbeat(at(7), &[], LEASE).await.unwrap().is_empty());
    // The interrupted one reports, and the run is over.
    let done = store.finish(at(8), &tasks[1].lease, Report::GaveBack).await.unwrap();
    let Finished::Applied { run, .. } = done else { panic!("{done:?}") };
    assert_eq!(run.state, RunState::Done { outcome: RunOutcome::Canceled });
    assert_eq!(store.next_ready_at(None).await.unwrap(), None);
}

async fn a_report_of_another_kind_is_refused_and_keeps_the_task(Home { store, .. }: Home) {
    store.create_run(at(0), new_run(1, at(0), &["a"])).await.unwrap();
    let task = store.claim(at(1), &claim(1, 1)).await.unwrap().remove(0);
    let published = mb_core::run::Published { branch: None, patch_file: None, problem: None };
    let wrong = store.finish(at(2), &task.lease, Report::Published(published)).await;
    assert!(matches!(wrong, Err(StoreError::Invalid { .. })), "{wrong:?}");
    assert_eq!(store.heartbeat(at(3), &[task.lease], LEASE).await.unwrap(), [Beat::Kept(at(33))]);
}

async fn two_workers_race_for_two_hundred_tasks(home: Home) {
    for n in 1..=50 {
        home.store.create_run(at(n), new_run(n, at(n), &["a", "b", "c", "d"])).await.unwrap();
    }
    let work = |store: mb_store::Store, n: u64| async move {
        let mut done = Vec::new();
        for _ in 0..400 {
            let tasks = store.claim(at(100), &claim(n, 3)).await.unwrap();
            if tasks.is_empty() && store.next_ready_at(None).await.unwrap().is_none() {
                return done;
            }
            for task in tasks {
                let finished = store.finish(at(101), &task.lease, Report::Attempted(passed())).await.unwrap();
                assert!(matches!(finished, Finished::Applied { .. }), "{finished:?}");
                done.push(task.lease.key);
            }
        }
        panic!("the queue never ran dry")
    };
    let (one, two) = (tokio::spawn(work(home.store.clone(), 1)), tokio::spawn(work(home.again().await, 2)));
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    let all: BTreeSet<_> = one.iter().chain(&two).collect();
    assert_eq!((one.len() + two.len(), all.len()), (200, 200), "each task once");
    let counts = home.store.run_counts(TENANT).await.unwrap();
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [("succeeded".to_owned(), 50)]);
}

async fn steps_of_one_run_finish_side_by_side(Home { store, .. }: Home) {
    let names: Vec<String> = (0..12).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    store.create_run(at(0), new_run(1, at(0), &names)).await.unwrap();
    let tasks = store.claim(at(1), &claim(1, 20)).await.unwrap();
    let finish = tasks.into_iter().map(|task| {
        let store = store.clone();
        tokio::spawn(async move { store.finish(at(2), &task.lease, Report::Attempted(passed())).await.unwrap() })
    });
    for handle in finish.collect::<Vec<_>>() {
        assert!(matches!(handle.await.unwrap(), Finished::Applied { .. }));
    }
    let run = store.run(TENANT, run_id(1)).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Done { outcome: RunOutcome::Passed });
    let events = store.events(TENANT, Some(run_id(1)), 0, 1000).await.unwrap();
    let seqs: Vec<i64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=store.last_seq().await.unwrap()).collect::<Vec<_>>(), "no gaps");
}

pub(crate) fn row(n: u64, node: &str, affinity: Option<&str>) -> WorkerRow {
    WorkerRow {
        id: worker(n),
        node: node.into(),
        pid: 7,
        version: "0.1.0".into(),
        roles: BTreeSet::from(["worker".to_owned()]),
        slots: [(QueueClass::Cpu, 2)].into(),
        affinity: affinity.map(str::to_owned),
        started_at: at(0),
        state: "ready".into(),
    }
}

async fn a_node_that_restarts_gets_its_tasks_back(Home { store, .. }: Home) {
    for (n, node) in [(1, "here"), (2, "here"), (3, "there")] {
        store.worker_seen(at(0), &row(n, node, None)).await.unwrap();
        store.create_run(at(n), new_run(n, at(n), &["a"])).await.unwrap();
        assert_eq!(store.claim(at(n), &claim(n, 1)).await.unwrap().len(), 1);
    }
    let lost = store.release_node(at(5), "here", worker(2)).await.unwrap();
    assert_eq!(lost.iter().map(|lease| lease.key.as_ref().unwrap().run).collect::<Vec<_>>(), [run_id(1)]);
    assert!(store.release_node(at(5), "here", worker(2)).await.unwrap().is_empty(), "once is enough");
    let again = store.claim(at(5), &claim(2, 8)).await.unwrap();
    assert_eq!(again.iter().map(|task| task.lease.fence).collect::<Vec<_>>(), [Fence(2)]);
}

async fn a_worker_that_ends_gives_its_tasks_back(Home { store, .. }: Home) {
    store.worker_seen(at(0), &row(1, "here", Some("x"))).await.unwrap();
    store.create_run(at(0), new_run(1, at(0), &["a"])).await.unwrap();
    let task = store.claim(at(1), &claim(1, 1)).await.unwrap().remove(0);
    let seen = store.workers(at(2)).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!((&seen[0].worker, seen[0].seen_at), (&row(1, "here", Some("x")), at(0)));
    let back = store.worker_gone(at(2), worker(1)).await.unwrap();
    assert_eq!(back.iter().map(|lease| &lease.key).collect::<Vec<_>>(), [&task.lease.key]);
    assert!(store.workers(at(2)).await.unwrap().is_empty());
    assert_eq!(store.next_ready_at(None).await.unwrap(), Some(at(2)));
}

async fn affinity_keeps_runs_apart(Home { store, .. }: Home) {
    let mut mine = new_run(1, at(1), &["a", "b<a"]);
    mine.affinity = Some("cli-1".into());
    store.create_run(at(1), mine).await.unwrap();
    store.create_run(at(2), new_run(2, at(2), &["a"])).await.unwrap();
    let cli = |name: &str| Claim { affinity: Some(name.into()), ..claim(1, 8) };
    assert!(store.claim(at(3), &cli("cli-2")).await.unwrap().is_empty());
    assert_eq!(store.next_ready_at(Some("cli-1")).await.unwrap(), Some(at(1)));
    let any = store.claim(at(3), &claim(2, 8)).await.unwrap();
    assert_eq!(any.iter().map(|task| task.run.as_ref().unwrap().id).collect::<Vec<_>>(), [run_id(2)]);
    let own = store.claim(at(3), &cli("cli-1")).await.unwrap().remove(0);
    // A task that follows is kept for the same process, until the run is let go.
    store.finish(at(4), &own.lease, Report::Attempted(passed())).await.unwrap();
    assert!(store.claim(at(4), &claim(2, 8)).await.unwrap().is_empty());
    assert!(store.set_affinity(run_id(1), None).await.unwrap());
    assert!(!store.set_affinity(run_id(9), None).await.unwrap());
    assert_eq!(store.claim(at(4), &claim(2, 8)).await.unwrap().len(), 1);
}

async fn an_orphan_is_adopted(Home { store, .. }: Home) {
    for (n, affinity) in [(1, "gone"), (2, "alive"), (3, "unknown")] {
        let new = mb_store::NewRun { affinity: Some(affinity.into()), ..new_run(n, at(n), &["a"]) };
        store.create_run(at(n), new).await.unwrap();
    }
    store.worker_seen(at(10), &row(1, "n", Some("gone"))).await.unwrap();
    store.worker_seen(at(60), &row(2, "n", Some("alive"))).await.unwrap();
    let stale = Duration::from_secs(30);
    assert!(store.adopt(at(30), stale).await.unwrap().is_empty(), "all are young or seen");
    assert_eq!(store.adopt(at(35), stale).await.unwrap(), [run_id(3)], "no worker of that name, and not new");
    assert_eq!(store.adopt(at(70), stale).await.unwrap(), [run_id(1)]);
    let tasks = store.claim(at(71), &claim(5, 8)).await.unwrap();
    assert_eq!(tasks.iter().map(|task| task.run.as_ref().unwrap().id).collect::<Vec<_>>(), [run_id(1), run_id(3)]);
}

async fn a_task_waits_for_its_time(Home { store, .. }: Home) {
    store.create_run(at(0), new_run(1, at(0), &["a"])).await.unwrap();
    let task = store.claim(at(1), &claim(1, 1)).await.unwrap().remove(0);
    store.finish(at(2), &task.lease, Report::Attempted(failed(FailureKind::NetworkInfra))).await.unwrap();
    assert_eq!(store.next_ready_at(None).await.unwrap(), Some(at(3)), "one second of backoff");
    assert!(store.claim(at(2), &claim(1, 1)).await.unwrap().is_empty());
    let cpu = store.queue_stats(at(2)).await.unwrap()[0];
    assert_eq!((cpu.class, cpu.ready, cpu.delayed, cpu.leased), (QueueClass::Cpu, 0, 1, 0));
    let cpu = store.queue_stats(at(7)).await.unwrap()[0];
    assert_eq!((cpu.ready, cpu.delayed, cpu.oldest_ready_age), (1, 0, Some(Duration::from_secs(4))));
    let again = store.claim(at(3), &claim(1, 1)).await.unwrap().remove(0);
    assert_eq!(again.lease.key.unwrap().work, Work::Attempt { step: "a".into(), number: 2 });
    assert_eq!(again.lease.fence, Fence(1), "another task");
}

async fn cancel_takes_what_is_queued_and_interrupts_what_runs(Home { store, .. }: Home) {
    store.create_run(at(0), new_run(1, at(0), &["a", "b"])).await.unwrap();
    let task = store.claim(at(1), &claim(1, 1)).await.unwrap().remove(0);
    let other = mb_core::id::TenantId::from_bytes([9; 16]);
    assert_eq!(store.cancel(at(2), other, run_id(1), "eve").await.unwrap(), Cancel::NotFound);
    assert_eq!(store.cancel(at(2), TENANT, run_id(9), "ann").await.unwrap(), Cancel::NotFound);
    assert_eq!(store.cancel(at(2), TENANT, run_id(1), "ann").await.unwrap(), Cancel::Requested);
    assert!(store.claim(at(3), &claim(2, 8)).await.unwrap().is_empty(), "b left the queue");
    let run = store.run(TENANT, run_id(1)).await.unwrap().unwrap();
    assert!(matches!(run.steps[0].attempts[0].state, AttemptState::Running { .. }));
    assert_eq!(run.steps[1].state, StepState::Done { outcome: StepOutcome::Canceled });
    store.finish(at(4), &task.lease, Report::Attempted(failed(FailureKind::Unknown))).await.unwrap();
    assert_eq!(store.cancel(at(5), TENANT, run_id(1), "ann").await.unwrap(), Cancel::AlreadyOver);
    assert_eq!(store.run_counts(TENANT).await.unwrap().get("canceled"), Some(&1));
}
