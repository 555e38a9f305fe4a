//! Writes every page of the console with made-up data into a folder, for a person to look at.
//!
//! `cargo run -p mb-server --example gallery -- FOLDER`, then serve the folder with any file server.

use std::collections::BTreeMap;
use std::path::Path;

use mb_api::fleet::{PriorityStatus, WorkersHealth};
use mb_api::probe::{Probe, Readiness};
use mb_api::task::Task;
use mb_api::{Event, LogLine, LogPage, Need, Now, Page, Problem, Queue, Run, RunSummary, Tone, Worker};
use mb_core::queue::{Flow, Priority};
use mb_core::report::Report;
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;
use mb_server::views::{self, Chrome, DeadPage, Live, QueuesPage, RunPage, RunsPage, WorkersPage};

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
    fleet(now, &write)?;
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
        queues: queues(),
        workers: workers(at),
    }
}

fn queues() -> Vec<Queue> {
    let queue = |class, state, ready, delayed, leased, capacity, slots, oldest_ready_age_ms| Queue {
        class,
        state,
        ready,
        delayed,
        blocked: delayed / 3,
        leased,
        capacity,
        slots,
        oldest_ready_age_ms,
    };
    vec![
        queue(QueueClass::Cpu, Flow::Running, 83, 4, 9, Some(100), 10, Some(12_400)),
        queue(QueueClass::Io, Flow::Paused, 200, 0, 2, Some(200), 40, Some(640_000)),
        queue(QueueClass::Llm, Flow::Draining, 0, 12, 1, Some(50), 5, None),
        queue(QueueClass::Custom, Flow::Running, 0, 0, 0, None, 0, None),
    ]
}

fn workers(at: Timestamp) -> Vec<Worker> {
    let worker = |n: u8, node: &str, health: &str, age_s: u64, version: &str, asked_to_end| Worker {
        id: mb_core::id::WorkerId::from_bytes([n; 16]),
        node: node.into(),
        pid: 4_120 + u32::from(n),
        version: version.into(),
        version_skew: version != "0.1.0",
        roles: ["worker".to_owned()].into(),
        state: "active".into(),
        health: health.into(),
        asked_to_end,
        slots: BTreeMap::from([("cpu".into(), 10), ("io".into(), 20), ("llm".into(), 5)]),
        held: BTreeMap::from([("cpu".into(), u64::from(n) * 2), ("io".into(), 3)]),
        started_at: at - std::time::Duration::from_secs(7_200),
        seen_at: at - std::time::Duration::from_secs(age_s),
        seen_age_ms: age_s * 1_000,
        stale: health == "stale",
    };
    vec![
        worker(1, "build-01-a81f9c00", "healthy", 1, "0.1.0", false),
        worker(2, "build-01-a81f9c00/cpu-io-llm.1", "healthy", 2, "0.0.9", false),
        worker(3, "build-02-77c0de42/llm.1", "healthy", 0, "0.1.0", true),
        worker(4, "a-node-with-a-very-long-name.internal.example.org-00c0ffee/cpu.12", "unhealthy", 31, "0.1.0", false),
        worker(5, "build-03-0badcafe", "stale", 4_000, "0.1.0", false),
    ]
}

fn fleet(at: Timestamp, write: &impl Fn(&str, String) -> std::io::Result<()>) -> std::io::Result<()> {
    let priorities = [(Priority::High, 3, 50), (Priority::Normal, 180, 200), (Priority::Low, 96, 500)];
    let priorities = priorities.map(|(priority, depth, capacity)| PriorityStatus { priority, depth, capacity });
    let data = QueuesPage { at, queues: &queues(), priorities: &priorities, has_dead: true };
    write("queues.html", views::queues(&chrome("Queues", "/queues"), &data).into_string())?;
    let workers = workers(at);
    let problems = vec![
        "worker wrk_0g40r40m30e209185gr38e1w8g on a-node-with-a-very-long-name is unhealthy: last heard of 31s ago"
            .into(),
        "3 tasks of class custom wait and no healthy worker serves it".into(),
    ];
    let health = WorkersHealth { status: "degraded".into(), pools: BTreeMap::new(), problems };
    let data = WorkersPage { at, workers: &workers, health: &health };
    write("workers.html", views::workers(&chrome("Workers", "/workers"), &data).into_string())?;
    let health = WorkersHealth { status: "down".into(), pools: BTreeMap::new(), problems: Vec::new() };
    let data = WorkersPage { at, workers: &[], health: &health };
    write("workers-empty.html", views::workers(&chrome("Workers", "/workers"), &data).into_string())?;
    let items = vec![
        dead(
            at,
            1,
            "http.post",
            "failed",
            "503 Service Unavailable from https://hooks.example.org/a: the upstream said \"try later\" five times and every try was used",
        ),
        dead(at, 2, "llm.review", "quarantined", "it cost 3 workers"),
        dead(at, 3, "digest", "expired", "its deadline 2026-01-05T09:00:00Z passed"),
    ];
    let page = Page { items, next: Some("x".into()) };
    let data = DeadPage { at, tasks: &page, next: Some("/dead-letters?after=x"), total: 214 };
    write("dead-letters.html", views::dead_letters(&chrome("Dead letters", "/queues"), &data).into_string())?;
    let data = DeadPage { at, tasks: &Page { items: Vec::new(), next: None }, next: None, total: 0 };
    write("dead-letters-empty.html", views::dead_letters(&chrome("Dead letters", "/queues"), &data).into_string())
}

fn dead(at: Timestamp, n: u8, kind: &str, state: &str, error: &str) -> Task {
    Task {
        id: mb_core::id::TaskId::from_bytes([n; 16]),
        kind: kind.into(),
        class: QueueClass::Io,
        priority: Priority::Normal,
        state: state.into(),
        canceling: false,
        failures: 5,
        losses: u32::from(n) - 1,
        enqueued_at: at,
        ready_at: None,
        started_at: Some(at),
        finished_at: Some(at - std::time::Duration::from_secs(u64::from(n) * 1_000)),
        worker: None,
        error: Some(error.into()),
        payload: None,
    }
}
