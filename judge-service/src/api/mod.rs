//! The judge over HTTP. Handlers translate; what they ask for is done in
//! [`crate::service`].

mod admission;
mod asking;
mod body;
mod colleagues;
mod decisions;
mod door;
mod events;
mod feedback;
mod fleet;
mod following;
mod guard;
mod judge;
mod member;
mod metrics;
mod needs;
mod openapi;
mod origin;
mod page;
mod path;
mod poll;
mod problem;
mod query;
mod rollouts;
mod routes;
mod serving;
mod session;
mod stay;
mod traced;
mod workers;

pub use admission::Admission;
pub use colleagues::Colleagues;
pub use door::Door;
pub use guard::{Guard, Peer};
pub use member::member_router;
pub use metrics::{Source, metrics_router};
pub use serving::serve;

use crate::service::Service;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use problem::Problem;
use std::sync::Arc;

/// What handlers have of the judge.
type Judge = State<Arc<Service>>;

pub fn router(service: Arc<Service>) -> Router {
    let routes = routes::all().into_iter();
    routes
        .fold(Router::new(), |router, route| {
            router.route(route.path, route.handlers)
        })
        .merge(page::router())
        .fallback(async |unwanted: Body| {
            body::leave(unwanted).await;
            Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path")
        })
        .method_not_allowed_fallback(async |unwanted: Body| {
            body::leave(unwanted).await;
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take this method",
            )
        })
        .layer(axum::middleware::from_fn(traced::traced))
        .with_state(service)
}

/// The process runs, and what it cannot be without: should that end, it ends too.
async fn alive() -> axum::Json<Health> {
    axum::Json(Health {
        status: "ok",
        role: None,
    })
}

/// Reports can be taken and plans be given out: the store keeps what is committed, and
/// the judge is not about to end.
async fn ready(State(service): Judge) -> Result<axum::Json<Health>, Problem> {
    service.ready().await.map_err(Problem::unavailable)?;
    Ok(alive().await)
}

#[derive(schemars::JsonSchema, serde::Serialize)]
struct Health {
    status: &'static str,
    /// Of one of several judges.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}
