//! The conformance suite: the same tests on SQLite (always) and on PostgreSQL (when `MB_TEST_POSTGRES` is a URL).

mod access;
mod opening;
mod queue;
mod random;
mod runs;
mod speed;
mod support;
