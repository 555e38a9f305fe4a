//! Tokens: list, make, revoke. Nobody can grant what they do not hold.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mb_api::{Code, NewToken, Page, Problem, Token, TokenSecret};
use mb_core::id::TokenId;
use mb_core::scope::Scope;
use mb_store::TokenRow;

use crate::auth::{TokensAdmin, mint, require};
use crate::extract::{Body, Place};
use crate::problem::{Answer, Refusal};
use crate::state::AppState;

/// Characters a name may have.
const NAME_CHARS_MAX: usize = 100;
/// The shortest life a token may be given, in seconds.
const EXPIRES_IN_S_MIN: u64 = 60;
/// The longest, in seconds: ten years.
const EXPIRES_IN_S_MAX: u64 = 10 * 365 * 86_400;

/// The tokens of the tenant, oldest first, revoked ones included.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", security(("bearer" = ["tokens:admin"])), responses(
    (status = 200, description = "all tokens, without their secrets", body = Page<Token>),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(TokensAdmin(who): TokensAdmin, State(state): State<AppState>) -> Answer<Json<Page<Token>>> {
    let rows = state.store().tokens(who.tenant).await?;
    Ok(Json(Page { items: rows.iter().map(wire).collect(), next: None }))
}

/// Makes a token. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken, security(("bearer" = ["tokens:admin"])), responses(
    (status = 201, description = "the token with its secret", body = TokenSecret),
    (status = 403, description = "scope missing, or one to be granted that the caller does not hold", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the body is not valid", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn add(
    TokensAdmin(who): TokensAdmin,
    State(state): State<AppState>,
    Body(wish): Body<NewToken>,
) -> Answer<(StatusCode, Json<TokenSecret>)> {
    check(&wish)?;
    for scope in &wish.scopes {
        require(&who, *scope)?;
    }
    let (now, minted) = (state.now(), mint(state.engine().env()));
    let row = TokenRow {
        id: minted.id,
        tenant: who.tenant,
        name: wish.name.trim().to_owned(),
        hash: minted.hash,
        scopes: wish.scopes.iter().map(ToString::to_string).collect(),
        created_at: now,
        expires_at: wish.expires_in_s.map(|secs| now + Duration::from_secs(secs)),
        last_used_at: None,
        revoked_at: None,
    };
    state.store().token_add(&row).await?;
    Ok((StatusCode::CREATED, Json(TokenSecret { token: wire(&row), secret: minted.secret })))
}

fn check(wish: &NewToken) -> Answer<()> {
    let chars = wish.name.trim().chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&chars) || wish.name.chars().any(char::is_control) {
        return Err(Refusal::new(Code::BadBody, format!("name has 1 to {NAME_CHARS_MAX} characters on one line")));
    }
    if wish.scopes.is_empty() {
        return Err(Refusal::new(Code::BadBody, "scopes names at least one scope"));
    }
    if wish.expires_in_s.is_some_and(|secs| !(EXPIRES_IN_S_MIN..=EXPIRES_IN_S_MAX).contains(&secs)) {
        let range = format!("expires_in_s is between {EXPIRES_IN_S_MIN} and {EXPIRES_IN_S_MAX}");
        return Err(Refusal::new(Code::BadBody, range));
    }
    Ok(())
}

/// Revokes a token, at once. Revoking it again is no error: it is revoked.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path)), security(("bearer" = ["tokens:admin"])), responses(
    (status = 204, description = "it is revoked"),
    (status = 404, description = "no such token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn revoke(
    TokensAdmin(who): TokensAdmin,
    State(state): State<AppState>,
    Place(id): Place<String>,
) -> Answer<StatusCode> {
    // The text is not repeated: somebody may have pasted a secret.
    let unknown = || Refusal::new(Code::TokenNotFound, "no token of yours has this id; ids begin with tok_");
    let id: TokenId = id.parse().map_err(|_| unknown())?;
    let revoked = state.store().token_revoke(state.now(), who.tenant, id).await?;
    let known = revoked || state.store().tokens(who.tenant).await?.iter().any(|row| row.id == id);
    if known { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

fn wire(row: &TokenRow) -> Token {
    let scopes: BTreeSet<Scope> = row.scopes.iter().filter_map(|word| Scope::from_word(word)).collect();
    Token {
        id: row.id,
        name: row.name.clone(),
        scopes,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    }
}
