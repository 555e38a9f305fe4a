//! Watches what a running command uses, on a thread of its own, and says once which limit it has passed.
//!
//! A thread, because reading `/proc` and walking folders is blocking work that must go on while the machine is
//! busy. Deliberately absent: stopping anything; that is the owner's.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use mb_core::failure::ExitCause;
use mb_core::workflow::Limits;
use tokio::sync::oneshot;

use crate::cgroup::Group;
use crate::files;
use crate::tree::Tree;

/// Time between two looks at the processes.
const LOOK: Duration = Duration::from_millis(50);
/// Time between two walks over the folders, at least; a walk also never takes more than a tenth of the time.
const WALK: Duration = Duration::from_millis(500);

/// What to watch.
pub(crate) struct Watch {
    /// The processes.
    pub(crate) tree: Tree,
    /// Their control group.
    pub(crate) group: Option<Arc<Group>>,
    /// The limits.
    pub(crate) limits: Limits,
    /// Folders whose content counts as written once it changed after `since`.
    pub(crate) folders: Vec<PathBuf>,
    /// Change time in nanoseconds since the epoch.
    pub(crate) since: i128,
    /// Processes of the sandbox itself, which are not the command's.
    pub(crate) own_processes: u64,
}

/// A running watch.
pub(crate) struct Monitor {
    /// The limit that was passed, if any.
    pub(crate) passed: oneshot::Receiver<ExitCause>,
    stop: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<Peak>,
}

/// The most that was seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Peak {
    /// Memory of the whole tree, in bytes.
    pub(crate) memory_bytes: u64,
    /// Processor time.
    pub(crate) cpu: Duration,
}

/// Starts watching.
pub(crate) fn start(mut watch: Watch) -> std::io::Result<Monitor> {
    let (tell, passed) = oneshot::channel();
    let (stop, stopped) = mpsc::channel();
    let thread = std::thread::Builder::new().name("mb-watch".into()).spawn(move || watch.run(tell, &stopped))?;
    Ok(Monitor { passed, stop, thread })
}

impl Monitor {
    /// Ends the watch.
    pub(crate) async fn finish(self) -> Peak {
        drop(self.stop);
        tokio::task::spawn_blocking(move || self.thread.join().unwrap_or_default()).await.unwrap_or_default()
    }
}

impl Watch {
    fn run(&mut self, tell: oneshot::Sender<ExitCause>, stopped: &mpsc::Receiver<()>) -> Peak {
        let mut tell = Some(tell);
        let mut peak = Peak::default();
        let mut next_walk = Instant::now() + WALK;
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let usage = self.tree.usage();
            peak.memory_bytes = peak.memory_bytes.max(usage.memory_bytes);
            peak.cpu = peak.cpu.max(usage.cpu);
            let mut cause = self.processes(usage.threads, usage.memory_bytes);
            if cause.is_none() && Instant::now() >= next_walk {
                let began = Instant::now();
                cause = self.disk();
                next_walk = Instant::now() + WALK.max(began.elapsed() * 10);
            }
            if let Some(cause) = cause
                && let Some(tell) = tell.take()
            {
                let _ = tell.send(cause);
            }
        }
        if let Some(group) = &self.group {
            peak.memory_bytes = peak.memory_bytes.max(group.peak_bytes());
            peak.cpu = peak.cpu.max(group.cpu());
        }
        peak
    }

    fn processes(&self, threads: u64, memory_bytes: u64) -> Option<ExitCause> {
        if memory_bytes > self.limits.memory_bytes_max {
            return Some(ExitCause::OutOfMemory);
        }
        if threads > self.limits.pids_max.saturating_add(self.own_processes) {
            return Some(ExitCause::TooManyProcesses);
        }
        self.group.as_ref().and_then(|group| group.refused())
    }

    fn disk(&self) -> Option<ExitCause> {
        let mut sum = 0;
        for folder in &self.folders {
            sum += files::bytes_written(folder, self.since, self.limits.disk_bytes_max);
        }
        (sum > self.limits.disk_bytes_max).then_some(ExitCause::DiskQuota)
    }
}
