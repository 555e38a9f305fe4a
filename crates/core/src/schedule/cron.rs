//! Cron patterns: five fields, as POSIX and Vixie's cron have them, and the `@daily` names.
//!
//! Deliberately absent: seconds, years, `L`, `W`, `#` and `@reboot`. A pattern says when by the clock on the wall; what
//! happens when that clock jumps is decided in [`super::zone`].

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256;
/// Years that are searched for a day that fits. A 29th of February on a given weekday comes after 40 at most.
const YEARS_MAX: i16 = 41;

/// Names of `@` patterns and what they stand for.
const NICKNAMES: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One field of a pattern: what it is called, and which numbers it may hold.
struct Field {
    name: &'static str,
    min: u8,
    max: u8,
    /// Names of numbers, from `min` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day of month", min: 1, max: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, names: MONTHS },
    // 7 is Sunday too.
    Field { name: "day of week", min: 0, max: 7, names: WEEKDAYS },
];

/// A checked cron pattern. Its text is the one that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether the hour is a star (`*`, `*/2`) or every hour: then the pattern follows the clock through a change of
    /// offset, otherwise each of its times happens once.
    is_frequent: bool,
    /// Whether a day has to fit both fields of days; otherwise one of them is enough (both were restricted).
    both_days: bool,
}

/// Why a text is no cron pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCron {
    /// It is too long.
    #[error("a cron pattern has at most {PATTERN_BYTES_MAX} bytes; this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It has not five fields.
    #[error("a cron pattern has 5 fields (minute hour day-of-month month day-of-week); {text:?} has {count}")]
    Fields {
        /// The pattern.
        text: String,
        /// How many fields it has.
        count: usize,
    },
    /// A name with `@` that does not exist.
    #[error("{name:?} is not known: use @hourly, @daily, @weekly, @monthly or @yearly")]
    Nickname {
        /// The name.
        name: String,
    },
    /// A part of a field cannot be read.
    #[error("{part:?} is no {field}: use {min} to {max}{}, *, a-b, a,b or */n", .names)]
    Part {
        /// The part.
        part: String,
        /// Which field it is in.
        field: &'static str,
        /// The smallest number there.
        min: u8,
        /// The largest number there.
        max: u8,
        /// Which names it takes, as a phrase.
        names: &'static str,
    },
    /// No day fits, as for the 30th of February.
    #[error("{text:?} never comes: no month it names has such a day")]
    Never {
        /// The pattern.
        text: String,
    },
}

impl FromStr for Cron {
    type Err = BadCron;

    fn from_str(text: &str) -> Result<Cron, BadCron> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(BadCron::TooLong { bytes: text.len() });
        }
        let text = text.trim();
        let fields: Vec<&str> = spelled(text)?.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(BadCron::Fields { text: text.to_owned(), count: fields.len() });
        };
        let hours = set(&FIELDS[1], hour)?;
        let weekdays = set(&FIELDS[4], weekday)?;
        let cron = Cron {
            text: text.to_owned(),
            minutes: set(&FIELDS[0], minute)?,
            hours,
            days: set(&FIELDS[2], day)?,
            months: set(&FIELDS[3], month)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            is_frequent: hour.starts_with('*') || hours == (1 << 24) - 1,
            both_days: day.starts_with('*') || weekday.starts_with('*'),
        };
        if cron.is_never() { Err(BadCron::Never { text: cron.text }) } else { Ok(cron) }
    }
}

/// The pattern with its `@` name spelled out.
fn spelled(text: &str) -> Result<&str, BadCron> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let found = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, pattern)| *pattern).ok_or_else(|| BadCron::Nickname { name: text.to_owned() })
}

/// The numbers of a field, as bits.
fn set(field: &Field, text: &str) -> Result<u64, BadCron> {
    text.split(',').try_fold(0, |bits, part| {
        let range = range(field, part).ok_or_else(|| BadCron::Part {
            part: part.to_owned(),
            field: field.name,
            min: field.min,
            max: field.max,
            names: if field.names.is_empty() { "" } else { " or a name such as mon or jan" },
        })?;
        Ok(bits | range)
    })
}

