//! From times on the wall to moments: the next moment of a cron pattern in a time zone.
//!
//! Between two changes of offset the clock runs like any other, so the search goes from change to change. At a change,
//! patterns whose hour is not a star keep one promise: each of their times happens once. A time that was jumped over
//! happens at the first moment after the jump, one that the clock shows twice happens at the first. Patterns that run
//! every hour or every n hours follow the clock: what was jumped over is left out, what comes twice happens twice.
//!
//! Zones come from the database inside this program, never from the host: two nodes must agree on every moment.

use jiff::civil::{DateTime, Time};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, ToSpan as _};

use super::cron::Cron;
use crate::time::Timestamp;

/// Longest name of a time zone, in bytes. The longest there is has 32.
const ZONE_BYTES_MAX: usize = 64;
/// Longest jump of any clock (Samoa left out a day, Manila repeated one), and some room.
const JUMP_HOURS: i64 = 48;
/// Changes of offset that are looked through. The busiest zone has four a year; the rarest pattern takes 41 years.
const CHANGES_MAX: usize = 400;

/// A time zone by its IANA name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

/// The text names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a time zone: use an IANA name such as UTC or Europe/Oslo")]
pub struct BadZone {
    /// The text, at most 64 bytes of it.
    pub name: String,
}

impl std::str::FromStr for Zone {
    type Err = BadZone;

    fn from_str(name: &str) -> Result<Zone, BadZone> {
        let bad = || BadZone { name: name.chars().take(ZONE_BYTES_MAX).collect() };
        if name.len() > ZONE_BYTES_MAX {
            return Err(bad());
        }
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| bad())?;
        Ok(Zone { name: zone.iana_name().unwrap_or(name).to_owned(), zone })
    }
}

impl Zone {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A moment as the clocks of the zone show it: `2024-03-31 03:00 CEST`.
    pub fn show(&self, at: Timestamp) -> String {
        match jiff::Timestamp::from_microsecond(at.as_micros()) {
            Ok(moment) => moment.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string(),
            Err(_) => at.to_string(),
        }
    }

    /// The first moment after `after` that the pattern names.
    pub(super) fn next(&self, after: Timestamp, cron: &Cron) -> Option<Timestamp> {
        let after = jiff::Timestamp::from_microsecond(after.as_micros()).ok()?;
        // From before the last jump, to know what the clock has shown already.
        let start = after.checked_sub(SignedDuration::from_hours(JUMP_HOURS)).unwrap_or(jiff::Timestamp::MIN);
        let mut stretch = Stretch::at(self, start);
        let mut shown = stretch.clock(start);
        for change in self.zone.following(start).take(CHANGES_MAX) {
            let (at, next) = (change.timestamp(), change.offset());
            if let Some(found) = stretch.first(cron, after, shown, Some(at)) {
                return Some(ours(found));
            }
            let (old, new) = (stretch.clock(at), next.to_datetime(at));
            if cron.is_frequent() {
                shown = new;
            } else {
                // A jump over one of its times is made good here; the clock's second look at an hour is none.
                if at > after && jumped(cron, old.max(shown), new) {
                    return Some(ours(at));
                }
                shown = shown.max(old).max(new);
            }
            stretch = Stretch { since: at, offset: next };
        }
        stretch.first(cron, after, shown, None).map(ours)
    }
}

/// Whether a time of the pattern is between `from` and before `to`.
fn jumped(cron: &Cron, from: DateTime, to: DateTime) -> bool {
    from < to && first_clock(cron, from).is_some_and(|clock| clock < to)
}

/// Time between two changes of offset.
struct Stretch {
    since: jiff::Timestamp,
    offset: Offset,
}

impl Stretch {
    fn at(zone: &Zone, since: jiff::Timestamp) -> Stretch {
        Stretch { since, offset: zone.zone.to_offset(since) }
    }

    /// What the clock shows.
    fn clock(&self, at: jiff::Timestamp) -> DateTime {
        self.offset.to_datetime(at)
    }

    /// The first moment of the pattern here: after `after`, before `end`, when the clock shows `shown` or later.
    fn first(
        &self,
        cron: &Cron,
        after: jiff::Timestamp,
        shown: DateTime,
        end: Option<jiff::Timestamp>,
    ) -> Option<jiff::Timestamp> {
        let mut from = self.clock(self.since).max(shown);
        if after >= self.since {
            // The first whole minute after it.
            let clock = self.clock(after);
            from = from.max(whole(clock)?.checked_add(1.minute()).ok()?);
        }
        let at = self.offset.to_timestamp(first_clock(cron, from)?).ok()?;
        (at > after && end.is_none_or(|end| at < end)).then_some(at)
    }
}

fn ours(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_microsecond())
}

fn whole(clock: DateTime) -> Option<DateTime> {
    clock.with().second(0).subsec_nanosecond(0).build().ok()
}

