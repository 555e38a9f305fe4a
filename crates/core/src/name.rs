//! Names people give to things they come back to: workflows, schedules, triggers, events.
//!
//! Deliberately absent: names of steps, which may hold `/` and `:` and are checked with their workflow.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 100;

/// A checked name: 1 to 100 of `a-z A-Z 0-9 - _ .`, the first a letter or digit. It needs no escaping in an address,
/// a file name or a shell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a name: use 1 to 100 letters, digits and - _ . and begin with a letter or digit")]
pub struct BadName {
    /// The text, at most 100 characters of it.
    pub text: String,
}

impl Name {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Name, BadName> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
            && text.len() <= NAME_BYTES_MAX
            && text.bytes().all(plain);
        if is_name {
            Ok(Name(text.to_owned()))
        } else {
            Err(BadName { text: text.chars().take(NAME_BYTES_MAX).collect() })
        }
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;

    fn try_from(text: String) -> Result<Name, BadName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_escaping() {
        for good in ["a", "7", "nightly-build_2.0", &"x".repeat(100)] {
            assert_eq!(good.parse::<Name>().map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", ".", "..", "-rf", "_a", "a/b", "a b", "é", "a\0", &"x".repeat(101)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }
}
