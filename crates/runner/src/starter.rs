//! The thread that starts one command and stays until it has ended, ready before the command is.
//!
//! The thread matters: the kernel sends the parent-death signal when the *thread* that forked ends, so a pooled thread
//! would kill commands at random. It is also what makes an orphan impossible when this program is killed.
//!
//! It is made ahead of need because of version 1 control groups: moving a process into one makes the kernel wait some ten
//! milliseconds for all processors, and a command must be inside before its first instruction. There a single
//! thread can be moved and its children are born inside. So one spare thread moves itself while files are being
//! prepared. In version 2 threads cannot be moved alone: there a command enters by itself, between fork and exec.
//!
//! Deliberately absent: more than one spare. A second command starting at the same moment waits as it did before.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mb_core::workflow::Limits;

use crate::cgroup::{CgroupVersion, Group};

/// Longest the kernel may take to move a thread.
const ENTER_MAX: Duration = Duration::from_secs(2);

type Work = Box<dyn FnOnce() + Send>;

/// A waiting thread. Dropping it ends the thread.
pub(crate) struct Starter {
    give: Sender<Work>,
}

impl Starter {
    /// Has the thread do its work: start a command and wait for its end.
    pub(crate) fn run(self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.give.send(Box::new(work)).map_err(|_| io::Error::other("the starting thread is gone"))
    }
}

/// A starter that is still on its way into its group.
struct Spare {
    starter: Starter,
    entered: Receiver<Option<Group>>,
}

static SPARE: Mutex<Option<Spare>> = Mutex::new(None);

/// Makes a spare starter unless there is one. Returns at once.
pub(crate) fn prepare_spare(version: CgroupVersion) {
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    if version == CgroupVersion::V1 && spare.is_none() {
        // Without a spare the next command makes its own.
        *spare = spawn(version).ok();
    }
}

/// A thread to start a command from, and the control group for the command with these limits, if there can be one.
pub(crate) fn take(version: CgroupVersion, limits: &Limits) -> io::Result<(Starter, Option<Group>)> {
    let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Spare { starter, entered } = match spare {
        Some(spare) => spare,
        None => spawn(version)?,
    };
    let group = entered.recv_timeout(ENTER_MAX).ok().flatten();
    Ok((starter, group.filter(|group| group.limit(limits).is_ok())))
}

fn spawn(version: CgroupVersion) -> io::Result<Spare> {
    let (give, given) = mpsc::channel::<Work>();
    let (tell, entered) = mpsc::channel();
    std::thread::Builder::new().name("mb-child".into()).spawn(move || {
        let group = Group::create(version);
        let entered = group.filter(|group| version != CgroupVersion::V1 || group.admit_thread().is_ok());
        let _ = tell.send(entered);
        if let Ok(work) = given.recv() {
            work();
        }
    })?;
    Ok(Spare { starter: Starter { give }, entered })
}
