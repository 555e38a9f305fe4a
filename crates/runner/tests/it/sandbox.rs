//! What a command can reach: its own files and its tools, and nothing else.

use std::fs;
use std::net::TcpListener;

use mb_core::workflow::Network;
use mb_runner::{Sandbox, SandboxLevel};

use crate::support::{Bench, sh, write_all};

const CONFINED: [SandboxLevel; 2] = [SandboxLevel::Bubblewrap, SandboxLevel::Landlock];

#[tokio::test]
async fn writing_outside_is_refused() {
    let bench = Bench::git(&[("a", "1\n")]).await;
    let outside = bench.dir.path().join("victim");
    fs::write(&outside, "safe").unwrap();
    let home = std::env::var("HOME").unwrap();
    for level in CONFINED {
        let line = format!(
            "echo x > {victim}; rm -rf {root}/a; echo x > /etc/mb-evil; echo x > /usr/mb-evil; \
             echo x > {home}/.mb-evil; echo in > fine; cat fine",
            victim = outside.display(),
            root = bench.root().display()
        );
        let ran = bench.run(sh(&line).at(level)).await;
        assert!(ran.ok().ends_with("in\n"), "{level}");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "safe", "{level}");
        assert_eq!(fs::read_to_string(bench.root().join("a")).unwrap(), "1\n", "{level}");
        for path in ["/etc/mb-evil".to_owned(), "/usr/mb-evil".to_owned(), format!("{home}/.mb-evil")] {
            assert!(!fs::exists(&path).unwrap(), "{level}: {path}");
        }
    }
}

#[tokio::test]
async fn the_users_home_the_data_folder_and_the_original_are_out_of_sight() {
    let bench = Bench::git(&[("a", "1\n"), (".gitignore", "secret.env\n")]).await;
    write_all(bench.root(), &[("secret.env", "PASSWORD=x\n")]);
    write_all(&bench.data(), &[("database", "rows\n")]);
    let original = bench.root().join("secret.env");
    let database = bench.data().join("database");
    for level in CONFINED {
        let line = format!(
            "for f in {} {} $MB_REAL_HOME/.ssh $MB_REAL_HOME/.gitconfig; do ls $f/ 2>/dev/null; cat $f 2>/dev/null; done; echo end",
            original.display(),
            database.display()
        );
        let mut ask = sh(&line).at(level);
        ask.env.insert("MB_REAL_HOME".into(), std::env::var("HOME").unwrap());
        assert_eq!(bench.run(ask).await.ok(), "end\n", "{level}");
    }
}

#[tokio::test]
async fn the_environment_is_scrubbed() {
    // Set for this whole test binary's children by the runner's own list, so a variable every test process has will do.
    let bench = Bench::git(&[("a", "1\n")]).await;
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok(), "cargo sets it for tests");
    for level in CONFINED {
        let mut ask = sh("env | cut -d= -f1 | sort | tr '\\n' ' '; touch $TMPDIR/t $HOME/h && echo; echo $X").at(level);
        ask.env.insert("X".into(), "given".into());
        let printed = bench.run(ask).await.ok();
        assert!(!printed.contains("CARGO_MANIFEST_DIR") && printed.contains("CI "), "{level}: {printed}");
        assert!(printed.ends_with("\ngiven\n"), "{level}: {printed}");
    }
}

#[tokio::test]
async fn no_network_means_none_and_full_means_the_hosts() {
    let bench = Bench::git(&[("a", "1\n")]).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = format!(
        "exec python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), timeout=3)' 2>/dev/null"
    );
    for level in CONFINED {
        let none = bench.run(sh(&line).at(level)).await;
        assert!(!none.outcome.exit.success(), "{level}");
        assert_eq!(level == SandboxLevel::Landlock, none.outcome.notes.iter().any(|note| note.contains("TCP")));
        bench.run(sh(&line).at(level).network(Network::Full)).await.ok();
    }
    let own = "exec python3 -c 'import socket; s = socket.create_server((\"127.0.0.1\", 0)); \
               socket.create_connection(s.getsockname())'";
    bench.run(sh(own)).await.ok();
}

#[tokio::test]
async fn mounting_tracing_others_and_new_keys_are_refused() {
    let bench = Bench::git(&[("a", "1\n")]).await;
    for level in CONFINED {
        let own = std::process::id();
        let line = format!(
            "mount -t tmpfs none . 2>/dev/null && echo mounted; umount . 2>/dev/null && echo unmounted; \
             kill -0 {own} 2>/dev/null && echo sees; kill -CONT 1 2>/dev/null && [ $(cat /proc/1/comm) != bwrap ] && echo init; \
             unshare -Ur mount -t tmpfs none . 2>/dev/null && echo nested; echo end"
        );
        assert_eq!(bench.run(sh(&line).at(level)).await.ok(), "end\n", "{level}");
    }
}

