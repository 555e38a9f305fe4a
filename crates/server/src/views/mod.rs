//! The console's pages, as pure functions from data to markup.
//!
//! Nothing here reads a clock, a store or a request, so every page can be tested and looked at with made-up data.
//! Every text that came from a project (names, logs, diffs, messages) is untrusted: it is escaped by maud, kept
//! apart from its neighbours' direction by `<bdi>`, and cut where a hostile length would break the page.
//!
//! Deliberately absent: inline scripts and inline styles (the content security policy forbids both; lengths are SVG
//! attributes), and raw HTML (`PreEscaped` is used for constants only).

mod ansi;
mod dead_letters;
mod diff;
mod layout;
mod log;
mod login;
mod now;
mod queues;
mod run;
mod runs;
mod schedules;
mod status;
mod steps;
mod text;
mod timeline;
mod triggers;
mod waterfall;
mod why;
mod workers;
mod workflows;

pub use dead_letters::{DeadPage, dead_letters};
pub use layout::{Chrome, Live};
pub use log::lines as log_lines;
pub use login::{login, message, welcome};
pub use now::now;
pub use queues::{QueuesPage, queues};
pub use run::{RunPage, run};
pub use runs::{RunsPage, WINDOWS, runs};
pub use schedules::{SchedulePage, schedule, schedules};
pub use status::Status;
pub use triggers::{trigger, triggers};
pub use workers::{WorkersPage, workers};
pub use workflows::{WorkflowPage, workflow, workflows};
