//! `mb doctor`: silent when all is well; otherwise one line per problem with the command that mends it.

use mb_core::probe::{ProbeResult, ProbeStatus, Readiness};
use mb_engine::Engine;

use crate::args::{Global, WorkArgs};
use crate::exit::{Exit, Failure};
use crate::local;
use crate::term::Term;

/// Something that is not as it should be.
struct Finding {
    status: ProbeStatus,
    what: String,
    mend: String,
}

pub(crate) async fn run(global: &Global, term: Term) -> Result<Exit, Failure> {
    let mut findings = Vec::new();
    tool(&mut findings, "git", "apt-get install git", "without it, projects are copied and no result branch is made");
    tool(
        &mut findings,
        "bwrap",
        "apt-get install bubblewrap",
        "without it, commands run in the weaker Landlock sandbox",
    );
    match local::engine(global, &WorkArgs::default()).await {
        Err(failure) => {
            let mend = failure.mend.unwrap_or_default();
            findings.push(Finding { status: ProbeStatus::Fail, what: format!("{:#}", failure.error), mend });
        }
        Ok(engine) => findings.extend(probes(&engine).await),
    }
    let state = if findings.iter().any(|f| f.status == ProbeStatus::Fail) {
        Readiness::NotReady
    } else if findings.is_empty() {
        Readiness::Ready
    } else {
        Readiness::Degraded
    };
    if global.json {
        let rows: Vec<_> = findings
            .iter()
            .map(|f| serde_json::json!({ "status": f.status, "what": f.what, "mend": f.mend }))
            .collect();
        println!("{}", serde_json::json!({ "state": state, "findings": rows }));
    } else {
        for finding in &findings {
            let mend = if finding.mend.is_empty() { String::new() } else { format!("; mend: {}", finding.mend) };
            anstream::println!(
                "{} {}{mend}",
                term.state(finding.status.as_str(), finding.status.as_str()),
                finding.what
            );
        }
    }
    Ok(match state {
        Readiness::Ready => Exit::Ok,
        Readiness::Degraded => Exit::Degraded,
        Readiness::NotReady => Exit::Failed,
    })
}

/// What the probes find. No worker runs while only the doctor does: that is no finding here.
async fn probes(engine: &Engine) -> Vec<Finding> {
    let bad = |p: &ProbeResult| p.status != ProbeStatus::Ok && p.name != "workers";
    let report = engine.probe().await;
    let found = report.probes.into_iter().filter(bad);
    found
        .map(|p| Finding { status: p.status, what: format!("{}: {}", p.name, p.reason), mend: String::new() })
        .collect()
}

fn tool(findings: &mut Vec<Finding>, name: &str, mend: &str, why: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|dir| dir.join(name).is_file()) {
        findings.push(Finding {
            status: ProbeStatus::Warn,
            what: format!("{name} is not installed: {why}"),
            mend: mend.to_owned(),
        });
    }
}
