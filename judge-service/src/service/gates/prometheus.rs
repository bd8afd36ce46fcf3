//! One number from a Prometheus.
//! <https://prometheus.io/docs/prometheus/latest/querying/api/>

use crate::web::Web;
use axum::http::{Method, Request, header};
use bytes::Bytes;
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar((f64, String)),
    Vector(Vec<Series>),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    value: (f64, String),
}

/// # Errors
/// In words: it is away, it does not understand, or there is not one number.
pub async fn number(web: &Web, address: &str, query: &str) -> Result<f64, String> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}/api/v1/query", address.trim_end_matches('/')))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(format!(
            "query={}",
            utf8_percent_encode(query, NON_ALPHANUMERIC)
        ))))
        .map_err(|error| format!("Prometheus at {address}: {error}"))?;
    let (status, body) = web
        .ask(request, ANSWER_WITHIN)
        .await
        .map_err(|error| format!("Prometheus at {address}: {error}"))?;
    read(&body).map_err(|problem| match status.is_success() {
        true => format!("Prometheus {problem}"),
        false => format!("Prometheus answered {status}, and {problem}"),
    })
}

fn read(body: &[u8]) -> Result<f64, String> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| "does not answer as its API does".to_owned())?;
    if let Some(error) = answer.error {
        return Err(format!("says: {error}"));
    }
    let text = match answer.data {
        Some(Data::Scalar((_, number))) => number,
        Some(Data::Vector(series)) => match <[Series; 1]>::try_from(series) {
            Ok([one]) => one.value.1,
            Err(none) if none.is_empty() => return Err("has no data for it".to_owned()),
            Err(several) => {
                return Err(format!(
                    "has {} series for it; a query that gives one is right, such as sum(...)",
                    several.len()
                ));
            }
        },
        Some(Data::Matrix(_) | Data::String(_)) => {
            return Err("gives no number for it, but a range or a text".to_owned());
        }
        None => return Err("does not answer as its API does".to_owned()),
    };
    // Prometheus writes NaN, +Inf and -Inf.
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("gives {text}, which is no finite number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_read_and_all_else_says_what_it_is() {
        let vector = |series: &str| {
            format!(
                r#"{{"status": "success", "data": {{"resultType": "vector", "result": [{series}]}}}}"#
            )
        };
        let one = r#"{"metric": {"a": "b"}, "value": [1.5, "0.25"]}"#;
        assert_eq!(read(vector(one).as_bytes()), Ok(0.25));
        let scalar = r#"{"data": {"resultType": "scalar", "result": [1, "7"]}}"#;
        assert_eq!(read(scalar.as_bytes()), Ok(7.0));
        for (body, words) in [
            (vector(""), "has no data"),
            (vector(&format!("{one}, {one}")), "has 2 series"),
            (
                vector(&one.replace("0.25", "NaN")),
                "NaN, which is no finite number",
            ),
            (vector(&one.replace("0.25", "+Inf")), "+Inf"),
            (
                r#"{"status": "error", "error": "parse error at char 3"}"#.to_owned(),
                "parse error at char 3",
            ),
            (
                r#"{"data": {"resultType": "matrix", "result": []}}"#.to_owned(),
                "range",
            ),
            ("<html>".to_owned(), "does not answer as its API does"),
            ("{}".to_owned(), "does not answer as its API does"),
        ] {
            let problem = read(body.as_bytes()).unwrap_err();
            assert!(problem.contains(words), "{body}: {problem}");
        }
    }
}
