//! The kinds of value a setting can have: how each is read from TOML, from one line of text (environment, flags),
//! and shown again. What [`Value::show`] writes, [`Value::parse`] reads back to the same value.

use mb_core::budget::MicroUsd;
use mb_core::failure::FailureKind;
use mb_core::workflow::{CommandLine, Network, StageKind};
use toml::de::DeValue;

/// A kind of value.
pub(crate) trait Value: Sized {
    /// What was expected, with an example, as a fragment.
    const EXPECTED: &'static str;

    /// From one line of text.
    fn parse(text: &str) -> Option<Self>;

    /// From a TOML value. Most kinds are written as a string.
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().and_then(Self::parse)
    }

    /// As a person would write it.
    fn show(&self) -> String;
}

/// A span of time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

/// An amount of data, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) u64);

const TIMES: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// The next `123unit` of a text: the number, the unit, and what follows.
fn amount(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    Some((number.parse().ok()?, unit.trim(), rest))
}

impl Value for Millis {
    const EXPECTED: &'static str = "a duration such as \"90s\", \"5m\" or \"1h30m\"";

    fn parse(text: &str) -> Option<Self> {
        let (mut rest, mut total, mut before) = (text.trim(), 0_u64, u64::MAX);
        while !rest.is_empty() {
            let (number, unit, after) = amount(rest)?;
            let &(_, size) = TIMES.iter().find(|(name, _)| *name == unit)?;
            // Larger units first and each once, so that `1m1m` is a mistake rather than two minutes.
            if size >= before {
                return None;
            }
            total = total.checked_add(number.checked_mul(size)?)?;
            (rest, before) = (after, size);
        }
        (before != u64::MAX).then_some(Self(total))
    }

    fn show(&self) -> String {
        let (mut rest, mut text) = (self.0, String::new());
        for &(unit, size) in TIMES {
            if rest >= size {
                text.push_str(&format!("{}{unit}", rest / size));
                rest %= size;
            }
        }
        if text.is_empty() { "0s".into() } else { text }
    }
}

impl Value for Bytes {
    const EXPECTED: &'static str = "a size such as \"512MB\" or \"2GiB\"";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit, rest) = amount(text.trim())?;
        let &(_, size) = SIZES.iter().find(|(name, _)| *name == unit)?;
        if rest.is_empty() { number.checked_mul(size).map(Self) } else { None }
    }

    fn show(&self) -> String {
        let fits = SIZES.iter().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size));
        let (unit, size) = fits.copied().unwrap_or(("B", 1));
        format!("{}{unit}", self.0 / size)
    }
}

impl Value for MicroUsd {
    const EXPECTED: &'static str = "an amount in US dollars such as 10.0";

    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
            return None;
        }
        let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros).map(Self)
    }

    fn read(value: &DeValue<'_>) -> Option<Self> {
        match value {
            DeValue::Integer(number) if number.radix() == 10 => Self::parse(number.as_str()),
            DeValue::Float(number) => Self::parse(number.as_str()),
            _ => None,
        }
    }

    fn show(&self) -> String {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        let text = text.trim_end_matches('0');
        if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
    }
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl Value for $kind {
            const EXPECTED: &'static str = "a whole number such as 10";

            fn parse(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }

            fn read(value: &DeValue<'_>) -> Option<Self> {
                let number = value.as_integer()?;
                Self::from_str_radix(number.as_str(), number.radix()).ok()
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
integers!(u32, u64);

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    const EXPECTED: &'static str = "text in quotes such as \"build\"";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for Vec<String> {
    const EXPECTED: &'static str = "a list of texts such as [\"a\", \"b\"]";

    fn parse(text: &str) -> Option<Self> {
        Some(text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
    }

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_array()?.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
    }

    fn show(&self) -> String {
        self.join(", ")
    }
}

impl Value for CommandLine {
    const EXPECTED: &'static str = "a command such as \"cargo test\" or [\"cargo\", \"test\"]";

    fn parse(text: &str) -> Option<Self> {
        Some(Self::Shell(text.to_owned()))
    }

    fn read(value: &DeValue<'_>) -> Option<Self> {
        match value {
            DeValue::Array(_) => Vec::read(value).map(Self::Argv),
            _ => value.as_str().and_then(Self::parse),
        }
    }

    fn show(&self) -> String {
        self.display()
    }
}

macro_rules! vocabularies {
    ($($kind:ident: $expected:literal;)*) => {$(
        impl Value for $kind {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<Self> {
                Self::from_word(text.trim())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
vocabularies! {
    Network: "\"none\" or \"full\"";
    StageKind: "one of \"lint\", \"format\", \"typecheck\", \"build\", \"test\", \"security\", \"custom\"";
    FailureKind: "a kind of failure such as \"lint\"";
}

/// The failure kinds a fixer is tried for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kinds(pub(crate) Vec<FailureKind>);

impl Value for Kinds {
    const EXPECTED: &'static str = "a list of failure kinds such as [\"format\", \"lint\"]";

    fn parse(text: &str) -> Option<Self> {
        Vec::<String>::parse(text)?.iter().map(|word| FailureKind::from_word(word)).collect::<Option<_>>().map(Self)
    }

    fn read(value: &DeValue<'_>) -> Option<Self> {
        Vec::<String>::read(value)?.iter().map(|word| FailureKind::from_word(word)).collect::<Option<_>>().map(Self)
    }

    fn show(&self) -> String {
        self.0.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_and_sizes() {
        for (text, expected) in [
            ("90s", Some(90_000)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("", None),
            ("90", None),
            ("m", None),
            ("1m1m", None),
            ("1s1h", None),
            ("1x", None),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(Millis::parse(text).map(|d| d.0), expected, "{text:?}");
        }
        for (text, expected) in [
            ("512MB", Some(512_000_000)),
            ("2GiB", Some(2 << 30)),
            ("1 KiB", Some(1024)),
            ("1GB2MB", None),
            ("5", None),
        ] {
            assert_eq!(Bytes::parse(text).map(|b| b.0), expected, "{text:?}");
        }
    }

    #[test]
    fn dollars() {
        for (text, expected) in [
            ("10", Some(10_000_000)),
            ("0.5", Some(500_000)),
            ("0.0000001", None),
            ("-1", None),
            ("1e3", None),
            (".", None),
        ] {
            assert_eq!(MicroUsd::parse(text).map(|m| m.0), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(number: u64) {
            prop_assert_eq!(Millis::parse(&Millis(number).show()), Some(Millis(number)));
            prop_assert_eq!(Bytes::parse(&Bytes(number).show()), Some(Bytes(number)));
            prop_assert_eq!(MicroUsd::parse(&MicroUsd(number).show()), Some(MicroUsd(number)));
        }
    }
}
