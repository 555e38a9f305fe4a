//! Runs one command to its end: start, watch, stop, account.
//!
//! However it goes, there is an [`Outcome`], and when it is returned nothing of the command is left running.
//! Deliberately absent: deciding what the outcome means, and retrying.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mb_core::failure::ExitCause;
use mb_core::time::millis;
use mb_core::workflow::{Limits, Network};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::cgroup::Group;
use crate::child::Child;
use crate::log::{LogSink, LogSummary};
use crate::monitor::{self, Monitor, Watch};
use crate::prepare::{Prepared, Refusal, prepare};
use crate::pump::{self, Captured, Drained, Pump};
use crate::sandbox::{Sandbox, SandboxLevel};
use crate::sys::{Ended, How};
use crate::tree::Tree;

/// How long output is waited for after the command has ended.
const DRAIN: Duration = Duration::from_secs(2);
/// How long the kernel may take to end a killed process (it may be in the middle of a disk write).
const REAP: Duration = Duration::from_secs(10);
/// Processes that bubblewrap needs for itself.
const BWRAP_PROCESSES: u64 = 2;

/// One command to run.
pub struct Job<'a> {
    /// The program and its arguments; no shell is added.
    pub argv: Vec<String>,
    /// [`Worktree::path`](crate::Worktree::path) of a live worktree.
    pub worktree: &'a Path,
    /// The project the worktree stands for; commands see the tree under this path where the sandbox can do that.
    pub source_root: &'a Path,
    /// Folder relative to the worktree; empty means the worktree itself.
    pub dir: &'a str,
    /// Added to the scrubbed environment.
    pub env: BTreeMap<String, String>,
    /// What it may reach.
    pub network: Network,
    /// Its limits.
    pub limits: Limits,
    /// Folders beside the worktree that it may write to; they must exist.
    pub writable: Vec<PathBuf>,
    /// The walls around it.
    pub sandbox: &'a Sandbox,
    /// Where its output goes.
    pub log: LogSink,
    /// Ends it with [`ExitCause::Canceled`].
    pub cancel: CancellationToken,
    /// A second time limit (what is left of the run's budget); the smaller one counts.
    pub deadline: Option<Duration>,
}

/// How a command went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub exit: ExitCause,
    /// Wall time.
    pub duration: Duration,
    /// User and system time of its processes; without a control group a little less than the truth.
    pub cpu: Duration,
    /// Most memory it had, in bytes: of the tree where the host can tell, else of its largest process.
    pub max_rss_bytes: u64,
    /// What is in the log.
    pub log: LogSummary,
    /// Its standard output, for tools whose result is what they print.
    pub stdout: Captured,
    /// The walls that were around it.
    pub sandbox: SandboxLevel,
    /// Why it could not be started, in one line.
    pub detail: Option<String>,
    /// What a person should know: how caches were carried, what this sandbox level does not refuse.
    pub notes: Vec<String>,
}

/// Runs a command. Dropping the future kills it.
pub async fn run(job: Job<'_>) -> Outcome {
    let began = Instant::now();
    let mark = crate::sys::unique();
    let mut outcome = match prepare(&job, &mark) {
        Ok(prepared) => start(job, prepared, &mark).await,
        Err(Refusal(why)) => {
            let drained = Drained { summary: job.log.finish(0), ..Drained::default() };
            account(job.sandbox.level(), ExitCause::NotStarted, Some(why), drained)
        }
    };
    outcome.duration = began.elapsed();
    outcome
}

/// An outcome of a command that used nothing (yet).
fn account(sandbox: SandboxLevel, exit: ExitCause, detail: Option<String>, drained: Drained) -> Outcome {
    let (duration, cpu) = (Duration::ZERO, Duration::ZERO);
    let (log, stdout) = (drained.summary, drained.stdout);
    Outcome { exit, duration, cpu, max_rss_bytes: 0, log, stdout, sandbox, detail, notes: Vec::new() }
}

