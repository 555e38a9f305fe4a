//! Pages: of lists (by cursor, never by offset) and of logs (by line).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The largest page of any list.
pub const LIMIT_MAX: u32 = 200;
/// The page size when none is asked for.
pub const LIMIT_DEFAULT: u32 = 50;
/// The largest page of a log, in lines.
pub const LOG_LIMIT_MAX: u32 = 5_000;
/// Log lines when no number is asked for.
pub const LOG_LIMIT_DEFAULT: u32 = 500;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Give this as `after` to get the next page; absent on the last. Opaque.
    pub next: Option<String>,
}

/// A piece of an attempt's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// The lines, in order.
    pub lines: Vec<LogLine>,
    /// Give this as `from` to go on.
    pub next: u64,
    /// Whether the log will not grow any more and this page reaches its end.
    pub complete: bool,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Its number, from 1.
    pub n: u64,
    /// Its text, redacted, without the line end; may contain ANSI colour sequences.
    pub text: String,
}
