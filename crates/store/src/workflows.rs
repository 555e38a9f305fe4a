//! Named workflows: their versions, and which of them runs.
//!
//! A version is a document, found by its digest; the same document brought again is the same version. Going back
//! chooses an older version and makes no new one. Deliberately absent: deletion (runs name their document for ever)
//! and names inside a run (a run keeps the document it began with).

use mb_core::id::TenantId;
use mb_core::name::Name;
use mb_core::time::Timestamp;
use mb_core::workflow::Workflow;

use crate::db::{Row, Session, Value};
use crate::error::StoreError;
use crate::sql;
use crate::store::{Store, transaction};

/// Rows of one answer at most.
const ROWS_MAX: u32 = 200;
/// Versions of one name at most.
const VERSIONS_MAX: i64 = 100_000;

/// A version of a named workflow, without its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The workflow's name.
    pub name: String,
    /// Its number, from 1.
    pub version: u32,
    /// Its document's digest.
    pub digest: String,
    /// When it was brought first.
    pub created_at: Timestamp,
    /// By whom.
    pub actor: String,
    /// Whether it is the one that runs.
    pub is_current: bool,
    /// When it was last chosen to run, and by whom.
    pub chosen: Option<(Timestamp, String)>,
}

/// What came of [`Store::publish_workflow`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The version the document is.
    pub version: u32,
    /// Its digest.
    pub digest: String,
    /// Whether this name had this document before.
    pub existed: bool,
    /// Whether it was the current version before.
    pub was_current: bool,
}

impl Store {
    /// Makes a document the current version of its name. A document that the name has already keeps its number.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the document has another name, or the name has too many versions.
    pub async fn publish_workflow(
        &self,
        now: Timestamp,
        tenant: TenantId,
        name: &Name,
        workflow: &Workflow,
        actor: &str,
    ) -> Result<Published, StoreError> {
        if workflow.name != name.as_str() {
            return Err(StoreError::invalid(format!("the workflow is called {:?}, not {name}", workflow.name)));
        }
        let digest = workflow.digest();
        let document = [Value::id(&digest), Value::id(tenant), Value::json(workflow)?];
        transaction!(self, |tx| {
            lock(tx, tenant, name).await?;
            tx.execute(sql::RUNS_INSERT_WORKFLOW, &document).await?;
            let (version, existed) = number(tx, now, tenant, name, &digest, actor).await?;
            let was_current = !choose(tx, now, tenant, name, version, actor).await?;
            Ok(Published { version, digest: digest.clone(), existed, was_current })
        })
    }

    /// Makes a version the current one. Says whether the name has it; it may have been current before.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn choose_version(
        &self,
        now: Timestamp,
        tenant: TenantId,
        name: &Name,
        version: u32,
        actor: &str,
    ) -> Result<bool, StoreError> {
        transaction!(self, |tx| {
            lock(tx, tenant, name).await?;
            let values = [Value::id(tenant), Value::id(name), Value::int(version)];
            if tx.row(sql::WORKFLOWS_NAMED, &values).await?.is_none() {
                return Ok(false);
            }
            choose(tx, now, tenant, name, version, actor).await?;
            Ok(true)
        })
    }

    /// A version of a named workflow with its document; the current one when none is named.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn workflow(
        &self,
        tenant: TenantId,
        name: &str,
        number: Option<u32>,
    ) -> Result<Option<(VersionRow, Workflow)>, StoreError> {
        let values = [Value::id(tenant), Value::text(name), Value::Int(number.map(i64::from))];
        let rows = self.read(sql::WORKFLOWS_NAMED, &values).await?;
        rows.first().map(|row| Ok((version(row)?, row.json("doc")?))).transpose()
    }

    /// The current version of every name after `after`, by name. `limit` is brought into 1 to 200.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn workflows(&self, tenant: TenantId, after: &str, limit: u32) -> Result<Vec<VersionRow>, StoreError> {
        let values = [Value::id(tenant), Value::text(after), Value::int(limit.clamp(1, ROWS_MAX))];
        self.read(sql::WORKFLOWS_NAMES, &values).await?.iter().map(version).collect()
    }

    /// The versions of a name below `before`, newest first. `limit` is brought into 1 to 200.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn workflow_versions(
        &self,
        tenant: TenantId,
        name: &str,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<VersionRow>, StoreError> {
        let before = before.map_or(i64::MAX, i64::from);
        let limit = Value::int(limit.clamp(1, ROWS_MAX));
        let values = [Value::id(tenant), Value::text(name), Value::int(before), limit];
        self.read(sql::WORKFLOWS_VERSIONS, &values).await?.iter().map(version).collect()
    }
}

async fn lock(tx: &mut Session, tenant: TenantId, name: &Name) -> Result<(), StoreError> {
    tx.rows(sql::WORKFLOWS_LOCK, &[Value::id(tenant), Value::id(name)]).await.map(|_| ())
}

/// The number of a document under a name, and whether it had one before.
async fn number(
    tx: &mut Session,
    now: Timestamp,
    tenant: TenantId,
    name: &Name,
    digest: &str,
    actor: &str,
) -> Result<(u32, bool), StoreError> {
    let key = [Value::id(tenant), Value::id(name), Value::id(digest)];
    if let Some(row) = tx.row(sql::WORKFLOWS_VERSION_BY_DIGEST, &key).await? {
        return Ok((row.count("version")?, true));
    }
    let last = tx.row(sql::WORKFLOWS_LAST_VERSION, &key[..2]).await?.map_or(Ok(0), |row| row.int("version"))?;
    if last >= VERSIONS_MAX {
        return Err(StoreError::invalid(format!("{name} has {last} versions; no more are allowed")));
    }
    let version = u32::try_from(last + 1).map_err(|source| StoreError::corrupt("version", source))?;
    let [tenant, name, digest] = key;
    let values = [tenant, name, Value::int(version), digest, Value::time(now), Value::text(actor)];
    tx.execute(sql::WORKFLOWS_ADD_VERSION, &values).await?;
    Ok((version, false))
}

/// Makes a version current; says whether it was not.
async fn choose(
    tx: &mut Session,
    now: Timestamp,
    tenant: TenantId,
    name: &Name,
    version: u32,
    actor: &str,
) -> Result<bool, StoreError> {
    let values = [Value::id(tenant), Value::id(name), Value::int(version), Value::time(now), Value::text(actor)];
    // First the old one: at most one is current at any moment.
    tx.execute(sql::WORKFLOWS_UNCHOOSE, &values[..3]).await?;
    Ok(tx.execute(sql::WORKFLOWS_CHOOSE, &values).await? == 1)
}

fn version(row: &Row) -> Result<VersionRow, StoreError> {
    let by = row.opt_text("chosen_by")?.unwrap_or_default();
    Ok(VersionRow {
        name: row.text("name")?,
        version: row.count("version")?,
        digest: row.text("digest")?,
        created_at: row.time("created_at")?,
        actor: row.text("actor")?,
        is_current: row.int("is_current")? == 1,
        chosen: row.opt_time("chosen_at")?.map(|at| (at, by)),
    })
}
