//! API tokens: what they may do, until when, and when they were last used. The secret is never stored, only its
//! SHA-256.
//!
//! Deliberately absent: the decision whether a token is good now. The caller has the clock and the scopes.

use std::collections::BTreeSet;
use std::time::Duration;

use mb_core::id::{TenantId, TokenId};
use mb_core::time::Timestamp;

use crate::db::{Row, Value};
use crate::error::StoreError;
use crate::sql;
use crate::store::{Store, transaction};

/// A use is written down at most this often.
const USED_EVERY: Duration = Duration::from_secs(60);

/// An API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its public name.
    pub id: TokenId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: BTreeSet<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl Store {
    /// Stores a new token.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its id or hash is there already.
    pub async fn token_add(&self, token: &TokenRow) -> Result<(), StoreError> {
        let values = [
            Value::id(token.id),
            Value::id(token.tenant),
            Value::text(&token.name),
            Value::Bytes(token.hash.to_vec()),
            Value::json(&token.scopes)?,
            Value::time(token.created_at),
            Value::opt_time(token.expires_at),
            Value::opt_time(token.last_used_at),
            Value::opt_time(token.revoked_at),
        ];
        transaction!(self, |tx| tx.execute(sql::TOKENS_ADD, &values).await.map(|_| ()))
    }

    /// The token with that hash, whether or not it is still good.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        self.read(sql::TOKENS_BY_HASH, &[Value::Bytes(hash.to_vec())]).await?.first().map(token).transpose()
    }

    /// All tokens of a tenant, oldest first, those taken back included.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn tokens(&self, tenant: TenantId) -> Result<Vec<TokenRow>, StoreError> {
        self.read(sql::TOKENS_LIST, &[Value::id(tenant)]).await?.iter().map(token).collect()
    }

    /// Takes a token back; says whether it was there and had not been.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn token_revoke(&self, now: Timestamp, tenant: TenantId, id: TokenId) -> Result<bool, StoreError> {
        let values = [Value::id(tenant), Value::id(id), Value::time(now)];
        transaction!(self, |tx| Ok(tx.execute(sql::TOKENS_REVOKE, &values).await? == 1))
    }

    /// Notes that a token was used, at most once a minute; says whether it was noted.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn token_used(&self, now: Timestamp, token: &TokenRow) -> Result<bool, StoreError> {
        // Most calls end here, without touching the one writer.
        if token.last_used_at.is_some_and(|last| last > now - USED_EVERY) {
            return Ok(false);
        }
        let values = [Value::id(token.id), Value::time(now), Value::time(now - USED_EVERY)];
        transaction!(self, Later, |tx| Ok(tx.execute(sql::TOKENS_USED, &values).await? == 1))
    }
}

fn token(row: &Row) -> Result<TokenRow, StoreError> {
    Ok(TokenRow {
        id: row.parse("id")?,
        tenant: row.parse("tenant")?,
        name: row.text("name")?,
        hash: hash(row)?,
        scopes: row.json("scopes")?,
        created_at: row.time("created_at")?,
        expires_at: row.opt_time("expires_at")?,
        last_used_at: row.opt_time("last_used_at")?,
        revoked_at: row.opt_time("revoked_at")?,
    })
}

pub(crate) fn hash(row: &Row) -> Result<[u8; 32], StoreError> {
    row.bytes("hash")?.try_into().map_err(|_| StoreError::corrupt("hash", "it has not 32 bytes"))
}
