//! Every limit ends the command with its own cause, quickly, and leaves no process behind.

use std::time::{Duration, Instant};

use mb_core::failure::ExitCause;
use mb_runner::SandboxLevel;

use crate::support::{Ask, Bench, Ran, running, running_program, sh, until};

const LEVELS: [SandboxLevel; 3] = [SandboxLevel::Bubblewrap, SandboxLevel::Landlock, SandboxLevel::None];

/// Runs at every level; each must take less than `seconds`.
async fn everywhere(seconds: u64, ask: impl Fn() -> Ask, check: impl Fn(&Ran)) {
    let bench = Bench::git(&[("a", "1\n")]).await;
    for level in LEVELS {
        let began = Instant::now();
        let ran = bench.run(ask().at(level)).await;
        assert!(began.elapsed() < Duration::from_secs(seconds), "{level}: {:?}", began.elapsed());
        println!("{level}: {} after {:?}", ran.outcome.exit, ran.outcome.duration);
        check(&ran);
    }
}

#[tokio::test]
async fn a_time_limit_asks_first_and_kills_after_the_grace() {
    let ask = || sh("trap 'echo asked; exit 0' TERM; while :; do sleep 0.05; done").limits(|l| l.timeout_ms = 300);
    everywhere(10, ask, |ran| {
        assert_eq!(ran.outcome.exit, ExitCause::Timeout { limit_ms: 300 });
        assert!(ran.text().lines().any(|line| line == "asked"), "{}", ran.text());
    })
    .await;
    let ask = || sh("trap '' TERM; while :; do sleep 31.4159; done").limits(|l| l.timeout_ms = 300);
    everywhere(10, ask, |ran| {
        assert_eq!(ran.outcome.exit, ExitCause::Timeout { limit_ms: 300 });
        assert!(!running("31.4159"));
    })
    .await;
}

#[tokio::test]
async fn children_that_leave_the_session_are_found() {
    let line =
        "setsid sh -c 'trap \"\" TERM; sleep 27.1828' >/dev/null 2>&1 & (setsid sleep 27.1828 &) ; sleep 27.1828";
    everywhere(
        10,
        || sh(line).limits(|l| l.timeout_ms = 400),
        |ran| {
            assert_eq!(ran.outcome.exit, ExitCause::Timeout { limit_ms: 400 });
            assert!(!running("27.1828"));
        },
    )
    .await;
}

#[tokio::test]
async fn a_background_child_that_holds_the_pipe_does_not_hold_the_run() {
    everywhere(
        10,
        || sh("sleep 17.3205 & echo done"),
        |ran| {
            assert_eq!(ran.ok(), "done\n");
            assert!(ran.outcome.duration < Duration::from_secs(5), "{:?}", ran.outcome.duration);
            assert!(!running("17.3205"));
        },
    )
    .await;
}

#[tokio::test]
async fn closing_the_output_and_going_on_is_no_end() {
    let line = "exec >&- 2>&-; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 7";
    everywhere(10, || sh(line), |ran| assert_eq!(ran.outcome.exit, ExitCause::Code { code: 7 })).await;
}

#[tokio::test]
async fn endless_output_is_stopped_and_never_lands_on_the_disk() {
    everywhere(
        10,
        || sh("yes 'a rather long line of output'").limits(|l| l.output_bytes_max = 100_000),
        |ran| {
            assert_eq!(ran.outcome.exit, ExitCause::TooMuchOutput { limit_bytes: 100_000 });
            assert!(ran.outcome.log.bytes > 100_000);
            assert!(ran.text().len() < 300_000, "{}", ran.text().len());
        },
    )
    .await;
}

#[tokio::test]
async fn memory_is_limited() {
    let line = "exec python3 -c 'x = bytearray(400 << 20); import time; time.sleep(30)'";
    everywhere(
        15,
        || sh(line).limits(|l| l.memory_bytes_max = 200 << 20),
        |ran| {
            assert_eq!(ran.outcome.exit, ExitCause::OutOfMemory, "{}", ran.text());
        },
    )
    .await;
}

#[tokio::test]
async fn a_fork_bomb_ends() {
    // Doubles like a real one and goes on when refused, but ends at a thousand: a mistake here must not take the
    // machine down.
    let line = "exec python3 -c '\nimport os, time\nfor _ in range(10):\n  try: os.fork()\n  except OSError: pass\n\
                time.sleep(30.9017)'";
    everywhere(
        15,
        || sh(line).limits(|l| l.pids_max = 60),
        |ran| {
            assert_eq!(ran.outcome.exit, ExitCause::TooManyProcesses, "{}", ran.text());
            assert!(!running("30.9017"));
        },
    )
    .await;
}

