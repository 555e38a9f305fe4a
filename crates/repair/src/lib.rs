//! x
pub mod evidence;
mod pattern;
