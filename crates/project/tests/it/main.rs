//! The crate from outside: trees in temporary folders in, workflows, texts and mistakes out.

mod commands;
mod config;
mod detection;
mod explaining;
mod fixtures;
