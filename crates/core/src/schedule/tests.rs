//! What schedules promise, against a scan of every minute and over whole histories of a scheduler.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

fn cron(pattern: &str, zone: &str) -> Timing {
    let form = Form { cron: Some(pattern.into()), zone: Some(zone.into()), ..Form::default() };
    form.try_into().expect(pattern)
}

fn every(every_s: u64) -> Timing {
    Form { every_s: Some(every_s), ..Form::default() }.try_into().expect("an interval")
}

fn id() -> ScheduleId {
    ScheduleId::from_bytes([7; 16])
}

/// All times in a span, by looking at every minute of it: what the clock shows, whether it showed that before, and
/// what it jumped over. Shares only the pattern with what it checks.
fn scan(pattern: &Cron, zone: &str, from: i64, until: i64) -> Vec<i64> {
    let zone = TimeZoneDatabase::bundled().get(zone).expect(zone);
    let clock = |micros: i64| zone.to_datetime(jiff::Timestamp::from_microsecond(micros).expect("in range"));
    let mut found = Vec::new();
    let mut shown = BTreeSet::new();
    // Two days ahead, to know what was shown before.
    for at in (from - 2 * DAY..until).step_by(usize::try_from(MINUTE).expect("positive")) {
        let now = clock(at);
        let is_first = shown.insert(now);
        let fits = |clock: jiff::civil::DateTime| pattern.fits(clock.date(), clock.hour(), clock.minute());
        let mut hit = fits(now) && (is_first || pattern.is_frequent());
        if !pattern.is_frequent() {
            let mut skipped = clock(at - MINUTE).checked_add(jiff::Span::new().minutes(1)).expect("in range");
            while skipped < now {
                hit |= shown.insert(skipped) && fits(skipped);
                skipped = skipped.checked_add(jiff::Span::new().minutes(1)).expect("in range");
            }
        }
        if hit && at > from {
            found.push(at);
        }
    }
    found
}

fn walk(timing: &Timing, from: i64, until: i64) -> Vec<i64> {
    let mut at = Timestamp::from_micros(from);
    let mut found = Vec::new();
    while let Some(next) = timing.next(at).filter(|next| next.as_micros() < until) {
        assert!(next > at, "every next is later");
        found.push(next.as_micros());
        at = next;
    }
    found
}

