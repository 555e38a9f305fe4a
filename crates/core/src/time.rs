//! Time as a value: microseconds since the Unix epoch, the same number in both databases.
//!
//! Deliberately absent: a way to ask what time it is. `now` is an argument everywhere (rule 3); the one
//! clock is `engine::Env`.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since 1970-01-01T00:00:00Z. JSON and text are RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment that many microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later, so no duration is ever negative.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, rhs: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, rhs: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let moment = jiff::Timestamp::from_microsecond(self.0).map_err(serde::ser::Error::custom)?;
        s.collect_str(&moment)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let moment = jiff::Timestamp::deserialize(d)?;
        Ok(Timestamp(moment.as_microsecond()))
    }
}

/// How long a `Retry-After` header asks to wait: seconds, or a date. None when it says neither.
pub fn retry_after(now: Timestamp, header: &str) -> Option<Duration> {
    if let Ok(seconds) = header.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = header.trim().replace("GMT", "+0000");
    let at = jiff::fmt::rfc2822::parse(&date).ok()?.timestamp();
    Some(Timestamp::from_micros(at.as_microsecond()).since(now))
}

/// Whole milliseconds, the unit of every duration that is stored or sent.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration as people read it: `850ms`, `4.2s`, `3m 07s`, `2h 05m`.
pub fn human(duration: Duration) -> String {
    let ms = duration.as_millis();
    let secs = duration.as_secs();
    match secs {
        0 => format!("{ms}ms"),
        1..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => format!("{}m {:02}s", secs / 60, secs % 60),
        _ => format!("{}h {:02}m", secs / 3600, secs % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_may_ask_for_seconds_or_a_date() {
        let now = Timestamp::from_micros(1_000_000);
        let check = |header: &str, expected: Option<u64>| {
            assert_eq!(retry_after(now, header).map(|wait| wait.as_secs()), expected, "{header}");
        };
        check("7", Some(7));
        check(" 0 ", Some(0));
        check("Thu, 01 Jan 1970 00:01:01 GMT", Some(60));
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
    }

    #[test]
    fn no_duration_is_negative() {
        let (a, b) = (Timestamp::from_micros(5), Timestamp::from_micros(9));
        assert_eq!(b.since(a), Duration::from_micros(4));
        assert_eq!(a.since(b), Duration::ZERO);
    }

    #[test]
    fn json_is_rfc_3339_and_keeps_microseconds() {
        let t = Timestamp::from_micros(1_700_000_000_123_456);
        let json = serde_json::to_string(&t).expect("a timestamp serialises");
        assert_eq!(json, "\"2023-11-14T22:13:20.123456Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).expect("and parses"), t);
    }

    #[test]
    fn durations_read_like_a_person_writes_them() {
        for (ms, text) in [(0, "0ms"), (850, "850ms"), (4_200, "4.2s"), (187_000, "3m 07s"), (7_500_000, "2h 05m")] {
            assert_eq!(human(Duration::from_millis(ms)), text);
        }
    }
}
