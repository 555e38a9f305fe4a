//! An event on the wire: flat, readable alone, and open to kinds a client does not know yet.

use mb_core::event as core;
use mb_core::id::RunId;
use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One entry of the append-only stream. Its `seq` is the id of the live stream and resumes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the stream.
    pub seq: i64,
    /// The run.
    #[schema(value_type = String, example = "run_01jbx2m5k8e6t9h3v4n7q0r1sa")]
    pub run: RunId,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What happened, by name.
    #[schema(example = "step.failed")]
    pub event: String,
    /// How a reader should take it.
    pub tone: Tone,
    /// One sentence that can be read alone.
    pub text: String,
    /// What belongs to this kind of event (`step`, `attempt`, `verdict` …).
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// How a reader should take an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Something went well.
    Good,
    /// Something went wrong.
    Bad,
    /// Something to look at.
    Warn,
    /// Neither.
    Plain,
}

impl Event {
    /// The wire form of an event.
    pub fn from_domain(event: &core::Event) -> Event {
        let mut details = match serde_json::to_value(&event.kind) {
            Ok(serde_json::Value::Object(map)) => map,
            Ok(_) | Err(_) => serde_json::Map::new(),
        };
        details.remove("event");
        Event {
            seq: event.seq,
            run: event.run,
            at: event.at,
            event: event.kind.word().to_owned(),
            tone: Tone::from_domain(event.kind.tone()),
            text: event.kind.text(),
            details,
        }
    }
}

impl Tone {
    fn from_domain(tone: core::Tone) -> Tone {
        match tone {
            core::Tone::Good => Tone::Good,
            core::Tone::Bad => Tone::Bad,
            core::Tone::Warn => Tone::Warn,
            core::Tone::Plain => Tone::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mb_core::event::EventKind;
    use mb_core::run::StopReason;

    #[test]
    fn an_event_is_flat_and_a_client_can_read_one_it_does_not_know() {
        let event = core::Event {
            seq: 7,
            run: RunId::from_bytes([1; 16]),
            at: Timestamp::from_micros(0),
            kind: EventKind::StepFailed { step: "test".into(), reason: StopReason::NoStrategy, why: String::new() },
        };
        let wire = Event::from_domain(&event);
        let json = serde_json::to_value(&wire).expect("serialises");
        assert_eq!(json["event"], "step.failed");
        assert_eq!(json["step"], "test");
        assert_eq!(json["reason"], "no_strategy");
        assert_eq!(json["tone"], "bad");
        let back: Event = serde_json::from_value(json.clone()).expect("parses");
        assert_eq!(back, wire);
        let mut newer = json;
        newer["event"] = "gate.opened".into();
        newer["gate"] = serde_json::json!({"id": 3});
        let newer: Event = serde_json::from_value(newer).expect("an unknown kind still parses");
        assert_eq!(newer.details["gate"]["id"], 3);
    }
}
