//! A regular expression compiled once, where it is used.
//!
//! The `regex` crate runs in time linear in its input, which is what lets untrusted logs be matched at all.

/// `pattern!("…")` is a `&'static Regex`. A pattern that does not compile is a bug that every test would show.
macro_rules! pattern {
    ($text:expr) => {{
        static PATTERN: std::sync::LazyLock<regex::Regex> =
            std::sync::LazyLock::new(|| regex::Regex::new($text).expect("a fixed pattern compiles"));
        &*PATTERN
    }};
}
pub(crate) use pattern;
