//! The two drivers behind one small face: a [`Session`] runs a [`Sql`] with [`Value`]s and gives [`Row`]s.
//!
//! This is what lets every verb be written once. Deliberately absent: generics over `sqlx::Database` (their bounds
//! would be in every signature) and `sqlx::Any` (no JSON, no arrays).

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection as _, PgPool, Postgres, Row as _, Sqlite, SqlitePool, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use std::collections::BTreeMap;
use std::sync::Arc;

use mb_core::time::Timestamp;

use crate::error::StoreError;
use crate::json;
use crate::sql::Sql;

pub(crate) enum Backend {
    Sqlite { writer: Arc<Mutex<Writer>>, readers: SqlitePool },
    Postgres(PgPool),
}

/// When a commit has to be on the disk. A killed process loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Before the verb returns: somebody is told that it happened.
    Now,
    /// With the next commit that is [`Durable::Now`], because nobody outside this machine's processes hears of it:
    /// claims, signs of life, what a reaper takes back. SQLite writes its log in order, so a power cut undoes the
    /// last of these together with every process that knew of them. PostgreSQL's workers outlive it: a claim it forgot
    /// when it crashed is granted again, to another worker (so that the first one's report is refused: a fence holds
    /// together with its worker) or to the same one, which sees that it has the task already.
    Later,
}

/// SQLite's one writing connection.
pub(crate) struct Writer {
    /// None once it is closed.
    connection: Option<SqliteConnection>,
    /// What it is set to; unknown when the caller stopped waiting for the setting.
    durable: Option<Durable>,
}

impl Writer {
    /// A connection that was opened with `synchronous=FULL`.
    pub(crate) fn new(connection: SqliteConnection) -> Writer {
        Writer { connection: Some(connection), durable: Some(Durable::Now) }
    }

    fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.connection.as_mut().ok_or_else(|| sqlx::Error::PoolClosed.into())
    }

    /// Sets how the next commits are synced; has an effect only outside a transaction.
    async fn set(&mut self, durable: Durable) -> Result<(), StoreError> {
        if self.durable == Some(durable) {
            return Ok(());
        }
        self.durable = None;
        let pragma = match durable {
            Durable::Now => "PRAGMA synchronous = FULL",
            Durable::Later => "PRAGMA synchronous = NORMAL",
        };
        sqlx::query(pragma).execute(self.connection()?).await?;
        self.durable = Some(durable);
        Ok(())
    }

    pub(crate) async fn close(&mut self) {
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database was not closed cleanly; its log will be replayed");
        }
    }
}

impl Backend {
    /// A transaction that may write; dropped without [`Session::commit`] it is rolled back.
    pub(crate) async fn write(&self, durable: Durable) -> Result<Session, StoreError> {
        let connection = match self {
            Self::Sqlite { writer, .. } => {
                let mut guard = WriteGuard(Some(writer.clone().lock_owned().await));
                guard.writer().set(durable).await?;
                sqlx::query("BEGIN IMMEDIATE").execute(guard.connection()?).await?;
                Connection::SqliteWrite(guard)
            }
            Self::Postgres(pool) => {
                let begin = match durable {
                    Durable::Now => "BEGIN",
                    Durable::Later => "BEGIN; SET LOCAL synchronous_commit = off",
                };
                Connection::PostgresWrite(pool.begin_with(begin).await?)
            }
        };
        Ok(Session { connection, is_change: false })
    }

    /// A connection to read with, one statement at a time.
    pub(crate) async fn read(&self) -> Result<Session, StoreError> {
        let connection = match self {
            Self::Sqlite { readers, .. } => Connection::SqliteRead(readers.acquire().await?),
            Self::Postgres(pool) => Connection::PostgresRead(pool.acquire().await?),
        };
        Ok(Session { connection, is_change: false })
    }
}

/// One connection in use.
pub(crate) struct Session {
    connection: Connection,
    /// Whether events were appended or tasks enqueued: then somebody must be woken after the commit.
    pub(crate) is_change: bool,
}

