//! The system calls that need `unsafe`, each behind a safe function. Nothing else in the workspace may contain it.
#![expect(unsafe_code, reason = "system calls that no safe wrapper in our dependencies offers")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a child ended and what it used, together with the descendants it waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// The exit code, or the signal.
    pub(crate) how: How,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Largest resident size of any one process, in bytes.
    pub(crate) max_rss_bytes: u64,
}

/// The two ways to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Reaps a child that has ended.
pub(crate) fn reap(pid: i32) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid `rusage`: it consists of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live local variables of the types the call writes.
    let got = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    if got != pid {
        return Err(io::Error::last_os_error());
    }
    let how = if libc::WIFSIGNALED(status) {
        How::Signal(libc::WTERMSIG(status))
    } else {
        How::Code(libc::WEXITSTATUS(status))
    };
    let max_rss_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    Ok(Ended { how, cpu: time(usage.ru_utime) + time(usage.ru_stime), max_rss_bytes })
}

fn time(value: libc::timeval) -> Duration {
    let micros = value.tv_sec * 1_000_000 + value.tv_usec;
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Runs `prepare` in the child between fork and exec.
///
/// `prepare` runs in a copy of a process whose other threads are gone: it may make system calls and touch what it
/// owns, but must take no lock and should not allocate. Its callers in `child.rs` keep to that.
pub(crate) fn before_exec(command: &mut Command, prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: see above; the closure owns everything it uses.
    unsafe { command.pre_exec(prepare) };
}

/// The newest Landlock interface the kernel offers; 0 when it offers none.
pub(crate) fn landlock_abi() -> u32 {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the call reads no memory: the pointer must be null and the size zero.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(abi).unwrap_or(0)
}

/// A name that no other call in this or another live process gets.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{:x}-{}", std::process::id(), now.as_nanos(), NEXT.fetch_add(1, Ordering::Relaxed))
}
