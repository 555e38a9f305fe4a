//! Getting in: one-time links that become console sessions, and the first token.
//!
//! There is never a default password. Whoever can run a command on the machine gets a link that works once and for
//! half an hour. Opening it shows a page with a button; only the button's POST redeems it, so a program that follows
//! links (a chat's preview, a virus scanner) cannot use it up.

use std::collections::BTreeSet;
use std::time::Duration;

use mb_core::id::TenantId;
use mb_core::scope::Scope;
use mb_core::workflow::hex;
use mb_engine::Engine;
use mb_store::{SessionRow, StoreError, TokenRow};

use crate::auth::{COOKIE, hash, mint};
use crate::state::AppState;

/// How long a link works.
pub const LINK_TTL: Duration = Duration::from_secs(30 * 60);
/// How long a session lasts.
pub const SESSION_TTL: Duration = Duration::from_secs(12 * 3600);
/// The least length of a token an operator brings along, in characters.
pub const ADMIN_TOKEN_CHARS_MIN: usize = 32;

/// Makes a one-time login link; the path to put behind the server's address.
///
/// # Errors
/// When the store does not take it.
pub async fn link(engine: &Engine) -> Result<String, StoreError> {
    let secret = hex(&engine.env().random_bytes::<32>());
    engine.store().login_add(&hash(&secret), engine.env().now() + LINK_TTL).await?;
    Ok(format!("/welcome?t={secret}"))
}

/// Why an operator's own token was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// It is too short to be safe.
    #[error("the admin token has {chars} characters; at least {ADMIN_TOKEN_CHARS_MIN} are needed")]
    TooShort {
        /// How many it has.
        chars: usize,
    },
    /// The store did not take it.
    #[error("the admin token could not be stored")]
    Store(#[source] StoreError),
}

/// Makes the content of an admin token file a living token with every right. Doing it again changes nothing.
///
/// # Errors
/// When it is shorter than [`ADMIN_TOKEN_CHARS_MIN`] or the store does not take it.
pub async fn bootstrap_admin(engine: &Engine, content: &str) -> Result<(), AdminTokenError> {
    let secret = content.trim();
    let chars = secret.chars().count();
    if chars < ADMIN_TOKEN_CHARS_MIN {
        return Err(AdminTokenError::TooShort { chars });
    }
    let hash = hash(secret);
    if engine.store().token_by_hash(&hash).await.map_err(AdminTokenError::Store)?.is_some() {
        return Ok(());
    }
    let row = TokenRow {
        id: mint(engine.env()).id,
        tenant: TenantId::DEFAULT,
        name: "admin token file".into(),
        hash,
        scopes: BTreeSet::from([Scope::Admin.to_string()]),
        created_at: engine.env().now(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    engine.store().token_add(&row).await.map_err(AdminTokenError::Store)
}

/// Redeems a link: a session's cookie for exactly one caller, nothing for anybody else.
pub(crate) async fn redeem(state: &AppState, secret: &str) -> Result<Option<String>, StoreError> {
    let now = state.now();
    if !state.store().login_redeem(now, &hash(secret)).await? {
        return Ok(None);
    }
    let session = hex(&state.engine().env().random_bytes::<32>());
    let row = SessionRow {
        hash: hash(&session),
        tenant: TenantId::DEFAULT,
        scopes: BTreeSet::from([Scope::Admin.to_string()]),
        created_at: now,
        expires_at: now + SESSION_TTL,
    };
    state.store().session_add(&row).await?;
    Ok(Some(cookie(state, &session, SESSION_TTL)))
}

/// The cookie that ends a session in the browser.
pub(crate) fn farewell(state: &AppState) -> String {
    cookie(state, "", Duration::ZERO)
}

/// The `Set-Cookie` header; the value is ours and needs no quoting.
fn cookie(state: &AppState, value: &str, ttl: Duration) -> String {
    let secure = if state.options().secure_cookies { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}", ttl.as_secs())
}
