//! The HTTP side of a judge that does not judge: it takes reports and gives plans out,
//! and passes everything else on to the one that judges.

use super::admission::{PASSED_ON, path_of};
use super::poll::{self, PlanQuery};
use super::problem::Problem;
use super::query::Query;
use super::{Colleagues, body};
use crate::access::Caller;
use crate::cluster::Follower;
use crate::domain;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version, header,
};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use serinus_core::report;
use std::sync::Arc;

/// What is of the caller's connection, or for this judge alone: its word is enough at the
/// other, and nobody's token goes to an address that may be another machine's by now.
const NOT_PASSED_ON: [HeaderName; 14] = [
    header::HOST,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    header::AUTHORIZATION,
    header::COOKIE,
    // Of this judge's name, which was checked here.
    header::ORIGIN,
    HeaderName::from_static("sec-fetch-site"),
];

#[derive(Clone)]
struct Following {
    follower: Arc<Follower>,
    colleagues: Colleagues,
}

pub fn router(follower: Arc<Follower>, colleagues: Colleagues) -> Router {
    let following = Following {
        follower,
        colleagues,
    };
    Router::new()
        .route("/v1/plan", get(plan))
        .route("/v1/reports", post(report))
        .fallback(pass_on)
        .with_state(following)
}

async fn plan(
    State(following): State<Following>,
    Query(asked): Query<PlanQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = poll::read(asked, &headers)?;
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
    let unanswered = |detail: &str| Problem::unavailable(detail).into_response();
    let nobody = "no judge judges at the moment; another takes over within seconds";
    if request.headers().contains_key(PASSED_ON) {
        return unanswered(nobody);
    }
    let Some(leader) = following.follower.leader() else {
        return unanswered(nobody);
    };
    let Some(uri) = at(&leader, request.uri()) else {
        tracing::error!(%leader, "the address of the judge that judges is no URL");
        return unanswered("the judge that judges has an address that is no URL");
    };
    let caller = request.extensions().get::<Caller>().cloned();
    let caller = caller.unwrap_or_else(Caller::anonymous);
    let (method, path) = (request.method().as_str(), path_of(&request));
    let now = following.follower.now();
    let said = following.colleagues.peers.vouch(&caller, method, path, now);
    let Ok(said) = HeaderValue::from_str(&said) else {
        return unanswered(nobody);
    };
    let (parts, body) = request.into_parts();
    let parts = passed_on(parts, uri, said);
    match following
        .colleagues
        .http
        .request(Request::from_parts(parts, body))
        .await
    {
        Ok(answer) => answer.map(Body::new).into_response(),
        Err(error) => {
            tracing::warn!(%leader, %error, "the judge that judges does not answer");
            unanswered("the judge that judges does not answer; another takes over within seconds")
        }
    }
}

/// A request as it goes to the judge that judges, on a connection of this judge's own.
fn passed_on(mut parts: Parts, uri: Uri, said: HeaderValue) -> Parts {
    parts.uri = uri;
    // Judges speak HTTP/1.1 among themselves, whatever the caller speaks.
    parts.version = Version::HTTP_11;
    for name in NOT_PASSED_ON {
        parts.headers.remove(name);
    }
    parts.headers.insert(PASSED_ON, said);
    parts.extensions = Extensions::new();
    parts
}

/// The same path and query at another judge.
fn at(leader: &str, asked: &Uri) -> Option<Uri> {
    let leader: Uri = leader.parse().ok()?;
    let authority: Authority = leader.authority()?.clone();
    Uri::builder()
        .scheme(leader.scheme()?.clone())
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
        assert_eq!(
            at("https://judge-1:8090", &asked).unwrap().scheme_str(),
            Some("https")
        );
        assert!(at("/nowhere", &asked).is_none());
    }

    #[test]
    fn what_came_by_http2_goes_on_by_http1_without_what_is_of_its_connection() {
        let request = Request::builder()
            .version(Version::HTTP_2)
            .uri("https://judge-0:8090/v1/rollouts")
            .header("te", "trailers")
            .header("upgrade", "h2c")
            .header("keep-alive", "timeout=5")
            .header("authorization", "Bearer serinus_x")
            .header("if-match", "\"7\"")
            .body(())
            .unwrap();
        let uri: Uri = "http://10.0.0.7:8090/v1/rollouts".parse().unwrap();
        let word = HeaderValue::from_static("sealed");
        let parts = passed_on(request.into_parts().0, uri, word);
        assert_eq!(parts.version, Version::HTTP_11);
        assert_eq!(parts.uri.host(), Some("10.0.0.7"));
        let mut names: Vec<&str> = parts.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["if-match", PASSED_ON.as_str()]);
    }
}