#[tokio::test]
async fn the_disk_is_limited_for_one_file_and_for_many() {
    let one = "exec head -c 30000000 /dev/zero > big";
    everywhere(
        10,
        || sh(one).limits(|l| l.disk_bytes_max = 10 << 20),
        |ran| {
            assert_eq!(ran.outcome.exit, ExitCause::DiskQuota, "{}", ran.text());
        },
    )
    .await;
    let many = "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > \"$TMPDIR/f$i\"; done";
    everywhere(
        15,
        || sh(many).limits(|l| l.disk_bytes_max = 10 << 20),
        |ran| {
            assert_eq!(ran.outcome.exit, ExitCause::DiskQuota, "{}", ran.text());
        },
    )
    .await;
}

#[tokio::test]
async fn a_cancelled_run_ends_and_a_dropped_one_too() {
    let bench = Bench::git(&[("a", "1\n")]).await;
    for level in LEVELS {
        let ask = sh("sleep 14.1421").at(level);
        let cancel = ask.cancel.clone();
        let (ran, ()) = tokio::join!(bench.run(ask), async {
            until("the command runs", || running("14.1421")).await;
            cancel.cancel();
        });
        assert_eq!(ran.outcome.exit, ExitCause::Canceled, "{level}");
        let tree = bench.worktree(&[], &[]).await;
        tokio::select! {
            _ = bench.run_in(&tree, sh("sleep 14.1421").at(level)) => unreachable!("it sleeps"),
            () = until("the command runs", || running("14.1421")) => {}
        }
        until(&format!("the dropped command is gone at {level}"), || !running("14.1421")).await;
    }
}

#[tokio::test]
async fn ends_are_told_apart() {
    let bench = Bench::git(&[("a", "1\n"), ("plain.txt", "not a program\n")]).await;
    for level in LEVELS {
        let end = async |line: &str| bench.run(sh(line).at(level)).await.outcome.exit;
        assert_eq!(end("exit 3").await, ExitCause::Code { code: 3 }, "{level}");
        assert_eq!(end("kill -SEGV $$").await, ExitCause::Signal { signal: 11 }, "{level}");
        let mut ask = sh("").at(level);
        ask.argv = vec!["no-such-program-xyz".into()];
        let outcome = bench.run(ask).await.outcome;
        assert_eq!(outcome.exit, ExitCause::NotFound, "{level}");
        assert!(outcome.detail.is_some());
        let mut ask = sh("").at(level);
        ask.argv = vec!["./plain.txt".into()];
        assert_eq!(bench.run(ask).await.outcome.exit, ExitCause::NotStarted, "{level}");
        let mut ask = sh("true").at(level);
        ask.dir = "missing";
        assert_eq!(bench.run(ask).await.outcome.exit, ExitCause::NotStarted, "{level}");
    }
}

#[tokio::test]
async fn use_is_measured() {
    let line = "exec python3 -c 'x = bytearray(60 << 20); [i * i for i in range(3_000_000)]'";
    everywhere(
        20,
        || sh(line),
        |ran| {
            ran.ok();
            assert!(ran.outcome.max_rss_bytes > 60 << 20, "{}", ran.outcome.max_rss_bytes);
            assert!(ran.outcome.cpu > Duration::from_millis(20), "{:?}", ran.outcome.cpu);
        },
    )
    .await;
}

/// The test starts itself as another process, which runs a command and is killed without a chance to tidy up.
#[tokio::test]
async fn killing_the_runner_leaves_no_orphan() {
    const ROLE: &str = "MB_TEST_ORPHAN_LEVEL";
    if let Ok(word) = std::env::var(ROLE) {
        let bench = Bench::git(&[("a", "1\n")]).await;
        bench.run(sh("exec sleep 22.3606").at(SandboxLevel::from_word(&word).unwrap())).await;
        return;
    }
    for level in LEVELS {
        let mut other = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "limits::killing_the_runner_leaves_no_orphan"])
            .env(ROLE, level.as_str())
            .spawn()
            .unwrap();
        until("the command runs", || running_program("sleep\x0022.3606")).await;
        other.kill().unwrap();
        other.wait().unwrap();
        until(&format!("nothing is left at {level}"), || !running("22.3606")).await;
    }
}
