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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    #[serde(default)]
    sort: Sort,
    /// Where the page before ended, as its `Link` says it.
    after: Option<String>,
    limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    /// By the nodes' names: the order in which there are pages.
    #[default]
    Node,
    /// Those that somebody should look at come first. Which they are changes meanwhile.
    State,
}

/// Where a worker stands in the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    node: String,
    session: String,
}

pub async fn workers(
    State(service): Judge,
    Query(Listed { sort, after, limit }): Query<Listed>,
) -> Result<Response, Problem> {
    if limit == Some(0) {
        return Err(Problem::empty_page());
    }
    let after = after.as_deref().map(Place::from);
    let mut workers = service.delivery().workers(service.now());
    if sort == Sort::State {
        workers.sort_by_key(|worker| worker.state == Standing::Converged);
    }
    if let Some(after) = &after {
        workers.retain(|worker| Place::of(worker) > *after);
    }
    let limit = limit.unwrap_or(u32::MAX) as usize;
    let more = workers.len() > limit && sort == Sort::Node;
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
            node: worker.node.clone(),
            session: worker.session.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A session has no dot in it.
        write!(f, "{}.{}", self.session, self.node)
    }
}

impl From<&str> for Place {
    /// A name alone is a node's.
    fn from(text: &str) -> Self {
        let (session, node) = text.split_once('.').unwrap_or(("", text));
        Self {
            node: node.to_owned(),
            session: session.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again() {
        for (session, node) in [
            ("5f", "edge-1.example"),
            ("", "sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local"),
            ("a", ""),
        ] {
            let place = Place {
                node: node.to_owned(),
                session: session.to_owned(),
            };
            assert_eq!(Place::from(place.to_string().as_str()), place);
        }
        assert_eq!(Place::from("edge").node, "edge");
    }
}
