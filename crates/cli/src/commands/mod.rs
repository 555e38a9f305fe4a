//! One file per noun.

pub(crate) mod bench;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod init;
pub(crate) mod queue;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schedule;
pub(crate) mod serve;
pub(crate) mod signal;
pub(crate) mod task;
pub(crate) mod token;
pub(crate) mod trigger;
pub(crate) mod up;
pub(crate) mod worker;
pub(crate) mod workflow;