async fn start(job: Job<'_>, prepared: Prepared, mark: &str) -> Outcome {
    let Prepared { mut launch, group, folders, since, notes, tools_lock: _held } = prepared;
    let level = job.sandbox.level();
    let time_limit = Duration::from_millis(job.limits.timeout_ms).min(job.deadline.unwrap_or(Duration::MAX));
    let cannot = |error: io::Error, drained| {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => ExitCause::NotFound,
            _ => ExitCause::NotStarted,
        };
        account(level, exit, Some(error.to_string()), drained)
    };
    let pump = match connect(&mut launch.command, job.log, job.limits.output_bytes_max) {
        Ok(pump) => pump,
        Err(error) => return cannot(error, Drained::default()),
    };
    let group = group.map(Arc::new);
    let child = match Child::start(launch, mark).await {
        Ok(child) => child,
        Err(error) => return cannot(error, drain(pump).await),
    };
    let own_processes = if level == SandboxLevel::Bubblewrap { BWRAP_PROCESSES } else { 0 };
    let tree = Tree::new(child.pid, mark);
    let watch = Watch { tree, group: group.clone(), limits: job.limits, folders, since, own_processes };
    let monitor = match monitor::start(watch) {
        Ok(monitor) => monitor,
        Err(error) => {
            drop(child);
            return cannot(error, drain(pump).await);
        }
    };
    let running = Running { child, pump, monitor, group, level, time_limit, limits: job.limits, cancel: job.cancel };
    let mut outcome = running.finish().await;
    if outcome.exit == ExitCause::NotStarted {
        job.sandbox.forget();
    }
    outcome.notes = notes;
    outcome
}

/// Gives the command its streams and starts reading them.
fn connect(command: &mut Command, log: LogSink, limit: u64) -> io::Result<Pump> {
    let (stdout, stdout_end) = io::pipe()?;
    let (stderr, stderr_end) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(stdout_end).stderr(stderr_end);
    pump::start(stdout, stderr, log, limit)
}

/// Waits for the rest of the output, but not for a process that keeps a pipe open.
async fn drain(pump: Pump) -> Drained {
    let Pump { mut done, stop, .. } = pump;
    if let Ok(drained) = timeout(DRAIN, &mut done).await {
        return drained.unwrap_or_default();
    }
    drop(stop);
    done.await.unwrap_or_default()
}

/// A command that has been started.
struct Running {
    child: Child,
    pump: Pump,
    monitor: Monitor,
    group: Option<Arc<Group>>,
    level: SandboxLevel,
    time_limit: Duration,
    limits: Limits,
    cancel: CancellationToken,
}

impl Running {
    async fn finish(mut self) -> Outcome {
        let (stopped, ended) = self.supervise().await;
        self.kill_rest().await;
        let Running { child, pump, monitor, group, level, .. } = self;
        let (peak, drained) = tokio::join!(monitor.finish(), drain(pump));
        child.settle();
        let refused = group.and_then(|group| group.refused());
        let (exit, detail) = verdict(stopped, ended, refused, level, &drained.first_error);
        let mut outcome = account(level, exit, detail, drained);
        outcome.cpu = peak.cpu.max(ended.map_or(Duration::ZERO, |ended| ended.cpu));
        outcome.max_rss_bytes = peak.memory_bytes.max(ended.map_or(0, |ended| ended.max_rss_bytes));
        outcome
    }

    /// Waits for the end, whoever brings it about: the command itself, or one of its limits.
    async fn supervise(&mut self) -> (Option<ExitCause>, Option<Ended>) {
        let stop = tokio::select! {
            biased;
            ended = &mut self.child.ended => return (None, flat(ended)),
            () = self.cancel.cancelled() => ExitCause::Canceled,
            () = self.pump.over.notified() => ExitCause::TooMuchOutput { limit_bytes: self.limits.output_bytes_max },
            Ok(cause) = &mut self.monitor.passed => cause,
            () = sleep(self.time_limit) => {
                ExitCause::Timeout { limit_ms: millis(self.time_limit) }
            }
        };
        // Who is asked to stop may tidy up. Who takes what others need may not go on taking it.
        if matches!(stop, ExitCause::Timeout { .. } | ExitCause::Canceled) {
            let spare = self.sandbox_pids();
            self.child.tree.signal(Signal::SIGTERM, &spare);
            let grace = Duration::from_millis(self.limits.grace_ms);
            if let Ok(ended) = timeout(grace, &mut self.child.ended).await {
                return (Some(stop), flat(ended));
            }
        }
        self.kill();
        let ended = timeout(REAP, &mut self.child.ended).await.ok().and_then(flat);
        (Some(stop), ended)
    }

    /// Bubblewrap's outer process ends at a SIGTERM and takes everything with it; it must not get one.
    fn sandbox_pids(&self) -> Vec<i32> {
        if self.level == SandboxLevel::Bubblewrap { vec![self.child.pid] } else { Vec::new() }
    }

