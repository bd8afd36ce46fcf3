//! Bodies, with a limit and with errors that name the field.

use super::problem::Problem;
use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serinus_core::json;

/// A body of at most `limit` bytes.
pub async fn bytes(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    match to_bytes(body, limit).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => {
            // axum hides which of the two it was behind the source.
            let too_large = std::error::Error::source(&error)
                .is_some_and(|source| source.to_string().contains("length limit exceeded"));
            Err(if too_large {
                Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("the body is over {limit} bytes"),
                )
            } else {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "the body ended before it was complete",
                )
            })
        }
    }
}

/// What a person or their tool wrote: an unknown field is refused.
pub async fn strict<T: DeserializeOwned>(body: Body, limit: usize) -> Result<T, Problem> {
    Ok(json::read_strict(&bytes(body, limit).await?)?)
}

/// What a worker, maybe of another version, wrote.
pub async fn tolerant<T: DeserializeOwned>(body: Body, limit: usize) -> Result<T, Problem> {
    Ok(json::read_tolerant(&bytes(body, limit).await?)?.0)
}