/// `*`, `a`, `a-b`, each with `/step`. A step needs a star or a range: what `5/15` means differs between crons.
fn range(field: &Field, part: &str) -> Option<u64> {
    let (span, step) = match part.split_once('/') {
        Some((span, step)) => (span, number(step).filter(|step| (1..=field.max).contains(step))?),
        None => (part, 1),
    };
    let (first, last) = match span.split_once('-') {
        // The star of weekdays is 0 to 6: with 7 in it, `*/7` would not be Sundays alone but would name them twice.
        None if span == "*" => (field.min, if field.max == 7 { 6 } else { field.max }),
        None if part.contains('/') => return None,
        None => (value(field, span)?, value(field, span)?),
        Some((first, last)) => (value(field, first)?, value(field, last)?),
    };
    (first <= last).then(|| (first..=last).step_by(usize::from(step)).fold(0, |bits, n| bits | 1 << n))
}

/// A number in bounds, or a name. Names compare by their first three letters, whatever their case: `Monday` is none.
fn value(field: &Field, text: &str) -> Option<u8> {
    let named = field.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let value = match named {
        Some(place) => field.min + u8::try_from(place).ok()?,
        None => number(text)?,
    };
    (field.min..=field.max).contains(&value).then_some(value)
}

/// Digits alone: `parse` would take a sign too.
fn number(text: &str) -> Option<u8> {
    (text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

impl Cron {
    /// Whether a time of the clock fits.
    pub fn fits(&self, date: Date, hour: i8, minute: i8) -> bool {
        self.fits_day(date) && has(self.hours, hour) && has(self.minutes, minute)
    }

    /// Whether the pattern follows the clock through a change of offset (its hour is `*` or `*/n`). Otherwise each of
    /// its times happens once a day, whatever the clock does.
    pub fn is_frequent(&self) -> bool {
        self.is_frequent
    }

    fn fits_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.both_days { day && weekday } else { day || weekday }
    }

    /// Whether it names days that no month it names has. A weekday in the other field brings one every week.
    fn is_never(&self) -> bool {
        let longest = |month: u8| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let has_day = |month| (1..=longest(month)).any(|day| self.days >> day & 1 == 1);
        self.both_days && !(1..=12).any(|month: u8| self.months >> month & 1 == 1 && has_day(month))
    }

    /// The first day from `date` on that fits, at most [`YEARS_MAX`] years on.
    pub(super) fn day_from(&self, mut date: Date) -> Option<Date> {
        let year_max = date.year().saturating_add(YEARS_MAX);
        while date.year() <= year_max {
            if !has(self.months, date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
            } else if self.fits_day(date) {
                return Some(date);
            } else {
                date = date.tomorrow().ok()?;
            }
        }
        None
    }

    /// The first time of a day that fits, from `hour` and `minute` on.
    pub(super) fn time_from(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        if has(self.hours, hour)
            && let Some(minute) = first_from(self.minutes, minute)
        {
            return Some((hour, minute));
        }
        Some((first_from(self.hours, hour + 1)?, first_from(self.minutes, 0)?))
    }
}

fn has(bits: u64, number: i8) -> bool {
    bits >> number & 1 == 1
}

/// The smallest number in the set that is not below `from`, which is at most 60.
fn first_from(bits: u64, from: i8) -> Option<i8> {
    let rest = bits >> from << from;
    (rest != 0).then(|| i8::try_from(rest.trailing_zeros()).ok())?
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    /// What a pattern says about a set of days and times, or why it is refused.
    fn check(text: &str, expected: &str) {
        let got = match text.parse::<Cron>() {
            Ok(cron) => {
                let list = |bits: u64| {
                    let all: Vec<String> = (0..64).filter(|n| bits >> n & 1 == 1).map(|n| n.to_string()).collect();
                    all.join(",")
                };
                let sets = [cron.minutes, cron.hours, cron.days, cron.months, cron.weekdays].map(list);
                sets.join(" ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn fields_are_read_as_cron_reads_them() {
        check("5 4 3 2 1", "5 4 3 2 1");
        check("0,30 9-11 1-10/4 jan,MAR mon-wed", "0,30 9,10,11 1,5,9 1,3 1,2,3");
        check("*/20 */12 1 1 sun", "0,20,40 0,12 1 1 0");
        check("0 0 1 1 7", "0 0 1 1 0");
        check("0 0 1 1 5-7", "0 0 1 1 0,5,6");
        check("0 0 1 1 */7", "0 0 1 1 0");
        check(
            "@WEEKLY",
            "0 0 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31 1,2,3,4,5,6,7,8,9,10,11,12 0",
        );
    }

    #[test]
    fn mistakes_are_named() {
        check("", "a cron pattern has 5 fields (minute hour day-of-month month day-of-week); \"\" has 0");
        check(
            "* * * * * *",
            "a cron pattern has 5 fields (minute hour day-of-month month day-of-week); \"* * * * * *\" has 6",
        );
        check("60 * * * *", "\"60\" is no minute: use 0 to 59, *, a-b, a,b or */n");
        check("* 24 * * *", "\"24\" is no hour: use 0 to 23, *, a-b, a,b or */n");
        check("* * 0 * *", "\"0\" is no day of month: use 1 to 31, *, a-b, a,b or */n");
        check("* * * foo *", "\"foo\" is no month: use 1 to 12 or a name such as mon or jan, *, a-b, a,b or */n");
        check("* * * * 8", "\"8\" is no day of week: use 0 to 7 or a name such as mon or jan, *, a-b, a,b or */n");
        for part in ["5-1", "*/0", "5/15", "+5", "-1", "1-", ",", "1,,2", "*/99", "1-2-3", "0x1", "*5", "１"] {
            let error = format!("{part} * * * *").parse::<Cron>().expect_err(part).to_string();
            assert!(error.contains("is no minute"), "{part}: {error}");
        }
        check("@reboot", "\"@reboot\" is not known: use @hourly, @daily, @weekly, @monthly or @yearly");
        check("0 0 30 2 *", "\"0 0 30 2 *\" never comes: no month it names has such a day");
        check("0 0 31 4,6 *", "\"0 0 31 4,6 *\" never comes: no month it names has such a day");
        assert!("0 0 30 2 mon".parse::<Cron>().is_ok(), "a Monday in February comes");
    }

    #[test]
    fn a_pattern_is_bounded() {
        let of = |bytes: usize| format!("{} * * * *", vec!["1"; (bytes - 8) / 2 + 1].join(","));
        assert_eq!(of(255).len(), 255);
        assert!(of(255).parse::<Cron>().is_ok());
        assert!(matches!(of(257).parse::<Cron>(), Err(BadCron::TooLong { bytes: 257 })));
    }

    #[test]
    fn two_restricted_days_are_either_and_a_star_makes_them_both() {
        let fits = |pattern: &str, day: i8| pattern.parse::<Cron>().expect(pattern).fits(date(2024, 3, day), 0, 0);
        // The 1st of March 2024 was a Friday.
        for (day, either, both) in [(1, true, true), (8, true, false), (13, true, false), (12, false, false)] {
            assert_eq!(fits("0 0 1,13 * fri", day), either, "{day}");
            assert_eq!(fits("0 0 */31 * fri", day), both, "{day}");
        }
    }

    #[test]
    fn the_rarest_day_is_found_and_the_search_ends() {
        // The 1st or 29th, in February, on a Monday: `*/28` has a star, so both must fit.
        let cron: Cron = "0 0 */28 2 mon".parse().expect("a pattern");
        assert_eq!(cron.day_from(date(2044, 3, 1)), Some(date(2049, 2, 1)));
        let leap: Cron = "0 0 29 2 *".parse().expect("a pattern");
        assert_eq!(leap.day_from(date(2096, 3, 1)), Some(date(2104, 2, 29)), "2100 is no leap year");
    }
}