enum Connection {
    SqliteWrite(WriteGuard),
    SqliteRead(PoolConnection<Sqlite>),
    PostgresWrite(Transaction<'static, Postgres>),
    PostgresRead(PoolConnection<Postgres>),
}

enum Driver<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

impl Session {
    fn driver(&mut self) -> Result<Driver<'_>, StoreError> {
        Ok(match &mut self.connection {
            Connection::SqliteWrite(guard) => Driver::Sqlite(guard.connection()?),
            Connection::SqliteRead(connection) => Driver::Sqlite(connection),
            Connection::PostgresWrite(transaction) => Driver::Postgres(transaction),
            Connection::PostgresRead(connection) => Driver::Postgres(connection),
        })
    }

    /// Runs a statement and collects its rows.
    pub(crate) async fn rows(&mut self, sql: Sql, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        Ok(match self.driver()? {
            Driver::Sqlite(connection) => {
                let query = values.iter().fold(sqlx::query(sql.sqlite), bind_sqlite);
                query.fetch_all(connection).await?.into_iter().map(Row::Sqlite).collect()
            }
            Driver::Postgres(connection) => {
                let query = values.iter().fold(sqlx::query(sql.postgres), bind_postgres);
                query.fetch_all(connection).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Whether this is SQLite, where a statement that moves rows leaves it to another one to remove them.
    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.connection, Connection::SqliteWrite(_) | Connection::SqliteRead(_))
    }

    /// Runs a statement and takes its first row, if there is one.
    pub(crate) async fn row(&mut self, sql: Sql, values: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Runs a statement; gives the number of rows it changed.
    pub(crate) async fn execute(&mut self, sql: Sql, values: &[Value]) -> Result<u64, StoreError> {
        Ok(match self.driver()? {
            Driver::Sqlite(connection) => {
                let query = values.iter().fold(sqlx::query(sql.sqlite), bind_sqlite);
                query.execute(connection).await?.rows_affected()
            }
            Driver::Postgres(connection) => {
                let query = values.iter().fold(sqlx::query(sql.postgres), bind_postgres);
                query.execute(connection).await?.rows_affected()
            }
        })
    }

    /// Runs a text of several statements without values: a migration.
    pub(crate) async fn script(&mut self, sql: Sql) -> Result<(), StoreError> {
        match self.driver()? {
            Driver::Sqlite(connection) => sqlx::raw_sql(sql.sqlite).execute(connection).await.map(|_| ())?,
            Driver::Postgres(connection) => sqlx::raw_sql(sql.postgres).execute(connection).await.map(|_| ())?,
        }
        Ok(())
    }

    /// Makes the PostgreSQL schema all tables live in, if one was asked for.
    pub(crate) async fn make_schema(&mut self, name: Option<&str>) -> Result<(), StoreError> {
        if let (Driver::Postgres(connection), Some(name)) = (self.driver()?, name) {
            // Made from a string, because an identifier cannot be bound. Opening the store has checked that
            // it is plain.
            let sql = AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {name}"));
            sqlx::raw_sql(sql).execute(connection).await?;
        }
        Ok(())
    }

    /// Makes the partition of a day of history, for moments in microseconds from the first to before the second.
    pub(crate) async fn make_partition(&mut self, day: i64, (from, to): (i64, i64)) -> Result<(), StoreError> {
        if let Driver::Postgres(connection) = self.driver()? {
            // Made from numbers: neither a table's name nor a partition's bounds can be bound. Nobody who writes history
            // is to wait long for it.
            let sql = AssertSqlSafe(format!(
                "SET LOCAL lock_timeout = '2s'; \
                 CREATE TABLE finished_d{day} PARTITION OF finished FOR VALUES FROM ({from}) TO ({to})"
            ));
            sqlx::raw_sql(sql).execute(connection).await?;
        }
        Ok(())
    }

    /// Drops the partition of a day of history; gives the number of its rows as last estimated.
    pub(crate) async fn drop_partition(&mut self, day: i64) -> Result<u64, StoreError> {
        let Driver::Postgres(connection) = self.driver()? else { return Ok(0) };
        let estimate = "SELECT GREATEST(reltuples, 0)::BIGINT FROM pg_class WHERE oid = $1::regclass";
        let rows: i64 =
            sqlx::query_scalar(estimate).bind(format!("finished_d{day}")).fetch_one(&mut *connection).await?;
        let sql = AssertSqlSafe(format!("SET LOCAL lock_timeout = '2s'; DROP TABLE IF EXISTS finished_d{day}"));
        sqlx::raw_sql(sql).execute(connection).await?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    /// Makes what was written durable. Does nothing for a reader.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self.connection {
            Connection::SqliteWrite(mut guard) => guard.commit().await,
            Connection::PostgresWrite(transaction) => Ok(transaction.commit().await?),
            Connection::SqliteRead(_) | Connection::PostgresRead(_) => Ok(()),
        }
    }
}

/// The writer, held. A verb that fails, or whose caller stopped waiting, leaves here with its transaction open:
/// the rollback then runs before anybody else gets the writer.
struct WriteGuard(Option<OwnedMutexGuard<Writer>>);

impl WriteGuard {
    fn writer(&mut self) -> &mut Writer {
        self.0.as_mut().expect("the guard is only given up at the end")
    }

    fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.writer().connection()
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        sqlx::query("COMMIT").execute(self.connection()?).await?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for WriteGuard {
    fn drop(&mut self) {
        let (Some(mut guard), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(async move {
            if let Ok(connection) = guard.connection() {
                // Fails when nothing was begun, which is as good.
                let _ = sqlx::query("ROLLBACK").execute(connection).await;
            }
        });
    }
}

/// A value to bind. Text from outside has its NUL characters replaced, because PostgreSQL cannot store them.
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
    Json(serde_json::Value),
    /// An array on PostgreSQL, a JSON array on SQLite.
    Texts(Vec<String>),
    /// Rows: an array for each column on PostgreSQL, one JSON array of arrays on SQLite. Always the last value.
    Columns(Vec<Column>),
    /// Ids with their fences: an array of ids and a JSON object from id to fence on PostgreSQL (so that a statement looks a
    /// fence up instead of joining, whose order the planner gets wrong for a table it believes empty), rows on SQLite.
    /// Always the last value.
    Fences(Vec<(String, i64)>),
}

/// One column of [`Value::Columns`]; all have the same length.
pub(crate) enum Column {
    Ints(Vec<i64>),
    Texts(Vec<String>),
    OptTexts(Vec<Option<String>>),
}

impl Column {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Ints(column) => column.len(),
            Self::Texts(column) => column.len(),
            Self::OptTexts(column) => column.len(),
        }
    }

    fn write(&self, row: usize, json: &mut Vec<u8>) {
        let written = match self {
            Self::Ints(column) => serde_json::to_writer(json, &column[row]),
            Self::Texts(column) => serde_json::to_writer(json, &column[row]),
            Self::OptTexts(column) => serde_json::to_writer(json, &column[row]),
        };
        written.expect("numbers and texts are JSON, and memory takes them");
    }
}

/// The rows of these columns as JSON.
fn rows_json(columns: &[Column]) -> String {
    let mut json = Vec::with_capacity(64 * columns.first().map_or(0, Column::len));
    json.push(b'[');
    for row in 0..columns.first().map_or(0, Column::len) {
        json.extend_from_slice(if row == 0 { b"[" } else { b",[" });
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            column.write(row, &mut json);
        }
        json.push(b']');
    }
    json.push(b']');
    String::from_utf8(json).expect("JSON is UTF-8")
}