/// The first time of the pattern that is not before `from`.
fn first_clock(cron: &Cron, from: DateTime) -> Option<DateTime> {
    let floor = whole(from)?;
    let from = if floor < from { floor.checked_add(1.minute()).ok()? } else { floor };
    let day = cron.day_from(from.date())?;
    let start = if day == from.date() { (from.hour(), from.minute()) } else { (0, 0) };
    if let Some((hour, minute)) = cron.time_from(start.0, start.1) {
        return Some(day.to_datetime(Time::new(hour, minute, 0, 0).ok()?));
    }
    let day = cron.day_from(day.tomorrow().ok()?)?;
    let (hour, minute) = cron.time_from(0, 0)?;
    Some(day.to_datetime(Time::new(hour, minute, 0, 0).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Timestamp {
        ours(text.parse().expect("a moment"))
    }

    /// The next moments of a pattern, as the zone's clocks show them.
    fn check(pattern: &str, zone: &str, after: &str, expected: &[&str]) {
        let (cron, zone): (Cron, Zone) = (pattern.parse().expect(pattern), zone.parse().expect(zone));
        let mut at = utc(after);
        let shown: Vec<String> = (0..expected.len())
            .map(|_| {
                at = zone.next(at, &cron).expect("there is a next one");
                zone.show(at)
            })
            .collect();
        assert_eq!(shown, expected, "{pattern} in {}", zone.name());
    }

    #[test]
    fn a_time_that_is_jumped_over_happens_at_the_end_of_the_jump() {
        let day = ["2024-03-30 02:30 CET", "2024-03-31 03:00 CEST", "2024-04-01 02:30 CEST"];
        check("30 2 * * *", "Europe/Oslo", "2024-03-29T12:00:00Z", &day);
        // Both were jumped over, and happen once. The second one's own hour goes on.
        let two = ["2024-03-31 03:00 CEST", "2024-03-31 03:40 CEST", "2024-04-01 02:20 CEST"];
        check("20,40 2,3 * * *", "Europe/Oslo", "2024-03-30T12:00:00Z", &["2024-03-31 03:00 CEST"]);
        check("20 2 * * *", "Europe/Oslo", "2024-03-31T01:00:00Z", &two[2..]);
        check("20,40 3 * * *", "Europe/Oslo", "2024-03-31T01:20:00Z", &two[1..2]);
        // Only half an hour is left out.
        check("15 2 * * *", "Australia/Lord_Howe", "2024-10-05T00:00:00Z", &["2024-10-06 02:30 +11"]);
        // A whole day is left out.
        check("0 9 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", &["2011-12-31 00:00 +14"]);
    }

    #[test]
    fn a_time_that_comes_twice_happens_at_the_first() {
        let day = ["2024-10-26 02:30 CEST", "2024-10-27 02:30 CEST", "2024-10-28 02:30 CET"];
        check("30 2 * * *", "Europe/Oslo", "2024-10-26T00:00:00Z", &day);
        check(
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2024-04-06T00:00:00Z",
            &["2024-04-07 01:45 +11", "2024-04-08 01:45 +1030"],
        );
        check(
            "*/30 1 * * *",
            "America/New_York",
            "2024-11-03T05:00:00Z",
            &["2024-11-03 01:30 EDT", "2024-11-04 01:00 EST"],
        );
    }

    #[test]
    fn patterns_of_every_hour_follow_the_clock() {
        let spring = ["2024-03-31 01:30 CET", "2024-03-31 03:30 CEST", "2024-03-31 04:30 CEST"];
        check("30 * * * *", "Europe/Oslo", "2024-03-31T00:00:00Z", &spring);
        let autumn = ["2024-10-27 02:30 CEST", "2024-10-27 02:30 CET", "2024-10-27 03:30 CET"];
        check("30 * * * *", "Europe/Oslo", "2024-10-27T00:00:00Z", &autumn);
        check("0 */2 * * *", "Europe/Oslo", "2024-03-31T00:00:00Z", &["2024-03-31 04:00 CEST"]);
    }

    #[test]
    fn rare_days_come() {
        check("0 0 29 2 *", "UTC", "2097-01-01T00:00:00Z", &["2104-02-29 00:00 UTC"]);
        check(
            "0 12 31 * *",
            "Asia/Kathmandu",
            "2024-01-31T12:00:00Z",
            &["2024-03-31 12:00 +0545", "2024-05-31 12:00 +0545"],
        );
        let either = ["2024-03-01 00:00 UTC", "2024-03-08 00:00 UTC", "2024-03-13 00:00 UTC"];
        check("0 0 13 * fri", "UTC", "2024-02-29T00:00:00Z", &either);
    }

    #[test]
    fn zones_are_ours_and_their_names_are_bounded() {
        let name = |text: &str| text.parse::<Zone>().map(|zone| zone.name().to_owned());
        assert_eq!(name("europe/oslo").as_deref(), Ok("Europe/Oslo"));
        for text in ["", "Mars/Olympus", "../../etc/passwd", "Europe/Oslo\0", &"x".repeat(10_000)] {
            assert!(name(text).is_err(), "{}", text.len());
        }
    }
}
