//! What people write is read, and what is written can be read again.

use std::time::Duration;

use spans::{display, parse, ParseError};

#[test]
fn parts_are_added_up() {
    assert_eq!(parse("1h 30m"), Ok(Duration::from_secs(5_400)));
    assert_eq!(parse(" 2d  45s "), Ok(Duration::from_secs(172_845)));
}

#[test]
fn mistakes_are_named() {
    assert_eq!(parse("  "), Err(ParseError::Empty));
    assert_eq!(parse("90"), Err(ParseError::Incomplete("90".to_owned())));
    assert_eq!(parse("h"), Err(ParseError::Incomplete("h".to_owned())));
    assert_eq!(parse("3w"), Err(ParseError::UnknownUnit('w')));
    assert_eq!(parse("99999999999999999999s"), Err(ParseError::Incomplete("99999999999999999999s".to_owned())));
    assert_eq!(parse("18446744073709551615d"), Err(ParseError::TooLong));
}

#[test]
fn what_is_written_can_be_read() {
    for seconds in [0, 1, 59, 60, 3_599, 5_400, 86_399, 172_845] {
        let duration = Duration::from_secs(seconds);
        assert_eq!(parse(&display(duration)), Ok(duration));
    }
}
