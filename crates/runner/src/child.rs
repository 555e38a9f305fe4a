//! Starts one process with everything that must happen between fork and exec, and waits for it.
//!
//! A thread of its own starts it and stays until it has ended. The thread matters: the kernel sends the
//! parent-death signal when the *thread* that forked ends, so a pooled thread would kill commands at random. It is
//! also what makes an orphan impossible when this program is killed.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use landlock::RulesetCreated;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, getppid, setsid};
use seccompiler::BpfProgram;
use tokio::sync::oneshot;

use crate::sys::{self, Ended};
use crate::tree::Tree;

/// The kernel takes one page of mount options.
const OPTIONS_BYTES_MAX: usize = 4000;

/// A copy-on-write view of a folder.
#[derive(Debug)]
pub(crate) struct Overlay {
    target: CString,
    options: CString,
}

impl Overlay {
    /// Shows `lowers` (first wins) at `target`; changes go to `upper`. None when a path cannot be written as a mount
    /// option.
    pub(crate) fn new(lowers: &[&Path], upper: &Path, work: &Path, target: &Path) -> Option<Overlay> {
        let special = |path: &&Path| path.as_os_str().as_bytes().iter().any(|byte| b":,\\\"\0".contains(byte));
        if lowers.iter().any(special) || special(&upper) || special(&work) {
            return None;
        }
        let lowers: Vec<_> = lowers.iter().map(|path| path.as_os_str().as_bytes()).collect();
        let (upper, work) = (upper.as_os_str().as_bytes(), work.as_os_str().as_bytes());
        let options =
            [b"lowerdir=", &*lowers.join(&b':'), b",upperdir=", upper, b",workdir=", work, b",userxattr"].concat();
        let target = CString::new(target.as_os_str().as_bytes()).ok()?;
        (options.len() < OPTIONS_BYTES_MAX).then_some(())?;
        Some(Overlay { target, options: CString::new(options).ok()? })
    }
}

/// What to start and how.
pub(crate) struct Launch {
    /// Program, arguments, environment, folder and streams.
    pub(crate) command: Command,
    /// Doors of the control group.
    pub(crate) doors: Vec<File>,
    /// Files the program is to find open under their present numbers.
    pub(crate) inherit: Vec<OwnedFd>,
    /// Largest file it may write, in bytes.
    pub(crate) file_bytes_max: u64,
    /// Processes and threads its user may have, on the whole machine. The second line behind the watch: a fork bomb
    /// must not outrun it. Root is exempt.
    pub(crate) user_processes_max: u64,
    /// Views to mount before the program starts, in a mount namespace of its own.
    pub(crate) overlays: Vec<Overlay>,
    /// Whether mounting needs a user namespace (we are not privileged).
    pub(crate) new_user: bool,
    /// Landlock rules and system call filter to enter.
    pub(crate) confinement: Option<(RulesetCreated, Option<BpfProgram>)>,
}

impl Launch {
    /// Only the program; nothing else is prepared.
    pub(crate) fn plain(command: Command) -> Launch {
        Launch {
            command,
            doors: Vec::new(),
            inherit: Vec::new(),
            file_bytes_max: u64::MAX,
            user_processes_max: u64::MAX,
            overlays: Vec::new(),
            new_user: false,
            confinement: None,
        }
    }

