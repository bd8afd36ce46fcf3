//! The judge over HTTP. Handlers translate; what they ask for is done in
//! [`crate::service`].

mod asking;
mod body;
mod events;
mod filter;
mod following;
mod guard;
mod member;
mod page;
mod path;
mod poll;
mod problem;
mod rollouts;

pub use guard::Guard;
pub use member::member_router;

use crate::service::Service;
use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use problem::Problem;
use serde_json::json;
use std::sync::Arc;

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
    Router::new()
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
        .with_state(service)
}

/// The judge answers only with its store loaded, so that both are the same.
async fn alive() -> impl IntoResponse {
    axum::Json(json!({"status": "ok"}))
}
