//! The built program, driven from outside: a fresh data folder for each test, a deadline on every wait.
//!
//! Deliberately absent: anything that reads the program's memory or calls its functions. What a person at a shell
//! or a script in CI cannot see is tested in the crates below.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod bad_input;
mod cli;
mod crash;
mod examples;
mod help;
mod postgres;
mod registry;
mod server;
mod support;
mod workers;
mod workflow;
