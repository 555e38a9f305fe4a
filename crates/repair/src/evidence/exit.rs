//! What the way a process ended says by itself, before any output is read.

use mb_core::failure::{ExitCause, FailureKind};
use mb_core::workflow::StageKind;

/// The kind, when the exit alone decides it.
///
/// A shell reports a killed child as 128 plus the signal, so codes 132 to 139 are read like signals. Codes 1 to 125 say
/// nothing: every tool uses them as it likes.
pub(crate) fn kind(stage: StageKind, exit: ExitCause) -> Option<FailureKind> {
    match exit {
        ExitCause::NotFound | ExitCause::Code { code: 127 } => Some(FailureKind::ToolchainMissing),
        ExitCause::NotStarted | ExitCause::Code { code: 126 } => Some(FailureKind::ConfigCi),
        ExitCause::Timeout { .. } => Some(FailureKind::Timeout),
        ExitCause::OutOfMemory
        | ExitCause::TooManyProcesses
        | ExitCause::TooMuchOutput { .. }
        | ExitCause::DiskQuota => Some(FailureKind::Resource),
        ExitCause::Canceled => Some(FailureKind::Unknown),
        ExitCause::Signal { signal } => signalled(stage, signal).or(Some(FailureKind::Unknown)),
        ExitCause::Code { code } => signalled(stage, code - 128),
    }
}

fn signalled(stage: StageKind, signal: i32) -> Option<FailureKind> {
    match signal {
        // SIGKILL and SIGXCPU, SIGXFSZ: nobody but the kernel's limits sends these to a build.
        9 | 24 | 25 => Some(FailureKind::Resource),
        // SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV: it crashed.
        4..=8 | 11 if stage == StageKind::Test => Some(FailureKind::TestError),
        4..=8 | 11 => Some(FailureKind::Unknown),
        _ => None,
    }
}

/// The kind a stage stands for when nothing else is known.
pub(crate) fn stage_kind(stage: StageKind) -> Option<FailureKind> {
    match stage {
        StageKind::Lint => Some(FailureKind::Lint),
        StageKind::Format => Some(FailureKind::Format),
        StageKind::Typecheck => Some(FailureKind::Typecheck),
        StageKind::Build => Some(FailureKind::Compile),
        StageKind::Test => Some(FailureKind::TestError),
        StageKind::Security => Some(FailureKind::Security),
        StageKind::Custom => None,
    }
}

/// Whether a failure of that kind is what a stage is for; decides between two readings of the same strength.
pub(crate) fn fits(stage: StageKind, kind: FailureKind) -> bool {
    use FailureKind as K;
    match stage {
        StageKind::Lint => matches!(kind, K::Lint | K::Format | K::Docs),
        StageKind::Format => kind == K::Format,
        StageKind::Typecheck => matches!(kind, K::Typecheck | K::Compile),
        StageKind::Build => matches!(kind, K::Compile | K::Typecheck | K::Dependency),
        StageKind::Test => matches!(kind, K::TestAssert | K::TestError),
        StageKind::Security => kind == K::Security,
        StageKind::Custom => true,
    }
}
