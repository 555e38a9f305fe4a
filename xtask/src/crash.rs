//! `cargo xtask crash`: the crash proof with as many kills as wanted, and its table.
//!
//! The proof itself is `crates/cli/tests/it/crash.rs`, where a short version runs with every other test. Here it
//! only gets its numbers; a run that differs makes it, and so this command, fail.

use std::path::Path;

use anyhow::Result;

use crate::postgres;
use crate::process::{cargo, run as run_command};

/// Kills `up` this many times, at moments chosen by the seed, on SQLite or on the PostgreSQL server named.
///
/// # Errors
/// A run came out differently, or the proof could not be carried out.
pub(crate) fn run(root: &Path, kills: u32, seed: u64, postgres: Option<&str>) -> Result<()> {
    let test = match postgres {
        Some(_) => "crash::killed_servers_on_postgres",
        None => "crash::killed_servers_lose",
    };
    let mut command = cargo(root);
    command.args(["test", "--quiet", "--package", "meta-builder", "--test", "it", test, "--", "--nocapture"]);
    command.env("MB_CRASH_KILLS", kills.to_string()).env("MB_CRASH_SEED", seed.to_string());
    if let Some(url) = postgres {
        command.env(postgres::URL, url);
    }
    run_command(&mut command)
}
