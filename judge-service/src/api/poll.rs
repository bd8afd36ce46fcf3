//! A worker's long poll for the plan.

use super::problem::Problem;
use crate::service::{Delivery, Poll};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serinus_core::plan::Revision;
use serinus_core::report;
use std::time::Duration;

const LONGEST_WAIT: u64 = 30;

/// What a worker says of itself is cut at this length.
const LONGEST_WORD: usize = 512;

#[derive(Debug, Deserialize)]
pub struct PlanQuery {
    revision: Option<String>,
    wait: Option<u64>,
    session: Option<String>,
    /// `config` for a worker whose plan comes with its configuration.
    source: Option<String>,
}

/// A poll that makes sense.
pub struct PlanPoll {
    /// The revision that the caller has.
    pub known: Revision,
    pub wait: Duration,
    /// `None` for a caller that names no session, and is somebody who looks.
    pub by_worker: Option<Poll>,
    /// Its plan comes another way, and it only says which one it has.
    pub by_config: bool,
    /// Whether a revision beyond ours may be one that was given out.
    pub may_overtake: bool,
}

pub fn read(asked: PlanQuery, headers: &HeaderMap) -> Result<PlanPoll, Problem> {
    let known: Revision = match asked.revision.as_deref() {
        None => Revision::default(),
        Some(text) => text.parse().map_err(|problem| {
            Problem::new(StatusCode::BAD_REQUEST, format!("revision: {problem}"))
        })?,
    };
    let word = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok())?;
        Some(value.chars().take(LONGEST_WORD).collect::<String>())
    };
    let session = asked.session.filter(|session| report::is_session(session));
    // A browser says so with each request, and no browser is a worker: a page that
    // somebody visits must not change what the workers are given.
    let by_browser = headers.contains_key("sec-fetch-site");
    Ok(PlanPoll {
        known,
        wait: Duration::from_secs(asked.wait.unwrap_or_default().min(LONGEST_WAIT)),
        by_worker: session.map(|session| Poll {
            session,
            node: word("x-serinus-node").unwrap_or_default(),
            revision: known,
            refused: word("x-serinus-refused"),
        }),
        by_config: asked.source.as_deref() == Some("config"),
        may_overtake: !by_browser,
    })
}

/// The plan, as soon as `is_news` says so of its revision and the caller's; 204 when
/// that takes longer than the caller waits.
pub async fn answer(
    delivery: &Delivery,
    poll: &PlanPoll,
    is_news: impl Fn(Revision, Revision) -> bool,
) -> Response {
    let mut plan = delivery.subscribe();
    let mut ending = delivery.ending();
    let news = async {
        tokio::select! {
            news = plan.wait_for(|plan| is_news(plan.revision, poll.known)) => news.ok(),
            _ = ending.wait_for(|ending| *ending) => None,
        }
    };
    let Ok(Some(published)) = tokio::time::timeout(poll.wait, news).await else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], published.bytes.clone()).into_response()
}
