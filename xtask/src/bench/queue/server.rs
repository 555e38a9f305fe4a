//! The PostgreSQL server under all engines: the one named or one of our own, and the processor time it has used.
//!
//! That time is the postmaster's, of the children it has waited for, and of those that run: backends, writer, vacuum.
//! Deliberately absent: servers on other machines, whose time nobody here can see.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::store::Counter;
use crate::bench::product::Stat;
use crate::postgres::{Server, as_installed};

/// Whether a commit is on the disk when it is acknowledged.
const FLUSHES: &str =
    "select (current_setting('fsync') = 'on' and current_setting('synchronous_commit') <> 'off')::int";

/// The server and, where it runs on this machine, its postmaster.
pub(crate) struct BenchServer {
    server: Server,
    postmaster: Option<u32>,
}

impl BenchServer {
    /// The server at this URL, else one of our own in the folder, with the settings PostgreSQL comes with.
    ///
    /// # Errors
    /// It does not answer, or none can be started.
    pub(crate) fn open(url: Option<&str>, folder: &Path) -> Result<BenchServer> {
        let server = match url {
            Some(url) => Server::at(url, url),
            None => as_installed(folder)?,
        };
        let mut counter = Counter::of_database(&server.url)?;
        let backend = counter.ask("select pg_backend_pid()").context("the PostgreSQL server does not answer")?;
        let flushes = counter.ask(FLUSHES)?;
        ensure!(flushes == 1, "this PostgreSQL server does not flush commits to disk; its figures would mean nothing");
        let postmaster = u32::try_from(backend).ok().and_then(parent_of_backend);
        Ok(BenchServer { server, postmaster })
    }

    /// A database of it that may make others.
    pub(crate) fn url(&self) -> &str {
        &self.server.url
    }

    /// Which one it is, for people.
    pub(crate) fn origin(&self) -> &str {
        &self.server.origin
    }

    /// Processor time it has used so far, in milliseconds, if it can be seen.
    pub(crate) fn cpu_ms(&self) -> Option<f64> {
        let postmaster = self.postmaster?;
        let own = Stat::of(postmaster).ok()?;
        let children = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
            // What is no process, and what ended while we look, is left out.
            let stat = Stat::of(entry.file_name().to_str()?.parse().ok()?).ok()?;
            (stat.parent == postmaster).then_some(stat.own_ms)
        });
        Some(own.own_ms + own.waited_ms + children.sum::<f64>())
    }
}

/// The postmaster of a backend, if both run on this machine: a number from elsewhere is somebody else's process here.
fn parent_of_backend(pid: u32) -> Option<u32> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let parent = Stat::of(pid).ok().filter(|_| name.trim() == "postgres")?.parent;
    let parent_name = fs::read_to_string(format!("/proc/{parent}/comm")).ok()?;
    (parent_name.trim() == "postgres").then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_no_backend_has_no_postmaster() {
        assert_eq!(parent_of_backend(std::process::id()), None);
    }

    #[test]
    fn a_server_of_our_own_flushes_and_its_time_is_seen() {
        if crate::postgres::bin().is_none() {
            // Only a machine without PostgreSQL may come here.
            return;
        }
        let server = BenchServer::open(None, &std::env::temp_dir()).expect("PostgreSQL is installed");
        let before = server.cpu_ms().expect("it runs here");
        let mut counter = Counter::of_database(server.url()).expect("psql is here");
        let sum = counter.ask("select sum(n % 7) from generate_series(1, 3000000) n").expect("it counts");
        assert_eq!(sum, 8_999_997);
        assert!(server.cpu_ms().expect("it runs here") > before);
    }
}
