//! Following a run: its events as lines, and on a terminal one moving line that says what is going on.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mb_api::{Event, Tone};
use mb_core::event::{Event as CoreEvent, EventKind};
use mb_core::run::RunOutcome;
use mb_core::time::{Timestamp, human};

use crate::term::{Term, clean, sign};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Nothing.
    Quiet,
    /// What was decided.
    Normal,
    /// Every event.
    Verbose,
}

/// Tells a run's events to a person.
pub(crate) struct Teller {
    term: Term,
    talk: Talk,
    begin: Option<Timestamp>,
    bar: Option<ProgressBar>,
    /// What is in flight, by step.
    active: BTreeMap<String, String>,
    /// How long each step's last attempt took, in milliseconds.
    took: BTreeMap<String, u64>,
}

impl Teller {
    pub(crate) fn new(term: Term, talk: Talk) -> Teller {
        let bar = (term.live && talk != Talk::Quiet).then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            bar.set_style(style);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Teller { term, talk, begin: None, bar, active: BTreeMap::new(), took: BTreeMap::new() }
    }

    /// Tells one event.
    pub(crate) fn event(&mut self, event: &Event) {
        let begin = *self.begin.get_or_insert(event.at);
        self.track(event);
        if self.says(event) {
            let at = human(event.at.since(begin));
            let took = match event.event.as_str() {
                "step.succeeded" => {
                    self.step(event).and_then(|step| self.took.get(&step)).map(|ms| human(Duration::from_millis(*ms)))
                }
                _ => None,
            };
            let took = took.map_or(String::new(), |took| self.term.dim(&format!(" ({took})")));
            let text = clean(&event.text);
            self.line(&format!("{} {} {}{took}", self.term.dim(&format!("{at:>8}")), self.sign(event.tone), text));
        }
        self.show();
    }

    /// Tells stored events; `seen` moves on to the last. The outcome, once the run's end was among them.
    pub(crate) fn tell(&mut self, events: &[CoreEvent], seen: &mut i64) -> Option<RunOutcome> {
        let mut over = None;
        for event in events {
            *seen = event.seq;
            self.event(&Event::from_domain(event));
            if let EventKind::RunFinished { outcome, .. } = event.kind {
                over = Some(outcome);
            }
        }
        over
    }

    /// A line of a command's output.
    pub(crate) fn output(&mut self, text: &str) {
        self.line(&clean(text));
    }

    /// Takes the moving line away.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => anstream::eprintln!("{text}"),
        }
    }

    fn sign(&self, tone: Tone) -> String {
        self.term.tone(tone, sign(tone))
    }

    fn says(&self, event: &Event) -> bool {
        let noise = [
            "run.created",
            "run.started",
            "step.queued",
            "step.started",
            "step.attempted",
            "repair.queued",
            "repair.started",
        ];
        match self.talk {
            Talk::Quiet => false,
            Talk::Verbose => true,
            Talk::Normal => !noise.contains(&event.event.as_str()) || waits(event),
        }
    }

    fn step(&self, event: &Event) -> Option<String> {
        event.details.get("step").and_then(|s| s.as_str()).map(str::to_owned)
    }

    fn track(&mut self, event: &Event) {
        let Some(step) = self.step(event) else { return };
        match event.event.as_str() {
            "step.started" | "repair.queued" => {
                self.active.insert(step, event.text.clone());
            }
            "step.attempted" => {
                if let Some(ms) = event.details.get("duration_ms").and_then(serde_json::Value::as_u64) {
                    self.took.insert(step.clone(), ms);
                }
                self.active.remove(&step);
            }
            "repair.finished" | "step.failed" | "step.canceled" => {
                self.active.remove(&step);
            }
            _ => {}
        }
    }

    fn show(&self) {
        let Some(bar) = &self.bar else { return };
        let text: Vec<String> = self.active.values().map(|text| clean(text)).collect();
        bar.set_message(text.join("  "));
    }
}

/// A re-run, with its wait, is worth a line.
fn waits(event: &Event) -> bool {
    event.event == "step.queued" && event.details.get("purpose").and_then(|p| p.as_str()) != Some("check")
}
