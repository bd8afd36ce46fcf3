//! The workers that the judge has heard of, a page at a time.

use super::Judge;
use super::problem::Problem;
use super::query::Query;
use crate::service::{Standing, WorkerState};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use core::fmt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serinus_core::json::FieldError;
use std::str::FromStr;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Where the page before ended, as its `Link` says it.
    after: Option<String>,
    limit: Option<usize>,
}

/// Where a worker stands in the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    is_converged: bool,
    session: String,
    node: String,
}

/// Those that somebody should look at come first.
pub async fn workers(
    State(service): Judge,
    Query(Listed { after, limit }): Query<Listed>,
) -> Result<Response, Problem> {
    if limit == Some(0) {
        return Err(Problem::empty_page());
    }
    let after = after.as_deref().map(Place::from_str).transpose()?;
    let mut workers = service.delivery().workers(service.now());
    workers.sort_by_cached_key(Place::of);
    if let Some(after) = &after {
        workers.retain(|worker| Place::of(worker) > *after);
    }
    let limit = limit.unwrap_or(usize::MAX);
    let more = workers.len() > limit;
    workers.truncate(limit);
    let last = workers.last().filter(|_| more).map(Place::of);
    let mut response = Json(workers).into_response();
    if let Some(last) = last {
        let last = last.to_string();
        let after = utf8_percent_encode(&last, NON_ALPHANUMERIC);
        let next = format!("</v1/workers?after={after}&limit={limit}>; rel=\"next\"");
        if let Ok(next) = HeaderValue::from_str(&next) {
            response.headers_mut().insert(header::LINK, next);
        }
    }
    Ok(response)
}

// === impl Place ===

impl Place {
    fn of(worker: &WorkerState) -> Self {
        Self {
            is_converged: worker.state == Standing::Converged,
            session: worker.session.clone(),
            node: worker.node.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = if self.is_converged {
            "converged"
        } else {
            "not"
        };
        // A session has no dot in it.
        write!(f, "{first}.{}.{}", self.session, self.node)
    }
}

impl FromStr for Place {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let mut parts = text.splitn(3, '.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(first @ ("converged" | "not")), Some(session), Some(node)) => Ok(Self {
                is_converged: first == "converged",
                session: session.to_owned(),
                node: node.to_owned(),
            }),
            _ => Err(FieldError::new(
                "after",
                "is no end of a page; what the `Link` of the page before says is right",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again() {
        for (is_converged, session, node) in [
            (true, "5f", "edge-1.example"),
            (false, "", "sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local"),
            (true, "a", ""),
        ] {
            let place = Place {
                is_converged,
                session: session.to_owned(),
                node: node.to_owned(),
            };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "converged", "not.5f", "lagging.5f.edge"] {
            assert_eq!(text.parse::<Place>().unwrap_err().field, "after", "{text}");
        }
    }

    #[test]
    fn who_does_not_have_the_plan_comes_first() {
        let place = |text: &str| text.parse::<Place>().unwrap();
        assert!(place("not.9.z") < place("converged.1.a"));
        assert!(place("not.1.z") < place("not.2.a"));
    }
}
