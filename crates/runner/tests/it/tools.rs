//! The usual toolchains work inside, offline. A tool the machine does not have is passed over, aloud.

use std::process::Command;
use std::time::Instant;

use mb_core::workflow::Network;
use mb_runner::SandboxLevel;

use crate::support::{Bench, sh};

const CARGO: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n"),
    ("src/lib.rs", "pub fn one() -> u8 {\n    1\n}\n\n#[test]\nfn it() {\n    assert_eq!(one(), 1);\n}\n"),
    ("main.c", "#include <stdio.h>\nint main(void) { puts(\"from c\"); return 0; }\n"),
    (".gitignore", "target/\nCargo.lock\n"),
];

fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|printed| printed.status.success());
    if !found {
        println!("passed over: {program} is not installed");
    }
    found
}

#[tokio::test]
async fn toolchains_work_at_both_levels() {
    let bench = Bench::git(CARGO).await;
    let lines = [
        ("cargo", "cargo test --offline -q 2>&1 | grep 'test result: ok'"),
        ("rustfmt", "cargo fmt --check"),
        ("python3", "python3 -c 'print(1 + 1)'"),
        ("node", "node -e 'console.log(1 + 1)'"),
        ("npm", "npm --version"),
        ("gcc", "gcc main.c -o c && ./c"),
    ];
    for level in [SandboxLevel::Bubblewrap, SandboxLevel::Landlock] {
        for (program, line) in lines.iter().filter(|(program, _)| installed(program)) {
            for network in [Network::None, Network::Full] {
                let mut ask = sh(line).at(level).network(network);
                ask.limits.timeout_ms = 120_000;
                let ran = bench.run(ask).await;
                assert!(ran.outcome.exit.success(), "{program} at {level}: {}", ran.text());
            }
        }
    }
}

#[tokio::test]
async fn the_overhead_of_a_run_is_measured() {
    let bench = Bench::git(CARGO).await;
    bench.run(sh("true")).await.ok();
    let mut best = [u128::MAX; 5];
    for _ in 0..10 {
        let began = Instant::now();
        let mut took = [0; 5];
        let snapshot = bench.snapshot().await;
        took[0] = began.elapsed().as_micros();
        let tree = bench.worktree_of(&snapshot, &[], &[]).await;
        took[1] = began.elapsed().as_micros() - took[0];
        let ran = bench.run_in(&tree, sh("true")).await;
        ran.ok();
        took[2] = ran.outcome.duration.as_micros();
        let before = Instant::now();
        tree.remove().await.unwrap();
        took[3] = before.elapsed().as_micros();
        took[4] = took[..4].iter().sum();
        best = std::array::from_fn(|at| best[at].min(took[at]));
    }
    println!("microseconds, best of ten: [snapshot, worktree, run of `true`, removal, together] = {best:?}");
    assert!(best[4] < 2_000_000, "{best:?}");
}

#[tokio::test]
async fn downloads_are_kept_for_later_attempts_and_never_land_in_the_users_cache() {
    if !installed("cargo") {
        return;
    }
    let bench = Bench::git(CARGO).await;
    let mark = format!("mb-test-{}", std::process::id());
    let line = format!("mkdir -p $CARGO_HOME/registry && echo kept > $CARGO_HOME/registry/{mark}");
    bench.run(sh(&line).network(Network::Full)).await.ok();
    let read = format!("cat $CARGO_HOME/registry/{mark}; echo mine > $CARGO_HOME/registry/{mark}");
    for network in [Network::None, Network::None] {
        assert_eq!(bench.run(sh(&read).network(network)).await.ok(), "kept\n");
    }
    let home = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{}/.cargo", std::env::var("HOME").unwrap()));
    assert!(!std::path::Path::new(&home).join("registry").join(mark).exists());
}
