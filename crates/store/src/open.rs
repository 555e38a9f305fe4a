//! Opening either database, with one error for each thing an operator would mend differently.
//!
//! Deliberately absent: making a PostgreSQL database (that needs rights a service should not have).

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use mb_core::time::millis;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Row};
use tokio::sync::Mutex;

use crate::changes::{Changes, Channel};
use crate::db::{Backend, Writer};
use crate::error::{Cause, Code};
use crate::store::StoreOptions;
use crate::url::StoreUrl;

/// Tries to open a SQLite file that another process is just making, and the wait between two.
const OPEN_TRIES_MAX: u32 = 20;
const OPEN_WAIT: Duration = Duration::from_millis(10);
/// SQLite waits this share of the acquire timeout by itself before it says "busy".
const BUSY_SHARE: u32 = 5;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody listens there.
    #[error("the database at {target} refused the connection")]
    Refused {
        /// Host and port, or socket.
        target: String,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The host cannot be found or does not answer.
    #[error("the database at {target} cannot be reached")]
    Unreachable {
        /// Host and port, or socket.
        target: String,
        /// What the system said; none when it did not answer in time.
        #[source]
        source: Option<Cause>,
    },
    /// The server does not accept the user or the password.
    #[error("the database at {target} does not accept user {user:?} with this password")]
    BadPassword {
        /// Host and port.
        target: String,
        /// The user's name.
        user: String,
        /// What the server said.
        #[source]
        source: Cause,
    },
    /// The server has no such database.
    #[error("the server at {target} has no database {database:?}")]
    NoSuchDatabase {
        /// Host and port.
        target: String,
        /// The database's name.
        database: String,
        /// What the server said.
        #[source]
        source: Cause,
    },
    /// The file is something else, or damaged.
    #[error("{} is not a database file", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// The file or its file system is read-only.
    #[error("{} cannot be written: it is read-only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The disk is full.
    #[error("there is no space left for {}", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// This user may not read and write the file or its folder.
    #[error("no permission for {}", path.display())]
    Permission {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The URL or an option cannot be used.
    #[error("the store's settings cannot be used: {what}")]
    Settings {
        /// Which, and why.
        what: String,
        /// What the driver said.
        #[source]
        source: Option<Cause>,
    },
    /// Anything else.
    #[error("{target} cannot be opened")]
    Other {
        /// The file, or host and port.
        target: String,
        /// What the driver said.
        #[source]
        source: Cause,
    },
}

pub(crate) async fn open(url: &StoreUrl, options: &StoreOptions) -> Result<(Backend, Changes), OpenError> {
    if options.connections_max == 0 {
        return Err(OpenError::Settings { what: "connections_max is 0".into(), source: None });
    }
    match url {
        StoreUrl::Sqlite(path) => open_sqlite(path, options).await,
        StoreUrl::Postgres(url) => open_postgres(url, options).await,
    }
}

async fn open_sqlite(path: &Path, options: &StoreOptions) -> Result<(Backend, Changes), OpenError> {
    make_file(path)?;
    let base = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(options.acquire_timeout / BUSY_SHARE);
    let write = base.clone().journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let writer = connect_writer(path, &write).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(options.connections_max)
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire(false)
        .connect_lazy_with(base.read_only(true));
    let writer = Arc::new(Mutex::new(Writer::new(writer)));
    Ok((Backend::Sqlite { writer, readers }, Changes::in_process()))
}

/// The switch to the write-ahead log does not wait for another process that does the same, so we do.
async fn connect_writer(path: &Path, options: &SqliteConnectOptions) -> Result<SqliteConnection, OpenError> {
    for attempt in 1..=OPEN_TRIES_MAX {
        match SqliteConnection::connect_with(options).await {
            Err(sqlx::Error::Database(error))
                if attempt < OPEN_TRIES_MAX && matches!(Code::of(error.as_ref()), Code::Sqlite(5 | 6)) =>
            {
                tokio::time::sleep(OPEN_WAIT * attempt).await;
            }
            result => return result.map_err(|error| sqlite_error(path, error)),
        }
    }
    unreachable!("the last attempt returns")
}

/// Makes the file and its folders for the owner only. What exists keeps its mode.
fn make_file(path: &Path) -> Result<(), OpenError> {
    let of = |path: &Path, source| io_error(path, source);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(|error| of(folder, error))?;
    }
    let mut file = std::fs::OpenOptions::new();
    file.create(true).truncate(false).write(true).read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    file.open(path).map(drop).map_err(|error| of(path, error))
}

