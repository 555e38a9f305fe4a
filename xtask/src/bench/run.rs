//! What `mb run -- true` takes longer than `true`: in a repository and outside one, over a new and a used data folder.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use tempfile::TempDir;

use super::figure::Figure;
use super::product::{Product, folder};
use super::start::timed;
use crate::process::run as run_command;

/// Files of the small project.
const FILES: usize = 20;

/// All four situations in turns, each beside a plain `true` in the same folder.
pub(crate) fn measure(product: &Product, runs: usize) -> Result<Vec<Figure>> {
    let (repository, plain, used) = (project(true)?, project(false)?, folder()?);
    let mut plain_true = Vec::new();
    let mut situations = [
        ("mb run -- true minus true, repository", repository.path(), true, Vec::new()),
        ("mb run -- true minus true, no repository", plain.path(), true, Vec::new()),
        ("the same, repository, new data folder", repository.path(), false, Vec::new()),
        ("the same, no repository, new data folder", plain.path(), false, Vec::new()),
    ];
    for (_, dir, ..) in &situations {
        // What is paid once in the used data folder is not part of the figure.
        timed(&mut ours(product, dir, used.path()))?;
    }
    for _ in 0..runs {
        for (_, dir, is_warm, times) in &mut situations {
            let fresh = folder()?;
            let data = if *is_warm { used.path() } else { fresh.path() };
            let base = timed(&mut without_us(dir))?;
            times.push(timed(&mut ours(product, dir, data))? - base);
            plain_true.push(base);
        }
    }
    let overhead = situations.into_iter().map(|(name, _, _, times)| Figure::new(name, "ms", times).under(30.0));
    Ok([Figure::new("true by itself", "ms", plain_true)].into_iter().chain(overhead).collect())
}

fn without_us(dir: &Path) -> Command {
    let mut command = Command::new("true");
    command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn ours(product: &Product, dir: &Path, data: &Path) -> Command {
    let mut command = product.command(&["run", "--", "true"]);
    command.current_dir(dir).env("MB_DATA_DIR", data);
    command
}

/// A folder with a few files, committed if it is to be a repository.
pub(crate) fn project(is_repository: bool) -> Result<TempDir> {
    let dir = folder()?;
    for number in 0..FILES {
        fs::write(dir.path().join(format!("file-{number}.txt")), format!("{number}\n").repeat(100))?;
    }
    if is_repository {
        let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
        for args in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "files"]] {
            run_command(Command::new("git").current_dir(dir.path()).args(identity).args(args))?;
        }
    }
    Ok(dir)
}
