//! The queue as an executable specification, and a simulator that looks for orders of events it does not survive.
//!
//! [`model`] is the queue over maps: the meaning of every verb of the store, without SQL, threads or waiting.
//! [`simulate`] runs workers and callers over it in virtual time, breaks what can break, and compares what was said and
//! done with a ledger of its own after every event.
//!
//! Deliberately absent: the engine's own code (handlers, sandboxes, HTTP). What is simulated is the protocol between
//! workers and store, which is where work is lost or done twice. Development only; nothing that ships depends on this.

mod call;
mod client;
mod ledger;
pub mod model;
mod node;
mod plan;
mod process;
mod random;
pub mod run;
mod world;

pub use world::{Outcome, simulate};
