//! Who asks, and what they may do.
//!
//! A handler names the right it needs as an argument ([`RunsRead`], [`RunsOperate`] …); without it the handler is not
//! called, so a route cannot forget to ask. A token is stored as its SHA-256 only and compared in constant time.
//! A browser has a session instead (see [`crate::login`]); requests of a session that change something must come from
//! our own pages.

use std::collections::BTreeSet;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum_extra::extract::cookie::CookieJar;
use mb_api::Code;
use mb_core::id::TenantId;
use mb_core::scope::Scope;
use mb_core::time::Timestamp;
use mb_store::TokenRow;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::{Answer, Refusal};
use crate::state::AppState;

/// The cookie of a console session.
pub(crate) const COOKIE: &str = "mb_session";
/// The longest secret looked at, in bytes.
const SECRET_BYTES_MAX: usize = 512;

/// Somebody who has shown who they are.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Whose rows they see.
    pub tenant: TenantId,
    /// Their name in events (`token deploy-bot`, `console`).
    pub actor: String,
    /// What they may do.
    pub scopes: BTreeSet<Scope>,
}

/// What is stored of a secret. The secrets are 256 random bits, so one fast hash is enough.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident = $scope:ident;)*) => {$(
        $(#[$doc])*
        #[allow(dead_code, reason = "some routes need the right and not the person")]
        pub(crate) struct $name(pub(crate) Principal);

        impl FromRequestParts<AppState> for $name {
            type Rejection = Refusal;

            async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Answer<Self> {
                let who = authenticate(parts, state).await?;
                require(&who, Scope::$scope)?;
                Ok($name(who))
            }
        }
    )*};
}

rights! {
    /// May see runs.
    RunsRead = RunsRead;
    /// May start and cancel runs.
    RunsOperate = RunsOperate;
    /// May publish workflows and manage schedules and triggers.
    WorkflowsWrite = WorkflowsWrite;
    /// May send events.
    EventsSend = EventsSend;
    /// May approve or reject what waits for a person.
    RunsApprove = RunsApprove;
    /// May pause queues, let workers end and try failed tasks again.
    FleetOperate = FleetOperate;
    /// May make and revoke tokens.
    TokensAdmin = TokensAdmin;
    /// May read readiness and metrics.
    MetaRead = MetaRead;
}

/// Refuses somebody who lacks a right.
pub(crate) fn require(who: &Principal, scope: Scope) -> Answer<()> {
    if scope.allowed_by(&who.scopes) {
        Ok(())
    } else {
        Err(Refusal::new(Code::ScopeMissing, format!("this needs the scope {scope}")))
    }
}

async fn authenticate(parts: &Parts, state: &AppState) -> Answer<Principal> {
    if let Some(header) = parts.headers.get(AUTHORIZATION) {
        let secret = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).map(str::trim);
        let secret = secret.filter(|secret| !secret.is_empty() && secret.len() <= SECRET_BYTES_MAX);
        let secret =
            secret.ok_or_else(|| Refusal::new(Code::BadToken, "the Authorization header is not `Bearer TOKEN`"))?;
        return by_token(state, secret).await;
    }
    let jar = CookieJar::from_headers(&parts.headers);
    let Some(cookie) = jar.get(COOKIE) else {
        return Err(Refusal::new(Code::NotAuthenticated, "the request does not say who asks"));
    };
    let session = state.store().session_by_hash(state.now(), &hash(cookie.value())).await?;
    let session = session.ok_or_else(|| Refusal::new(Code::NotAuthenticated, "the session has ended"))?;
    if !parts.method.is_safe() {
        same_origin(&parts.headers)?;
    }
    Ok(Principal { tenant: session.tenant, actor: "console".into(), scopes: words(&session.scopes) })
}

async fn by_token(state: &AppState, secret: &str) -> Answer<Principal> {
    let (now, hash) = (state.now(), hash(secret));
    let row = state.store().token_by_hash(&hash).await?;
    let row = row.filter(|row| bool::from(row.hash.ct_eq(&hash)) && is_alive(row, now));
    let row = row.ok_or_else(|| Refusal::new(Code::BadToken, "no living token matches"))?;
    if let Err(error) = state.store().token_used(now, &row).await {
        tracing::warn!(error = %mb_core::error::chain(&error), "the use of a token could not be noted");
    }
    Ok(Principal { tenant: row.tenant, actor: format!("token {}", row.name), scopes: words(&row.scopes) })
}

fn is_alive(row: &TokenRow, now: Timestamp) -> bool {
    row.revoked_at.is_none() && row.expires_at.is_none_or(|end| now < end)
}

/// Words that this version does not know give no right.
fn words(scopes: &BTreeSet<String>) -> BTreeSet<Scope> {
    scopes.iter().filter_map(|word| Scope::from_word(word)).collect()
}

/// Refuses what a browser sends for another site's page (the scheme of Go 1.25: `Sec-Fetch-Site`, else `Origin`).
/// A browser that says neither is refused: what has no browser has no need of a session.
pub(crate) fn same_origin(headers: &HeaderMap) -> Answer<()> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let ours = match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == text(HOST.as_str())
        }
        (None, None) => false,
    };
    if ours { Ok(()) } else { Err(Refusal::new(Code::CrossSite, "the request does not come from our own pages")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_must_come_from_our_own_pages() {
        let check = |pairs: &[(&'static str, &'static str)], expected: bool| {
            let headers = pairs
                .iter()
                .map(|&(name, value)| (name.parse().expect("a name"), axum::http::HeaderValue::from_static(value)));
            let headers: HeaderMap = headers.collect();
            assert_eq!(same_origin(&headers).is_ok(), expected, "{pairs:?}");
        };
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "none")], true);
        check(&[("sec-fetch-site", "cross-site"), ("origin", "http://a"), ("host", "a")], false);
        check(&[("sec-fetch-site", "same-site")], false);
        check(&[("origin", "http://a:8000"), ("host", "a:8000")], true);
        check(&[("origin", "http://evil"), ("host", "a:8000")], false);
        check(&[("origin", "null"), ("host", "a")], false);
        check(&[("host", "a"), ("x-forwarded-host", "a")], false);
    }
}
