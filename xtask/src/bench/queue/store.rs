//! The databases engines are given: a fresh one for every phase, counted from outside and removed at the end.
//!
//! Whether a queue is empty is asked here and not of the engine, so that a completion counts when it is durable.
//! Deliberately absent: a driver of our own. `psql` and Python's `sqlite3` answer, one process for a whole drain.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use tempfile::TempDir;

use crate::postgres::psql;

/// Prefix of the databases made here, so that somebody who finds one knows whose it is.
const PREFIX: &str = "mb_bench_";
/// A file of SQLite, in a folder of its own.
const FILE: &str = "store.db";
/// Answers each line of input, a query, with its first value.
const ANSWER: &str = "import sqlite3, sys
store = sqlite3.connect(sys.argv[1], timeout=30)
for query in sys.stdin:
    print(store.execute(query).fetchone()[0], flush=True)";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    Postgres,
    Sqlite,
}

impl StoreKind {
    pub(crate) fn title(self) -> &'static str {
        match self {
            StoreKind::Postgres => "PostgreSQL",
            StoreKind::Sqlite => "SQLite",
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            StoreKind::Postgres => "postgres",
            StoreKind::Sqlite => "sqlite",
        }
    }
}

/// Where fresh databases are made.
#[derive(Debug)]
pub(crate) struct Stores {
    /// A database of the PostgreSQL server that may make others, if there is a server.
    pub(crate) postgres: Option<String>,
    /// Where the files of SQLite lie.
    pub(crate) folder: PathBuf,
}

impl Stores {
    /// An empty database of this name, removed when it is dropped.
    pub(crate) fn fresh(&self, kind: StoreKind, name: &str) -> Result<Fresh> {
        let name = format!("{PREFIX}{}", name.replace('-', "_"));
        let place = match kind {
            StoreKind::Postgres => {
                let server = self.postgres.clone().context("there is no PostgreSQL server")?;
                Place::Database { url: with_database(&server, &name)?, server, name }
            }
            StoreKind::Sqlite => Place::Folder(tempfile::Builder::new().prefix(&name).tempdir_in(&self.folder)?),
        };
        if let Place::Database { server, name, .. } = &place {
            drop_database(server, name)?;
            ask(server, &format!("create database {name}"))?;
        }
        Ok(Fresh(place))
    }
}

/// A database of one phase.
#[derive(Debug)]
pub(crate) struct Fresh(Place);

#[derive(Debug)]
enum Place {
    Database {
        server: String,
        name: String,
        url: String,
    },
    /// Of a file of SQLite and whatever an engine puts beside it.
    Folder(TempDir),
}

impl Fresh {
    /// What an engine is given: a URL, or a path.
    pub(crate) fn address(&self) -> String {
        match &self.0 {
            Place::Database { url, .. } => url.clone(),
            Place::Folder(folder) => folder.path().join(FILE).display().to_string(),
        }
    }

    /// The same as the product is given it.
    pub(crate) fn store_url(&self) -> String {
        match &self.0 {
            Place::Database { url, .. } => url.clone(),
            Place::Folder(_) => format!("sqlite:{}", self.address()),
        }
    }

    /// Brings a backlog to rest, so that no drain pays for the load before it.
    pub(crate) fn settle(&self) -> Result<()> {
        let Place::Database { url, .. } = &self.0 else { return Ok(()) };
        ask(url, "vacuum analyze")?;
        ask(url, "checkpoint")?;
        Ok(())
    }

    /// Something that answers a query that gives one number.
    pub(crate) fn counter(&self) -> Result<Counter> {
        match &self.0 {
            Place::Database { url, .. } => Counter::of_database(url),
            Place::Folder(_) => Counter::start(Command::new("python3").args(["-c", ANSWER, &self.address()])),
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let Place::Database { server, name, .. } = &self.0 else { return };
        if let Err(error) = drop_database(server, name) {
            eprintln!("warning: a scratch database is left: {error:#}");
        }
    }
}

/// Also when somebody is still connected to it: a worker that was killed a moment ago.
fn drop_database(server: &str, name: &str) -> Result<()> {
    ask(server, &format!("drop database if exists {name} with (force)")).map(|_| ())
}

/// A process that answers queries, ended when it is dropped.
pub(crate) struct Counter {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Counter {
    /// Over one connection to a PostgreSQL server, kept until it is dropped.
    pub(crate) fn of_database(url: &str) -> Result<Counter> {
        Counter::start(psql(url).args(["--quiet", "--no-align", "--tuples-only"]))
    }

    fn start(command: &mut Command) -> Result<Counter> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("nothing can count")?;
        let questions = child.stdin.take().context("its input is a pipe")?;
        let answers = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        Ok(Counter { child, questions, answers })
    }

    pub(crate) fn ask(&mut self, query: &str) -> Result<u64> {
        writeln!(self.questions, "{query};").context("nothing counts any more")?;
        let mut line = String::new();
        self.answers.read_line(&mut line).context("nothing counts any more")?;
        line.trim().parse().with_context(|| format!("`{query}` gave no number"))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a statement prints.
pub(crate) fn ask(url: &str, statement: &str) -> Result<String> {
    let output = psql(url)
        .args(["--quiet", "--no-align", "--tuples-only", "--command", statement])
        .env("PGOPTIONS", "--client-min-messages=warning")
        .stdin(Stdio::null())
        .output()
        .context("cannot run psql")?;
    ensure!(output.status.success(), "`{statement}`: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The same server's URL with another database in it.
fn with_database(url: &str, database: &str) -> Result<String> {
    let Some((scheme, rest)) = url.split_once("://") else { bail!("{url:?} is no URL") };
    let (rest, parameters) =
        rest.split_once('?').map_or((rest, String::new()), |(rest, more)| (rest, format!("?{more}")));
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    Ok(format!("{scheme}://{authority}/{database}{parameters}"))
}

/// Whether a folder lies in memory, where a flush to disk costs nothing and every figure would flatter.
pub(crate) fn is_in_memory(folder: &Path) -> bool {
    let output = Command::new("stat").args(["--file-system", "--format=%T"]).arg(folder).output();
    output.is_ok_and(|output| ["tmpfs", "ramfs"].contains(&String::from_utf8_lossy(&output.stdout).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::on_path;

    #[test]
    fn only_the_database_of_a_url_changes() {
        let changed = |url| with_database(url, "x").expect("it is a URL");
        assert_eq!(changed("postgres://u:p@h:1/a?sslmode=disable"), "postgres://u:p@h:1/x?sslmode=disable");
        assert_eq!(changed("postgres://h"), "postgres://h/x");
        assert!(with_database("h/a", "x").is_err());
    }

    #[test]
    fn a_file_is_counted_from_outside_and_removed() {
        if on_path("python3").is_none() {
            // Only a machine without Python may come here.
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let stores = Stores { postgres: None, folder: folder.path().to_owned() };
        let fresh = stores.fresh(StoreKind::Sqlite, "a-peer").expect("a file can be named");
        let mut counter = fresh.counter().expect("python3 is here");
        assert_eq!(counter.ask("select 40 + 2").expect("it answers"), 42);
        assert_eq!(counter.ask("select count(*) from sqlite_schema").expect("it answers again"), 0);
        assert!(Path::new(&fresh.address()).exists());
        drop((counter, fresh));
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder is there").count(), 0);
    }
}
