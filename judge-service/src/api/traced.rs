//! A span for each request, for whoever collects traces. Nobody does by default: then it
//! costs the question whether somebody does.

use crate::TRACES;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, Span, debug_span, field};

pub async fn traced(request: Request, next: Next) -> Response {
    let span = span_of(&request);
    if span.is_disabled() {
        return next.run(request).await;
    }
    #[cfg(feature = "otel")]
    caller::goes_on(&span, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    // As a number it is known only with a sign.
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}

fn span_of(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str);
    debug_span!(
        target: TRACES,
        "request",
        otel.name = format_args!("{} {route}", request.method()),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = field::Empty,
    )
}

/// The trace of whoever calls, by W3C's `traceparent`.
#[cfg(feature = "otel")]
mod caller {
    use axum::http::HeaderMap;
    use opentelemetry::global;
    use opentelemetry::propagation::Extractor;
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    struct Headers<'a>(&'a HeaderMap);

    impl Extractor for Headers<'_> {
        fn get(&self, name: &str) -> Option<&str> {
            self.0.get(name)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(|name| name.as_str()).collect()
        }
    }

    pub fn goes_on(span: &Span, headers: &HeaderMap) {
        let context = global::get_text_map_propagator(|known| known.extract(&Headers(headers)));
        // One that is no trace begins another.
        let _ = span.set_parent(context);
    }
}
