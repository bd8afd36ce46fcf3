//! Serves whoever the door lets in, until the judge is asked to end.

use super::door::Door;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tower::{Service, ServiceExt};

/// The head of a request by HTTP/1.1 is there after this, from the answer before on: so
/// long a connection may also be idle.
const HEAD_WITHIN: Duration = Duration::from_secs(120);

/// Returns when it was `asked` to end, and what was under way has ended.
pub async fn serve<S>(mut door: Door, service: S, asked: impl Future<Output = ()>)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN);
    let under_way = GracefulShutdown::new();
    let mut asked = pin!(asked);
    loop {
        let guest = tokio::select! {
            guest = door.accept() => guest,
            () = &mut asked => break,
        };
        let peer = guest.peer().clone();
        let service = service
            .clone()
            .map_request(move |request: Request<Incoming>| {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(peer.clone()));
                request
            });
        let connection =
            http.serve_connection(TokioIo::new(guest), TowerToHyperService::new(service));
        let connection = under_way.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    // Nobody new comes in while the others end.
    drop(door);
    under_way.shutdown().await;
}
