//! What holds for every answer, whichever role the judge has and whatever it gives out on
//! the port: HTTP and gRPC.
//!
//! A service around all others and no layer of axum's, which would box its future and a
//! copy of all that is inside for each of thousands of polls that wait.

use super::problem::Problem;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::{Either, Map, Ready, ready};
use std::convert::Infallible;
use std::task::{Context, Poll};
use tower::Service;

/// Tells the filter that an answer is the judge's own and not Envoy's.
const JUDGE_HEADER: HeaderName = HeaderName::from_static("x-serinus-judge");

#[derive(Clone)]
pub struct Guard<S>(pub S);

type Answer = Result<Response, Infallible>;

impl<S> Service<Request> for Guard<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Answer>, Map<S::Future, fn(Answer) -> Answer>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if is_foreign(&request) {
            let problem = Problem::new(
                StatusCode::FORBIDDEN,
                "a page of another site may not act here",
            );
            return Either::Left(ready(sign(Ok(problem.into_response()))));
        }
        Either::Right(self.0.call(request).map(sign))
    }
}

fn sign(answer: Answer) -> Answer {
    answer.map(|mut response| {
        let signed = HeaderValue::from_static("1");
        response.headers_mut().insert(JUDGE_HEADER, signed);
        response
    })
}

/// A browser says which site a request comes from: another site's page may not act here
/// with a person's browser.
fn is_foreign(request: &Request) -> bool {
    let site = request.headers().get("sec-fetch-site");
    let foreign = site.is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    foreign && !request.method().is_safe()
}
