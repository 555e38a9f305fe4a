//! Durations as people write them: `1h 30m`, `45s`, `2d`.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// The units, largest first, with their length in seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Why a text is not a duration.
#[derive(Debug, PartialEq, Eq)]
pub enum ParseError {
    /// There is nothing in it.
    Empty,
    /// A number without a unit, or a unit without a number.
    Incomplete(String),
    /// A letter that is no unit.
    UnknownUnit(char),
    /// More seconds than a `u64` holds.
    TooLong,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "no duration given"),
            Self::Incomplete(part) => write!(f, "{part:?} needs a number and a unit"),
            Self::UnknownUnit(unit) => write!(f, "unknown unit {unit:?}; use d, h, m or s"),
            Self::TooLong => write!(f, "too long"),
        }
    }
}

impl std::error::Error for ParseError {}

/// Reads `1h 30m` as 5,400 seconds. Parts are separated by spaces and added up.
pub fn parse(text: &str) -> Result<Duration, ParseError> {
    let mut parts = text.split_whitespace().peekable();
    if parts.peek().is_none() {
        return Err(ParseError::Empty);
    }
    let mut seconds = 0_u64;
    for part in parts {
        let length = part_seconds(part)?;
        seconds = seconds.checked_add(length).ok_or(ParseError::TooLong)?;
    }
    Ok(Duration::from_secs(seconds))
}

fn part_seconds(part: &str) -> Result<u64, ParseError> {
    let mut incomplete = || ParseError::Incomplete(part.to_owned());
    let unit = part.chars().next_back().ok_or_else(incomplete)?;
    if unit.is_ascii_digit() {
        return Err(incomplete());
    }
    let (_, length) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(ParseError::UnknownUnit(unit))?;
    let number: u64 = part[..part.len() - 1].parse().map_err(|_| incomplete())?;
    number.checked_mul(*length).ok_or(ParseError::TooLong)
}

/// Writes 5,400 seconds as `1h 30m`. Parts of a second are left out.
pub fn display(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut parts = Vec::new();
    for (unit, length) in UNITS {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}
