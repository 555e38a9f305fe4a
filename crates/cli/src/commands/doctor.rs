//! `mb doctor`: silent when all is well; otherwise one line per problem with the command that mends it.

use mb_core::probe::{ProbeStatus, Readiness};

use crate::args::Global;
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
    if let Err(failure) = local::engine(global, "auto").await {
        let mend = failure.mend.clone().unwrap_or_default();
        findings.push(Finding { status: ProbeStatus::Fail, what: format!("{:#}", failure.error), mend });
    } else {
        let engine = local::engine(global, "auto").await?;
        let report = engine.probe().await;
        // No worker runs while only the doctor does: that is no finding here.
        for probe in report.probes.into_iter().filter(|p| p.status != ProbeStatus::Ok && p.name != "workers") {
            findings.push(Finding {
                status: probe.status,
                what: format!("{}: {}", probe.name, probe.reason),
                mend: String::new(),
            });
        }
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