fn io_error(path: &Path, error: io::Error) -> OpenError {
    let (path, kind) = (path.to_owned(), error.kind());
    let source: Cause = error.into();
    match kind {
        io::ErrorKind::PermissionDenied => OpenError::Permission { path, source },
        io::ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly { path, source },
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::DiskFull { path, source },
        io::ErrorKind::IsADirectory => OpenError::NotADatabase { path, source },
        _ => OpenError::Other { target: path.display().to_string(), source },
    }
}

fn sqlite_error(path: &Path, error: sqlx::Error) -> OpenError {
    let code = error.as_database_error().map(Code::of);
    let (path, source): (_, Cause) = (path.to_owned(), error.into());
    match code {
        Some(Code::Sqlite(11 | 26)) => OpenError::NotADatabase { path, source },
        Some(Code::Sqlite(8)) => OpenError::ReadOnly { path, source },
        Some(Code::Sqlite(13)) => OpenError::DiskFull { path, source },
        Some(Code::Sqlite(3 | 14 | 23)) => OpenError::Permission { path, source },
        _ => OpenError::Other { target: path.display().to_string(), source },
    }
}

async fn open_postgres(url: &str, options: &StoreOptions) -> Result<(Backend, Changes), OpenError> {
    let connect = postgres_options(url, options)?;
    let channel = first_contact(&connect, options.acquire_timeout).await?;
    let pool = PgPoolOptions::new()
        .max_connections(options.connections_max)
        .acquire_timeout(options.acquire_timeout)
        .connect_lazy_with(connect);
    let changes = Changes::over_postgres(&pool, channel);
    Ok((Backend::Postgres(pool), changes))
}

fn postgres_options(url: &str, options: &StoreOptions) -> Result<PgConnectOptions, OpenError> {
    // The driver's message may quote the URL, so it is not kept.
    let connect = PgConnectOptions::from_str(url)
        .map_err(|_| OpenError::Settings { what: "the postgres URL cannot be read".into(), source: None })?;
    let limit = format!("{}ms", millis(options.statement_timeout));
    let connect = connect
        .application_name("meta-builder")
        .options([("statement_timeout", limit.as_str()), ("default_transaction_isolation", "read committed")])
        // Tables that fill and empty by the second have no statistics worth the name, and a plan made while one was
        // empty reads all of it for every task later: each execution is planned for the table as it is. Every statement
        // has its index; nothing is worth compiling.
        .options([("plan_cache_mode", "force_custom_plan"), ("enable_seqscan", "off"), ("jit", "off")]);
    match &options.pg_schema {
        None => Ok(connect),
        Some(schema) if is_plain(schema) => Ok(connect.options([("search_path", schema)])),
        Some(schema) => {
            let what = format!("pg_schema {schema:?} has other characters than a-z, 0-9 and _, or more than 48");
            Err(OpenError::Settings { what, source: None })
        }
    }
}

fn is_plain(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (1..=48).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Connects once outside the pool, which would retry a refused connection until its timeout and then forget why.
async fn first_contact(connect: &PgConnectOptions, limit: Duration) -> Result<Channel, OpenError> {
    let ask = async {
        let mut connection = PgConnection::connect_with(connect).await?;
        // The search path rather than the present schema, which may not have been made yet.
        let question = "SELECT 'mb_' || substr(md5(current_setting('search_path')), 1, 16) AS name, \
                        gen_random_uuid()::text AS sender";
        let row = sqlx::query(question).fetch_one(&mut connection).await?;
        let channel = Channel { name: row.try_get("name")?, sender: row.try_get("sender")? };
        connection.close().await?;
        Ok(channel)
    };
    match tokio::time::timeout(limit, ask).await {
        Ok(result) => result.map_err(|error| postgres_error(connect, error)),
        Err(_) => Err(OpenError::Unreachable { target: target(connect), source: None }),
    }
}

fn target(connect: &PgConnectOptions) -> String {
    match connect.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", connect.get_host(), connect.get_port()),
    }
}

fn postgres_error(connect: &PgConnectOptions, error: sqlx::Error) -> OpenError {
    let target = target(connect);
    let code = error.as_database_error().map(Code::of);
    let io = match &error {
        sqlx::Error::Io(io) => Some(io.kind()),
        _ => None,
    };
    let source: Cause = error.into();
    match (code, io) {
        (Some(Code::Postgres(state)), _) if state.starts_with("28") => {
            OpenError::BadPassword { target, user: connect.get_username().to_owned(), source }
        }
        (Some(Code::Postgres(state)), _) if state == "3D000" => {
            let database = connect.get_database().unwrap_or(connect.get_username()).to_owned();
            OpenError::NoSuchDatabase { target, database, source }
        }
        (_, Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)) => OpenError::Refused { target, source },
        (_, Some(_)) => OpenError::Unreachable { target, source: Some(source) },
        _ => OpenError::Other { target, source },
    }
}
