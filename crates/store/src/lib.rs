//! Durable state: runs, their queue, their events, and who may ask, over SQLite or PostgreSQL.
//!
//! One concrete [`Store`], cheap to clone, over a private enum of backends. Its methods are domain verbs
//! (`claim`, `finish`, `cancel`), one file per aggregate; each is one transaction and returns what happened.
//! A verb is written once: `db` hides what differs between the drivers, `sql/` what differs between the
//! dialects. How a run moves is not decided here: `mb_core::advance` is asked inside the transaction
//! (`machine`).
//!
//! **Lock order**, everywhere: keys of tasks, task rows, keys of limits, run rows (by id), the event counter. Claim, finish,
//! cancel, heartbeat and reap therefore cannot wait for each other in a circle; if they ever do, the database
//! ends one of them and the verb runs again.
//!
//! **SQLite**: write-ahead log, `synchronous=FULL` (what was acknowledged survives a power cut), one writer
//! connection and `BEGIN IMMEDIATE`, a small pool of readers. Several processes may open the same file.
//! **PostgreSQL**: READ COMMITTED with row locks, `SKIP LOCKED` for the queue, `LISTEN`/`NOTIFY` as a hint.
//!
//! Deliberately absent: a transaction handle for callers, SQL built from strings, a clock (`now` is an argument),
//! ids (they come with the rows), and deletion of old runs.

mod changes;
mod db;
mod error;
mod events;
mod fires;
mod json;
mod leaders;
mod list;
mod logins;
mod machine;
mod migrate;
mod open;
mod patches;
mod queue;
mod runs;
mod schedules;
mod scratch;
mod signals;
mod sql;
mod store;
mod tokens;
mod triggers;
mod url;
mod workers;
mod workflows;

pub use error::{Cause, StoreError};
pub use fires::{FinishedRun, FireRow, FireState};
pub use leaders::{Epoch, Lead, LeaderRow, Led};
pub use list::{BadCursor, Cursor, Page, RunFilter, RunSummary, StepCell};
pub use logins::SessionRow;
pub use migrate::{MigrateError, SchemaState};
pub use open::OpenError;
pub use patches::StoredPatch;
pub use queue::{Claimed, Finished, FinishedTask, QueueStats, Report, Retention, TaskView};
pub use runs::{Cancel, Created, NewRun};
pub use schedules::{Added, NewSchedule, SCHEDULES_MAX, ScheduleDecision, ScheduleRow};
pub use scratch::SCRATCH_PREFIX;
pub use signals::{Decision, Told};
pub use store::{PoolStats, Store, StoreOptions};
pub use tokens::TokenRow;
pub use triggers::{TRIGGERS_MAX, TriggerRow};
pub use url::{BadStoreUrl, StoreUrl};
pub use workers::{Holding, SeenWorker, WorkerRow};
pub use workflows::{Published, VersionRow};
