//! Differences by content: each is stored once, under the digest that runs and repairs name it by.
//!
//! Deliberately absent: a check of the digest. Whoever made the difference made the digest, and the reader of a
//! result compares it with what was verified.

use mb_core::id::TenantId;
use mb_core::time::Timestamp;

use crate::db::{Session, Value};
use crate::error::StoreError;
use crate::sql;
use crate::store::Store;

/// A difference with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPatch {
    /// SHA-256 of the difference, in hex.
    pub digest: String,
    /// The unified diff.
    pub diff: String,
}

impl Store {
    /// The difference of that digest.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn patch(&self, digest: &str) -> Result<Option<String>, StoreError> {
        let rows = self.read(sql::PATCHES_GET, &[Value::text(digest)]).await?;
        let diff = rows.first().map(|row| row.bytes("diff")).transpose()?;
        diff.map(|bytes| String::from_utf8(bytes).map_err(|source| StoreError::corrupt("diff", source))).transpose()
    }

    /// The differences of those digests, in that order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when one of them is not there: what names it was stored together with it.
    pub async fn patches(&self, digests: &[&str]) -> Result<Vec<String>, StoreError> {
        let mut diffs = Vec::with_capacity(digests.len());
        for digest in digests {
            let missing = || StoreError::Corrupt { what: format!("patch {digest} is missing"), source: None };
            diffs.push(self.patch(digest).await?.ok_or_else(missing)?);
        }
        Ok(diffs)
    }
}

pub(crate) async fn put(
    tx: &mut Session,
    now: Timestamp,
    tenant: TenantId,
    patches: &[StoredPatch],
) -> Result<(), StoreError> {
    // In one order everywhere, so that two reports with the same differences cannot wait for each other.
    let mut patches: Vec<&StoredPatch> = patches.iter().collect();
    patches.sort_by(|a, b| a.digest.cmp(&b.digest));
    for patch in patches {
        let diff = Value::Bytes(patch.diff.clone().into_bytes());
        tx.execute(sql::PATCHES_PUT, &[Value::text(&patch.digest), Value::id(tenant), Value::time(now), diff]).await?;
    }
    Ok(())
}
