//! The queue as an executable specification, and a simulator that looks for orders of events it does not survive.
//!
//! [`model`] is the queue over maps: the meaning of every verb of the store, without SQL, threads or waiting.
//! Development only; nothing that ships depends on this crate.
//!
//! Deliberately absent: the engine's own code (handlers, sandboxes, HTTP). What is simulated is the protocol between
//! workers and store, which is where work is lost or done twice.

pub mod model;
pub mod run;