    /// The command with its preparation installed. It can be started once.
    pub(crate) fn arm(self) -> Command {
        let Launch { mut command, mut doors, inherit, overlays, new_user, mut confinement, .. } = self;
        let bounds = [
            (Resource::RLIMIT_CORE, 0),
            (Resource::RLIMIT_FSIZE, self.file_bytes_max),
            (Resource::RLIMIT_NPROC, self.user_processes_max),
        ];
        let parent = Pid::this();
        sys::before_exec(&mut command, move || {
            setsid()?;
            for door in &mut doors {
                door.write_all(b"0")?;
            }
            for (resource, most) in bounds {
                lower(resource, most)?;
            }
            if !overlays.is_empty() {
                mount_all(&overlays, new_user)?;
            }
            // After the namespace: entering one clears it.
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            if getppid() != parent {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            for file in &inherit {
                fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            match confinement.take() {
                Some((rules, filter)) => confine(rules, filter.as_ref()),
                None => Ok(()),
            }
        });
        command
    }
}

/// Lowers a limit; one that is lower already stays, as only root may raise it.
fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(resource)?;
    Ok(setrlimit(resource, soft.min(most), hard.min(most))?)
}

/// Runs in the child: system calls only.
fn mount_all(overlays: &[Overlay], new_user: bool) -> io::Result<()> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let user = if new_user { CloneFlags::CLONE_NEWUSER } else { CloneFlags::empty() };
    unshare(CloneFlags::CLONE_NEWNS | user)?;
    if new_user {
        std::fs::write("/proc/self/setgroups", "deny")?;
        map("/proc/self/uid_map", uid.as_raw())?;
        map("/proc/self/gid_map", gid.as_raw())?;
    }
    let none: Option<&CStr> = None;
    mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    for overlay in overlays {
        let (target, options) = (overlay.target.as_c_str(), overlay.options.as_c_str());
        mount(Some(c"overlay"), target, Some(c"overlay"), MsFlags::MS_NOSUID, Some(options))?;
    }
    Ok(())
}

/// Maps an id to itself, in a buffer on the stack.
fn map(file: &str, id: u32) -> io::Result<()> {
    let mut line = [0_u8; 40];
    let mut rest = &mut line[..];
    write!(rest, "{id} {id} 1")?;
    let used = 40 - rest.len();
    std::fs::write(file, &line[..used])
}

fn confine(rules: RulesetCreated, filter: Option<&BpfProgram>) -> io::Result<()> {
    rules.restrict_self().map_err(|_| io::Error::from(io::ErrorKind::PermissionDenied))?;
    if let Some(filter) = filter {
        seccompiler::apply_filter(filter).map_err(|_| io::Error::from(io::ErrorKind::PermissionDenied))?;
    }
    Ok(())
}

/// A started process. Dropping it kills it and all that belongs to it, wherever it is dropped: also on its way to an
/// owner that has gone.
pub(crate) struct Child {
    /// Its pid, session and process group.
    pub(crate) pid: i32,
    /// Told once when it has ended.
    pub(crate) ended: oneshot::Receiver<io::Result<Ended>>,
    /// Its processes.
    pub(crate) tree: Tree,
    alive: Arc<Mutex<bool>>,
    settled: bool,
}

impl Child {
    /// Starts it. `mark` is in its environment.
    pub(crate) async fn start(launch: Launch, mark: &str) -> io::Result<Child> {
        let mark = mark.to_owned();
        let (tell, started) = oneshot::channel();
        std::thread::Builder::new().name("mb-child".into()).spawn(move || {
            let mut command = launch.arm();
            let child = command.spawn();
            // Our copies of the pipes' write ends go with it: otherwise they would never close.
            drop(command);
            let pid = match child {
                Ok(child) => child.id().cast_signed(),
                Err(error) => return drop(tell.send(Err(error))),
            };
            let (tell_end, ended) = oneshot::channel();
            let alive = Arc::new(Mutex::new(true));
            let tree = Tree::new(pid, &mark);
            let _ = tell.send(Ok(Child { pid, ended, tree, alive: Arc::clone(&alive), settled: false }));
            let _ = tell_end.send(wait(pid, &alive));
        })?;
        started.await.map_err(|_| io::Error::other("the starting thread is gone"))?
    }

    /// Sends it (and nothing else) a signal, if it has not been reaped: a pid is reused only after that.
    pub(crate) fn signal(&self, signal: Signal) {
        let alive = self.alive.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *alive {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Says that nothing of it is left.
    pub(crate) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Child {
    /// Killing bubblewrap alone is not enough: in its first moments its inner process does not yet die with it.
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        self.signal(Signal::SIGKILL);
        // Each look takes a few milliseconds; a process that is being killed may be seen once or twice more.
        for _ in 0..20 {
            if self.tree.signal(Signal::SIGKILL, &[]) == 0 {
                return;
            }
        }
    }
}

fn wait(pid: i32, alive: &Mutex<bool>) -> io::Result<Ended> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    // The child is bounded by its owner's deadline; an interruption only repeats the question.
    while waitid(Id::Pid(Pid::from_raw(pid)), flags) == Err(nix::errno::Errno::EINTR) {}
    let mut alive = alive.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *alive = false;
    sys::reap(pid)
}
