//! The conformance suite: the same tests on SQLite (always) and on PostgreSQL (when `MB_TEST_POSTGRES` is a URL).

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod access;
mod crash;
mod fleet;
mod opening;
mod queue;
mod random;
mod runs;
mod speed;
mod support;
