//! Bodies, with a limit and with errors that name the field.

use super::problem::Problem;
use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serinus_core::json;
use std::time::Duration;

/// How much of a body that is too large is read and thrown away: a client that is
/// cut off while it sends does not see the answer that says why.
const DRAINED: usize = 32 * 1024 * 1024;

/// A body that takes longer is given up: nobody's needs more than a second.
const PATIENCE: Duration = Duration::from_secs(15);

/// A body of at most `limit` bytes.
pub async fn bytes(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    match tokio::time::timeout(PATIENCE, read(body, limit)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body was not complete after {} s", PATIENCE.as_secs()),
        )),
    }
}

async fn read(mut body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut kept = Vec::new();
    let mut seen: usize = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "the body ended before it was complete",
            )
        })?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen = seen.saturating_add(data.len());
        if seen <= limit {
            kept.extend_from_slice(&data);
        } else if seen > limit.saturating_add(DRAINED) {
            break;
        } else {
            kept = Vec::new();
        }
    }
    if seen > limit {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is over {limit} bytes"),
        ));
    }
    Ok(kept)
}

/// Reads what nobody wants, if it is there and small: by HTTP/2 an answer before the end of
/// a body resets the stream, and then curl, for one, does not see the answer.
pub async fn leave(mut body: Body) {
    const MOST: usize = 64 * 1024;
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut seen = 0;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, |data| data.len());
            if seen > MOST {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, reading).await;
}

/// What a worker, maybe of another version, wrote.
pub async fn tolerant<T: DeserializeOwned>(body: Body, limit: usize) -> Result<T, Problem> {
    Ok(json::read_quickly(&bytes(body, limit).await?)?)
}
