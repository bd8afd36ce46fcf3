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
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tower::{Service, ServiceExt};

/// The head of a request by HTTP/1.1 is there after this, from the answer before on: so
/// long a connection may also be idle.
const HEAD_WITHIN: Duration = Duration::from_secs(120);

/// Of HTTP/2.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

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
    // A stream of plans may be silent for days; whoever does not answer a ping is gone.
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN);
    // Which of the two is spoken is looked at here: hyper would take the first bytes away
    // for it, and then have twice the buffer for the rest of each connection's life.
    let http1 = Arc::new(http.clone().http1_only());
    let either = Arc::new(http);
    let under_way = GracefulShutdown::new();
    let (closes, closing) = watch::channel(());
    let mut asked = pin!(asked);
    loop {
        let mut guest = tokio::select! {
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
        let service = TowerToHyperService::new(service);
        let (either, http1) = (Arc::clone(&either), Arc::clone(&http1));
        let (watcher, mut closing) = (under_way.watcher(), closing.clone());
        tokio::spawn(async move {
            let speaks = tokio::select! {
                speaks = guest.speaks_http1() => speaks,
                _ = closing.changed() => return,
            };
            let ended = match speaks {
                Err(error) => Err(error.into()),
                Ok(is_http1) => {
                    let http = if is_http1 { &http1 } else { &either };
                    let connection = http.serve_connection(TokioIo::new(guest), service);
                    watcher.watch(connection.into_owned()).await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    // Nobody new comes in while the others end.
    drop((door, closes));
    under_way.shutdown().await;
}
