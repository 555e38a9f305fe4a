//! Making tokens: what the API's route, the command line and the first start all do.

use std::collections::BTreeSet;
use std::time::Duration;

use mb_api::{NewToken, TokenSecret};
use mb_core::id::{TenantId, TokenId};
use mb_core::scope::Scope;
use mb_core::workflow::hex;
use mb_engine::{Engine, Env};
use mb_store::{StoreError, TokenRow};

use crate::auth::hash;
use crate::wire;

/// Characters a name may have.
pub const NAME_CHARS_MAX: usize = 100;
/// The shortest life a token may be given, in seconds.
pub const EXPIRES_IN_S_MIN: u64 = 60;
/// The longest, in seconds: ten years.
pub const EXPIRES_IN_S_MAX: u64 = 10 * 365 * 86_400;
/// The least length of a secret an operator brings along, in characters.
pub const SECRET_CHARS_MIN: usize = 32;

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The wish is not valid.
    #[error("{what}")]
    Invalid {
        /// What is wrong.
        what: String,
    },
    /// The store did not take it.
    #[error("the token could not be stored")]
    Store(#[source] StoreError),
}

/// A fresh secret: what to give away once, and what to store.
struct Minted {
    id: TokenId,
    /// `mb_<id>_<64 hex digits>`.
    secret: String,
}

fn mint(env: &Env) -> Minted {
    let id = env.token_id();
    let name = id.to_string();
    let name = name.strip_prefix("tok_").unwrap_or(&name);
    Minted { id, secret: format!("mb_{name}_{}", hex(&env.random_bytes::<32>())) }
}

/// Makes a token. Whether the caller may grant these scopes is the caller's question.
///
/// # Errors
/// When name, scopes or life are not valid, or the store does not take it.
pub async fn create(engine: &Engine, tenant: TenantId, wish: &NewToken) -> Result<TokenSecret, TokenError> {
    check(wish)?;
    let (now, minted) = (engine.env().now(), mint(engine.env()));
    let row = TokenRow {
        id: minted.id,
        tenant,
        name: wish.name.trim().to_owned(),
        hash: hash(&minted.secret),
        scopes: wish.scopes.iter().map(ToString::to_string).collect(),
        created_at: now,
        expires_at: wish.expires_in_s.map(|secs| now + Duration::from_secs(secs)),
        last_used_at: None,
        revoked_at: None,
    };
    engine.store().token_add(&row).await.map_err(TokenError::Store)?;
    Ok(TokenSecret { token: wire::token(&row), secret: minted.secret })
}

/// Makes a secret that an operator brings along (the content of an admin token file) a token with every right.
/// Doing it again changes nothing.
///
/// # Errors
/// When it is shorter than [`SECRET_CHARS_MIN`] or the store does not take it.
pub async fn adopt(engine: &Engine, tenant: TenantId, name: &str, secret: &str) -> Result<(), TokenError> {
    let chars = secret.chars().count();
    if chars < SECRET_CHARS_MIN {
        let what = format!("the secret has {chars} characters; at least {SECRET_CHARS_MIN} are needed");
        return Err(TokenError::Invalid { what });
    }
    let hash = hash(secret);
    if engine.store().token_by_hash(&hash).await.map_err(TokenError::Store)?.is_some() {
        return Ok(());
    }
    let row = TokenRow {
        id: engine.env().token_id(),
        tenant,
        name: name.to_owned(),
        hash,
        scopes: BTreeSet::from([Scope::Admin.to_string()]),
        created_at: engine.env().now(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    engine.store().token_add(&row).await.map_err(TokenError::Store)
}

fn check(wish: &NewToken) -> Result<(), TokenError> {
    let invalid = |what: String| Err(TokenError::Invalid { what });
    let chars = wish.name.trim().chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&chars) || wish.name.chars().any(char::is_control) {
        return invalid(format!("name has 1 to {NAME_CHARS_MAX} characters on one line"));
    }
    if wish.scopes.is_empty() {
        return invalid("scopes names at least one scope".into());
    }
    if wish.expires_in_s.is_some_and(|secs| !(EXPIRES_IN_S_MIN..=EXPIRES_IN_S_MAX).contains(&secs)) {
        return invalid(format!("expires_in_s is between {EXPIRES_IN_S_MIN} and {EXPIRES_IN_S_MAX}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mb_core::time::Timestamp;

    #[test]
    fn a_minted_secret_is_long_and_carries_its_id() {
        let env = Env::manual(Timestamp::from_micros(1), 1);
        let (a, b) = (mint(&env), mint(&env));
        assert_ne!(a.secret, b.secret);
        assert_eq!(a.secret.len(), 3 + 26 + 1 + 64);
        assert!(a.id.to_string().ends_with(&a.secret[3..29]));
    }

    #[test]
    fn wishes_are_checked() {
        let wish = |name: &str, scopes: &[Scope], secs: Option<u64>| {
            let wish = NewToken { name: name.into(), scopes: scopes.iter().copied().collect(), expires_in_s: secs };
            check(&wish).map_err(|e| e.to_string())
        };
        assert_eq!(wish("ci", &[Scope::RunsRead], Some(60)), Ok(()));
        for bad in [
            wish("", &[Scope::RunsRead], None),
            wish(" ", &[Scope::RunsRead], None),
            wish("a\nb", &[Scope::RunsRead], None),
            wish(&"x".repeat(101), &[Scope::RunsRead], None),
            wish("ci", &[], None),
            wish("ci", &[Scope::RunsRead], Some(59)),
            wish("ci", &[Scope::RunsRead], Some(u64::MAX)),
        ] {
            assert!(bad.is_err());
        }
    }
}
