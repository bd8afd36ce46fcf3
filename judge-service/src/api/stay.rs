//! Streams of somebody whose token was taken out end: server-sent events, and gRPC.

use super::admission::Stay;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll};

/// `UNAUTHENTICATED`, as gRPC numbers it.
const UNAUTHENTICATED: &str = "16";

/// A body that ends when its reader may stay no longer.
struct Bounded {
    body: Body,
    /// `None` once that is so.
    over: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    by_grpc: bool,
}

/// The same answer; a stream ends when its reader may stay no longer. Other answers are
/// over in a moment.
pub fn bounded(response: Response, stay: Stay) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.map_or(&b""[..], HeaderValue::as_bytes);
    let by_grpc = kind.starts_with(b"application/grpc");
    if !by_grpc && !kind.starts_with(b"text/event-stream") {
        return response;
    }
    response.map(|body| {
        Body::new(Bounded {
            body,
            over: Some(Box::pin(stay.ends())),
            by_grpc,
        })
    })
}

/// How gRPC says that a call has failed.
fn refusal() -> HeaderMap {
    [
        ("grpc-status", UNAUTHENTICATED),
        ("grpc-message", "the token was taken out"),
    ]
    .into_iter()
    .map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    })
    .collect()
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(over) = &mut self.over else {
            return Poll::Ready(None);
        };
        if over.as_mut().poll(context).is_pending() {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        self.over = None;
        // Whoever made it is to stop now.
        self.body = Body::empty();
        let last = self.by_grpc.then(|| Ok(Frame::trailers(refusal())));
        Poll::Ready(last)
    }
}

#[cfg(test)]
mod tests {
    use super::super::admission::Admitted;
    use super::*;
    use crate::access::{Token, Tokens};
    use axum::http::Response as HttpResponse;
    use futures_util::{FutureExt, StreamExt, stream};
    use http_body_util::BodyExt;
    use std::convert::Infallible;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::sync::Arc;

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, mode).unwrap();
    }

    /// Says one word and goes on for ever.
    fn endless(kind: &str) -> Response {
        let word = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"word")) });
        let body = Body::from_stream(word.chain(stream::pending()));
        let response = HttpResponse::builder().header(header::CONTENT_TYPE, kind);
        response.body(body).unwrap()
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_token_and_another_answer_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (path, token) = (folder.path().join("tokens"), Token::random().unwrap());
        write(&path, &format!("viewer bob {}", token.hash()));
        let tokens = Arc::new(Tokens::open(&path).unwrap());
        let answer = |kind: &str| {
            let shown = tokens.shown(token.reveal()).unwrap();
            let stay = Admitted::by_token(&tokens, shown).stay.unwrap();
            bounded(endless(kind), stay).into_body()
        };
        let mut events = answer("text/event-stream");
        let mut grpc = answer("application/grpc+proto");
        let mut plain = answer("application/json");
        for body in [&mut events, &mut grpc, &mut plain] {
            let word = body.frame().await.unwrap().unwrap();
            assert_eq!(word.into_data().unwrap(), "word");
            assert!(body.frame().now_or_never().is_none(), "it goes on");
        }
        write(&path, "# nobody");
        tokens.again().unwrap();
        assert!(events.frame().await.is_none());
        let last = grpc.frame().await.unwrap().unwrap();
        assert_eq!(last.trailers_ref().unwrap()["grpc-status"], "16");
        assert!(grpc.frame().await.is_none());
        assert!(plain.frame().now_or_never().is_none());
    }
}
