//! Getting in: one-time links that become console sessions.
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
use mb_store::{SessionRow, StoreError};

use crate::auth::{COOKIE, hash};
use crate::state::AppState;

/// How long a link works.
pub const LINK_TTL: Duration = Duration::from_secs(30 * 60);
/// How long a session lasts.
pub const SESSION_TTL: Duration = Duration::from_secs(12 * 3600);

/// Makes the secret of a one-time login link, to put behind `/welcome?t=`.
///
/// # Errors
/// When the store does not take it.
pub async fn link(engine: &Engine) -> Result<String, StoreError> {
    let secret = hex(&engine.env().random_bytes::<32>());
    engine.store().login_add(&hash(&secret), engine.env().now() + LINK_TTL).await?;
    Ok(secret)
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
