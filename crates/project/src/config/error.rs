//! Everything that can be wrong with a configuration, each with its place and a mend. All are reported at once:
//! a person fixes a file in one pass, not in a dialogue.

use std::fmt;
use std::io;
use std::path::PathBuf;

use mb_core::workflow::BadWorkflow;

/// Where a problem is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file. `line` and `column` count from 1; 0 means the file as a whole.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u32,
        /// Column in characters, from 1.
        column: u32,
    },
    /// In an environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// In a command-line flag.
    Flag {
        /// Its name with dashes.
        name: String,
    },
    /// In what was asked, not in any file.
    Request,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Env { name } => write!(f, "environment variable {name}"),
            Self::Flag { name } => f.write_str(name),
            Self::Request => f.write_str("request"),
        }
    }
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file is there but cannot be read.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    /// The path is a folder, a pipe or a device.
    #[error("is not a regular file")]
    NotAFile,
    /// The file is larger than any configuration.
    #[error("is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// The bytes are not text.
    #[error("is not valid UTF-8")]
    NotUtf8,
    /// The text is not TOML.
    #[error("{message}")]
    Syntax {
        /// What the parser said, one line.
        message: String,
    },
    /// A key nobody reads.
    #[error("unknown key `{key}` in {table}{}", suggestion(.nearest.as_deref()))]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it stands: `[steps.test]`, or `the file` for the top level.
        table: String,
        /// The nearest known key.
        nearest: Option<String>,
    },
    /// A value of the wrong type or form.
    #[error("`{key}` must be {expected}, not {found}")]
    WrongType {
        /// The full key.
        key: String,
        /// What was expected, with an example.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A value out of its range.
    #[error("`{key}` must be between {least} and {most}, not {found}")]
    OutOfRange {
        /// The full key.
        key: String,
        /// The least value allowed.
        least: String,
        /// The greatest value allowed.
        most: String,
        /// What was found.
        found: String,
    },
    /// A value that cannot be used for another reason.
    #[error("`{key}` is not usable: {reason}")]
    BadValue {
        /// The full key.
        key: String,
        /// Why.
        reason: String,
        /// What to write instead.
        mend: &'static str,
    },
    /// A key that must be there is not.
    #[error("{table} has no `{key}`")]
    Missing {
        /// The key.
        key: String,
        /// The table it should be in.
        table: String,
    },
    /// A need that names no step.
    #[error("`{key}` names `{need}`, which is not a step{}", suggestion(.nearest.as_deref()))]
    UnknownNeed {
        /// The full key.
        key: String,
        /// The name given.
        need: String,
        /// The nearest step.
        nearest: Option<String>,
    },
    /// The steps do not make a workflow.
    #[error(transparent)]
    Workflow(#[from] BadWorkflow),
    /// Neither a step nor a toolchain was found.
    #[error("there is nothing to run: no step is written, and no toolchain was recognised")]
    NothingFound,
    /// A setting that does not exist was asked for.
    #[error("there is no setting `{key}`{}", suggestion(.nearest.as_deref()))]
    NoSetting {
        /// The key.
        key: String,
        /// The nearest one.
        nearest: Option<String>,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// One problem with its place.
#[derive(Debug)]
pub struct ConfigError {
    /// Where.
    pub at: Place,
    /// What.
    pub problem: Problem,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.problem)
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem.source()
    }
}

impl ConfigError {
    /// What to do about it, one sentence.
    pub fn mend(&self) -> String {
        match &self.problem {
            Problem::Unreadable(_) => "check that the file exists and that you may read it".into(),
            Problem::NotAFile => "put a text file there".into(),
            Problem::TooLarge { .. } => "is this the right file? a configuration is a few kilobytes".into(),
            Problem::NotUtf8 => "save the file as UTF-8".into(),
            Problem::Syntax { .. } => "correct the TOML at this place; see https://toml.io".into(),
            Problem::UnknownKey { nearest: Some(name), .. } => format!("write `{name}`, or remove the line"),
            Problem::UnknownKey { .. } => "remove the line".into(),
            Problem::WrongType { expected, .. } => format!("write {expected}"),
            Problem::OutOfRange { least, most, .. } => format!("choose a value from {least} to {most}"),
            Problem::BadValue { mend, .. } => (*mend).into(),
            Problem::Missing { key, table } => format!("add `{key}` to {table}"),
            Problem::UnknownNeed { nearest: Some(name), .. } => format!("write `{name}`, or add the step"),
            Problem::UnknownNeed { need, .. } => format!("add [steps.{need}], or remove the need"),
            Problem::Workflow(BadWorkflow::Cycle { .. }) => "remove one of these needs".into(),
            Problem::Workflow(_) => "correct the step".into(),
            Problem::NothingFound => "write a meta-builder.toml with one step, or name a command to run".into(),
            Problem::NoSetting { nearest: Some(name), .. } => format!("ask for `{name}`"),
            Problem::NoSetting { .. } => "leave the key out to see every setting".into(),
        }
    }
}

/// Everything that is wrong, in the order of the file. Never empty.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
