//! A process under measurement that says what happens in JSON lines: a peer's driver.
//!
//! Deliberately absent: any wait without a limit. A process that says nothing in time is ended, with what it wrote to
//! standard error as the reason.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::product::Usage;

/// Events that wait to be read; a driver says four at most.
const EVENTS_MAX: usize = 64;
/// Characters of standard error in a reason.
const REASON_CHARS: usize = 600;

/// Ended, if it has not ended by itself, when it is dropped.
pub(crate) struct Running {
    child: Child,
    events: Receiver<Value>,
    log: PathBuf,
}

impl Running {
    /// Starts the command; its standard error goes to this file.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Result<Running> {
        let errors = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let output = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        let (sender, events) = sync_channel(EVENTS_MAX);
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Peers print lines of their own, which are not for us.
                if let Ok(value) = serde_json::from_str::<Value>(&line) {
                    // Full or unread: the reader has seen enough, but the pipe must not fill up.
                    let _ = sender.try_send(value);
                }
            }
        });
        Ok(Running { child, events, log })
    }

    /// The next event of this name; others before it are passed over.
    ///
    /// # Errors
    /// It ends first, or does not say so within the limit.
    pub(crate) fn wait_for(&self, event: &str, limit: Duration) -> Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(value) if value["event"] == event => return Ok(value),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("no `{event}` within {limit:?}: {}", self.reason()),
                Err(RecvTimeoutError::Disconnected) => bail!("it ended before `{event}`: {}", self.reason()),
            }
        }
    }

    /// Waits until it has ended with 0.
    pub(crate) fn wait(mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("it ended with {status}: {}", self.reason()),
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
        bail!("it did not end within {limit:?}: {}", self.reason())
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// Ends it as a power cut would: `SIGKILL`.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The end of what it wrote to standard error.
    fn reason(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let text = text.trim();
        let skipped = text.chars().count().saturating_sub(REASON_CHARS);
        text.chars().skip(skipped).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> (tempfile::TempDir, Running) {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let running = Running::start(Command::new("sh").args(["-c", script]), log).expect("sh is everywhere");
        (folder, running)
    }

    #[test]
    fn events_are_found_among_other_lines() {
        let (_folder, running) = shell(r#"echo hello; echo '{"event":"ready"}'; echo '{"event":"done","tasks":7}'"#);
        assert_eq!(running.wait_for("done", LIMIT).expect("it says so")["tasks"], 7);
        running.wait(LIMIT).expect("it ends with 0");
    }

    #[test]
    fn a_driver_that_fails_says_why() {
        let (_folder, running) = shell("echo 'no such table' >&2; exit 3");
        let error = running.wait_for("done", LIMIT).expect_err("it ended");
        assert_eq!(error.to_string(), "it ended before `done`: no such table");
        let error = running.wait(LIMIT).expect_err("it ended with 3");
        assert_eq!(error.to_string(), "it ended with exit status: 3: no such table");
    }

    #[test]
    fn a_driver_that_says_nothing_is_not_waited_for() {
        let (_folder, running) = shell("exec sleep 60");
        let error = running.wait_for("done", Duration::from_millis(10)).expect_err("it says nothing");
        assert_eq!(error.to_string(), "no `done` within 10ms: ");
        running.kill().expect("it can be ended");
    }
}
