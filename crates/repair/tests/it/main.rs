//! Everything this crate promises, over real output of real tools and small projects on disk.

mod classify;
mod gate;
mod strategies;
mod support;
mod verdict;
