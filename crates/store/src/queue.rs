//! The queue: tasks wait, are leased, and end, as `mb_core::queue` decides.
//!
//! One table for each place a task can be in, and narrow rows that move between them (`migrations/…/0002_queue.sql`).
//! Tasks of runs wait in the same order as all others; what they lead to is the run machine's decision (`of_run`).
//! Every verb takes many tasks at once, because a statement and a commit cost the same for one as for hundreds.
//!
//! Deliberately absent: what tasks do, and waiting for some to come ([`Store::changes`] hints at it).

mod claim;
mod complete;
mod control;
mod enqueue;
mod gather;
mod history;
mod limits;
mod of_run;
mod partition;
mod row;
mod stats;

pub use claim::Claimed;
pub use history::{FinishedTask, Retention, TaskView};
pub use of_run::{Finished, Report};
pub use stats::QueueStats;

pub(crate) use claim::lose;
pub(crate) use enqueue::{Fair, admit_run, head};
pub(crate) use gather::Gather;
pub(crate) use row::TAKE_BACK_MAX;

#[cfg(doc)]
use crate::Store;
