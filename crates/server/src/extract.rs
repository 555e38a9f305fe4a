//! Queries, paths and bodies whose refusal is a problem with a code, like every other refusal.

use axum::extract::{Form, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::{Answer, Refusal};

/// The query.
pub(crate) struct Params<T>(pub(crate) T);
/// The variable parts of the path.
pub(crate) struct Place<T>(pub(crate) T);
/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);
/// A form's body.
pub(crate) struct Sent<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let Query(value) = Query::from_request_parts(parts, state).await?;
        Ok(Params(value))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Place<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let Path(value) = Path::from_request_parts(parts, state).await?;
        Ok(Place(value))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let axum::Json(value) = axum::Json::from_request(request, state).await?;
        Ok(Body(value))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let Form(value) = Form::from_request(request, state).await?;
        Ok(Sent(value))
    }
}
