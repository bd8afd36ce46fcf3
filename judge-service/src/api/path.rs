//! Parts of a path, with a problem for what cannot be one.

use super::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(part)) => Ok(Self(part)),
            // All parts are text, so nothing else can be wrong with them.
            Err(_) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "the path: what its %-escapes stand for is no UTF-8",
            )),
        }
    }
}
