//! Migrations: numbered, forward only, one transaction each, their checksums recorded.
//!
//! A start against a newer schema is refused, against an older one it is pending; nothing migrates by itself.
//! Several processes may migrate at once: one does it, the others find it done. Deliberately absent: a way back
//! (a migration only adds, and the step after next removes).

use mb_core::time::Timestamp;
use mb_core::workflow::hex;
use sha2::{Digest, Sha256};

use crate::db::{Session, Value};
use crate::error::StoreError;
use crate::sql::{self, Sql};
use crate::store::{Store, transaction};

/// Taken by whoever migrates a PostgreSQL database.
const LOCK: Sql = Sql { sqlite: "SELECT 1", postgres: "SELECT 1 FROM pg_advisory_xact_lock(7308327811)" };
pub(crate) const RECORDS: Sql = Sql {
    sqlite: "CREATE TABLE IF NOT EXISTS mb_migrations (name TEXT NOT NULL PRIMARY KEY, checksum TEXT NOT NULL, \
             applied_at INTEGER NOT NULL) STRICT",
    postgres: "CREATE TABLE IF NOT EXISTS mb_migrations (name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY, \
               checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)",
};

macro_rules! migrations {
    ($($name:literal,)*) => {
        /// All of them, in order.
        pub(crate) const MIGRATIONS: &[(&str, Sql)] = &[$((
            $name,
            Sql {
                sqlite: include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
                postgres: include_str!(concat!("../migrations/postgres/", $name, ".sql")),
            },
        ),)*];
    };
}

migrations! {
    "0001_init",
    "0002_queue",
    "0003_workflows",
    "0004_schedules",
    "0005_workers",
}

/// How the database's schema compares with what this program knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// The same.
    Current,
    /// Older: these migrations have yet to be applied.
    Pending(Vec<String>),
    /// Newer: these migrations were applied by a later version. Do not run against it.
    Ahead(Vec<String>),
}

/// Why migrations were not applied. Those before the one that failed stay applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A later version of this program has been here.
    #[error("the database is newer than this program: it has {}", names.join(", "))]
    Ahead {
        /// Migrations this program does not know.
        names: Vec<String>,
    },
    /// An applied migration is not the one this program has under that name.
    #[error("migration {name} was applied with other contents")]
    Altered {
        /// The migration.
        name: String,
    },
    /// A migration failed; its transaction was rolled back.
    #[error("migration {name} failed")]
    Failed {
        /// The migration.
        name: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The records of migrations cannot be read or made.
    #[error("the records of migrations cannot be used")]
    Records(#[source] StoreError),
}

impl Store {
    /// Applies what is pending, in order, and names it.
    ///
    /// # Errors
    /// [`MigrateError`].
    pub async fn migrate(&self, now: Timestamp) -> Result<Vec<String>, MigrateError> {
        let schema = self.inner.options.pg_schema.as_deref();
        let recorded = transaction!(self, Later, |tx| prepare(tx, schema).await).map_err(MigrateError::Records)?;
        let mut applied_names = Vec::new();
        match compare(&recorded)? {
            SchemaState::Current => {}
            SchemaState::Ahead(names) => return Err(MigrateError::Ahead { names }),
            SchemaState::Pending(_) => {
                for &(name, script) in MIGRATIONS {
                    let failed = |source| MigrateError::Failed { name: name.to_owned(), source };
                    if transaction!(self, Later, |tx| apply(tx, now, name, script).await).map_err(failed)? {
                        applied_names.push(name.to_owned());
                    }
                }
            }
        }
        if !applied_names.is_empty()
            && let Err(error) = self.prepare_history(now).await
        {
            tracing::warn!(error = %mb_core::error::chain(&error), "the history has no partitions yet");
        }
        Ok(applied_names)
    }

    /// Compares the database's schema with what this program knows. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError`], with [`StoreError::Corrupt`] for an applied migration whose contents differ from ours.
    pub async fn schema(&self) -> Result<SchemaState, StoreError> {
        // One connection for both questions: a start opens no second one.
        let recorded = self.deadline(async {
            let mut session = self.inner.backend.read().await?;
            if has_records(&mut session).await? { applied(&mut session).await.map(Some) } else { Ok(None) }
        });
        match recorded.await? {
            None => Ok(SchemaState::Pending(MIGRATIONS.iter().map(|(name, _)| (*name).to_owned()).collect())),
            Some(recorded) => compare(&recorded).map_err(|error| StoreError::corrupt(error.to_string(), error)),
        }
    }
}

/// Makes the records when they are missing, and reads them.
async fn prepare(tx: &mut Session, schema: Option<&str>) -> Result<Vec<(String, String)>, StoreError> {
    tx.execute(LOCK, &[]).await?;
    if !has_records(tx).await? {
        tx.make_schema(schema).await?;
        tx.script(RECORDS).await?;
    }
    applied(tx).await
}

async fn has_records(tx: &mut Session) -> Result<bool, StoreError> {
    Ok(tx.row(sql::SCHEMA_EXISTS, &[]).await?.map_or(Ok(0), |row| row.int("n"))? > 0)
}

async fn applied(tx: &mut Session) -> Result<Vec<(String, String)>, StoreError> {
    records(&tx.rows(sql::SCHEMA_APPLIED, &[]).await?)
}

fn records(rows: &[crate::db::Row]) -> Result<Vec<(String, String)>, StoreError> {
    rows.iter().map(|row| Ok((row.text("name")?, row.text("checksum")?))).collect()
}

/// Applies one migration unless somebody has; says whether it did.
async fn apply(tx: &mut Session, now: Timestamp, name: &str, script: Sql) -> Result<bool, StoreError> {
    tx.execute(LOCK, &[]).await?;
    if applied(tx).await?.iter().any(|(done, _)| done == name) {
        return Ok(false);
    }
    tx.script(script).await?;
    tx.execute(sql::SCHEMA_RECORD, &[Value::id(name), Value::id(checksum(script)), Value::time(now)]).await?;
    Ok(true)
}

/// Of both dialects, so that a record means the same in either database.
fn checksum(script: Sql) -> String {
    hex(&Sha256::digest([script.sqlite, script.postgres].join("\0")))
}

fn compare(applied: &[(String, String)]) -> Result<SchemaState, MigrateError> {
    let unknown = applied.iter().filter(|(name, _)| MIGRATIONS.iter().all(|(known, _)| known != name));
    let unknown: Vec<String> = unknown.map(|(name, _)| name.clone()).collect();
    if !unknown.is_empty() {
        return Ok(SchemaState::Ahead(unknown));
    }
    let mut pending = Vec::new();
    for &(name, script) in MIGRATIONS {
        match applied.iter().find(|(done, _)| done == name) {
            None => pending.push(name.to_owned()),
            Some((_, recorded)) if *recorded != checksum(script) => {
                return Err(MigrateError::Altered { name: name.to_owned() });
            }
            Some(_) => {}
        }
    }
    Ok(if pending.is_empty() { SchemaState::Current } else { SchemaState::Pending(pending) })
}
