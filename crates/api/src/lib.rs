//! The wire: what the HTTP API says and hears, and a client that speaks it.
//!
//! Types here are the JSON of `/api/v1`. They are made from the domain by `from_domain` and never the other way
//! round, so the domain can change without changing what a script parses. Additive changes keep the version.
//!
//! Deliberately absent: anything about routes, authorization or storage.

pub mod client;
pub mod code;
pub mod event;
pub mod failure;
pub mod fleet;
pub mod now;
pub mod page;
pub mod probe;
pub mod problem;
pub mod repair;
pub mod run;
pub mod schedule;
pub mod signal;
pub mod sse;
pub mod token;
pub mod trigger;
pub mod waiting;
mod words;
pub mod workflow;

pub use client::{Client, ClientError};
pub use code::Code;
pub use event::{Event, Tone};
pub use failure::Failure;
pub use fleet::{Queue, Worker};
pub use now::{Need, Now};
pub use page::{LIMIT_DEFAULT, LIMIT_MAX, LogLine, LogPage, Page};
pub use problem::Problem;
pub use repair::Repair;
pub use run::{Attempt, Created, Run, RunSummary, StartRun, Step};
pub use schedule::{Fire, Moment, NewSchedule, Schedule};
pub use signal::{NewDecision, NewSignal, RetryRun};
pub use token::{NewToken, Token, TokenSecret};
pub use trigger::{EventSent, NewEvent, NewTrigger, Trigger};
pub use workflow::{Applied, Choose, Execution, NamedWorkflow, Pause, StartNamed, WorkflowVersion};
