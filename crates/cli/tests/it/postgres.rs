//! The same product on PostgreSQL: the demo, and two servers on one database.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cli::REPAIRED;
use crate::support::{World, get};

/// A schema of its own on the server that `MB_TEST_POSTGRES` names. Dropped with the value.
pub(crate) struct Scratch {
    /// What `MB_STORE` is set to.
    pub(crate) url: String,
    server: String,
    schema: String,
}

impl Scratch {
    /// None when no server is given.
    pub(crate) fn new() -> Option<Scratch> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("MB_TEST_POSTGRES").ok().filter(|url| !url.is_empty())?;
        let schema = format!("mb_it_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let separator = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{separator}options=-c%20search_path%3D{schema}");
        let scratch = Scratch { url, server, schema };
        scratch.sql(&format!("create schema {}", scratch.schema));
        Some(scratch)
    }

    fn sql(&self, statement: &str) {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", &self.server]);
        let status = psql.env("PGOPTIONS", "-c client_min_messages=warning").args(["--command", statement]).status();
        assert!(status.is_ok_and(|status| status.success()), "{statement}");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.sql(&format!("drop schema {} cascade", self.schema));
    }
}

#[test]
fn the_demo_ends_repaired() {
    let Some(scratch) = Scratch::new() else { return };
    let mut world = World::new();
    world.set("MB_STORE", &scratch.url);
    world.mb(&["up", "--demo", "--exit", "--listen", "127.0.0.1:0"]).expect(0);
    let list = world.mb(&["run", "ls", "--json"]).expect(0).json();
    assert_eq!(list["items"][0]["outcome"], "repaired");
    assert!(!world.data.join("meta-builder.db").exists());
}

#[test]
fn two_servers_share_one_database() {
    let Some(scratch) = Scratch::new() else { return };
    let mut first = World::with_config(REPAIRED);
    first.write("state.txt", "bad\n");
    let mut second = World::new();
    first.set("MB_STORE", &scratch.url);
    second.set("MB_STORE", &scratch.url);
    let (one, mut two) = (first.up(&[]), second.up(&[]));
    // The second server keeps what the first has made: its administrator's token is in the first one's folder.
    two.token.clone_from(&one.token);
    let started: Vec<_> = [&one, &two, &one, &two].map(|up| first.start(first.remote(up, &["run"]))).into();
    for run in started {
        run.end().expect(0);
    }
    let runs = get(&two, "/api/v1/runs");
    let outcomes: Vec<&str> = runs["items"].as_array().unwrap().iter().filter_map(|r| r["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["repaired"; 4]);
    for run in runs["items"].as_array().unwrap() {
        assert_eq!((&run["attempts"], &run["repairs"]), (&2.into(), &1.into()), "{run:#}");
    }
    assert_eq!(get(&one, "/api/v1/workers")["items"].as_array().unwrap().len(), 2);
}

#[test]
fn a_schema_of_a_newer_release_is_left_alone() {
    let Some(scratch) = Scratch::new() else { return };
    let mut world = World::new();
    world.set("MB_STORE", &scratch.url);
    world.mb(&["migrate"]).expect(0);
    scratch.sql(&format!(
        "insert into {}.mb_migrations (name, checksum, applied_at) values ('9999_later', 'x', 0)",
        scratch.schema
    ));
    let ended = world.mb(&["up", "--listen", "127.0.0.1:0"]).expect(5);
    assert!(ended.err.contains("was written by a newer release"), "{}", ended.err);
}
