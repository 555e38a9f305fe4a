//! Repair as pure functions: what a failing step said ([`evidence`]), and what could be changed about it
//! ([`strategy`]), with the gate every change has to pass ([`gate`]).
//!
//! Deliberately absent: running anything, worktrees, budgets, the ladder that decides what is tried when, and any
//! network. Edits and commands are data; the engine carries them out, verifies them by running the step again and
//! drops what does not verify. That is why a strategy may guess, and why it must never touch a file itself.

pub mod evidence;
pub mod gate;
mod pattern;
pub mod strategy;

pub use evidence::{Observed, classify, fingerprint, test_counts};
pub use gate::{GateRefusal, GateRule, LOCK_FILES, patch_gate};
pub use strategy::{Command, DirFiles, Edit, Files, Proposal, propose, rustc_suggestions, suggestions_command};
