//! The binary under measurement: its commands, its server, and what the kernel says about a process.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::figure::Figure;

/// Longest a server may take to be healthy, or to stop.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_micros(500);
/// Bytes in a mebibyte.
pub(crate) const MIB: f64 = 1_048_576.0;

/// The release binary.
pub(crate) struct Product {
    binary: PathBuf,
}

impl Product {
    /// The binary at this path.
    pub(crate) fn new(binary: PathBuf) -> Product {
        Product { binary }
    }

    /// How large it is.
    pub(crate) fn size(&self) -> Result<Figure> {
        let bytes = fs::metadata(&self.binary)?.len();
        Ok(Figure::new("size of the binary", "MiB", vec![bytes as f64 / MIB]).under(25.0))
    }

    /// A command of it, silent, with no setting of ours taken from the environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MB_")) {
            command.env_remove(name);
        }
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts `up` over this data folder and waits until it is healthy; says how long that took.
    pub(crate) fn up(&self, data: &Path) -> Result<(Server, Duration)> {
        let address = free_address()?;
        let mut command = self.command(&["up", "--listen", &address.to_string()]);
        command.env("MB_DATA_DIR", data);
        let began = Instant::now();
        let child = command.spawn().context("the server cannot be started")?;
        let mut server = Server { child, address };
        while !server.is_healthy() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended with {status} before it was healthy");
            }
            ensure!(began.elapsed() < DEADLINE, "the server was not healthy within {DEADLINE:?}");
            thread::sleep(ASK_EVERY);
        }
        Ok((server, began.elapsed()))
    }
}

/// A server of ours; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What clients are given.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether `/health` answers 200 now.
    fn is_healthy(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut line = String::new();
            BufReader::new(stream.take(256)).read_line(&mut line)?;
            Ok(line.starts_with("HTTP/1.1 200 "))
        };
        ask().unwrap_or(false)
    }

    /// Asks it to stop, as an operator does, and says how long that took.
    pub(crate) fn stop(mut self) -> Result<Duration> {
        let began = Instant::now();
        let sent = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status()?;
        ensure!(sent.success(), "the server cannot be signalled");
        while self.child.try_wait()?.is_none() {
            ensure!(began.elapsed() < DEADLINE, "the server did not stop within {DEADLINE:?}");
            thread::sleep(ASK_EVERY);
        }
        Ok(began.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has stopped already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address nobody listens on now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// What the kernel accounts to a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Memory in use, in bytes.
    pub(crate) rss_bytes: f64,
    /// The most it ever was.
    pub(crate) rss_bytes_max: f64,
    /// User and system time, in milliseconds.
    pub(crate) cpu_ms: f64,
    /// Calls that wrote something.
    pub(crate) writes: f64,
    /// Times one of its threads was put to sleep of its own will: how often it woke.
    pub(crate) wakes: f64,
}

impl Usage {
    /// Of a process now.
    pub(crate) fn of(pid: u32) -> Result<Usage> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).context("the process is gone");
        let status = read("status")?;
        let mut wakes = 0.0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end while we look.
            let text = fs::read_to_string(task?.path().join("status")).unwrap_or_default();
            wakes += number(&text, "voluntary_ctxt_switches:").unwrap_or(0.0);
        }
        Ok(Usage {
            rss_bytes: number(&status, "VmRSS:")? * 1024.0,
            rss_bytes_max: number(&status, "VmHWM:")? * 1024.0,
            cpu_ms: Stat::of(pid)?.own_ms,
            writes: number(&read("io")?, "syscw:")?,
            wakes,
        })
    }
}

/// The number behind a label of one of the kernel's tables.
fn number(text: &str, label: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label)).with_context(|| format!("no {label}"))?;
    let word = line.split_whitespace().next().with_context(|| format!("nothing behind {label}"))?;
    Ok(word.parse()?)
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    /// User and system time of its own, in milliseconds.
    pub(crate) own_ms: f64,
    /// The same of the children it has waited for.
    pub(crate) waited_ms: f64,
}

impl Stat {
    /// Of a process now.
    pub(crate) fn of(pid: u32) -> Result<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?)
    }

    fn parse(line: &str) -> Result<Stat> {
        // The second field is the program's name in brackets, and may hold blanks.
        let rest = line.rsplit_once(')').context("no program name")?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |at: usize| fields.get(at).copied().context("too few fields");
        // In ticks of 10 ms (`USER_HZ`, the same on every Linux).
        let ms = |at: usize| -> Result<f64> { Ok(field(at)?.parse::<f64>()? * 10.0) };
        Ok(Stat { parent: field(1)?.parse()?, own_ms: ms(11)? + ms(12)?, waited_ms: ms(13)? + ms(14)? })
    }
}

/// A data folder for one measurement.
pub(crate) fn folder() -> Result<TempDir> {
    tempfile::Builder::new().prefix("mb-bench-").tempdir().context("no folder can be made")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = Stat::parse("7 (a b) c) S 1 7 7 0 -1 0 0 0 0 0 12 30 2 3 20").expect("it has the fields");
        assert_eq!(stat, Stat { parent: 1, own_ms: 420.0, waited_ms: 50.0 });
        assert_eq!(number("VmHWM:\t 9 kB\nVmRSS:\t 8 kB\n", "VmRSS:").expect("it is there"), 8.0);
        let own = Usage::of(std::process::id()).expect("we are alive");
        assert!(own.rss_bytes > 0.0 && own.rss_bytes_max >= own.rss_bytes);
    }
}
