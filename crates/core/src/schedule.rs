//! Schedules: when something is to be started, and which of the times that have come really start it.
//!
//! `due(now, …)` decides from plain values; the scheduler in `engine` asks, acts and writes down what came of it.
//! Deliberately absent: what is started, and every clock.

mod cron;
mod due;
mod zone;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use cron::{BadCron, Cron, PATTERN_BYTES_MAX};
pub use due::{Due, FIRES_MAX, Fire, GRACE, Passed, Standing, due};
pub use zone::{BadZone, Zone};

use crate::id::ScheduleId;
use crate::time::Timestamp;
use crate::words::words;

/// Longest interval, in seconds: a leap year.
pub const EVERY_S_MAX: u64 = 366 * 24 * 60 * 60;
/// Most jitter, in seconds: a day.
pub const JITTER_S_MAX: u64 = 24 * 60 * 60;
/// Longest catch-up window, in seconds: a week.
pub const WINDOW_S_MAX: u64 = 7 * 24 * 60 * 60;

/// When something happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub enum Timing {
    /// By the clocks of a time zone.
    Cron {
        /// The pattern.
        pattern: Cron,
        /// The zone.
        zone: Zone,
    },
    /// Every so many seconds, counted from a moment.
    Every {
        /// Seconds, 1 to [`EVERY_S_MAX`].
        every_s: u64,
        /// One of the moments.
        anchor: Timestamp,
    },
}

/// A timing as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// A cron pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Its time zone; UTC when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// An interval, in seconds, instead of a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_s: Option<u64>,
    /// From when the interval counts; the epoch when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Timestamp>,
}

/// Why a schedule is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// The pattern is wrong.
    #[error(transparent)]
    Cron(#[from] BadCron),
    /// The zone is wrong.
    #[error(transparent)]
    Zone(#[from] BadZone),
    /// Neither or both kinds of timing, or parts of the other kind.
    #[error("give either a cron pattern (with a zone, if it is not UTC) or an interval (every_s, with an anchor)")]
    Kind,
    /// A number out of bounds.
    #[error("{what} is {value}; {min} to {max} are allowed")]
    Bounds {
        /// Which one.
        what: &'static str,
        /// What was given.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
}

impl TryFrom<Form> for Timing {
    type Error = BadSchedule;

    fn try_from(form: Form) -> Result<Timing, BadSchedule> {
        match form {
            Form { cron: Some(pattern), zone, every_s: None, anchor: None } => {
                Ok(Timing::Cron { pattern: pattern.parse()?, zone: zone.as_deref().unwrap_or("UTC").parse()? })
            }
            Form { cron: None, zone: None, every_s: Some(every_s), anchor } => {
                bounded("every_s", every_s, 1, EVERY_S_MAX)?;
                Ok(Timing::Every { every_s, anchor: anchor.unwrap_or_default() })
            }
            _ => Err(BadSchedule::Kind),
        }
    }
}

impl From<Timing> for Form {
    fn from(timing: Timing) -> Form {
        match timing {
            Timing::Cron { pattern, zone } => {
                Form { cron: Some(pattern.to_string()), zone: Some(zone.name().to_owned()), ..Form::default() }
            }
            Timing::Every { every_s, anchor } => {
                Form { every_s: Some(every_s), anchor: Some(anchor), ..Form::default() }
            }
        }
    }
}

impl Timing {
    /// The first moment after `after`. None when there is none for 41 years.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron { pattern, zone } => zone.next(after, pattern),
            Self::Every { .. } => self.interval_index(after)?.checked_add(1).and_then(|n| self.interval_at(n)),
        }
    }

    /// The interval's number of the last moment not after `at`; none for patterns.
    fn interval_index(&self, at: Timestamp) -> Option<i64> {
        let Self::Every { every_s, anchor } = self else { return None };
        let every = i64::try_from(*every_s).ok()?.checked_mul(1_000_000)?;
        Some(at.as_micros().checked_sub(anchor.as_micros())?.div_euclid(every))
    }

    fn interval_at(&self, index: i64) -> Option<Timestamp> {
        let Self::Every { every_s, anchor } = self else { return None };
        let every = i64::try_from(*every_s).ok()?.checked_mul(1_000_000)?;
        Some(Timestamp::from_micros(index.checked_mul(every)?.checked_add(anchor.as_micros())?))
    }

    /// One phrase: `0 3 * * * in Europe/Oslo`, `every 5m 00s`.
    pub fn describe(&self) -> String {
        match self {
            Self::Cron { pattern, zone } => format!("{pattern} in {}", zone.name()),
            Self::Every { every_s, .. } => {
                format!("every {}", crate::time::human(std::time::Duration::from_secs(*every_s)))
            }
        }
    }

    /// A moment as this timing's own clock shows it.
    pub fn show(&self, at: Timestamp) -> String {
        match self {
            Self::Cron { zone, .. } => zone.show(at),
            Self::Every { .. } => at.to_string(),
        }
    }
}