impl Value {
    pub(crate) fn text(text: impl AsRef<str>) -> Value {
        Value::Text(Some(json::clean(text.as_ref()).into_owned()))
    }

    pub(crate) fn opt_text(text: Option<&str>) -> Value {
        Value::Text(text.map(|text| json::clean(text).into_owned()))
    }

    /// The text form of an id or another word that is known to be plain.
    #[expect(clippy::needless_pass_by_value, reason = "ids are small and copied")]
    pub(crate) fn id(id: impl ToString) -> Value {
        Value::Text(Some(id.to_string()))
    }

    pub(crate) fn time(at: Timestamp) -> Value {
        Value::Int(Some(at.as_micros()))
    }

    pub(crate) fn opt_time(at: Option<Timestamp>) -> Value {
        Value::Int(at.map(Timestamp::as_micros))
    }

    pub(crate) fn int(number: impl Into<i64>) -> Value {
        Value::Int(Some(number.into()))
    }

    pub(crate) fn json(document: &impl Serialize) -> Result<Value, StoreError> {
        Ok(Value::Json(json::encode(document)?))
    }

    pub(crate) fn array(rows: Vec<serde_json::Value>) -> Value {
        Value::Json(serde_json::Value::Array(rows))
    }
}

type SqliteQuery<'q> = sqlx::query::Query<'q, Sqlite, <Sqlite as sqlx::Database>::Arguments>;
type PostgresQuery<'q> = sqlx::query::Query<'q, Postgres, <Postgres as sqlx::Database>::Arguments>;