fn field(max: u8, min: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => (min..=max).prop_map(|n| n.to_string()),
        1 => (1..=max.min(12)).prop_map(|n| format!("*/{n}")),
        1 => (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (min..=max, min..=max).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

/// Moments around changes of offset, and zones that have them: half an hour off, jumps of half an hour, a day left out,
/// a change at midnight, four changes a year.
const PLACES: &[(&str, &str)] = &[
    ("Europe/Oslo", "2024-03-30T00:00:00Z"),
    ("Europe/Oslo", "2024-10-26T00:00:00Z"),
    ("America/New_York", "2024-03-09T00:00:00Z"),
    ("America/St_Johns", "2006-10-28T00:00:00Z"),
    ("Australia/Lord_Howe", "2024-04-06T00:00:00Z"),
    ("Australia/Lord_Howe", "2024-10-05T00:00:00Z"),
    ("Asia/Kolkata", "2024-06-01T00:00:00Z"),
    ("Asia/Beirut", "2024-03-30T00:00:00Z"),
    ("Pacific/Apia", "2011-12-29T00:00:00Z"),
    ("Africa/Casablanca", "2024-03-09T00:00:00Z"),
    ("UTC", "2024-02-28T00:00:00Z"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn every_pattern_agrees_with_a_scan_of_all_minutes(
        minute in field(59, 0), hour in field(23, 0), day in field(31, 1), weekday in field(6, 0),
        place in 0..PLACES.len(), offset_min in 0..2_880i64,
    ) {
        let pattern = format!("{minute} {hour} {day} * {weekday}");
        let (zone, from) = PLACES[place];
        let from: jiff::Timestamp = from.parse().expect("a moment");
        let from = from.as_microsecond() + offset_min * MINUTE;
        let parsed: Cron = pattern.parse().expect("generated patterns are good");
        let got = walk(&cron(&pattern, zone), from, from + 3 * DAY);
        prop_assert_eq!(got, scan(&parsed, zone, from, from + 3 * DAY), "{} in {}", pattern, zone);
    }

    #[test]
    fn no_text_makes_the_parser_fail_badly(text in "[-0-9*/,@a-z ]{0,80}") {
        if let Ok(cron) = text.parse::<Cron>() {
            let zone: Zone = "Africa/Casablanca".parse().expect("a zone");
            let next = Timing::Cron { pattern: cron, zone }.next(Timestamp::from_micros(0));
            prop_assert!(next.is_none_or(|at| at > Timestamp::from_micros(0)));
        }
    }

    /// A scheduler that looks at any moments, and makes up for all it missed, starts each time exactly once.
    #[test]
    fn whenever_one_looks_each_time_starts_once(
        waits in prop::collection::vec(1..4_000u64, 1..40), every_s in 60..900u64, jitter_s in 0..60u64,
    ) {
        let mut schedule = Schedule::new(every(every_s));
        schedule = Schedule {
            jitter_s, catch_up: CatchUp::All, catch_up_max: 100, catch_up_window_s: WINDOW_S_MAX,
            overlap: Overlap::Allow, ..schedule
        };
        let start = Timestamp::from_micros(1_700_000_000 * SECOND);
        let (mut now, mut after, mut started) = (start, start, Vec::new());
        for wait in waits {
            now = now + Duration::from_secs(wait);
            let due = due(now, id(), &schedule, &Standing { after, waiting: None, is_running: true });
            prop_assert!(due.passed.is_empty(), "nothing is left out: {:?}", due.passed);
            for fire in &due.fires {
                prop_assert!(schedule.start_of(id(), fire.at) <= now, "nothing starts early");
            }
            started.extend(due.fires.iter().map(|fire| fire.at.as_micros()));
            prop_assert!(due.next.is_none_or(|next| next > now), "what has come is not next");
            after = due.after;
        }
        let mut expected = walk(&schedule.timing, start.as_micros(), now.as_micros() + 1);
        expected.retain(|&at| schedule.start_of(id(), Timestamp::from_micros(at)) <= now);
        // One whose jitter is long holds up at most the one after it.
        expected.truncate(started.len().max(expected.len().saturating_sub(1)));
        prop_assert_eq!(started, expected);
    }
}

/// A schedule of every ten minutes that is looked at after a time away.
fn away(minutes: u64, catch_up: CatchUp, catch_up_max: u32, overlap: Overlap, is_running: bool) -> String {
    let schedule = Schedule { catch_up, catch_up_max, overlap, ..Schedule::new(every(600)) };
    let start = Timestamp::from_micros(1_700_000_400 * SECOND);
    let now = start + Duration::from_secs(minutes * 60);
    let due = due(now, id(), &schedule, &Standing { after: start, waiting: None, is_running });
    let minute = |at: Timestamp| at.since(start).as_secs() / 60;
    let mut said: Vec<String> = due
        .fires
        .iter()
        .map(|fire| format!("{}{}", if fire.cancels { "cancel+" } else { "" }, minute(fire.at)))
        .collect();
    said.extend(due.waiting.map(|at| format!("{} waits", minute(at))));
    said.extend(due.passed.iter().map(|passed| {
        let why = if passed.is_overlap { "overlap" } else { "missed" };
        format!("{} {why} {}-{}", passed.count, minute(passed.first), minute(passed.last))
    }));
    said.join(", ")
}

#[test]
fn what_was_missed_is_made_up_for_as_one_wishes() {
    let check = |minutes, catch_up, max, expected: &str| {
        assert_eq!(away(minutes, catch_up, max, Overlap::Allow, false), expected, "{minutes} {catch_up}");
    };
    check(9, CatchUp::All, 10, "");
    check(10, CatchUp::Skip, 10, "10");
    check(11, CatchUp::Skip, 10, "10");
    check(12, CatchUp::Skip, 10, "1 missed 10-10");
    check(12, CatchUp::Last, 10, "10");
    check(45, CatchUp::Skip, 10, "4 missed 10-40");
    check(45, CatchUp::Last, 10, "40, 3 missed 10-30");
    check(45, CatchUp::All, 10, "10, 20, 30, 40");
    check(45, CatchUp::All, 2, "30, 40, 2 missed 10-20");
    // The window is an hour, both ends belong to it.
    check(70, CatchUp::All, 10, "10, 20, 30, 40, 50, 60, 70");
    check(71, CatchUp::All, 10, "20, 30, 40, 50, 60, 70, 1 missed 10-10");
    check(10 * 60 + 5, CatchUp::Last, 10, "600, 59 missed 10-590");
    check(100_000_000, CatchUp::Last, 10, "100000000, 10000 missed 10-100000");
}

#[test]
fn runs_of_one_schedule_meet_as_one_wishes() {
    let check = |minutes, overlap, is_running, expected: &str| {
        assert_eq!(away(minutes, CatchUp::All, 10, overlap, is_running), expected, "{minutes} {overlap} {is_running}");
    };
    check(35, Overlap::Allow, true, "10, 20, 30");
    check(35, Overlap::Skip, true, "3 overlap 10-30");
    check(35, Overlap::Skip, false, "10, 2 overlap 20-30");
    check(35, Overlap::Queue, true, "10 waits, 2 overlap 20-30");
    check(35, Overlap::Queue, false, "10, 20 waits, 1 overlap 30-30");
    check(15, Overlap::Cancel, true, "cancel+10");
    check(15, Overlap::Cancel, false, "10");
    check(35, Overlap::Cancel, true, "cancel+30, 2 overlap 10-20");
}

#[test]
fn a_time_that_waited_starts_when_the_run_has_ended() {
    let schedule = Schedule { overlap: Overlap::Queue, ..Schedule::new(every(600)) };
    let start = Timestamp::from_micros(1_700_000_400 * SECOND);
    let now = start + Duration::from_secs(90);
    let standing = Standing { after: now, waiting: Some(start), is_running: true };
    let busy = due(now, id(), &schedule, &standing);
    assert_eq!((busy.fires.len(), busy.waiting), (0, Some(start)));
    let free = due(now, id(), &schedule, &Standing { is_running: false, ..standing });
    assert_eq!((free.fires, free.waiting), (vec![Fire { at: start, cancels: false }], None));
}

#[test]
fn jitter_is_the_same_every_time_and_spreads() {
    let schedule = Schedule { jitter_s: 300, ..Schedule::new(every(600)) };
    let starts: BTreeSet<u64> = (0..1_000)
        .map(|n| {
            let at = Timestamp::from_micros(n * 600 * SECOND);
            let start = schedule.start_of(id(), at);
            assert_eq!(start, schedule.start_of(id(), at));
            assert_ne!(start, schedule.start_of(ScheduleId::from_bytes([8; 16]), at), "other schedules, other jitter");
            start.since(at).as_secs()
        })
        .collect();
    assert!(starts.iter().all(|&s| s <= 300), "never more than asked for");
    assert!(starts.len() > 250, "spread over the whole of it: {}", starts.len());
}

#[test]
fn a_schedule_is_checked_and_reads_back_as_written() {
    let check = |json: &str, expected: &str| {
        let got = match serde_json::from_str::<Timing>(json) {
            Ok(timing) => serde_json::to_string(&timing).expect("plain data"),
            Err(error) => error.to_string(),
        };
        assert!(got.starts_with(expected), "{json}: {got}");
    };
    check(r#"{"cron":"0 3 * * *"}"#, r#"{"cron":"0 3 * * *","zone":"UTC"}"#);
    check(r#"{"cron":"@daily","zone":"asia/tokyo"}"#, r#"{"cron":"@daily","zone":"Asia/Tokyo"}"#);
    check(r#"{"every_s":60}"#, r#"{"every_s":60,"anchor":"1970-01-01T00:00:00Z"}"#);
    check(r#"{"every_s":0}"#, "every_s is 0; 1 to 31622400 are allowed");
    check(r#"{"every_s":31622401}"#, "every_s is 31622401; 1 to 31622400 are allowed");
    let kind = "give either a cron pattern (with a zone, if it is not UTC) or an interval (every_s, with an anchor)";
    for json in ["{}", r#"{"zone":"UTC"}"#, r#"{"cron":"@daily","every_s":5}"#, r#"{"every_s":5,"zone":"UTC"}"#] {
        check(json, kind);
    }
    check(r#"{"cron":"* * * *"}"#, "a cron pattern has 5 fields");
    check(r#"{"cron":"@daily","zone":"Nowhere"}"#, "\"Nowhere\" is not a time zone");
}

#[test]
fn numbers_of_a_schedule_have_bounds() {
    let check = |change: fn(&mut Schedule), expected: Result<(), &str>| {
        let mut schedule = Schedule::new(every(600));
        change(&mut schedule);
        assert_eq!(schedule.validate().map(|_| ()).map_err(|e| e.to_string()), expected.map_err(str::to_owned));
    };
    check(|s| s.jitter_s = 600, Ok(()));
    check(|s| s.jitter_s = 601, Err("jitter_s is 601; 0 to 600 are allowed"));
    check(|s| s.catch_up_window_s = WINDOW_S_MAX, Ok(()));
    check(|s| s.catch_up_window_s = 0, Err("catch_up_window_s is 0; 1 to 604800 are allowed"));
    check(|s| s.catch_up_window_s = WINDOW_S_MAX + 1, Err("catch_up_window_s is 604801; 1 to 604800 are allowed"));
    check(|s| s.catch_up_max = 100, Ok(()));
    check(|s| s.catch_up_max = 101, Err("catch_up_max is 101; 1 to 100 are allowed"));
    check(|s| s.catch_up_max = 0, Err("catch_up_max is 0; 1 to 100 are allowed"));
}
