//! Every call of the `git` program, in one place. Needs git 2.31 or newer (`--path-format`); without it a project is
//! treated as a folder without a repository.
//!
//! A call is scrubbed: no hooks, no file-system monitor, no background maintenance, no prompt, no `GIT_*` variable
//! inherited from a hook that may have started us. It has a deadline and a bound on what it may print.
//!
//! Deliberately absent: porcelain. Only commands whose output is stable are used, and a git folder that an
//! untrusted command could have written to is never given to them (its configuration can name programs).

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// The oldest git whose answers are understood.
const OLDEST: (u32, u32) = (2, 31);
/// Longest one call may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Most a call may print unless it says otherwise, in bytes.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;
/// Most of standard error that is kept, in bytes.
const STDERR_BYTES_MAX: u64 = 64 << 10;
/// Settings that keep a call from running anything or answering differently on another machine.
const SCRUBBED: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.splitIndex=false",
    "core.quotePath=false",
    "core.safecrlf=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.addEmbeddedRepo=false",
    "commit.gpgSign=false",
];

const MISSING: &str = "git is not installed";
const TOO_OLD: &str = "git is older than 2.31";

/// Why a call of git did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git` on the PATH.
    #[error("git is not installed (2.31 or newer is needed)")]
    Missing,
    /// It could not be started or spoken to.
    #[error("git {command} could not be run")]
    Io {
        /// The subcommand.
        command: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// It took longer than 120 seconds.
    #[error("git {command} took longer than {}", mb_core::time::human(TIMEOUT))]
    TimedOut {
        /// The subcommand.
        command: String,
    },
    /// It said no.
    #[error("git {command} failed: {message}")]
    Failed {
        /// The subcommand.
        command: String,
        /// The exit code, when there is one.
        code: Option<i32>,
        /// What it printed to standard error, shortened.
        message: String,
    },
    /// It printed more than the caller can take.
    #[error("git {command} printed more than {limit} bytes")]
    TooLong {
        /// The subcommand.
        command: String,
        /// The bound, in bytes.
        limit: u64,
    },
}

/// Where git is to work. Cheap to clone; every method runs one process.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    /// Current directory of the calls.
    dir: PathBuf,
    /// `GIT_*` variables of the calls.
    env: Vec<(&'static str, OsString)>,
}

/// What a finished call printed.
pub(crate) struct Printed {
    /// Standard output.
    pub(crate) stdout: Vec<u8>,
    /// Standard error, lossy and bounded.
    pub(crate) stderr: String,
}

impl Printed {
    /// Standard output as one trimmed line.
    pub(crate) fn word(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }
}

impl Git {
    /// Works in whatever repository `dir` belongs to.
    pub(crate) fn within(dir: &Path) -> Git {
        Git { dir: dir.to_owned(), env: Vec::new() }
    }

    /// Works on this git folder with this working tree, discovering nothing.
    pub(crate) fn on(git_dir: &Path, work_tree: &Path) -> Git {
        Git::within(work_tree).with("GIT_DIR", git_dir).with("GIT_WORK_TREE", work_tree)
    }

    /// The same with another index file.
    pub(crate) fn with_index(&self, index: &Path) -> Git {
        self.clone().with("GIT_INDEX_FILE", index)
    }

    /// The same, reading and writing objects there.
    pub(crate) fn with_objects(&self, objects: &Path) -> Git {
        self.clone().with("GIT_OBJECT_DIRECTORY", objects)
    }

    /// Whether there is a git that is new enough; asked once. The error says in words what is the matter.
    pub(crate) async fn usable() -> Result<(), &'static str> {
        static ANSWER: tokio::sync::OnceCell<Result<(), &'static str>> = tokio::sync::OnceCell::const_new();
        let ask = || async {
            match Git::within(Path::new("/")).run(&["version"]).await {
                Ok(printed) => version_of(&printed.word()).filter(|found| *found >= OLDEST).map(drop).ok_or(TOO_OLD),
                Err(_) => Err(MISSING),
            }
        };
        *ANSWER.get_or_init(ask).await
    }

    fn with(mut self, name: &'static str, value: &Path) -> Git {
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value.into()));
        self
    }

    /// Runs a subcommand that must succeed.
    pub(crate) async fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Printed, GitError> {
        self.call(args, b"", OUTPUT_BYTES_MAX, &[0]).await
    }

    /// Runs a subcommand and takes at most `limit` bytes of its output.
    pub(crate) async fn run_bounded<S: AsRef<OsStr>>(&self, args: &[S], limit: u64) -> Result<Printed, GitError> {
        self.call(args, b"", limit, &[0]).await
    }

    /// Runs a subcommand that reads `input`.
    pub(crate) async fn feed<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<Printed, GitError> {
        self.call(args, input, OUTPUT_BYTES_MAX, &[0]).await
    }

    /// Runs a subcommand; the exit codes in `fine` are success.
    pub(crate) async fn call<S: AsRef<OsStr>>(
        &self,
        args: &[S],
        input: &[u8],
        limit: u64,
        fine: &[i32],
    ) -> Result<Printed, GitError> {
        let command = subcommand(args);
        match tokio::time::timeout(TIMEOUT, self.talk(args, input, limit, fine, &command)).await {
            Ok(result) => result,
            Err(_) => Err(GitError::TimedOut { command }),
        }
    }

    async fn talk<S: AsRef<OsStr>>(
        &self,
        args: &[S],
        input: &[u8],
        limit: u64,
        fine: &[i32],
        command: &str,
    ) -> Result<Printed, GitError> {
        let io = |source| GitError::Io { command: command.to_owned(), source };
        let mut child = self.command(args).spawn().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => GitError::Missing,
            _ => io(source),
        })?;
        let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(pipe) = &mut stdin {
                // A git that refuses early closes its input; its own message is better than our broken pipe.
                let _ = pipe.write_all(input).await;
            }
            drop(stdin.take());
        };
        let ((), stdout, stderr) = tokio::join!(write, take(stdout, limit + 1), take(stderr, STDERR_BYTES_MAX));
        let (stdout, stderr) = (stdout.map_err(io)?, stderr.map_err(io)?);
        if stdout.len() as u64 > limit {
            return Err(GitError::TooLong { command: command.to_owned(), limit });
        }
        let status = child.wait().await.map_err(io)?;
        let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
        if !status.code().is_some_and(|code| fine.contains(&code)) {
            let message = shorten(&stderr);
            return Err(GitError::Failed { command: command.to_owned(), code: status.code(), message });
        }
        Ok(Printed { stdout, stderr })
    }

    fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
        command.args(SCRUBBED.iter().flat_map(|setting| ["-c", setting])).args(args).current_dir(&self.dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// Major and minor number in `git version 2.47.3`.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split(['.', ' ']).map(|word| word.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The first word that is neither `-c` nor its setting.
fn subcommand<S: AsRef<OsStr>>(args: &[S]) -> String {
    let word = args.iter().map(AsRef::as_ref).find(|word| *word != "-c" && !word.to_string_lossy().contains('='));
    word.map(|word| word.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Reads at most `limit` bytes and closes the pipe.
async fn take(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The first lines of a message, at most 500 characters.
fn shorten(message: &str) -> String {
    message.chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn versions_are_read() {
        assert_eq!(version_of("git version 2.47.3"), Some((2, 47)));
        assert_eq!(version_of("git version 2.31 (Apple Git-1)"), Some((2, 31)));
        assert_eq!(version_of("hello"), None);
    }
}