fn bind_sqlite<'q>(query: SqliteQuery<'q>, value: &'q Value) -> SqliteQuery<'q> {
    match value {
        Value::Int(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Json(document) => query.bind(Json(document)),
        Value::Texts(texts) => query.bind(Json(texts)),
        Value::Columns(columns) => query.bind(rows_json(columns)),
        Value::Fences(fences) => query.bind(Json(fences)),
    }
}

fn bind_postgres<'q>(query: PostgresQuery<'q>, value: &'q Value) -> PostgresQuery<'q> {
    match value {
        Value::Int(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Json(document) => query.bind(Json(document)),
        Value::Texts(texts) => query.bind(texts),
        Value::Fences(fences) => {
            let ids: Vec<&str> = fences.iter().map(|(id, _)| id.as_str()).collect();
            let by_id: BTreeMap<&str, i64> = fences.iter().map(|(id, fence)| (id.as_str(), *fence)).collect();
            query.bind(ids).bind(Json(by_id))
        }
        Value::Columns(columns) => columns.iter().fold(query, |query, column| match column {
            Column::Ints(column) => query.bind(column),
            Column::Texts(column) => query.bind(column),
            Column::OptTexts(column) => query.bind(column),
        }),
    }
}

/// A row of either driver. What does not decode is [`StoreError::Corrupt`].
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: for<'r> sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
        T: for<'r> sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
    {
        let value = match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        };
        value.map_err(|source| StoreError::corrupt(column, source))
    }

    pub(crate) fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.get(column)
    }

    pub(crate) fn opt_int(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.get(column)
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.get(column)
    }

    pub(crate) fn opt_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.get(column)
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        self.get(column)
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp::from_micros)
    }

    pub(crate) fn opt_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.opt_int(column)?.map(Timestamp::from_micros))
    }

    /// A number that is never negative and fits the type asked for.
    pub(crate) fn count<T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        T::try_from(self.int(column)?).map_err(|source| StoreError::corrupt(column, source))
    }

    /// An id, or anything else with a text form.
    pub(crate) fn parse<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|source| StoreError::corrupt(column, source))
    }

    /// A word of a closed vocabulary.
    pub(crate) fn word<T>(&self, column: &'static str, from: fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let word = self.text(column)?;
        from(&word).ok_or_else(|| StoreError::corrupt(column, format!("unknown word {word:?}")))
    }

    /// A word of a closed vocabulary, or nothing.
    pub(crate) fn opt_word<T>(
        &self,
        column: &'static str,
        from: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        if self.opt_text(column)?.is_some() { self.word(column, from).map(Some) } else { Ok(None) }
    }

    pub(crate) fn json<T: DeserializeOwned + 'static>(&self, column: &'static str) -> Result<T, StoreError> {
        let Json(document) = match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(|source| StoreError::corrupt(column, source))?;
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

    /// 1 is NORMAL, 2 is FULL.
    async fn level(session: &mut Session) -> i64 {
        let Driver::Sqlite(connection) = session.driver().unwrap() else { unreachable!() };
        sqlx::query_scalar("PRAGMA synchronous").fetch_one(connection).await.unwrap()
    }

    #[tokio::test]
    async fn only_what_nobody_hears_of_is_synced_later() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("mb.db")).create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let writer = Writer::new(SqliteConnection::connect_with(&options).await.unwrap());
        let readers = SqlitePool::connect_lazy_with(options);
        let backend = Backend::Sqlite { writer: Arc::new(Mutex::new(writer)), readers };
        for (durable, expected) in [(Durable::Now, 2), (Durable::Later, 1), (Durable::Later, 1), (Durable::Now, 2)] {
            let mut session = backend.write(durable).await.unwrap();
            assert_eq!(level(&mut session).await, expected, "{durable:?}");
            // Not committed, as after an error: the next one waits for the rollback and is set all the same.
            drop(session);
        }
    }
}
