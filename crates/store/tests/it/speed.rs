//! What the store adds to the shortest run on a fresh file. It prints the numbers; the bound is generous, because
//! the machine may be busy, and only catches what is wrong by an order of magnitude.

use std::time::{Duration, Instant};

use mb_store::Report;

use crate::support::{Home, at, claim, new_run, passed};

#[tokio::test]
async fn a_run_of_one_step_is_cheap_on_sqlite() {
    let begin = Instant::now();
    let home = Home::sqlite().await;
    let opened = begin.elapsed();
    let mut rounds = Vec::new();
    for n in 0..20 {
        let begin = Instant::now();
        home.store.create_run(at(n), new_run(n, at(n), &["a"])).await.unwrap();
        let task = home.store.claim(at(n), &claim(1, 1)).await.unwrap().remove(0);
        home.store.finish(at(n), &task.lease, Report::Attempted(passed())).await.unwrap();
        rounds.push(begin.elapsed());
    }
    let first = rounds[0];
    rounds.sort();
    println!("open and migrate {opened:?}; create, claim, finish: first {first:?}, median {:?}", rounds[10]);
    assert!(rounds[10] < Duration::from_millis(500), "{rounds:?}");
}
