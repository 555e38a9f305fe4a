//! The conformance suite: the same tests on SQLite (always) and on PostgreSQL (when `MB_TEST_POSTGRES` is a URL).

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod access;
mod crash;
mod fleet;
mod opening;
mod queue;
mod queue_tasks;
mod random;
mod registry;
mod runs;
mod schedules;
mod signals;
mod speed;
mod support;
