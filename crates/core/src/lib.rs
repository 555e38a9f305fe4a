//! The domain of Meta-Builder: types, state machines, planners, policies.
//!
//! Deliberately absent: input and output, clocks, async, randomness, environment. `now` and ids are arguments,
//! collections are ordered, and every decision is a pure function whose result is data. That is what lets the
//! same code be table-tested, simulated and replayed.

pub mod advance;
pub mod affinity;
pub mod again;
pub mod attempt;
pub mod budget;
pub mod error;
pub mod event;
pub mod expression;
pub mod failure;
pub mod id;
pub mod ladder;
pub mod name;
pub mod probe;
pub mod queue;
pub mod repair;
pub mod report;
pub mod run;
pub mod schedule;
pub mod scope;
pub mod strategy;
pub mod task;
pub mod time;
pub mod trigger;
mod words;
pub mod workflow;
