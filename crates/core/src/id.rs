//! Identifiers, one list of kinds.
//!
//! Every id an operator can meet is a newtype with a prefix in text (`run_01h…`), in the TypeID form
//! (<https://github.com/jetify-com/typeid>): prefix, underscore, 26 characters of Crockford base 32 over a
//! UUID version 7, so ids sort by the time they were made and can be pasted anywhere.
//!
//! Steps and attempts have no id of their own. They are named by their place (`run_…/test#2`), which is
//! what makes it impossible to record one of them twice.
//!
//! Nothing here draws a random number: the bytes come from the caller ([`crate`] header, rule 3).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {prefix} id: expected {prefix}_ and 26 characters of 0-9 a-z without i l o u")]
pub struct BadId {
    /// The prefix that was expected.
    pub prefix: &'static str,
    /// The text that was given.
    pub text: String,
}

fn encode(bytes: [u8; 16]) -> String {
    let value = u128::from_be_bytes(bytes);
    (0..26).rev().map(|i| ALPHABET[(value >> (5 * i)) as usize & 31] as char).collect()
}

fn decode(text: &str) -> Option<[u8; 16]> {
    if text.len() != 26 || text.as_bytes()[0] > b'7' {
        return None;
    }
    let mut value: u128 = 0;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|&c| c == byte)?;
        value = (value << 5) | digit as u128;
    }
    Some(value.to_be_bytes())
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The prefix of the text form, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// An id from 16 bytes, normally those of a UUID version 7.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes behind the id.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(Self)
                    .ok_or_else(|| BadId { prefix: $prefix, text: text.to_owned() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// One execution of a workflow.
    RunId = "run";
    /// Who owns a row: every row has one from the start.
    TenantId = "ten";
    /// A unit of work on the queue.
    TaskId = "tsk";
    /// A process that claims tasks; a new one at every start.
    WorkerId = "wrk";
    /// Something that happened outside and was told us.
    EventId = "evt";
    /// A schedule.
    ScheduleId = "sch";
    /// A trigger.
    TriggerId = "trg";
    /// An API token (its public name; the secret is never stored).
    TokenId = "tok";
}

impl TenantId {
    /// The tenant of a single-user installation.
    pub const DEFAULT: TenantId = TenantId::from_bytes([0; 16]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_sorts_like_the_bytes() {
        let low = RunId::from_bytes([0; 16]);
        let high = RunId::from_bytes([0xff; 16]);
        assert_eq!(low.to_string(), "run_00000000000000000000000000");
        assert_eq!(high.to_string(), "run_7zzzzzzzzzzzzzzzzzzzzzzzzz");
        assert!(low.to_string() < high.to_string());
        for id in [low, high] {
            assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
        }
    }

    #[test]
    fn a_wrong_prefix_length_or_letter_is_refused() {
        for text in [
            "",
            "run_",
            "tok_00000000000000000000000000",
            "run_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "run_0000000000000000000000000u",
            "run_é0000000000000000000000000",
        ] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
}
