//! Runs: made once per key, driven through a repair, resumed after a restart, listed page by page.

use std::collections::BTreeSet;
use std::time::Duration;

use mb_core::failure::{FailureClass, FailureKind};
use mb_core::id::{RunId, TenantId};
use mb_core::repair::Verdict;
use mb_core::run::{Published, RunOutcome, RunState};
use mb_core::task::Work;
use mb_store::{Created, Finished, NewRun, Report, RunFilter, StoreError, StoredPatch};

use crate::support::{DIGEST, Home, TENANT, at, claim, failed, new_run, passed, repaired, run_id, suite};

suite! {
    a_run_is_made_once_per_key,
    one_key_asked_for_by_many_at_once_makes_one_run,
    a_failing_run_is_repaired_across_restarts,
    pages_hold_every_run_once,
    lists_filter_by_word_text_workflow_and_time,
    a_change_is_announced,
    events_are_read_from_where_one_left_off,
}

async fn a_run_is_made_once_per_key(Home { store, .. }: Home) {
    let keyed = |n: u64, key: &str| NewRun { idempotency_key: Some(key.into()), ..new_run(n, at(n), &["a"]) };
    assert_eq!(store.create_run(at(1), keyed(1, "k")).await.unwrap(), Created { id: run_id(1), existed: false });
    let seq = store.last_seq().await.unwrap();
    assert_eq!(store.create_run(at(2), keyed(2, "k")).await.unwrap(), Created { id: run_id(1), existed: true });
    assert_eq!(store.last_seq().await.unwrap(), seq);
    assert_eq!(store.run(TENANT, run_id(2)).await.unwrap(), None);
    assert!(!store.create_run(at(3), keyed(3, "other")).await.unwrap().existed);
    let taken = store.create_run(at(4), new_run(1, at(4), &["a"])).await;
    assert!(matches!(taken, Err(StoreError::Conflict { .. })), "{taken:?}");
    let long = store.create_run(at(5), keyed(5, &"k".repeat(256))).await;
    assert!(matches!(long, Err(StoreError::Invalid { .. })), "{long:?}");
    let stranger = TenantId::from_bytes([9; 16]);
    assert_eq!(store.run(stranger, run_id(1)).await.unwrap(), None, "another tenant sees nothing");
}

async fn one_key_asked_for_by_many_at_once_makes_one_run(home: Home) {
    let other = home.again().await;
    let ask = (1..=20).map(|n| {
        let store = if n % 2 == 0 { home.store.clone() } else { other.clone() };
        let new = NewRun { idempotency_key: Some("k".into()), ..new_run(n, at(0), &["a"]) };
        tokio::spawn(async move { store.create_run(at(0), new).await.unwrap() })
    });
    let mut ids = BTreeSet::new();
    let mut made = 0;
    for handle in ask.collect::<Vec<_>>() {
        let created = handle.await.unwrap();
        ids.insert(created.id);
        made += u32::from(!created.existed);
    }
    assert_eq!((ids.len(), made), (1, 1));
    assert_eq!(home.store.run_counts(TENANT).await.unwrap()["pending"], 1);
}

