//! The HTTP side of a judge that does not judge: it takes reports and gives plans out,
//! and passes everything else on to the one that judges.

use super::body;
use super::poll::{self, Asked};
use super::problem::Problem;
use crate::cluster::Follower;
use crate::domain;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use serinus_core::report;
use std::sync::Arc;

/// On what one judge passes on to another, which does not pass it on again: the lease
/// may have changed hands meanwhile.
const PASSED_ON: HeaderName = HeaderName::from_static("x-serinus-passed-on");

#[derive(Clone)]
struct Following {
    follower: Arc<Follower>,
    http: Client<HttpConnector, Body>,
}

pub fn router(follower: Arc<Follower>) -> Router {
    let following = Following {
        follower,
        http: Client::builder(TokioExecutor::new()).build_http(),
    };
    Router::new()
        .route("/v1/plan", get(plan))
        .route("/v1/reports", post(report))
        .fallback(pass_on)
        .with_state(following)
}

async fn plan(
    State(following): State<Following>,
    query: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = poll::read(query, &headers)?;
    let follower = &following.follower;
    // The judge that judges takes the word of this one.
    if let Some(poll) = asked.by_worker.clone().filter(|_| asked.may_overtake) {
        follower.polled(poll);
    }
    if asked.by_config {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // A worker may know a plan that has not come here yet, which no older one replaces.
    Ok(poll::answer(follower.delivery(), &asked, |plan, known| plan > known).await)
}

async fn report(State(following): State<Following>, body: Body) -> Result<Response, Problem> {
    let bytes = body::bytes(body, report::MAX_BYTES).await?;
    let report = domain::report::read(&bytes)?;
    following.follower.report(&report, bytes).await?;
    Ok(Json(json!({"posted": true})).into_response())
}

async fn pass_on(State(following): State<Following>, request: Request) -> Response {
    let unanswered = |detail: String| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .retry(1)
            .into_response()
    };
    let nobody = "no judge judges at the moment; another takes over within seconds";
    if request.headers().contains_key(PASSED_ON) {
        return unanswered(nobody.to_owned());
    }
    let Some(leader) = following.follower.leader() else {
        return unanswered(nobody.to_owned());
    };
    let Some(uri) = at(&leader, request.uri()) else {
        tracing::error!(%leader, "the address of the judge that judges is no URL");
        return unanswered("the judge that judges has an address that is no URL".to_owned());
    };
    let (mut parts, body) = request.into_parts();
    parts.uri = uri;
    parts
        .headers
        .insert(PASSED_ON, HeaderValue::from_static("1"));
    // The connection is another.
    for name in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    match following
        .http
        .request(Request::from_parts(parts, body))
        .await
    {
        Ok(answer) => answer.map(Body::new).into_response(),
        Err(error) => {
            tracing::warn!(%leader, %error, "the judge that judges does not answer");
            unanswered(
                "the judge that judges does not answer; another takes over within seconds"
                    .to_owned(),
            )
        }
    }
}

/// The same path and query at another judge.
fn at(leader: &str, asked: &Uri) -> Option<Uri> {
    let leader: Uri = leader.parse().ok()?;
    let authority: Authority = leader.authority()?.clone();
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority)
        .path_and_query(asked.path_and_query()?.as_str())
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_stays_as_it_was_sent() {
        let asked: Uri = "/v1/rollouts/a%2Fb?x=1&y=%20".parse().unwrap();
        assert_eq!(
            at("http://10.0.0.7:8090", &asked).unwrap().to_string(),
            "http://10.0.0.7:8090/v1/rollouts/a%2Fb?x=1&y=%20"
        );
        assert!(at("/nowhere", &asked).is_none());
    }
}
