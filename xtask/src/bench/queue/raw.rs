//! What the same machine does without any engine: the rates every other figure is compared with.
//!
//! A commit is one row inserted; a cycle is a hundred rows claimed in one statement and marked as done in another, both
//! committed. PostgreSQL is driven by `pgbench`, SQLite (`synchronous=FULL`) by Python's module.
//! Deliberately absent: anything clever. An engine may well be faster than the cycle, by larger batches.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::column::{Column, Sample};
use super::store::{StoreKind, Stores, ask};

/// How long each rate is taken, in seconds, where no number of rows ends it.
const SECONDS: &str = "1";
/// Connections that run cycles, and how many each runs.
const CYCLE_CONNECTIONS: u32 = 4;
const CYCLES_EACH: u32 = 300;
const PER_CYCLE: u32 = 100;

const SCHEMA: &str = "
create table task (id bigint generated always as identity primary key, state smallint not null default 0,
  run_at timestamptz not null default now(), worker text, payload jsonb not null default '{}');
create index ready on task (id) where state = 0";
const COMMIT: &str = "insert into task (payload) values ('{\"i\": 1}');\n";
const CYCLE: &str = r"
with ready as (select id from task where state = 0 and run_at <= now() order by id limit 100 for update skip locked),
claimed as (update task set state = 1, worker = 'w' from ready where task.id = ready.id returning task.id)
select coalesce(array_agg(id), '{}')::text as ids from claimed \gset
update task set state = 2 where id = any(:ids::bigint[]);
";

/// The rates of this store, now.
///
/// # Errors
/// `pgbench` or Python is missing, or fails.
pub(crate) fn measure(stores: &Stores, kind: StoreKind) -> Result<Sample> {
    match kind {
        StoreKind::Postgres => postgres(stores).context("the raw rates of PostgreSQL"),
        StoreKind::Sqlite => sqlite(stores, SECONDS).context("the raw rates of SQLite"),
    }
}

fn postgres(stores: &Stores) -> Result<Sample> {
    let fresh = stores.fresh(StoreKind::Postgres, "raw")?;
    let url = fresh.address();
    for statement in SCHEMA.split(';') {
        ask(&url, statement)?;
    }
    let bench =
        |script: &str, connections: u32, length: [&str; 2]| pgbench(&url, &stores.folder, script, connections, length);
    let mut sample = Sample::default();
    sample.put(Column::SingleC1, bench(COMMIT, 1, ["--time", SECONDS])?);
    sample.put(Column::SingleC8, bench(COMMIT, 8, ["--time", SECONDS])?);
    // A few more than are claimed, since a connection passes over rows that another holds.
    let rows = CYCLE_CONNECTIONS * (CYCLES_EACH + 10) * PER_CYCLE;
    ask(&url, "truncate task")?;
    ask(
        &url,
        &format!("insert into task (payload) select jsonb_build_object('i', n) from generate_series(1, {rows}) n"),
    )?;
    fresh.settle()?;
    let cycles = bench(CYCLE, CYCLE_CONNECTIONS, ["--transactions", &CYCLES_EACH.to_string()])?;
    sample.put(Column::Drain, cycles * f64::from(PER_CYCLE));
    Ok(sample)
}

/// Scripts a second.
fn pgbench(url: &str, folder: &Path, script: &str, connections: u32, length: [&str; 2]) -> Result<f64> {
    let file = folder.join("script.sql");
    fs::write(&file, script)?;
    let output = Command::new("pgbench")
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--client", &connections.to_string()])
        .args(length)
        .arg("--file")
        .arg(&file)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .context("cannot run pgbench")?;
    ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr).trim());
    tps(&String::from_utf8_lossy(&output.stdout)).context("pgbench gave no rate")
}

/// The rate in `pgbench`'s report.
fn tps(report: &str) -> Option<f64> {
    report.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok())
}

const SQLITE: &str = include_str!("raw.py");

fn sqlite(stores: &Stores, seconds: &str) -> Result<Sample> {
    let fresh = stores.fresh(StoreKind::Sqlite, "raw")?;
    let output = Command::new("python3")
        .args(["-c", SQLITE, &fresh.address(), seconds])
        .stdin(Stdio::null())
        .output()
        .context("cannot run python3")?;
    ensure!(output.status.success(), "python3: {}", String::from_utf8_lossy(&output.stderr).trim());
    let rates: Value = serde_json::from_slice(&output.stdout)?;
    let rate = |key: &str| rates[key].as_f64().with_context(|| format!("no rate of {key}"));
    let mut sample = Sample::default();
    sample.put(Column::Bulk, rate("rows")?);
    sample.put(Column::SingleC1, rate("commits")?);
    sample.put(Column::Drain, rate("cycled")?);
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::on_path;

    #[test]
    fn the_rate_is_read_from_the_report() {
        let report = "latency average = 0.2 ms\ntps = 5712.031 (without initial connection time)\n";
        assert_eq!(tps(report), Some(5712.031));
        assert_eq!(tps("pgbench: error"), None);
    }

    #[test]
    fn sqlite_has_all_its_rates() {
        if on_path("python3").is_none() {
            // Only a machine without Python may come here.
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let stores = Stores { postgres: None, folder: folder.path().to_owned() };
        let sample = sqlite(&stores, "0.05").expect("python3 is here");
        for column in [Column::Bulk, Column::SingleC1, Column::Drain] {
            assert!(sample.get(column).is_some_and(|rate| rate > 0.0), "{column:?}");
        }
    }
}
