//! HTTP.
pub mod assets;
mod query;
pub mod views;
