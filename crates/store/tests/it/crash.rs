//! A process that is killed in the middle of its work leaves whole transactions, and another may look on meanwhile.

use std::process::{Command, Stdio};
use std::time::Duration;

use mb_store::{Store, StoreOptions, StoreUrl};

use crate::random;
use crate::support::Home;

const FILE: &str = "MB_TEST_CRASH_FILE";
const DEADLINE: Duration = Duration::from_secs(60);

/// What the killed process does. Started by the test below only; without its file there is nothing to do.
#[tokio::test]
async fn victim() {
    let Ok(path) = std::env::var(FILE) else { return };
    let store = Store::open(&StoreUrl::Sqlite(path.into()), StoreOptions::default()).await.unwrap();
    random::play(&store, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_whole_transactions() {
    for events in [1, 10, 40, 90] {
        let home = Home::sqlite().await;
        let StoreUrl::Sqlite(path) = &home.url else { unreachable!() };
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::victim"])
            .env(FILE, path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let reached = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(1));
            while home.store.last_seq().await.unwrap() < events {
                ticks.tick().await;
            }
        };
        let reached = tokio::time::timeout(DEADLINE, reached).await;
        victim.kill().unwrap();
        victim.wait().unwrap();
        reached.expect("the victim works");
        let seen = random::left(&home.store).await;
        home.store.close().await;
        assert_eq!(random::left(&home.again().await).await, seen, "the same after its log was replayed");
    }
}
