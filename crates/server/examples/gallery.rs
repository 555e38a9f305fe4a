//! Writes every page of the console with made-up data into a folder, for a person to look at.
//!
//! `cargo run -p mb-server --example gallery -- FOLDER`, then serve the folder with any file server.

use std::collections::BTreeMap;
use std::path::Path;

use mb_api::probe::{Probe, Readiness};
use mb_api::{Event, LogLine, LogPage, Need, Now, Page, Problem, Queue, Run, RunSummary, Tone, Worker};
use mb_core::report::Report;
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;
use mb_server::views::{self, Chrome, Live, RunPage, RunsPage};

#[path = "../tests/it/fixture.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod fixture;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "gallery".to_owned());
    let folder = Path::new(&folder);
    let stories = fixture::stories();
    let now = stories[0].now;
    let summaries: Vec<RunSummary> = stories.iter().map(|s| RunSummary::from_domain(s.now, &s.run)).collect();
    let write = |name: &str, html: String| {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(name), html)
    };
    for asset in mb_server::assets::all() {
        let path = folder.join(asset.url().trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().expect("an asset is in a folder"))?;
        std::fs::write(path, asset.bytes)?;
    }
    write("now.html", views::now(&chrome("Now", "/"), &state(now, &summaries[..6])).into_string())?;
    let quiet = Now {
        recent: Vec::new(),
        counts: BTreeMap::new(),
        needs: Vec::new(),
        tone: Tone::Good,
        verdict: "Ready. Nothing has run yet.".into(),
        ..state(now, &[])
    };
    write("now-empty.html", views::now(&chrome("Now", "/"), &quiet).into_string())?;
    write("runs.html", runs(now, summaries))?;
    for (name, story) in [
        ("repaired", fixture::repaired_story()),
        ("failed", fixture::failed_story()),
        ("running", fixture::running_story()),
        ("hostile", fixture::hostile_story()),
    ] {
        write(&format!("{name}.html"), run(&story))?;
    }
    write("login.html", views::login().into_string())?;
    write("welcome.html", views::welcome("abc").into_string())?;
    write("problem.html", views::message(&Problem::new(mb_api::Code::RunNotFound, "run_x is not a run")).into_string())
}

fn chrome<'a>(title: &'a str, here: &'a str) -> Chrome<'a> {
    Chrome { title, here, live: Live::Stream { stream: "/live", href: "/" }, version: "0.1.0" }
}

fn runs(at: Timestamp, items: Vec<RunSummary>) -> String {
    let page = Page { items, next: Some("x".into()) };
    let counts =
        BTreeMap::from([("succeeded".into(), 214), ("failed".into(), 9), ("running".into(), 1), ("pending".into(), 1)]);
    let list =
        RunsPage { at, runs: &page, counts: &counts, state: "", text: "", window: "24h", next: Some("/runs?after=x") };
    views::runs(&chrome("Runs", "/runs"), &list).into_string()
}

fn run(story: &fixture::Story) -> String {
    let run = Run::from_domain(story.now, &story.run);
    let events: Vec<Event> = story.events.iter().map(Event::from_domain).collect();
    let headline = Report::of(story.now, &story.run).headline;
    let diffs = BTreeMap::from([("d1".to_owned(), fixture::DIFF.to_owned())]);
    let text = "    Checking durations v0.3.1 (/srv/projects/durations)\n\u{1b}[1m\u{1b}[31merror\u{1b}[0m\u{1b}[1m: unused import: `std::collections::HashMap`\u{1b}[0m\n  \u{1b}[34m-->\u{1b}[0m src/parse.rs:1:5\n   \u{1b}[34m|\u{1b}[0m\n\u{1b}[34m1 |\u{1b}[0m use std::collections::HashMap;\n   \u{1b}[34m|\u{1b}[0m     \u{1b}[31m^^^^^^^^^^^^^^^^^^^^^^^^^\u{1b}[0m\n\n\u{1b}[1m\u{1b}[31merror\u{1b}[0m: could not compile `durations` (lib) due to 2 previous errors";
    let lines = text.lines().zip(10..).map(|(text, n)| LogLine { n, text: text.into() }).collect();
    let log = LogPage { lines, next: 18, complete: true };
    let page = RunPage {
        at: story.now,
        run: &run,
        headline: &headline,
        events: &events,
        diffs: &diffs,
        work: Some("lint#1"),
        log: &log,
        tail: None,
    };
    views::run(&chrome(&run.summary.project, "/runs"), &page).into_string()
}

fn state(at: Timestamp, recent: &[RunSummary]) -> Now {
    let probe = |name: &str, critical, status: &str, reason: Option<&str>| Probe {
        name: name.into(),
        critical,
        status: status.into(),
        reason: reason.map(Into::into),
        latency_ms: 2,
    };
    Now {
        at,
        verdict: "Degraded: 2 things need a person. 214 of 224 runs ended well.".into(),
        tone: Tone::Warn,
        needs: vec![
            Need {
                tone: Tone::Bad,
                what: "durations: parse::tests::minutes fails".into(),
                cause: "test_assert: every strategy that fits was tried".into(),
                next: "mb run show run_01051a9d2tb9d5jpjtb9d5jpjt".into(),
                href: Some("/runs/x".into()),
            },
            Need {
                tone: Tone::Warn,
                what: "Probe workers: no worker was seen in the last minute".into(),
                cause: "nothing claims tasks".into(),
                next: "mb up".into(),
                href: None,
            },
        ],
        readiness: Readiness {
            status: "degraded".into(),
            probes: vec![
                probe("db", true, "ok", None),
                probe("lifecycle", true, "ok", None),
                probe("migrations", true, "ok", None),
                probe("queue", true, "ok", None),
                probe("workers", false, "warn", Some("no worker was seen in the last minute; start one with mb up")),
            ],
            age_ms: 20,
        },
        counts: BTreeMap::from([("succeeded".into(), 214), ("failed".into(), 9), ("running".into(), 1)]),
        recent: recent.to_vec(),
        queues: vec![
            Queue { class: QueueClass::Cpu, ready: 3, delayed: 1, leased: 2, oldest_ready_age_ms: Some(12_400) },
            Queue { class: QueueClass::Io, ready: 0, delayed: 0, leased: 0, oldest_ready_age_ms: None },
        ],
        workers: vec![Worker {
            id: fixture::WORKER,
            node: "build-01".into(),
            pid: 4_121,
            version: "0.1.0".into(),
            state: "active".into(),
            slots: BTreeMap::from([("cpu".into(), 2), ("io".into(), 4)]),
            started_at: at,
            seen_at: at,
            seen_age_ms: 800,
            stale: false,
        }],
    }
}
