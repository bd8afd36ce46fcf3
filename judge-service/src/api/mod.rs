//! The judge over HTTP. Handlers translate; what they ask for is done in
//! [`crate::service`].

mod asking;
mod body;
mod events;
mod filter;
mod following;
mod member;
mod page;
mod path;
mod poll;
mod problem;
mod rollouts;

pub use member::member_router;

use crate::service::Service;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use problem::Problem;
use serde_json::json;
use std::sync::Arc;

/// Tells the filter that an answer is the judge's own and not Envoy's.
const JUDGE_HEADER: HeaderName = HeaderName::from_static("x-serinus-judge");

pub fn router(service: Arc<Service>) -> Router {
    let rollouts = Router::new()
        .route("/", get(rollouts::list).post(rollouts::create))
        .route("/{id}", get(rollouts::read).delete(rollouts::delete))
        .route("/{id}/promote", post(rollouts::promote))
        .route("/{id}/pause", post(rollouts::pause))
        .route("/{id}/resume", post(rollouts::resume))
        .route("/{id}/abort", post(rollouts::abort))
        .route("/{id}/finish", post(rollouts::finish))
        .route("/{id}/arms/{arm}/drop", post(rollouts::drop_arm))
        .route("/{id}/events", get(events::one))
        .route("/{id}/series", get(rollouts::series))
        .route("/{id}/examples", get(rollouts::examples))
        .route("/{id}/chain", get(rollouts::chain))
        .route("/{id}/decisions", get(rollouts::decisions))
        .route("/{id}/decisions/{sequence}", get(rollouts::decision));
    let router = Router::new()
        .nest("/v1/rollouts", rollouts)
        .route("/v1/events", get(events::all))
        .route("/v1/plan", get(filter::plan))
        .route("/v1/reports", post(filter::report))
        .route("/v1/samples", post(filter::samples))
        .route("/v1/workers", get(filter::workers))
        .route("/v1/proxies", get(filter::proxies))
        .route("/v1/counters", get(filter::counters))
        .route("/health/live", get(alive))
        .route("/health/ready", get(alive))
        .merge(page::router())
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take this method",
            )
        })
        .with_state(service);
    guard(router)
}

/// What holds for every answer, whichever role the judge has.
fn guard(router: Router) -> Router {
    router
        .layer(middleware::from_fn(same_site))
        .layer(middleware::from_fn(sign))
}

/// The judge answers only with its store loaded, so that both are the same.
async fn alive() -> impl IntoResponse {
    axum::Json(json!({"status": "ok"}))
}

async fn sign(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(JUDGE_HEADER, HeaderValue::from_static("1"));
    response
}

/// A browser says which site a request comes from: another site's page may not
/// act here with a person's browser.
async fn same_site(request: Request, next: Next) -> Response {
    let foreign = request
        .headers()
        .get("sec-fetch-site")
        .is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    if foreign && !request.method().is_safe() {
        return Problem::new(
            StatusCode::FORBIDDEN,
            "a page of another site may not act here",
        )
        .into_response();
    }
    next.run(request).await
}
