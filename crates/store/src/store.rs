//! The handle: what all verbs share. Transactions with retries, deadlines, and the probe.
//!
//! Deliberately absent: the verbs themselves. They are `impl Store` blocks in the file of their aggregate.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mb_core::id::TenantId;
use mb_core::time::Timestamp;

use crate::changes::Changes;
use crate::db::{Backend, Row, Session, Value};
use crate::error::StoreError;
use crate::open::{self, OpenError};
use crate::queue::Fair;
use crate::sql::{self, Sql};
use crate::url::StoreUrl;

/// How often a verb is run before "busy" is believed, and the first wait between two of them.
const TRIES_MAX: u32 = 5;
const RETRY_WAIT: Duration = Duration::from_millis(2);

/// Runs a body in one transaction, again when the database was busy. The body may use `?` and `return`, and must have
/// no effect outside the transaction. What it wrote is on the disk when it returns, unless it says `Later` (see
/// [`crate::db::Durable`]). A macro, because a future made by an `AsyncFn` cannot be shown to be `Send`.
macro_rules! transaction {
    ($store:expr, |$tx:ident| $body:expr) => {
        transaction!($store, Now, |$tx| $body)
    };
    ($store:expr, $durable:ident, |$tx:ident| $body:expr) => {{
        let store: &$crate::store::Store = $store;
        let mut tries = $crate::store::Tries::default();
        loop {
            let attempt = async {
                let mut session = store.inner.backend.write($crate::db::Durable::$durable).await?;
                let $tx = &mut session;
                let result: Result<_, $crate::error::StoreError> = async { $body }.await;
                let result = result?;
                store.commit(session).await?;
                Ok(result)
            };
            match store.deadline(attempt).await {
                Ok(result) => break Ok(result),
                Err(error) => {
                    if let Err(error) = tries.wait(error).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}
pub(crate) use transaction;

/// How often a transaction was busy.
#[derive(Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Waits before the next try, or gives the error back when it is another one or there were tries enough.
    pub(crate) async fn wait(&mut self, error: StoreError) -> Result<(), StoreError> {
        self.0 += 1;
        if self.0 >= TRIES_MAX || !matches!(error, StoreError::Busy { .. }) {
            return Err(error);
        }
        tracing::debug!(attempt = self.0, "the database was busy, trying again");
        tokio::time::sleep(RETRY_WAIT * 4u32.pow(self.0 - 1)).await;
        Ok(())
    }
}

/// Limits of a [`Store`].
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Connections at most, from 1. On SQLite these are the readers; there is always one writer beside them.
    pub connections_max: u32,
    /// Longest wait for a connection, or for SQLite's writer.
    pub acquire_timeout: Duration,
    /// Longest time for one statement. SQLite cannot stop one, so there only the sum of both limits holds, for a whole
    /// transaction.
    pub statement_timeout: Duration,
    /// The PostgreSQL schema to live in, instead of the connection's default; made by [`Store::migrate`]. Letters,
    /// digits and `_`, at most 48 characters. Ignored on SQLite.
    pub pg_schema: Option<String>,
    /// Shares of tenants in the queue, from 1; a tenant that is not named has 1.
    pub weights: BTreeMap<TenantId, u32>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            connections_max: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            pg_schema: None,
            weights: BTreeMap::new(),
        }
    }
}

/// The durable state. Clones share connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) backend: Backend,
    pub(crate) options: StoreOptions,
    pub(crate) changes: Changes,
    pub(crate) fair: Fair,
}

/// Connections at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// Open, SQLite's writer included.
    pub open: u32,
    /// Open and unused.
    pub idle: u32,
    /// The most there can be.
    pub max: u32,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("kind", &self.kind()).field("pool", &self.pool()).finish()
    }
}

impl Store {
    /// Opens the database. A SQLite file and its folder are made when they are missing, for the owner only. The
    /// schema is neither looked at nor changed: see [`Store::schema`] and [`Store::migrate`].
    ///
    /// # Errors
    /// [`OpenError`], one kind for each thing an operator would mend differently.
    pub async fn open(url: &StoreUrl, options: StoreOptions) -> Result<Store, OpenError> {
        let (backend, changes) = open::open(url, &options).await?;
        let fair = Fair::new(options.weights.clone());
        Ok(Store { inner: Arc::new(Inner { backend, options, changes, fair }) })
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        match self.inner.backend {
            Backend::Sqlite { .. } => "sqlite",
            Backend::Postgres(_) => "postgres",
        }
    }

    /// Closes all connections after their present statement. Every later verb fails; other clones are closed too.
    pub async fn close(&self) {
        self.inner.changes.stop();
        match &self.inner.backend {
            Backend::Postgres(pool) => pool.close().await,
            Backend::Sqlite { writer, readers } => {
                readers.close().await;
                writer.lock().await.close().await;
            }
        }
    }

    /// Writes and commits one row: proof that the database takes writes now.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn check_write(&self, now: Timestamp) -> Result<(), StoreError> {
        transaction!(self, |tx| tx.execute(sql::SCHEMA_PROBE, &[Value::time(now)]).await.map(|_| ()))
    }

    /// Connections at this moment.
    pub fn pool(&self) -> PoolStats {
        let of = |size: u32, idle: usize, writer: u32| PoolStats {
            open: size + writer,
            idle: u32::try_from(idle).unwrap_or(u32::MAX),
            max: self.inner.options.connections_max + writer,
        };
        match &self.inner.backend {
            Backend::Sqlite { readers, .. } => of(readers.size(), readers.num_idle(), 1),
            Backend::Postgres(pool) => of(pool.size(), pool.num_idle(), 0),
        }
    }

    /// Commits, and wakes waiters when something changed.
    pub(crate) async fn commit(&self, session: Session) -> Result<(), StoreError> {
        let is_change = session.is_change;
        session.commit().await?;
        if is_change {
            self.inner.changes.bump();
        }
        Ok(())
    }

    /// Runs one reading statement.
    pub(crate) async fn read(&self, sql: Sql, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.deadline(async { self.inner.backend.read().await?.rows(sql, values).await }).await
    }

    /// Gives up when connection and statement together take longer than their limits.
    pub(crate) async fn deadline<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let limit = self.inner.options.acquire_timeout + self.inner.options.statement_timeout;
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Timeout { what: "the whole transaction was given up", source: None }),
        }
    }
}
