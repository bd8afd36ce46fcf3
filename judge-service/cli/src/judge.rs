//! The judge's API, as commands call it.

use crate::failure::Failure;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, Method};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serinus_judge::tls::{Connector, Trust, connector};
use serinus_judge::web;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What an answer may take beyond the time that the judge is asked to hold it: models
/// are loaded within a creation.
const PATIENCE: Duration = Duration::from_secs(10);

/// No answer is larger: a plan is at most 4 MiB, and a long rollout's chain some ten.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// On every answer of the judge's own.
const SIGNATURE: &str = "x-serinus-judge";

#[derive(Debug, clap::Args)]
pub struct JudgeOption {
    /// Where the judge is
    #[arg(
        long,
        env = "SERINUS_JUDGE",
        default_value = "http://127.0.0.1:8090",
        value_name = "URL"
    )]
    judge: String,
    /// Who you are to it: a token, as `serinus token new` makes one
    // Other users of a machine see command lines, so the variable or a file is better.
    #[arg(
        long,
        env = "SERINUS_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
    /// A file that has the token
    #[arg(
        long,
        env = "SERINUS_TOKEN_FILE",
        value_name = "FILE",
        conflicts_with = "token"
    )]
    token_file: Option<PathBuf>,
    /// Whom to trust, as PEM: for a judge whose certificate this machine's authorities do
    /// not know
    #[arg(long, env = "SERINUS_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

pub struct Judge {
    address: String,
    token: Option<HeaderValue>,
    http: Client<Connector, Full<Bytes>>,
}

/// A request.
pub struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<String>,
    /// The version that the rollout must still have.
    pub only_if: Option<&'a str>,
    /// How long the judge is asked to hold it.
    pub hold: Duration,
}

#[derive(Debug)]
pub struct Answer {
    /// `GET http://...`, for errors.
    asked: String,
    pub status: u16,
    pub body: Bytes,
    by_judge: bool,
}

/// RFC 9457.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    /// Each field that is wrong, where several are.
    #[serde(default)]
    errors: Vec<WrongField>,
}

#[derive(Deserialize)]
struct WrongField {
    field: String,
    problem: String,
}

impl Problem {
    /// In as many lines as there are wrong fields.
    fn words(self) -> String {
        if self.errors.is_empty() {
            return self.detail;
        }
        let lines = self.errors.iter();
        let lines: Vec<String> = lines
            .map(|WrongField { field, problem }| format!("{field}: {problem}"))
            .collect();
        lines.join("\n")
    }
}

// === impl JudgeOption ===

impl JudgeOption {
    /// # Errors
    /// A URL that is none, or of a kind that is not spoken.
    pub fn open(&self) -> Result<Judge, Failure> {
        let address = self.judge.trim_end_matches('/');
        let wrong = |what: &str| {
            Failure::Usage(format!(
                "--judge: `{address}` is no URL: {what}; http://127.0.0.1:8090 is one"
            ))
        };
        let uri: axum::http::Uri = address
            .parse()
            .map_err(|error| wrong(&format!("{error}")))?;
        let by_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(other) => return Err(wrong(&format!("{other}:// is not spoken here"))),
            None => return Err(wrong("it has no http:// or https://")),
        };
        let trust = Trust {
            ca: self.ca.as_deref(),
            name: None,
        };
        let connector =
            connector(trust, by_tls).map_err(|error| Failure::Usage(format!("--ca: {error}")))?;
        Ok(Judge {
            address: address.to_owned(),
            token: self.token()?,
            http: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    fn token(&self) -> Result<Option<HeaderValue>, Failure> {
        let (token, from) = match (&self.token, &self.token_file) {
            (Some(token), _) => (token.clone(), "--token".to_owned()),
            (None, Some(path)) => {
                let read = std::fs::read_to_string(path);
                let token = read.map_err(|error| Failure::of_input(path, &error))?;
                (token, path.display().to_string())
            }
            (None, None) => return Ok(None),
        };
        let token = token.trim();
        let wrong = || Failure::Usage(format!("{from}: is no token, which is one visible word"));
        if token.is_empty() || token.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| wrong())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

// === impl Judge ===

impl Judge {
    pub fn address(&self) -> &str {
        &self.address
    }

    /// # Errors
    /// No answer, or one that refuses or is not as expected.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Call::get(path)).await?.accepted()?.read()
    }

    /// Whatever is answered.
    ///
    /// # Errors
    /// No answer.
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, Failure> {
        let url = format!("{}{}", self.address, call.path);
        let asked = format!("{} {url}", call.method);
        let failed = |what: String| Failure::NotReached(format!("{asked} {what}"));
        let mut request = axum::http::Request::builder().method(call.method).uri(&url);
        if call.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(version) = call.only_if {
            request = request.header("if-match", format!("\"{version}\""));
        }
        let request = request
            .body(Full::from(call.body.unwrap_or_default()))
            .map_err(|error| Failure::Usage(format!("{asked} cannot be sent: {error}")))?;
        let exchange = async {
            let answer = self
                .http
                .request(request)
                .await
                .map_err(|error| failed(format!("failed: {}", causes(&error))))?;
            let status = answer.status().as_u16();
            let by_judge = answer.headers().contains_key(SIGNATURE);
            let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect();
            let body = body
                .await
                .map_err(|error| failed(format!("broke off: {error}")))?;
            Ok::<_, Failure>((status, by_judge, body.to_bytes()))
        };
        let (status, by_judge, body) = tokio::time::timeout(call.hold + PATIENCE, exchange)
            .await
            .map_err(|_| failed("was not answered".to_owned()))??;
        Ok(Answer {
            asked,
            status,
            body,
            by_judge,
        })
    }
}

/// An error with what it comes from, and what helps where nobody is trusted.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = web::causes(error);
    if text.contains("refused") {
        text.push_str("; does a judge run there? --judge or SERINUS_JUDGE says where it is");
    }
    if text.contains("InvalidContentType") {
        text.push_str("; it speaks no TLS, and http:// is right");
    }
    if text.contains("UnknownIssuer") || text.contains("BadSignature") {
        text.push_str("; --ca FILE says whom to trust");
    }
    text
}

/// A name as one part of a path.
pub fn segment(name: &str) -> String {
    let mut part = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            part.push(char::from(byte));
        } else {
            let _ = write!(part, "%{byte:02X}");
        }
    }
    part
}

