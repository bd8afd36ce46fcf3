//! The page: static files, in the binary.

use crate::service::Service;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// A module of the page's script: its path, content type and content.
macro_rules! module {
    ($name:literal) => {
        (
            concat!("/page/", $name, ".js"),
            SCRIPT,
            include_str!(concat!("../page/", $name, ".js")),
        )
    };
}

/// Path, content type and content of each file.
const FILES: [(&str, &str, &str); 23] = [
    ("/", HTML, include_str!("../page/index.html")),
    ("/page.css", CSS, include_str!("../page/page.css")),
    ("/page.js", SCRIPT, include_str!("../page/page.js")),
    ("/page/icon.svg", IMAGE, include_str!("../page/icon.svg")),
    module!("act"),
    module!("answers"),
    module!("decisions"),
    module!("delivery"),
    module!("dom"),
    module!("examples"),
    module!("gates"),
    module!("glance"),
    module!("judge"),
    module!("login"),
    module!("metrics"),
    module!("plot"),
    module!("segments"),
    module!("shared"),
    module!("story"),
    module!("times"),
    module!("traffic"),
    module!("versions"),
    module!("words"),
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