/// Every verb here is asked of a store that was opened anew.
async fn a_failing_run_is_repaired_across_restarts(home: Home) {
    let created = at(0) + Duration::from_micros(7);
    home.again().await.create_run(created, new_run(1, created, &["lint", "test<lint"])).await.unwrap();
    let published = Published { branch: Some(("mb/fix".into(), "abc".into())), patch_file: None, problem: None };
    let fix = Report::Repaired {
        outcome: repaired(Verdict::Accepted),
        patches: vec![StoredPatch { digest: DIGEST.into(), diff: "-a\0\n+b\n".into() }],
    };
    let script = [
        ("lint#1", Report::Attempted(failed(FailureKind::Lint))),
        (
            "lint!1",
            Report::Repaired { outcome: repaired(Verdict::NoCandidate { why: "none".into() }), patches: vec![] },
        ),
    ];
    // The fixer finds nothing; a linter's failure then has one strategy left.
    let rest = [("lint!2", fix), ("test#1", Report::Attempted(passed())), ("publish", Report::Published(published))];
    for (second, (work, report)) in (1..).zip(script.into_iter().chain(rest)) {
        let mut tasks = home.again().await.claim(at(second), &claim(second, 8)).await.unwrap();
        assert_eq!(
            tasks.iter().map(|task| task.lease.key.as_ref().unwrap().work.to_string()).collect::<Vec<_>>(),
            [work]
        );
        let task = tasks.remove(0);
        let store = home.again().await;
        assert_eq!(store.run(TENANT, run_id(1)).await.unwrap(), task.run.as_deref().cloned(), "as the claim said");
        let finished = store.finish(at(second), &task.lease, report).await.unwrap();
        let Finished::Applied { run, .. } = finished else { panic!("{work}: {finished:?}") };
        store.close().await;
        let stored = home.again().await.run(TENANT, run_id(1)).await.unwrap().unwrap();
        assert_eq!((&stored.state, &stored.spend, &stored.patches), (&run.state, &run.spend, &run.patches), "{work}");
    }
    let run = home.store.run(TENANT, run_id(1)).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Done { outcome: RunOutcome::Repaired });
    assert_eq!(run.source.as_ref().unwrap().snapshot["big"], u64::MAX);
    assert_eq!(home.store.patch(DIGEST).await.unwrap().as_deref(), Some("-a\0\n+b\n"));
    assert_eq!(home.store.patch("none").await.unwrap(), None);
    assert_eq!(home.store.patches(&run.changes()).await.unwrap(), ["-a\0\n+b\n"]);
    let missing = home.store.patches(&[DIGEST, "none"]).await;
    assert!(matches!(&missing, Err(StoreError::Corrupt { what, .. }) if what.contains("none")), "{missing:?}");
    let row = home.store.run_list(TENANT, &RunFilter::default(), None, 9).await.unwrap().items.remove(0);
    assert_eq!((row.outcome, row.patches, row.cost_microusd.0), (Some(RunOutcome::Repaired), 1, 14));
    let cells: Vec<_> = row.steps.iter().map(|s| (s.name.as_str(), s.word.as_str(), s.attempts, s.repairs)).collect();
    assert_eq!(cells, [("lint", "succeeded", 1, 2), ("test", "succeeded", 1, 0)]);
    assert_eq!(row.duration_ms, Some(4_000));
    assert_eq!((row.kind, row.class), (None, None), "nothing is wrong any more");
}

