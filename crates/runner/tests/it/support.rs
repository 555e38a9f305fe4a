//! A project in a temporary folder, and one command run in a fresh worktree of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mb_core::workflow::{Limits, Network};
use mb_runner::{
    Job, LogLine, LogSink, Outcome, Patch, Project, Redactor, Sandbox, SandboxLevel, Snapshot, Worktree, read_log, run,
};
use tokio_util::sync::CancellationToken;

pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) project: Project,
}

/// One command's settings; everything has a default.
pub(crate) struct Ask {
    pub(crate) argv: Vec<String>,
    pub(crate) level: SandboxLevel,
    pub(crate) network: Network,
    pub(crate) limits: Limits,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) dir: &'static str,
    pub(crate) cancel: CancellationToken,
    pub(crate) secrets: Vec<String>,
}

pub(crate) fn sh(line: &str) -> Ask {
    Ask {
        argv: ["sh", "-c", line].map(str::to_owned).into(),
        level: SandboxLevel::Bubblewrap,
        network: Network::None,
        limits: Limits { timeout_ms: 20_000, grace_ms: 300, ..Limits::DEFAULT },
        env: BTreeMap::new(),
        dir: "",
        cancel: CancellationToken::new(),
        secrets: Vec::new(),
    }
}

impl Ask {
    pub(crate) fn at(mut self, level: SandboxLevel) -> Ask {
        self.level = level;
        self
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Ask {
        change(&mut self.limits);
        self
    }

    pub(crate) fn network(mut self, network: Network) -> Ask {
        self.network = network;
        self
    }
}

/// What came of it.
pub(crate) struct Ran {
    pub(crate) outcome: Outcome,
    pub(crate) log: Vec<LogLine>,
}

impl Ran {
    pub(crate) fn text(&self) -> String {
        self.log.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// Standard output of a command that must have succeeded.
    pub(crate) fn ok(&self) -> String {
        assert!(self.outcome.exit.success(), "{:?} {:?}\n{}", self.outcome.exit, self.outcome.detail, self.text());
        String::from_utf8(self.outcome.stdout.bytes.clone()).unwrap()
    }
}

impl Bench {
    /// A repository with these files in its first commit.
    pub(crate) async fn git(files: &[(&str, &str)]) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("project");
        write_all(&root, files);
        for args in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "first"]] {
            git(&root, args);
        }
        Bench::over(dir, &root).await
    }

    /// A folder without a repository.
    pub(crate) async fn plain(files: &[(&str, &str)]) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("project");
        write_all(&root, files);
        Bench::over(dir, &root).await
    }

    /// The same files three times: in a repository, without one, and in a repository of a machine without git.
    pub(crate) async fn every_way(files: &[(&str, &str)]) -> [(&'static str, Bench); 3] {
        let mut without = Bench::git(files).await;
        without.project = Project::open_plain(without.root()).unwrap();
        [("git", Bench::git(files).await), ("plain", Bench::plain(files).await), ("without git", without)]
    }

    pub(crate) async fn over(dir: tempfile::TempDir, root: &Path) -> Bench {
        let project = Project::open(root).await.unwrap();
        Bench { dir, project }
    }

    pub(crate) fn root(&self) -> &Path {
        self.project.root()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        self.snapshot_without(&[]).await
    }

    pub(crate) async fn snapshot_without(&self, caches: &[&str]) -> Snapshot {
        self.project.snapshot(&self.data().join("snapshots"), &set(caches)).await.unwrap()
    }

    pub(crate) async fn worktree(&self, patches: &[Patch], caches: &[&str]) -> Worktree {
        let snapshot = self.snapshot_without(caches).await;
        self.worktree_of(&snapshot, patches, caches).await
    }

    pub(crate) async fn worktree_of(&self, snapshot: &Snapshot, patches: &[Patch], caches: &[&str]) -> Worktree {
        let at = self.data().join("worktrees").join(unique());
        self.project.worktree(snapshot, &at, patches, &set(caches)).await.unwrap()
    }

    /// Runs in a worktree of the present state that is thrown away.
    pub(crate) async fn run(&self, ask: Ask) -> Ran {
        let tree = self.worktree(&[], &[]).await;
        let ran = self.run_in(&tree, ask).await;
        tree.remove().await.unwrap();
        ran
    }

    pub(crate) async fn run_in(&self, tree: &Worktree, ask: Ask) -> Ran {
        let sandbox = Sandbox::with_level(ask.level).unwrap().hide(&self.data());
        let path = self.dir.path().join(format!("log-{}", unique()));
        let redactor = Redactor::new(ask.secrets, &[]).unwrap();
        let outcome = run(Job {
            argv: ask.argv,
            worktree: tree.path(),
            source_root: self.root(),
            dir: ask.dir,
            env: ask.env,
            network: ask.network,
            limits: ask.limits,
            writable: Vec::new(),
            sandbox: &sandbox,
            log: LogSink::create(&path, redactor, None).unwrap(),
            cancel: ask.cancel,
            deadline: None,
        })
        .await;
        Ran { outcome, log: read_log(&path, 1, 100_000).unwrap() }
    }
}

pub(crate) fn write_all(root: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(root).unwrap();
    for (name, text) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Runs git as a user would; returns what it printed.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    let printed = Command::new("git").args(identity).args(args).current_dir(dir).output().unwrap();
    assert!(printed.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&printed.stderr));
    String::from_utf8(printed.stdout).unwrap()
}

/// Everything of a repository that must not change, as one text.
pub(crate) fn state(dir: &Path) -> String {
    let index = std::fs::read(dir.join(".git/index")).unwrap();
    let head = std::fs::read_to_string(dir.join(".git/HEAD")).unwrap();
    let refs = git(dir, &["for-each-ref"]);
    let config = std::fs::read_to_string(dir.join(".git/config")).unwrap();
    let list = git(dir, &["worktree", "list"]);
    let status = git(dir, &["--no-optional-locks", "status", "--porcelain", "--ignored"]);
    format!("{index:?}\n{head}\n{refs}\n{config}\n{list}\n{status}")
}

pub(crate) fn unique() -> String {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string()
}

/// Waits until it holds; fails after ten seconds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        tick.tick().await;
    }
}

/// Whether any process on the machine has this word on its command line.
pub(crate) fn running(word: &str) -> bool {
    command_lines(|line| line.contains(word))
}

/// Whether any process was started with exactly this command line (words end with a zero byte).
pub(crate) fn running_program(words: &str) -> bool {
    command_lines(|line| line.trim_end_matches('\0') == words)
}

fn command_lines(fits: impl Fn(&str) -> bool) -> bool {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let own = std::process::id().to_string();
    pids.filter(|entry| entry.file_name().to_str() != Some(&own))
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| fits(&String::from_utf8_lossy(&line)))
}
