//! The runner against real processes, a real git and the sandbox of the machine the tests run on.
//!
//! Nothing here sleeps: conditions are waited for with a deadline, and commands that would run for ever are ended by a
//! limit that is part of the test.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails its test")]

mod files;
mod git;
mod limits;
mod sandbox;
mod support;
mod tools;
