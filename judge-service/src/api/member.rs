//! The HTTP side of one of several judges: what its role answers.

use super::guard::Guarded;
use super::problem::Problem;
use super::{Colleagues, Health, Source, following, metrics, router, session};
use crate::cluster::{Member, Role};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use std::sync::{Arc, Mutex, PoisonError};
use tower::ServiceExt;

struct Switch {
    member: Arc<Member>,
    colleagues: Colleagues,
    /// The role that the router is of. A router is dear to make and cheap to clone.
    made: Mutex<Option<(Role, Router)>>,
}

pub fn member_router(member: Arc<Member>, colleagues: Colleagues) -> Router {
    let switch = Arc::new(Switch {
        member,
        colleagues,
        made: Mutex::new(None),
    });
    Router::new()
        .route("/health/live", get(super::alive))
        .route("/health/ready", get(ready))
        .route(session::PATH, session::methods())
        .route(metrics::PATH, get(shown))
        .fallback(answer)
        .with_state(switch)
}

async fn shown(
    State(switch): State<Arc<Switch>>,
    Extension(Guarded(admission)): Extension<Guarded>,
) -> Response {
    let source = Source::Member(Arc::clone(&switch.member));
    source.shown(&admission).await
}

async fn ready(State(switch): State<Arc<Switch>>) -> Response {
    if switch.member.is_ending() {
        return ending();
    }
    let role = match switch.member.role() {
        None => return cut_off(),
        Some(Role::Leader(service)) => match service.ready().await {
            Ok(()) => "leader",
            Err(why) => {
                return Problem::unavailable(why).into_response();
            }
        },
        Some(Role::Follower(_)) => "follower",
    };
    let health = Health {
        status: "ok",
        role: Some(role),
    };
    Json(health).into_response()
}

fn ending() -> Response {
    Problem::unavailable("this judge ends").into_response()
}

fn cut_off() -> Response {
    let detail = "this judge does not reach its database; ask another, or later";
    Problem::unavailable(detail).into_response()
}

async fn answer(State(switch): State<Arc<Switch>>, request: Request) -> Response {
    let Some(role) = switch.member.role() else {
        return cut_off();
    };
    match switch.router_of(&role).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

impl Switch {
    fn router_of(&self, role: &Role) -> Router {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, router)) = &*made
            && of.is(role)
        {
            return router.clone();
        }
        let router = match role {
            Role::Leader(service) => router(Arc::clone(service)),
            Role::Follower(follower) => {
                following::router(Arc::clone(follower), self.colleagues.clone())
            }
        };
        *made = Some((role.clone(), router.clone()));
        router
    }
}
