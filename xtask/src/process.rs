//! Starting other programs: echoed and checked when they are the work, silent and bounded when they are a question.
//!
//! Deliberately absent: a deadline on the work itself. A build takes what it takes; a person presses Ctrl-C and
//! continuous integration has a limit of its own. A question never waits longer than [`PROBE_DEADLINE`].

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Longest a question to another program may take.
pub(crate) const PROBE_DEADLINE: Duration = Duration::from_secs(15);

/// Runs a command with our own input and output, its line printed before it.
///
/// # Errors
/// It cannot be started, or it ends with anything but 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Whether a command ends with 0 within [`PROBE_DEADLINE`]. Prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let deadline = Instant::now() + PROBE_DEADLINE;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => thread::sleep(Duration::from_millis(5)),
            Err(_) => return false,
        }
    }
    // Both may fail only because it has just ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// `cargo`, in the repository's top folder.
///
/// `cargo xtask` runs below a cargo of its own, which describes the package `xtask` in the environment. A build
/// script that watches one of those variables would then run again each time, so they are taken out.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_CRATE_NAME" {
            command.env_remove(&name);
        }
    }
    command
}

/// The file a program's name stands for, searched in `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words: Vec<_> = std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_the_answer() {
        let shell = |line: &str| succeeds(Command::new("sh").args(["-c", line]));
        assert!(shell("exit 0"));
        assert!(!shell("exit 3"));
        assert!(!succeeds(&mut Command::new("no-such-program-here")));
    }

    #[test]
    fn a_failed_command_is_named_without_its_folder() {
        let error = run(Command::new("/bin/sh").args(["-c", "exit 3"])).expect_err("it ends with 3");
        assert_eq!(error.to_string(), "`sh -c exit 3` ended with exit status: 3");
    }
}
