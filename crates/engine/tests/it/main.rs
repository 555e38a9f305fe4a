//! The engine over real files, real commands and a real store: what a run does, told by its timeline.

mod runs;
mod scheduler;
mod web;
mod workers;
mod workflows;
mod world;