words! {
    /// What becomes of times that passed while nobody could start anything.
    CatchUp {
        /// They are left out.
        Skip = "skip",
        /// The last of them is made up for.
        Last = "last",
        /// All of them are made up for, in order, up to a number.
        All = "all",
    }
}

words! {
    /// What happens when a time comes while a run of the same schedule is still open.
    Overlap {
        /// The time is left out.
        Skip = "skip",
        /// One time waits until the run has ended; further ones are left out.
        Queue = "queue",
        /// Both run.
        Allow = "allow",
        /// The open run is cancelled, then the new one starts.
        Cancel = "cancel",
    }
}

/// When, and under which conditions, something is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// When.
    pub timing: Timing,
    /// Each start is put off by up to so many seconds, always the same for the same time of the same schedule.
    #[serde(default)]
    pub jitter_s: u64,
    /// What becomes of times that were missed.
    pub catch_up: CatchUp,
    /// How far back that goes, in seconds.
    pub catch_up_window_s: u64,
    /// How many are made up for at once, with [`CatchUp::All`].
    pub catch_up_max: u32,
    /// What happens while a run is open.
    pub overlap: Overlap,
}

impl Schedule {
    /// With the defaults: no jitter, the last time of the past hour is made up for, no two runs at once.
    pub fn new(timing: Timing) -> Schedule {
        Schedule {
            timing,
            jitter_s: 0,
            catch_up: CatchUp::Last,
            catch_up_window_s: 60 * 60,
            catch_up_max: 10,
            overlap: Overlap::Skip,
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`BadSchedule::Bounds`], for the first that is out of them.
    pub fn validate(self) -> Result<Schedule, BadSchedule> {
        let jitter_max = match &self.timing {
            // More would let the starts of one interval pass those of the next.
            Timing::Every { every_s, .. } => JITTER_S_MAX.min(*every_s),
            Timing::Cron { .. } => JITTER_S_MAX,
        };
        bounded("jitter_s", self.jitter_s, 0, jitter_max)?;
        bounded("catch_up_window_s", self.catch_up_window_s, 1, WINDOW_S_MAX)?;
        bounded("catch_up_max", self.catch_up_max.into(), 1, FIRES_MAX as u64)?;
        Ok(self)
    }

    /// When a time of this schedule is started: the time itself and its jitter.
    pub fn start_of(&self, id: ScheduleId, at: Timestamp) -> Timestamp {
        if self.jitter_s == 0 {
            return at;
        }
        let digest = Sha256::new().chain_update(id.as_bytes()).chain_update(at.as_micros().to_be_bytes()).finalize();
        let draw = digest.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        at + std::time::Duration::from_micros(draw % (self.jitter_s * 1_000_000 + 1))
    }
}

fn bounded(what: &'static str, value: u64, min: u64, max: u64) -> Result<(), BadSchedule> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(BadSchedule::Bounds { what, value, min, max }) }
}

#[cfg(test)]
mod tests;
