//! What a repository is: which toolchains it uses, what its `meta-builder.toml` says, and the workflow both make.
//!
//! Three questions are answered from files alone. [`detect`]: which tools would a user of this repository run?
//! [`load`]: what is the workflow of this project? [`explain`]: where does every value of it come from?
//!
//! Deliberately absent: running anything and writing anything. A guess that needs a command (is clippy
//! installed? does the lock file resolve?) is left to the run, whose failure says it better. The environment is
//! an argument, so the same folder and the same arguments always give the same workflow. Reading is bounded: depth
//! and number of entries looked at, bytes of one manifest, bytes of one configuration.

mod command;
mod config;
mod detect;
mod explain;
mod init;
mod project;
mod step;
mod survey;
mod values;
mod workflow_file;

pub use config::error::{ConfigError, ConfigErrors, Place, Problem};
pub use config::layers::{ENV_NAMES, Flag, Layers};
pub use detect::{Detection, Toolchain, Unit, detect};
pub use explain::{Explained, Source};
pub use init::init_toml;
pub use project::{CONFIG_FILE, ConfigSource, Loaded, explain, for_command, for_command_with, load, load_with};
pub use step::CommandStep;
pub use workflow_file::{FILE_BYTES_MAX, WorkflowFileError, parse_workflow};
