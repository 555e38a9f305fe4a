//! `mb`, the short name: becomes the `meta-builder` beside it. A name of its own, so that `cargo install` brings both.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

fn main() {
    let beside = std::env::current_exe().ok().and_then(|me| Some(me.parent()?.join("meta-builder")));
    let program = beside.filter(|path| path.is_file()).unwrap_or_else(|| "meta-builder".into());
    let error = Command::new(&program).arg0("mb").args(std::env::args_os().skip(1)).exec();
    eprintln!("mb: {} could not be started: {error}", program.display());
    std::process::exit(127);
}
