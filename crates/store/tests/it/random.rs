//! Random sequences of verbs, the same on both backends: they must say the same, and what they leave must hold
//! together.

use std::fmt::Write;

use mb_core::failure::FailureKind;
use mb_core::repair::Verdict;
use mb_core::run::Published;
use mb_core::task::{Lease, Work};
use mb_store::{NewRun, Report, RunFilter, Store};

use crate::support::{Home, LEASE, TENANT, at, claim, failed, new_run, passed, repaired, run_id};

const VERBS: u64 = 150;
const SEEDS: u64 = 4;

/// A small generator of numbers (SplitMix64): a test needs the same ones everywhere, not good ones.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn report(numbers: &mut Numbers, work: &Work) -> Report {
    let kinds = [FailureKind::Lint, FailureKind::NetworkInfra, FailureKind::TestAssert, FailureKind::Security];
    match work {
        _ if numbers.below(8) == 0 => Report::GaveBack,
        Work::Attempt { .. } if numbers.below(2) == 0 => Report::Attempted(passed()),
        Work::Attempt { .. } => Report::Attempted(failed(kinds[numbers.below(4) as usize])),
        Work::Repair { .. } => {
            let verdict = match numbers.below(3) {
                0 => Verdict::Accepted,
                1 => Verdict::Improved { left: Box::new(failed(FailureKind::Lint).failure.unwrap()) },
                _ => Verdict::Rejected { step: "a".into(), why: "worse".into() },
            };
            Report::Repaired { outcome: repaired(verdict), patches: vec![] }
        }
        Work::Publish => Report::Published(Published { branch: None, patch_file: None, problem: None }),
    }
}

/// Plays one sequence; gives everything the verbs said and left.
pub(crate) async fn play(store: &Store, seed: u64) -> String {
    let mut numbers = Numbers(seed);
    let (mut said, mut held) = (String::new(), Vec::<Lease>::new());
    for second in 1..=VERBS {
        let now = at(second * 5);
        match numbers.below(10) {
            0 | 1 => {
                let n = numbers.below(12);
                let key = n.is_multiple_of(2).then(|| format!("key-{n}"));
                let new = NewRun { idempotency_key: key, ..new_run(second, now, &["a", "b<a", "c"]) };
                writeln!(said, "create {:?}", store.create_run(now, new).await.unwrap()).unwrap();
            }
            2..=4 => {
                let tasks = store.claim(now, &claim(second, 1 + numbers.below(3) as usize)).await.unwrap();
                writeln!(said, "claim {tasks:?}").unwrap();
                held.extend(tasks.into_iter().map(|task| task.lease));
            }
            5..=7 if !held.is_empty() => {
                // Sometimes the lease stays with the worker, which then reports twice.
                let index = numbers.below(held.len() as u64) as usize;
                let lease = if numbers.below(10) == 0 { held[index].clone() } else { held.swap_remove(index) };
                let report = report(&mut numbers, &lease.key.as_ref().unwrap().work);
                writeln!(said, "finish {:?}", store.finish(now, &lease, report).await.unwrap()).unwrap();
            }
            8 => writeln!(said, "beat {:?}", store.heartbeat(now, &held, LEASE).await.unwrap()).unwrap(),
            9 if numbers.below(3) == 0 => {
                let id = run_id(1 + numbers.below(second));
                writeln!(said, "cancel {:?}", store.cancel(now, TENANT, id, "ann").await.unwrap()).unwrap();
            }
            _ => writeln!(said, "reap {:?}", store.reap(now, 2).await.unwrap()).unwrap(),
        }
    }
    said + &left(store).await
}

/// Everything readable, with what must hold of it.
pub(crate) async fn left(store: &Store) -> String {
    let now = at(VERBS * 5);
    let rows = store.run_list(TENANT, &RunFilter::default(), None, 200).await.unwrap().items;
    let events = store.events(TENANT, None, 0, 1_000).await.unwrap();
    assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq), "events have no gaps");
    let stats = store.queue_stats(now).await.unwrap();
    let mut active = 0;
    let mut text = format!("{rows:?}\n{events:?}\n{stats:?}\n");
    for row in &rows {
        let run = store.run(TENANT, row.id).await.unwrap().unwrap();
        assert_eq!((row.outcome, row.state.as_str()), (run.state.outcome(), run.state.word()));
        let publishes = run.state == mb_core::run::RunState::Publishing;
        let tasks = run.steps.iter().filter(|step| step.is_active()).count() as u64 + u64::from(publishes);
        assert!(run.state.outcome().is_some() || tasks > 0, "an open run has something to wait for");
        active += tasks;
        writeln!(text, "{run:?}").unwrap();
    }
    let queued: u64 = stats.iter().map(|class| class.ready + class.delayed + class.leased).sum();
    let over_and_held = queued.checked_sub(active).expect("each active step has its task");
    assert!(over_and_held <= rows.len() as u64, "only a publication may outlive its run");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_backends_say_the_same() {
    for seed in 0..SEEDS {
        let sqlite = play(&Home::sqlite().await.store, seed).await;
        assert!(sqlite.contains("finish Applied"), "the sequence does something");
        let Some(home) = Home::postgres().await else { continue };
        let store = home.store.clone();
        let postgres = tokio::spawn(async move { play(&store, seed).await }).await;
        home.drop_schema().await;
        let postgres = postgres.expect("the sequence plays");
        if let Some((one, other)) = sqlite.lines().zip(postgres.lines()).find(|(one, other)| one != other) {
            panic!("seed {seed}\nsqlite:   {one}\npostgres: {other}");
        }
        assert_eq!(sqlite.lines().count(), postgres.lines().count(), "seed {seed}");
    }
}
