//! Tokens: list, make, revoke. Nobody can grant what they do not hold.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mb_api::{Code, NewToken, Page, Problem, Token, TokenSecret};
use mb_core::id::TokenId;

use crate::auth::{TokensAdmin, require};
use crate::extract::{Body, Place};
use crate::problem::{Answer, Refusal};
use crate::state::AppState;
use crate::tokens::{TokenError, create};
use crate::wire;

/// The tokens of the tenant, oldest first, revoked ones included.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", security(("bearer" = ["tokens:admin"])), responses(
    (status = 200, description = "all tokens, without their secrets", body = Page<Token>),
    (status = 401, description = "no token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(TokensAdmin(who): TokensAdmin, State(state): State<AppState>) -> Answer<Json<Page<Token>>> {
    let rows = state.store().tokens(who.tenant).await?;
    Ok(Json(Page { items: rows.iter().map(wire::token).collect(), next: None }))
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
    for scope in &wish.scopes {
        require(&who, *scope)?;
    }
    let made = create(state.engine(), who.tenant, &wish).await.map_err(|error| match error {
        TokenError::Invalid { what } => Refusal::new(Code::BadBody, what),
        TokenError::Store(cause) => cause.into(),
    })?;
    Ok((StatusCode::CREATED, Json(made)))
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
