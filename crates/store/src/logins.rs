//! One-time login links, and the browser sessions they turn into. Secrets are stored as their SHA-256 only.
//!
//! Deliberately absent: users. Whoever holds the link is the operator of this installation.

use std::collections::BTreeSet;

use mb_core::id::TenantId;
use mb_core::time::Timestamp;

use crate::db::{Row, Value};
use crate::error::StoreError;
use crate::sql;
use crate::store::{Store, transaction};
use crate::tokens;

/// A browser's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of the cookie's secret.
    pub hash: [u8; 32],
    /// Whose it is.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: BTreeSet<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Store {
    /// Stores a login link that can be redeemed once, before `expires_at`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the hash is there already.
    pub async fn login_add(&self, hash: &[u8; 32], expires_at: Timestamp) -> Result<(), StoreError> {
        let values = [Value::Bytes(hash.to_vec()), Value::time(expires_at)];
        transaction!(self, |tx| tx.execute(sql::LOGINS_ADD, &values).await.map(|_| ()))
    }

    /// Redeems a login link: true for exactly one caller, and only in time. Also forgets links that have run out.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn login_redeem(&self, now: Timestamp, hash: &[u8; 32]) -> Result<bool, StoreError> {
        let values = [Value::Bytes(hash.to_vec()), Value::time(now)];
        transaction!(self, |tx| {
            let redeemed = tx.execute(sql::LOGINS_REDEEM, &values).await? == 1;
            tx.execute(sql::LOGINS_SWEEP, &[Value::time(now)]).await?;
            Ok(redeemed)
        })
    }

    /// Stores a new session. Also forgets those that had ended when it began.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the hash is there already.
    pub async fn session_add(&self, session: &SessionRow) -> Result<(), StoreError> {
        let values = [
            Value::Bytes(session.hash.to_vec()),
            Value::id(session.tenant),
            Value::json(&session.scopes)?,
            Value::time(session.created_at),
            Value::time(session.expires_at),
        ];
        transaction!(self, |tx| {
            tx.execute(sql::LOGINS_SESSION_SWEEP, &[Value::time(session.created_at)]).await?;
            tx.execute(sql::LOGINS_SESSION_ADD, &values).await.map(|_| ())
        })
    }

    /// The session of that hash, if it has not ended.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn session_by_hash(&self, now: Timestamp, hash: &[u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        let values = [Value::Bytes(hash.to_vec()), Value::time(now)];
        self.read(sql::LOGINS_SESSION_BY_HASH, &values).await?.first().map(session).transpose()
    }

    /// Ends a session; says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn session_end(&self, hash: &[u8; 32]) -> Result<bool, StoreError> {
        let values = [Value::Bytes(hash.to_vec())];
        transaction!(self, |tx| Ok(tx.execute(sql::LOGINS_SESSION_END, &values).await? == 1))
    }
}

fn session(row: &Row) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        hash: tokens::hash(row)?,
        tenant: row.parse("tenant")?,
        scopes: row.json("scopes")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}