    fn kill(&mut self) {
        if let Some(group) = &self.group {
            group.kill();
        }
        self.child.signal(Signal::SIGKILL);
        self.child.tree.signal(Signal::SIGKILL, &[]);
    }

    /// Ends what the command left behind, until a look finds nothing. A control group knows exactly what there is.
    async fn kill_rest(&mut self) {
        for _ in 0..1000 {
            let empty = match &self.group {
                Some(group) => group.kill(),
                None => self.child.tree.signal(Signal::SIGKILL, &[]) == 0,
            };
            if empty {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

fn flat(ended: Result<io::Result<Ended>, tokio::sync::oneshot::error::RecvError>) -> Option<Ended> {
    ended.ok().and_then(Result::ok)
}

/// Folds all that is known about an end into one cause.
fn verdict(
    stopped: Option<ExitCause>,
    ended: Option<Ended>,
    refused: Option<ExitCause>,
    level: SandboxLevel,
    first_error: &str,
) -> (ExitCause, Option<String>) {
    if let Some(cause) = stopped {
        return (cause, None);
    }
    let Some(ended) = ended else { return (ExitCause::NotStarted, Some("its end was not seen".to_owned())) };
    let mut how = ended.how;
    if level == SandboxLevel::Bubblewrap {
        if how == How::Code(1) && first_error.starts_with("bwrap: ") {
            let missing =
                first_error.starts_with("bwrap: execvp ") && first_error.ends_with("No such file or directory");
            let cause = if missing { ExitCause::NotFound } else { ExitCause::NotStarted };
            return (cause, Some(first_error.to_owned()));
        }
        how = through_bubblewrap(how);
    }
    let cause = match (how, refused) {
        (How::Code(0), _) => ExitCause::Code { code: 0 },
        (_, Some(cause)) => cause,
        (How::Signal(libc::SIGXFSZ), None) => ExitCause::DiskQuota,
        (How::Code(code), None) => ExitCause::Code { code },
        (How::Signal(signal), None) => ExitCause::Signal { signal },
    };
    (cause, None)
}

/// Bubblewrap reports a signal as 128 + its number, as a shell does. The signals nobody exits like by choice are
/// read back; the others stay codes.
fn through_bubblewrap(how: How) -> How {
    const READ_BACK: &[i32] = &[
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGKILL,
        libc::SIGSEGV,
        libc::SIGTERM,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGSYS,
    ];
    match how {
        How::Code(code) if READ_BACK.contains(&(code - 128)) => How::Signal(code - 128),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(how: How, first_error: &str, level: SandboxLevel, expected: ExitCause) {
        let ended = Ended { how, cpu: Duration::ZERO, max_rss_bytes: 0 };
        assert_eq!(verdict(None, Some(ended), None, level, first_error).0, expected, "{how:?} {first_error:?}");
    }

    #[test]
    fn ends_are_read_through_the_sandbox() {
        let (inside, outside) = (SandboxLevel::Bubblewrap, SandboxLevel::Landlock);
        check(How::Code(3), "", inside, ExitCause::Code { code: 3 });
        check(How::Code(139), "", inside, ExitCause::Signal { signal: 11 });
        check(How::Code(139), "", outside, ExitCause::Code { code: 139 });
        check(How::Code(130), "", inside, ExitCause::Code { code: 130 });
        check(How::Code(153), "", inside, ExitCause::DiskQuota);
        check(How::Signal(25), "", outside, ExitCause::DiskQuota);
        check(How::Code(1), "bwrap: execvp x: No such file or directory", inside, ExitCause::NotFound);
        check(How::Code(1), "bwrap: execvp x: Permission denied", inside, ExitCause::NotStarted);
        check(How::Code(1), "bwrap: Can't mount proc", inside, ExitCause::NotStarted);
        check(How::Code(1), "bwrap: said by a program", outside, ExitCause::Code { code: 1 });
    }

    #[test]
    fn what_the_kernel_refused_is_named_unless_the_command_succeeded() {
        let memory = Some(ExitCause::OutOfMemory);
        let ended = |how| Some(Ended { how, cpu: Duration::ZERO, max_rss_bytes: 0 });
        let level = SandboxLevel::Bubblewrap;
        assert_eq!(verdict(None, ended(How::Code(137)), memory, level, "").0, ExitCause::OutOfMemory);
        assert_eq!(verdict(None, ended(How::Code(0)), memory, level, "").0, ExitCause::Code { code: 0 });
        assert_eq!(verdict(Some(ExitCause::Canceled), None, memory, level, "").0, ExitCause::Canceled);
    }
}
