//! Places to measure in: made for the purpose, told apart by their names, removed whole.

use crate::db::Backend;
use crate::error::StoreError;
use crate::store::Store;
use crate::url::StoreUrl;

/// What the names of scratch schemas and files begin with; nothing else is ever removed.
pub const SCRATCH_PREFIX: &str = "mb_bench_";

impl Store {
    /// Brings statistics and the visibility map up to date, as the database's own housekeeping does sooner or later.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        match &self.inner.backend {
            Backend::Postgres(pool) => {
                sqlx::raw_sql("VACUUM (ANALYZE) queue").execute(pool).await?;
                sqlx::raw_sql("VACUUM (ANALYZE) leases").execute(pool).await?;
                Ok(())
            }
            Backend::Sqlite { .. } => Ok(()),
        }
    }

    /// Removes a scratch schema or file with all that is in it, and closes the store.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when its name does not begin with [`SCRATCH_PREFIX`]; then nothing is removed.
    pub async fn remove_scratch(&self, url: &StoreUrl) -> Result<(), StoreError> {
        let refuse = || StoreError::invalid(format!("only what is named {SCRATCH_PREFIX}… is removed"));
        match url {
            StoreUrl::Postgres(_) => {
                let name = self.inner.options.pg_schema.as_deref().filter(|name| name.starts_with(SCRATCH_PREFIX));
                let name = name.ok_or_else(refuse)?.to_owned();
                if let Backend::Postgres(pool) = &self.inner.backend {
                    // The schema's name is plain: opening the store has checked it.
                    let sql = format!("SET client_min_messages TO warning; DROP SCHEMA IF EXISTS {name} CASCADE");
                    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await?;
                }
                self.close().await;
            }
            StoreUrl::Sqlite(path) => {
                let is_scratch = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(SCRATCH_PREFIX);
                if !path.file_name().is_some_and(is_scratch) {
                    return Err(refuse());
                }
                self.close().await;
                for suffix in ["", "-wal", "-shm"] {
                    let mut file = path.clone().into_os_string();
                    file.push(suffix);
                    let _ = std::fs::remove_file(file);
                }
            }
        }
        Ok(())
    }
}
