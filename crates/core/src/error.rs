//! Errors as text.
//!
//! An error's own text never holds its cause (rule 7), so the chain is printed once, at the edge, by this.

use std::error::Error;

/// An error with its causes, as one line: `a: b: c`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn every_cause_is_named_once() {
        let cause = "x".parse::<u8>().expect_err("no number");
        assert_eq!(chain(&Outer(cause)), "outer: invalid digit found in string");
    }
}
