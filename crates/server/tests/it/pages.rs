//! The pages themselves: hostile text stays text, every status has its three signs, nothing needs a script.

use std::collections::BTreeMap;

use mb_api::{Event, LogLine, LogPage, Page, Run, RunSummary};
use mb_server::views::{self, Chrome, Live, RunPage, RunsPage, Status};

use crate::fixture;

const CHROME: Chrome<'static> = Chrome { title: "t", here: "/runs", live: Live::Still, version: "0" };

fn page_of(story: &fixture::Story) -> String {
    let run = Run::from_domain(story.now, &story.run);
    let events: Vec<Event> = story.events.iter().map(Event::from_domain).collect();
    let diffs = BTreeMap::from([("d1".to_owned(), fixture::DIFF.to_owned())]);
    let work = run.steps[0].attempts[0].work.clone();
    let evil = "\u{1b}[31m</code><script>alert(1)</script>\u{1b}]8;;javascript:alert(1)\u{7}x".to_owned();
    let log = LogPage { lines: vec![LogLine { n: 1, text: evil }], next: 2, complete: true };
    let page = RunPage {
        at: story.now,
        run: &run,
        headline: "<b>headline</b>",
        events: &events,
        diffs: &diffs,
        work: Some(&work),
        log: &log,
        tail: None,
    };
    views::run(&CHROME, &page).into_string()
}

fn list_of(stories: &[fixture::Story]) -> String {
    let items: Vec<RunSummary> = stories.iter().map(|s| RunSummary::from_domain(s.now, &s.run)).collect();
    let page = Page { items, next: None };
    let list = RunsPage {
        at: stories[0].now,
        runs: &page,
        counts: &BTreeMap::new(),
        state: "",
        text: "\"><script>alert(1)</script>",
        window: "",
        next: None,
    };
    views::runs(&CHROME, &list).into_string()
}

#[test]
fn hostile_text_stays_text() {
    let story = fixture::hostile_story();
    for html in [page_of(&story), list_of(std::slice::from_ref(&story))] {
        assert_eq!(html.matches("<script").count(), 3, "only our own three scripts: {html:.600}");
        assert!(!html.contains("<img") && !html.contains("javascript:") && !html.contains('\u{1b}'));
        assert!(html.contains("&lt;script&gt;"));
        assert!(html.contains("<bdi"), "names keep their own direction");
        assert!(html.len() < 100_000, "10 kB names are cut: {} bytes", html.len());
    }
}

#[test]
fn no_page_has_inline_script_or_style() {
    let mut pages: Vec<String> =
        fixture::stories().iter().filter(|s| !s.run.steps[0].attempts.is_empty()).map(page_of).collect();
    pages.push(list_of(&fixture::stories()));
    pages.push(views::login().into_string());
    pages.push(views::welcome("\"><script>").into_string());
    for html in &pages {
        for forbidden in [" style=", " onclick=", " onload=", "<style", "javascript:"] {
            assert!(!html.contains(forbidden), "{forbidden} in {html:.300}");
        }
        let scripts = html.matches("<script").count();
        assert_eq!(scripts, html.matches("<script src=\"/assets/").count(), "every script is a file of ours");
    }
}

#[test]
fn every_status_has_a_word_a_symbol_and_a_colour_of_its_own() {
    let badges: Vec<String> = Status::ALL.iter().map(|s| s.badge(s.word()).into_string()).collect();
    let shapes: std::collections::BTreeSet<&str> =
        badges.iter().map(|b| b.split("aria-hidden=\"true\">").nth(1).expect("a shape")).collect();
    assert_eq!(shapes.len(), 8);
    for (status, badge) in Status::ALL.iter().zip(&badges) {
        assert!(
            badge.contains(&format!("s-{}", status.word())) && badge.ends_with(&format!("{}</span>", status.word()))
        );
    }
}

#[test]
fn the_list_shows_each_outcome_in_its_word() {
    let html = list_of(&fixture::stories());
    for word in ["pending", "running", "repaired", "failed", "flaky", "canceled", "passed"] {
        assert!(html.contains(&format!("</svg>{word}</span>")), "{word}");
    }
}

#[test]
fn the_page_of_a_failure_says_why_and_where() {
    let html = page_of(&fixture::failed_story());
    for part in [
        "Why it failed",
        "src/parse.rs",
        ":4:9",
        "test_assert",
        "1 of 42 tests failed",
        "rolled back",
        "Folded: 1m 15s idle",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("/cancel\""), "a run that is over cannot be cancelled");
    assert!(page_of(&fixture::running_story()).contains("/cancel\""));
}
