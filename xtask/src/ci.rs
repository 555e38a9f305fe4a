//! `cargo xtask ci`: everything a change must pass, cheapest first.

use std::path::Path;

use anyhow::Result;

use crate::process::{cargo, run as run_command, succeeds};
use crate::{test, tidy};

/// Runs all checks and then, unless told otherwise, the tests. Stops at the first that fails.
///
/// # Errors
/// The first check that failed.
pub(crate) fn run(root: &Path, checks_only: bool) -> Result<()> {
    run_command(cargo(root).args(["fmt", "--all", "--", "--check"]))?;
    tidy::run(root)?;
    deny(root)?;
    run_command(cargo(root).args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    if checks_only { Ok(()) } else { test::run(root, &[]) }
}

/// Licences, banned crates and sources, as `deny.toml` has them.
fn deny(root: &Path) -> Result<()> {
    if !succeeds(cargo(root).args(["deny", "--version"])) {
        eprintln!("left out: cargo deny (not installed; cargo install --locked cargo-deny)");
        return Ok(());
    }
    run_command(cargo(root).args(["deny", "check", "bans", "licenses", "sources"]))
}
