//! Outcomes that are told later.

use super::problem::Problem;
use super::{Judge, body};
use crate::reading;
use crate::service::{Feedback, Received};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;
use serinus_core::json::FieldError;

/// As the document says it.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
pub enum FeedbackBody {
    #[allow(dead_code)]
    One(Feedback),
    #[allow(dead_code)]
    Many(Vec<Feedback>),
}

/// Some 50,000 outcomes.
pub const LONGEST: usize = 8 * 1024 * 1024;

/// One outcome, a list of them, or one on each line.
pub async fn tell(
    State(service): Judge,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Received>, Problem> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body is encoded ({encoding:?}); one that is not is right"),
        ));
    }
    let bytes = body::bytes(body, LONGEST).await?;
    let told = read(&bytes)?;
    Ok(Json(service.feedback(told).await?))
}

fn read(bytes: &[u8]) -> Result<Vec<Result<Feedback, FieldError>>, Problem> {
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "the body is empty; an outcome such as {\"rollout\": \"fraud\", \"unit\": \"ada\", \"right\": true} is right, a list of them, or one on each line",
        ));
    }
    if text.starts_with(b"[") {
        let items: Vec<&RawValue> = serde_json::from_slice(text)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the list: {error}")))?;
        let items = items.into_iter();
        return Ok(items
            .map(|item| reading::strict(item.get().as_bytes()))
            .collect());
    }
    // One that is written over several lines is one all the same.
    if let Ok(one) = serde_json::from_slice::<&RawValue>(text) {
        return Ok(vec![reading::strict(one.get().as_bytes())]);
    }
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    Ok(lines
        .filter(|line| !line.is_empty())
        .map(reading::strict)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<Result<String, String>> {
        let told = read(text.as_bytes()).ok().unwrap();
        let told = told.into_iter();
        told.map(|item| {
            let unit = item.map(|item| item.unit.unwrap_or_default());
            unit.map_err(|error| error.field)
        })
        .collect()
    }

    #[test]
    fn one_a_list_and_lines_are_read() {
        let ada = r#"{"rollout": "r", "unit": "ada", "right": true}"#;
        let eve = r#"{"rollout": "r", "unit": "eve", "value": 1}"#;
        let both = [Ok("ada".to_owned()), Ok("eve".to_owned())];
        assert_eq!(units(ada), both[..1]);
        assert_eq!(units(&ada.replace(", ", ",\n")), both[..1]);
        assert_eq!(units(&format!("[{ada}, {eve}]")), both);
        assert_eq!(units(&format!("{ada}\n\r\n{eve}\n")), both);
    }

    #[test]
    fn a_wrong_one_spoils_no_other() {
        let found =
            units("{\"rollout\": \"r\", \"unit\": \"ada\"}\n{\"rollout\": \"r\", \"unt\": 1}\n{");
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], Ok("ada".to_owned()));
        assert!(found[1..].iter().all(Result::is_err), "{found:?}");
        assert!(read(b" \n").is_err() && read(b"[1").is_err());
    }
}
