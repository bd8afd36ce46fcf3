//! Outcomes that are told later.

use super::problem::Problem;
use super::{Judge, body};
use crate::domain::check::{Problems, Unsound};
use crate::reading::Shape;
use crate::service::{Feedback, Received};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;
use serinus_core::json::{self, FieldError};
use std::cell::LazyCell;

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
    let is_one = told.len() == 1;
    let is_readable = told.is_empty() || told.iter().any(Result::is_ok);
    let mut received = service.feedback(told).await?;
    let shape = LazyCell::new(Shape::of::<Feedback>);
    for problem in &mut received.problems {
        let error = FieldError::new(&*problem.field, &*problem.problem);
        problem.problem = shape.with_meant(error).problem;
    }
    match is_readable {
        true => Ok(Json(received)),
        false => Err(unreadable(received, is_one).into()),
    }
}

/// What is wrong where nothing could be counted.
fn unreadable(received: Received, is_one: bool) -> Unsound {
    /// More would not be read.
    const SHOWN: usize = 20;
    let mut problems = Problems::default();
    for told in received.problems.iter().take(SHOWN) {
        let error = FieldError::new(&*told.field, &*told.problem);
        let at = format!("[{}]", told.index);
        problems.add(match told.field.as_str() {
            _ if is_one => error,
            // The whole of it.
            "." => FieldError::new(at, error.problem),
            _ => error.below(at),
        });
    }
    let shown = u64::try_from(SHOWN).unwrap_or(u64::MAX);
    if let Some(more) = received.refused.checked_sub(shown).filter(|&more| more > 0) {
        problems.add(FieldError::new(".", format!("{more} more cannot be read")));
    }
    let nothing = || FieldError::new(".", "nothing can be read").into();
    problems.into_result().err().unwrap_or_else(nothing)
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
            .map(|item| json::read_strict(item.get().as_bytes()))
            .collect());
    }
    // One that is written over several lines is one all the same.
    if let Ok(one) = serde_json::from_slice::<&RawValue>(text) {
        return Ok(vec![json::read_strict(one.get().as_bytes())]);
    }
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    Ok(lines
        .filter(|line| !line.is_empty())
        .map(json::read_strict)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::FeedbackProblem;

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

    #[test]
    fn where_nothing_can_be_read_all_is_refused() {
        let problem = |index, field: &str, problem: &str| FeedbackProblem {
            index,
            field: field.to_owned(),
            problem: problem.to_owned(),
        };
        let said = |problems: Vec<FeedbackProblem>, refused| {
            let is_one = problems.len() == 1;
            let received = Received {
                refused,
                problems,
                ..Received::default()
            };
            unreadable(received, is_one).to_string()
        };
        let one = problem(0, "unt", "unknown field; did you mean `unit`?");
        let meant = "unt: unknown field; did you mean `unit`?";
        assert_eq!(said(vec![one.clone()], 1), meant);
        assert_eq!(
            said(vec![problem(0, ".", "is 7; an object is right"), one], 2),
            "[0]: is 7; an object is right; [0].unt: unknown field; did you mean `unit`?"
        );
        let many = (0..100).map(|index| problem(index, "unit", "is missing"));
        let many = said(many.collect(), 5_000);
        assert!(
            many.ends_with("[19].unit: is missing; .: 4980 more cannot be read"),
            "{many}"
        );
    }
}
