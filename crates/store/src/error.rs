//! What can go wrong in a verb, in the few kinds a caller can act on.
//!
//! The driver's own error is kept as the cause but its type does not leave this crate. Deliberately absent: a
//! variant for "not found" or "somebody else was faster": those are results, not errors.

use std::error::Error;

use mb_core::queue::Refused;

/// What a driver or decoder said, without its type.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why a verb failed. Unless the kind is [`Unavailable`](Self::Unavailable) or [`Timeout`](Self::Timeout) nothing
/// was changed; with those two a commit may have happened and its answer been lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or cannot be written.
    #[error("the database is not available")]
    Unavailable {
        /// Whether trying again later may help by itself.
        retryable: bool,
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// A connection, a lock or a statement took longer than its limit.
    #[error("the database took longer than allowed: {what}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// What the driver said, when it was the one to give up.
        #[source]
        source: Option<Cause>,
    },
    /// Others hold what this verb needs, even after it was tried again.
    #[error("the database is busy with conflicting work")]
    Busy {
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// A row with that key exists, or a rule of the schema refuses the row.
    #[error("the row conflicts with what is stored: {what}")]
    Conflict {
        /// Which row or rule.
        what: String,
        /// What the driver said.
        #[source]
        source: Option<Cause>,
    },
    /// The caller gave something that cannot be stored.
    #[error("cannot be stored: {what}")]
    Invalid {
        /// What, and why.
        what: String,
        /// What said so.
        #[source]
        source: Option<Cause>,
    },
    /// The queue does not take it, as it is or now.
    #[error("nothing was enqueued")]
    Refused(#[from] Refused),
    /// The tables are missing or of another version.
    #[error("the database does not have the schema this program needs")]
    Schema {
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// What is stored cannot be read back.
    #[error("stored data cannot be read: {what}")]
    Corrupt {
        /// Which row or column.
        what: String,
        /// What the decoder said.
        #[source]
        source: Option<Cause>,
    },
    /// The disk, or the space the database may use, is full.
    #[error("there is no space left for the database")]
    Full {
        /// What the driver said.
        #[source]
        source: Cause,
    },
}

impl StoreError {
    /// Whether the same verb may succeed later with nothing mended by hand.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { retryable, .. } => *retryable,
            Self::Timeout { .. } | Self::Busy { .. } => true,
            Self::Conflict { .. }
            | Self::Invalid { .. }
            | Self::Refused(_)
            | Self::Schema { .. }
            | Self::Corrupt { .. }
            | Self::Full { .. } => false,
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Corrupt { what: what.into(), source: Some(source.into()) }
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), source: None }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut => Self::Timeout { what: "no connection was free", source: Some(error.into()) },
            sqlx::Error::PoolClosed => Self::Unavailable { retryable: false, source: error.into() },
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => {
                Self::Unavailable { retryable: true, source: error.into() }
            }
            sqlx::Error::Database(database) => {
                let kind = match Code::of(database.as_ref()) {
                    Code::Sqlite(code) => sqlite_kind(code, database.message()),
                    Code::Postgres(state) => postgres_kind(&state),
                };
                kind.into_error(error)
            }
            _ => Self::Corrupt { what: "a row does not have the expected form".into(), source: Some(error.into()) },
        }
    }
}

/// The error code of either driver.
pub(crate) enum Code {
    /// The primary result code.
    Sqlite(u32),
    /// The SQLSTATE.
    Postgres(String),
}

impl Code {
    /// SQLite's codes are decimal numbers whose low byte is the primary code; SQLSTATEs have five characters and
    /// belong to the other type.
    pub(crate) fn of(error: &dyn sqlx::error::DatabaseError) -> Code {
        let text = error.code().unwrap_or_default();
        if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
            return Code::Sqlite(text.parse::<u32>().unwrap_or(1) & 0xff);
        }
        Code::Postgres(text.into_owned())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Unavailable { retryable: bool },
    Timeout,
    Busy,
    Conflict,
    Schema,
    Corrupt,
    Full,
}

impl Kind {
    fn into_error(self, error: sqlx::Error) -> StoreError {
        let what = error.as_database_error().map(|e| e.message().to_owned()).unwrap_or_default();
        let source: Cause = error.into();
        match self {
            Self::Unavailable { retryable } => StoreError::Unavailable { retryable, source },
            Self::Timeout => StoreError::Timeout { what: "a statement was stopped", source: Some(source) },
            Self::Busy => StoreError::Busy { source },
            Self::Conflict => StoreError::Conflict { what, source: Some(source) },
            Self::Schema => StoreError::Schema { source },
            Self::Corrupt => StoreError::Corrupt { what, source: Some(source) },
            Self::Full => StoreError::Full { source },
        }
    }
}

/// <https://www.sqlite.org/rescode.html>
fn sqlite_kind(code: u32, message: &str) -> Kind {
    match code {
        5 | 6 => Kind::Busy,
        13 => Kind::Full,
        11 | 26 => Kind::Corrupt,
        19 => Kind::Conflict,
        9 => Kind::Timeout,
        3 | 8 | 14 | 23 => Kind::Unavailable { retryable: false },
        1 | 17 if message.starts_with("no such") || message.contains("has no column") => Kind::Schema,
        10 => Kind::Unavailable { retryable: true },
        _ => Kind::Corrupt,
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn postgres_kind(state: &str) -> Kind {
    match state {
        "40001" | "40P01" | "55P03" => Kind::Busy,
        "53100" => Kind::Full,
        "57014" => Kind::Timeout,
        // Object not in the state it must be in: for us, a database that takes no connections at the moment.
        "55000" => Kind::Unavailable { retryable: true },
        "25006" => Kind::Unavailable { retryable: false },
        "42P01" | "42703" | "3F000" => Kind::Schema,
        _ if state.starts_with("23") => Kind::Conflict,
        _ if ["08", "53", "57", "25"].iter().any(|class| state.starts_with(class)) => {
            Kind::Unavailable { retryable: true }
        }
        _ if state.starts_with("28") || state.starts_with("42501") => Kind::Unavailable { retryable: false },
        _ => Kind::Corrupt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_sqlite_have_their_kinds() {
        for (code, message, kind) in [
            (5, "database is locked", Kind::Busy),
            (13, "database or disk is full", Kind::Full),
            (26, "file is not a database", Kind::Corrupt),
            (19, "UNIQUE constraint failed: runs.id", Kind::Conflict),
            (8, "attempt to write a readonly database", Kind::Unavailable { retryable: false }),
            (10, "disk I/O error", Kind::Unavailable { retryable: true }),
            (1, "no such table: runs", Kind::Schema),
            (1, "near \"SELEKT\": syntax error", Kind::Corrupt),
        ] {
            assert_eq!(sqlite_kind(code, message), kind, "{code} {message}");
        }
    }

    #[test]
    fn states_of_postgres_have_their_kinds() {
        for (state, kind) in [
            ("40P01", Kind::Busy),
            ("40001", Kind::Busy),
            ("53100", Kind::Full),
            ("57014", Kind::Timeout),
            ("57P01", Kind::Unavailable { retryable: true }),
            ("53300", Kind::Unavailable { retryable: true }),
            ("55000", Kind::Unavailable { retryable: true }),
            ("25006", Kind::Unavailable { retryable: false }),
            ("42501", Kind::Unavailable { retryable: false }),
            ("23505", Kind::Conflict),
            ("42P01", Kind::Schema),
            ("22P02", Kind::Corrupt),
        ] {
            assert_eq!(postgres_kind(state), kind, "{state}");
        }
    }
}
