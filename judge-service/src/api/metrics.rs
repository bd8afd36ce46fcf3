//! What a Prometheus reads.

use super::admission::Admission;
use super::guard::Guarded;
use super::origin;
use crate::cluster::{Member, Role};
use crate::metrics::{self, Page};
use crate::service::Service;
use axum::Extension;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

pub const PATH: &str = "/metrics";

/// Who knows what is to be shown.
#[derive(Clone)]
pub enum Source {
    Alone(Arc<Service>),
    /// One of several judges, whatever its role is.
    Member(Arc<Member>),
}

/// On a port of its own, where nobody is asked for a token. With `names` only who calls it
/// by one of them, by an address or by a name without a dot is answered.
pub fn metrics_router(
    source: Source,
    admission: Arc<Admission>,
    names: Option<Vec<String>>,
) -> Router {
    let names: Option<Arc<[String]>> = names.map(Arc::from);
    let shown = move |request: Request| {
        let (source, admission) = (source.clone(), Arc::clone(&admission));
        let checked = origin::check_host(&request, names.as_deref());
        async move {
            match checked {
                Ok(()) => source.shown(&admission).await,
                Err(problem) => problem.into_response(),
            }
        }
    };
    Router::new().route(PATH, get(shown))
}

pub async fn alone(
    State(service): State<Arc<Service>>,
    Extension(Guarded(admission)): Extension<Guarded>,
) -> Response {
    Source::Alone(service).shown(&admission).await
}

impl Source {
    pub(super) async fn shown(&self, admission: &Admission) -> Response {
        let mut page = Page::default();
        metrics::of_every_judge(&mut page);
        admission.show(&mut page);
        match self {
            Self::Alone(service) => metrics::leader(&mut page, service).await,
            Self::Member(member) => match member.role() {
                Some(Role::Leader(service)) => metrics::leader(&mut page, &service).await,
                Some(Role::Follower(follower)) => {
                    metrics::follower(&mut page, follower.delivery(), follower.now());
                }
                None => page.gauge("leader", "Whether this judge judges", 0.0),
            },
        }
        ([(header::CONTENT_TYPE, Page::CONTENT_TYPE)], page.text()).into_response()
    }
}
