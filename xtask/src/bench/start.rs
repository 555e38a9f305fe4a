//! Time until there is an answer: of `up`, and of commands that only print.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::figure::{Figure, ms};
use super::product::{Product, folder};

/// Cold (a data folder that does not exist yet) and warm starts in turns, then the commands that print.
pub(crate) fn measure(product: &Product, runs: usize) -> Result<Vec<Figure>> {
    let (mut cold, mut warm, mut stop) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let data = folder()?;
        for times in [&mut cold, &mut warm] {
            let (server, took) = product.up(&data.path().join("data"))?;
            times.push(took.as_secs_f64() * 1_000.0);
            stop.push(server.stop()?.as_secs_f64() * 1_000.0);
        }
    }
    let mut figures = vec![
        Figure::new("up, new data folder, until healthy", "ms", cold).under(300.0),
        Figure::new("up, used data folder, until healthy", "ms", warm).under(300.0),
        Figure::new("up, SIGTERM until gone", "ms", stop),
    ];
    for (name, arg) in [("mb version", "version"), ("mb --help", "--help")] {
        let mut times = Vec::new();
        for _ in 0..runs {
            times.push(timed(&mut product.command(&[arg]))?);
        }
        figures.push(Figure::new(name, "ms", times));
    }
    Ok(figures)
}

/// Milliseconds a command takes that must end with 0.
pub(crate) fn timed(command: &mut Command) -> Result<f64> {
    let began = Instant::now();
    let status = command.status()?;
    let took = ms(began);
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(took)
}