async fn pages_hold_every_run_once(Home { store, .. }: Home) {
    // Of each three, two were made at the same moment.
    let moment = |n: u64| at(n / 3 * 3);
    for n in 0..500 {
        store.create_run(moment(n), new_run(n, moment(n), &["a"])).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    for page in 0..10 {
        let got = store.run_list(TENANT, &RunFilter::default(), after, 73).await.unwrap();
        seen.extend(got.items.iter().map(|run| (run.created_at, run.id)));
        // A run that appears meanwhile is newer than every page that is still to come.
        store.create_run(at(9_000 + page), new_run(1_000 + page, at(9_000 + page), &["a"])).await.unwrap();
        let Some(next) = got.next else { break };
        after = Some(next.to_string().parse().unwrap());
    }
    let expected: Vec<(_, RunId)> = (0..500).rev().map(|n| (moment(n), run_id(n))).collect();
    assert_eq!(seen, expected);
    assert_eq!(store.run_list(TENANT, &RunFilter::default(), None, 0).await.unwrap().items.len(), 1);
    assert_eq!(store.run_list(TENANT, &RunFilter::default(), None, 9_999).await.unwrap().items.len(), 200);
}

async fn lists_filter_by_word_text_workflow_and_time(Home { store, .. }: Home) {
    for n in 1..=4 {
        store.create_run(at(n), new_run(n, at(n), &["a"])).await.unwrap();
    }
    for task in store.claim(at(10), &claim(1, 2)).await.unwrap() {
        let outcome = if task.run.as_ref().unwrap().id == run_id(1) { passed() } else { failed(FailureKind::Security) };
        store.finish(at(11), &task.lease, Report::Attempted(outcome)).await.unwrap();
    }
    let check = async |filter: RunFilter, expected: &[u64]| {
        let page = store.run_list(TENANT, &filter, None, 50).await.unwrap();
        let expected: Vec<RunId> = expected.iter().map(|&n| run_id(n)).collect();
        assert_eq!(page.items.iter().map(|run| run.id).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    let words =
        |words: &[&str]| RunFilter { words: words.iter().map(ToString::to_string).collect(), ..RunFilter::default() };
    let text = |text: &str| RunFilter { text: Some(text.into()), ..RunFilter::default() };
    check(words(&["failed"]), &[2]).await;
    check(words(&["passed", "pending"]), &[4, 3, 1]).await;
    check(words(&["nonsense"]), &[]).await;
    check(text("PROJECT"), &[4, 3, 2, 1]).await;
    check(text("100% of üNITS"), &[2]).await;
    check(text("1_0"), &[]).await;
    check(text("89ABC"), &[4, 3, 2, 1]).await;
    check(text(&run_id(3).to_string()), &[3]).await;
    check(RunFilter { workflow: Some("build".into()), ..words(&["running", "failed"]) }, &[2]).await;
    check(RunFilter { workflow: Some("other".into()), ..RunFilter::default() }, &[]).await;
    check(RunFilter { since: Some(at(2)), until: Some(at(4)), ..RunFilter::default() }, &[3, 2]).await;
    let failed = store.run_list(TENANT, &words(&["failed"]), None, 1).await.unwrap().items.remove(0);
    assert_eq!((failed.kind, failed.class), (Some(FailureKind::Security), Some(FailureClass::Security)));
    assert_eq!(failed.summary.as_deref(), Some("100% of Ünits broke"));
    assert_eq!((failed.project.as_str(), failed.actor.as_str()), ("Project", "ann"));
    assert!(
        store.run_list(TenantId::from_bytes([9; 16]), &RunFilter::default(), None, 9).await.unwrap().items.is_empty()
    );
}

async fn a_change_is_announced(home: Home) {
    let mut here = home.store.changes();
    let other = home.again().await;
    let mut there = other.changes();
    let create = async {
        for n in 1..=100 {
            home.store.create_run(at(n), new_run(n, at(n), &["a"])).await.unwrap();
            if home.store.kind() == "sqlite" || there.has_changed().unwrap() {
                return;
            }
            // On PostgreSQL the other process hears of it as soon as its listener is connected.
            let _ = tokio::time::timeout(Duration::from_millis(200), there.changed()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), create).await.expect("the hint arrives");
    assert!(here.has_changed().unwrap());
    here.mark_unchanged();
    home.store.run_counts(TENANT).await.unwrap();
    home.store.heartbeat(at(0), &[], Duration::ZERO).await.unwrap();
}

async fn events_are_read_from_where_one_left_off(Home { store, .. }: Home) {
    for n in 1..=2 {
        store.create_run(at(n), new_run(n, at(n), &["a"])).await.unwrap();
    }
    for task in store.claim(at(3), &claim(1, 8)).await.unwrap() {
        assert_eq!(task.lease.key.as_ref().unwrap().work, Work::Attempt { step: "a".into(), number: 1 });
    }
    let (mut seen, mut after) = (Vec::new(), 0);
    for _ in 0..20 {
        let events = store.events(TENANT, None, after, 3).await.unwrap();
        let Some(last) = events.last() else { break };
        after = last.seq;
        seen.extend(events.into_iter().map(|event| (event.seq, event.run, event.kind.word())));
    }
    let of_first: Vec<_> = seen.iter().filter(|(_, run, _)| *run == run_id(1)).map(|(_, _, word)| *word).collect();
    assert_eq!(of_first, ["run.created", "step.queued", "run.started", "step.started"]);
    assert_eq!(seen.iter().map(|(seq, _, _)| *seq).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    let own = store.events(TENANT, Some(run_id(2)), 0, 100).await.unwrap();
    assert_eq!(own.len(), 4);
    assert!(store.events(TenantId::from_bytes([9; 16]), None, 0, 9).await.unwrap().is_empty());
}
