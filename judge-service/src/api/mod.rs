//! The judge over HTTP. Handlers translate; what they ask for is done in
//! [`crate::service`].

mod asking;
mod body;
mod events;
mod feedback;
mod filter;
mod following;
mod guard;
mod member;
mod openapi;
mod page;
mod path;
mod poll;
mod problem;
mod rollouts;
mod routes;

pub use guard::Guard;
pub use member::member_router;

use crate::service::Service;
use axum::Router;
use axum::http::StatusCode;
use problem::Problem;
use std::sync::Arc;

pub fn router(service: Arc<Service>) -> Router {
    let routes = routes::all().into_iter();
    routes
        .fold(Router::new(), |router, route| {
            router.route(route.path, route.handlers)
        })
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
async fn alive() -> axum::Json<Health> {
    axum::Json(Health {
        status: "ok",
        role: None,
    })
}

#[derive(schemars::JsonSchema, serde::Serialize)]
struct Health {
    status: &'static str,
    /// Of one of several judges.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}