/// The path of a rollout; `rest` is what follows it, such as `/chain`.
pub fn rollout_path(id: &str, rest: &str) -> String {
    format!("/v1/rollouts/{}{rest}", segment(id))
}

// === impl Call ===

impl<'a> Call<'a> {
    pub fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path, None)
    }

    pub fn post(path: &'a str, body: Option<String>) -> Self {
        Self::new(Method::POST, path, body)
    }

    pub fn delete(path: &'a str, body: Option<String>) -> Self {
        Self::new(Method::DELETE, path, body)
    }

    fn new(method: Method, path: &'a str, body: Option<String>) -> Self {
        Self {
            method,
            path,
            body,
            only_if: None,
            hold: Duration::ZERO,
        }
    }
}

// === impl Answer ===

impl Answer {
    /// # Errors
    /// What the judge refused, in its own words; or an answer that is not the judge's.
    pub fn accepted(self) -> Result<Self, Failure> {
        if !self.by_judge {
            return Err(Failure::NotReached(format!(
                "{} answered {}, and that is no Serinus judge",
                self.asked, self.status
            )));
        }
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let mut detail = serde_json::from_slice::<Problem>(&self.body).map_or_else(
            |_| format!("{} answered {}", self.asked, self.status),
            Problem::words,
        );
        if self.status == 401 {
            detail.push_str(" (--token, SERINUS_TOKEN or --token-file says who you are)");
        }
        Err(match self.status {
            404 => Failure::NotFound(detail),
            409 | 412 | 428 => Failure::Conflict(detail),
            _ => Failure::Failed(detail),
        })
    }

    /// # Errors
    /// A body that is something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::Failed(format!(
                "{} answered something that this version does not read: {error}",
                self.asked
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            asked: "GET http://j/v1/x".to_owned(),
            status,
            body: Bytes::from(body.to_owned()),
            by_judge: true,
        }
    }

    #[test]
    fn what_is_refused_is_said_in_the_judges_words() {
        for (status, failure) in [
            (400, Failure::Failed as fn(String) -> Failure),
            (404, Failure::NotFound),
            (409, Failure::Conflict),
            (412, Failure::Conflict),
            (503, Failure::Failed),
        ] {
            let refused = answer(status, r#"{"detail": "arms: are fewer than 2"}"#);
            assert_eq!(
                refused.accepted().unwrap_err(),
                failure("arms: are fewer than 2".to_owned())
            );
        }
        let several = r#"{"detail": "a: b; c: d", "errors": [{"field": "a", "problem": "b"},
            {"field": "c", "problem": "d"}]}"#;
        assert_eq!(
            answer(400, several).accepted().unwrap_err().to_string(),
            "a: b\nc: d"
        );
        let bare = answer(500, "oops").accepted().unwrap_err();
        assert_eq!(
            bare,
            Failure::Failed("GET http://j/v1/x answered 500".to_owned())
        );
        let mut other = answer(404, "{}");
        other.by_judge = false;
        let other = other.accepted().unwrap_err();
        assert!(matches!(other, Failure::NotReached(_)), "{other}");
    }

    #[test]
    fn an_address_is_a_url() {
        for (address, problem) in [
            ("judge:x", "is no URL: "),
            ("127.0.0.1:8090", "it has no http:// or https://"),
            ("ftp://judge", "ftp:// is not spoken here"),
        ] {
            let option = JudgeOption {
                judge: address.to_owned(),
                token: None,
                token_file: None,
                ca: None,
            };
            let error = option.open().err().unwrap().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(segment("digits-2.1_a"), "digits-2.1_a");
        assert_eq!(segment("a/b c?"), "a%2Fb%20c%3F");
    }
}
