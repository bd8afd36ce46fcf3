//! Errors as RFC 9457 problems: the one place that knows which is which status.

use crate::books::Refusal;
use crate::domain::check::Unsound;
use crate::service::{IngestError, SampleRefusal, ServiceError};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serinus_core::json::FieldError;
use std::time::Duration;

#[derive(Debug, JsonSchema, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: Kind,
    title: &'static str,
    status: u16,
    detail: String,
    /// The first that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// All that is wrong, where it is more than one field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<WrongField>,
    #[serde(skip)]
    retry_after_seconds: Option<u32>,
    /// How to say who one is.
    #[serde(skip)]
    authenticate: Option<&'static str>,
}

/// None of our problems has a page that explains it.
#[derive(Debug, JsonSchema, Serialize)]
enum Kind {
    #[serde(rename = "about:blank")]
    AboutBlank,
}

#[derive(Debug, JsonSchema, Serialize)]
pub struct WrongField {
    field: String,
    problem: String,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: Kind::AboutBlank,
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            errors: Vec::new(),
            retry_after_seconds: None,
            authenticate: None,
        }
    }

    /// Not now; worth another attempt soon.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry(1)
    }

    /// What a status is called.
    pub fn title(status: u16) -> &'static str {
        let status = StatusCode::from_u16(status).ok();
        status
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Error")
    }

    /// Worth another attempt after so long.
    pub fn retry(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The same, in whole seconds: one at least, and no earlier.
    pub fn retry_in(self, wait: Duration) -> Self {
        let seconds = wait.as_secs_f64().ceil() as u32;
        self.retry(seconds.max(1))
    }

    /// With the header that a 401 has.
    pub fn authenticate(mut self, by: &'static str) -> Self {
        self.authenticate = Some(by);
        self
    }

    pub fn empty_page() -> Self {
        FieldError::new("limit", "is 0, and a page has at least 1").into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(by) = self.authenticate {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(by));
        }
        response
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        Unsound::from(error).into()
    }
}

impl From<Unsound> for Problem {
    fn from(wrong: Unsound) -> Self {
        let mut problem = Self::new(StatusCode::BAD_REQUEST, wrong.to_string());
        problem.field = Some(wrong.first().field.clone());
        if wrong.is_several() {
            let errors = wrong.all().map(|one| WrongField {
                field: one.field.clone(),
                problem: one.problem.clone(),
            });
            problem.errors = errors.collect();
        }
        problem
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Spec(wrong) => wrong.into(),
            ServiceError::Exists(_) | ServiceError::Conflict(_) => {
                Self::new(StatusCode::CONFLICT, error.to_string())
            }
            ServiceError::Changed { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, error.to_string())
            }
            ServiceError::KeyIsUsed(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
            ServiceError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            // What went wrong inside is for the log, not for the caller.
            ServiceError::Store(_) | ServiceError::Internal(_) => {
                tracing::error!(%error, "a request failed");
                Self::unavailable("the judge could not do this now; nothing was changed")
            }
        }
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Unreadable(error) => error.into(),
            IngestError::Refused(Refusal::Malformed { field, problem }) => {
                FieldError::new(field, problem).into()
            }
            IngestError::Refused(refusal @ Refusal::Claimed { .. }) => {
                Self::new(StatusCode::CONFLICT, refusal.to_string())
            }
            IngestError::Refused(Refusal::UnknownRollout(detail)) => {
                Self::new(StatusCode::NOT_FOUND, detail)
            }
            IngestError::Busy => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()).retry(1)
            }
            IngestError::Store => Self::unavailable(error.to_string()),
        }
    }
}

impl From<SampleRefusal> for Problem {
    fn from(error: SampleRefusal) -> Self {
        let status = match error {
            SampleRefusal::Busy => {
                return Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()).retry(1);
            }
            SampleRefusal::Version(_) | SampleRefusal::Session => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}
