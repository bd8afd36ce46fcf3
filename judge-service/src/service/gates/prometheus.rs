//! One number from a Prometheus.
//! <https://prometheus.io/docs/prometheus/latest/querying/api/>

use crate::web::{Ending, Web};
use axum::http::uri::Authority;
use axum::http::{Method, Request, Uri, header};
use bytes::Bytes;
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// One number has some hundred bytes; what names a thousand series is none.
const LARGEST: usize = 1024 * 1024;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Option<String>,
    /// Of series that could not be read, say: the number may be of a part.
    #[serde(default)]
    warnings: Vec<String>,
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
    let answer = web
        .call(request, ANSWER_WITHIN, LARGEST)
        .await
        .map_err(|error| format!("Prometheus at {address}: {error}"))?;
    let cut = match answer.ending {
        Ending::Whole => None,
        Ending::TooLarge => Some(format!("sends over {LARGEST} bytes, which are no number")),
        Ending::Late => Some(format!("sends no whole answer within {ANSWER_WITHIN:?}")),
        Ending::BrokenOff => Some("breaks its answer off".to_owned()),
    };
    let number = cut.map_or_else(|| read(&answer.body), Err);
    match (answer.status, number) {
        (status, Ok(number)) if status.is_success() => Ok(number),
        (status, Ok(_)) => Err(format!("Prometheus answered {status}")),
        (status, Err(problem)) if status.is_success() => Err(format!("Prometheus {problem}")),
        (status, Err(problem)) => Err(format!("Prometheus answered {status}, and {problem}")),
    }
}

/// Whether a Prometheus can be at an address. What is wrong with it is said without it: it
/// may have a password.
///
/// # Errors
/// What is no `http://` or `https://` URL, or has a user in it.
pub fn check_address(address: &str) -> Result<(), String> {
    let right = "a URL such as `http://prometheus:9090` is right";
    let uri: Uri = address
        .parse()
        .map_err(|error| format!("is no URL ({error}); {right}"))?;
    let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
    if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.is_empty() {
        return Err(format!("is no http:// or https:// URL; {right}"));
    }
    if authority.contains('@') {
        return Err(format!(
            "has a user or a password, which are not sent; {right}"
        ));
    }
    if uri.query().is_some() {
        return Err(format!(
            "has a query, behind which nothing can be asked; {right}"
        ));
    }
    Ok(())
}

fn read(body: &[u8]) -> Result<f64, String> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| "does not answer as its API does".to_owned())?;
    if let Some(error) = answer.error {
        return Err(format!("says: {error}"));
    }
    if answer.status.as_deref() != Some("success") {
        return Err("does not say that it succeeded".to_owned());
    }
    if !answer.warnings.is_empty() {
        return Err(format!("warns: {}", answer.warnings.join("; ")));
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
        let scalar =
            r#"{"status": "success", "data": {"resultType": "scalar", "result": [1, "7"]}}"#;
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
                r#"{"status": "success", "data": {"resultType": "matrix", "result": []}}"#
                    .to_owned(),
                "range",
            ),
            ("<html>".to_owned(), "does not answer as its API does"),
            (
                r#"{"status": "success"}"#.to_owned(),
                "does not answer as its API does",
            ),
            ("{}".to_owned(), "does not say that it succeeded"),
            (
                scalar.replace("success", "error"),
                "does not say that it succeeded",
            ),
            (
                scalar.replace("\"data\"", "\"warnings\": [\"a store is away\"], \"data\""),
                "warns: a store is away",
            ),
        ] {
            let problem = read(body.as_bytes()).unwrap_err();
            assert!(problem.contains(words), "{body}: {problem}");
        }
    }

    #[test]
    fn an_address_is_a_url_without_a_password() {
        for right in [
            "http://prometheus:9090",
            "https://metrics.example/prometheus/",
        ] {
            check_address(right).unwrap();
        }
        for (wrong, words) in [
            ("prometheus:9090", "is no http"),
            ("ftp://prometheus", "is no http"),
            ("/prometheus", "is no http"),
            ("", "is no URL"),
            ("http://me:s3cret@prometheus", "has a user or a password"),
            ("http://prometheus?a=b", "has a query"),
        ] {
            let problem = check_address(wrong).unwrap_err();
            assert!(problem.contains(words), "{wrong}: {problem}");
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }
}
