//! Scores the evidence lines against logs in which a person marked the lines that show the failure.
//!
//! `zcat logs.jsonl.gz | cargo run -p mb-repair --example score_evidence [-- -v]`; each line of input is an object with
//! `id`, `log` and `failing_chunk`. Prints macro-averaged precision, recall and F1 over lines.

use std::collections::BTreeSet;
use std::io::BufRead;

use mb_core::failure::ExitCause;
use mb_core::workflow::{CommandLine, Limits, Network, Shell, StageKind};
use mb_repair::evidence::{Observed, classify};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let verbose = std::env::args().any(|word| word == "-v");
    let step = Shell {
        stage: StageKind::Custom,
        command: CommandLine::Shell("./ci".into()),
        dir: String::new(),
        env: std::collections::BTreeMap::new(),
        env_from: std::collections::BTreeMap::new(),
        env_pass: BTreeSet::new(),
        network: Network::None,
        limits: Limits::DEFAULT,
        fixers: Vec::new(),
        caches: BTreeSet::new(),
    };
    let (mut sums, mut count) = ([0.0; 3], 0.0);
    for line in std::io::stdin().lock().lines() {
        let item: serde_json::Value = serde_json::from_str(&line?)?;
        let text = |key: &str| item.get(key).and_then(serde_json::Value::as_str).unwrap_or("");
        let exit = ExitCause::Code { code: 1 };
        let log = text("log");
        let started = std::time::Instant::now();
        let failure = classify(&Observed {
            name: "ci",
            step: &step,
            exit,
            stdout: "",
            log,
            files: &[],
            detail: None,
            roots: &[],
        });
        let [p, r, f] = score(text("failing_chunk"), failure.evidence.iter().map(|line| line.text.as_str()));
        if verbose {
            let took = started.elapsed().as_millis();
            println!(
                "{f:.2} p{p:.2} r{r:.2} {took:>4} ms {} {:?} {} | {}",
                failure.signal,
                failure.tool,
                text("id"),
                failure.summary
            );
        }
        for (sum, value) in sums.iter_mut().zip([p, r, f]) {
            *sum += value;
        }
        count += 1.0;
    }
    println!(
        "{count} logs: precision {:.3}, recall {:.3}, F1 {:.3}",
        sums[0] / count,
        sums[1] / count,
        sums[2] / count
    );
    Ok(())
}

/// Line-level precision, recall and F1, blank lines and surrounding white space aside.
fn score<'a>(chunk: &str, found: impl Iterator<Item = &'a str>) -> [f64; 3] {
    let truth: Vec<&str> = chunk.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let found: Vec<&str> = found.map(str::trim).filter(|line| !line.is_empty()).collect();
    let plain = |line: &str| line.replace(|c: char| c.is_control(), "");
    let truth: BTreeSet<String> = truth.into_iter().map(plain).collect();
    let found: BTreeSet<String> = found.into_iter().map(plain).collect();
    let hit = found.intersection(&truth).count() as f64;
    let (p, r) = (hit / (found.len() as f64).max(1.0), hit / (truth.len() as f64).max(1.0));
    [p, r, if p + r > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 }]
}
