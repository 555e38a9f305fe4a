//! Runs untrusted commands and keeps what they did apart from everything else.
//!
//! A project is frozen ([`Project::snapshot`]), unpacked into a private folder ([`Project::worktree`]), a command
//! runs there under limits and a sandbox ([`run`]), its output is redacted before it touches a disk
//! ([`LogSink`]), and what it changed comes back as a [`Patch`].
//!
//! Deliberately absent: the store, retries, policy and any idea of what a failure means. A command that could not
//! be started is an [`Outcome`] like any other, so callers have one path. Linux only: the sandbox is made of
//! namespaces, Landlock, seccomp and `/proc`.

mod apply;
mod bwrap;
mod cgroup;
mod checkout;
mod child;
mod copies;
mod duplicate;
mod environment;
mod exec;
mod fence;
mod files;
mod git;
mod layout;
mod left_out;
mod log;
mod monitor;
mod patch;
mod prepare;
mod project;
mod publish;
mod pump;
mod redact;
mod repository;
mod sandbox;
mod seccomp;
mod sys;
mod toolchain;
mod tree;
mod unified;
mod walk;
mod worktree;

pub use exec::{Job, Outcome, run};
pub use git::GitError;
pub use log::{LogLine, LogSink, LogSummary, Stream, count_log_lines, read_log};
pub use patch::{BadPatch, Patch, PatchKind, PatchLimits, PatchedFile};
pub use project::{Project, ProjectError, ProjectKind, Snapshot};
pub use pump::Captured;
pub use redact::{BadPattern, Redactor};
pub use sandbox::{CgroupVersion, Sandbox, SandboxLevel, SandboxReport, Unavailable};
pub use worktree::Worktree;
