//! The page: static files, in the binary.

use crate::service::Service;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;

/// Path, content type and content of each file.
const FILES: [(&str, &str, &str); 9] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../page/index.html"),
    ),
    (
        "/page.css",
        "text/css; charset=utf-8",
        include_str!("../page/page.css"),
    ),
    (
        "/page.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/page.js"),
    ),
    (
        "/page/dom.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/dom.js"),
    ),
    (
        "/page/login.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/login.js"),
    ),
    (
        "/page/parts.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/parts.js"),
    ),
    (
        "/page/plot.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/plot.js"),
    ),
    (
        "/page/words.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/words.js"),
    ),
    (
        "/page/icon.svg",
        "image/svg+xml",
        include_str!("../page/icon.svg"),
    ),
];

/// Nothing but our own files, and nobody may frame the page.
const POLICY: &str =
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

pub fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(path, ..)| *path)
}

pub fn router() -> Router<Arc<Service>> {
    FILES
        .into_iter()
        .fold(Router::new(), |router, (path, kind, content)| {
            router.route(path, get(move || async move { file(kind, content) }))
        })
}

fn file(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let fixed = HeaderValue::from_static;
    (
        [
            (header::CONTENT_TYPE, fixed(kind)),
            (header::CACHE_CONTROL, fixed("no-cache")),
            (header::CONTENT_SECURITY_POLICY, fixed(POLICY)),
            (
                HeaderName::from_static("referrer-policy"),
                fixed("no-referrer"),
            ),
        ],
        content,
    )
}
