//! What stands behind the `?`, with a problem for what cannot be read.

use super::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        let axum::extract::Query(asked) = query.map_err(|error| {
            let said = error.body_text();
            let said = said.trim_start_matches("Failed to deserialize query string: ");
            // Rust's words for numbers.
            let said = said
                .replace("invalid digit found in string", "is no whole number")
                .replace(
                    "cannot parse integer from empty string",
                    "is no whole number",
                )
                .replace("number too large to fit in target type", "is too large");
            Problem::new(StatusCode::BAD_REQUEST, said)
        })?;
        Ok(Self(asked))
    }
}
