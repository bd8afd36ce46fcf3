//! What holds for every answer, whichever role the judge has and whatever it gives out on
//! the port: HTTP and gRPC.
//!
//! A service around all others and no layer of axum's, which would box its future and a
//! copy of all that is inside for each of thousands of polls that wait.

use super::admission::{Admission, Admitted, Stay};
use super::body;
use super::problem::Problem;
use super::stay;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Join, Map, Ready, join, ready};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;

/// Tells the filter that an answer is the judge's own and not Envoy's.
const JUDGE_HEADER: HeaderName = HeaderName::from_static("x-serinus-judge");

#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    admission: Arc<Admission>,
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: SocketAddr,
    pub by_tls: bool,
    /// What the certificate that it showed is called.
    pub certificate: Option<Arc<str>>,
}

/// Who let a request in; with each request.
#[derive(Clone)]
pub struct Guarded(pub Arc<Admission>);

type Answer = Result<Response, Infallible>;

/// Who may stay for how long waits beside the answer, and not in a box for each of
/// thousands of polls.
type Answering<F> = Map<Join<F, Ready<Option<Stay>>>, fn((Answer, Option<Stay>)) -> Answer>;

impl<S> Guard<S> {
    pub fn new(inner: S, admission: Arc<Admission>) -> Self {
        Self { inner, admission }
    }
}

impl<S> Service<Request> for Guard<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<BoxFuture<'static, Answer>, Answering<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match self.admission.admit(&request) {
            Ok(Admitted { caller, stay }) => {
                let guarded = Guarded(Arc::clone(&self.admission));
                let extensions = request.extensions_mut();
                extensions.insert(guarded);
                if let Some(caller) = caller {
                    extensions.insert(caller);
                }
                let answer: Answering<S::Future> =
                    join(self.inner.call(request), ready(stay)).map(ends_in_time);
                Either::Right(answer)
            }
            Err(problem) => Either::Left(Box::pin(refused(request.into_body(), problem))),
        }
    }
}

async fn refused(body: Body, problem: Problem) -> Answer {
    body::leave(body).await;
    sign(Ok(problem.into_response()))
}

fn ends_in_time((answer, stay): (Answer, Option<Stay>)) -> Answer {
    sign(match stay {
        Some(stay) => answer.map(|response| stay::bounded(response, stay)),
        None => answer,
    })
}

fn sign(answer: Answer) -> Answer {
    answer.map(|mut response| {
        let headers = response.headers_mut();
        headers.insert(JUDGE_HEADER, HeaderValue::from_static("1"));
        // A browser is to take nothing for a script or a page that is none.
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        response
    })
}