#[tokio::test]
async fn the_project_is_at_its_own_path_and_what_is_printed_is_redacted() {
    let bench = Bench::git(&[("a", "1\n")]).await;
    let mut ask = sh("pwd; echo $MB_X; echo $MB_X >&2");
    ask.env.insert("MB_X".into(), "very-secret-value".into());
    ask.secrets = vec!["very-secret-value".into()];
    let ran = bench.run(ask).await;
    assert_eq!(ran.ok(), format!("{}\n[redacted:env]\n", bench.root().display()));
    assert!(!ran.text().contains("very-secret"));
    assert_eq!(ran.outcome.log.lines, 3);
}

#[tokio::test]
async fn caches_are_carried_and_the_users_copy_is_never_written() {
    for level in [SandboxLevel::Bubblewrap, SandboxLevel::Landlock] {
        let bench = Bench::git(&[("a", "1\n"), (".gitignore", "out/\n")]).await;
        write_all(bench.root(), &[("out/deep/product", "built\n")]);
        let tree = bench.worktree(&[], &["out", "absent", "../evil"]).await;
        let line = "cat out/deep/product; echo mine > out/deep/product; echo new > out/new; rm -rf out/deep/../gone";
        let ran = bench.run_in(&tree, sh(line).at(level)).await;
        assert_eq!(ran.ok(), "built\n", "{level}");
        assert!(ran.outcome.notes.iter().any(|note| note.starts_with("out is ")), "{:?}", ran.outcome.notes);
        assert_eq!(bench.run_in(&tree, sh("cat out/deep/product out/new").at(level)).await.ok(), "mine\nnew\n");
        assert_eq!(fs::read_to_string(bench.root().join("out/deep/product")).unwrap(), "built\n");
        assert!(!bench.root().join("out/new").exists());
        assert!(tree.changed_files().await.unwrap().is_empty());
        tree.remove().await.unwrap();
    }
}

#[tokio::test]
async fn a_warm_worktree_lends_what_was_built_in_it_and_stays_as_it_was() {
    if !Sandbox::detect().report().overlays {
        return;
    }
    let bench = Bench::git(&[("a", "1\n"), (".gitignore", "out/\n")]).await;
    write_all(bench.root(), &[("out/user", "1\n"), ("out/gone", "1\n")]);
    let warm = bench.worktree(&[], &["out", "modules"]).await;
    let make = "echo 2 > out/warm; rm out/gone; mkdir modules; echo 2 > modules/m";
    bench.run_in(&warm, sh(make)).await.ok();
    let mut tree = bench.worktree(&[], &["out", "modules"]).await;
    let caches = ["out", "modules", "absent"].map(str::to_owned).into();
    tree.carry_from(&warm, &caches).unwrap();
    let look = "ls out modules; cat out/user out/warm modules/m";
    assert_eq!(bench.run_in(&tree, sh(look)).await.ok(), "modules:\nm\n\nout:\nuser\nwarm\n1\n2\n2\n");
    bench.run_in(&tree, sh("echo 3 > modules/m; rm out/warm; echo 3 > out/user")).await.ok();
    assert_eq!(bench.run_in(&tree, sh("cat modules/m out/user; ls out")).await.ok(), "3\n3\nuser\n");
    assert_eq!(bench.run_in(&warm, sh(look)).await.ok(), "modules:\nm\n\nout:\nuser\nwarm\n1\n2\n2\n");
    assert!(tree.changed_files().await.unwrap().is_empty());
}

#[tokio::test]
async fn detection_never_chooses_no_sandbox() {
    let report = Sandbox::detect().report();
    println!("{report:?}");
    assert_ne!(report.level, SandboxLevel::None);
    assert_eq!(Sandbox::with_level(SandboxLevel::None).unwrap().level(), SandboxLevel::None);
}

#[tokio::test]
async fn a_job_for_another_project_is_refused() {
    let (one, two) = (Bench::git(&[("a", "1\n")]).await, Bench::git(&[("a", "1\n")]).await);
    let tree = one.worktree(&[], &[]).await;
    let ran = two.run_in(&tree, sh("true")).await;
    assert!(ran.outcome.detail.unwrap().contains("does not belong"));
}
