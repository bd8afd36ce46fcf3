//! Server-sent events: what changed, for those who watch.
//!
//! A stream begins with all that there is, so that one that broke goes on without gaps by
//! asking again.

use super::Judge;
use super::decisions::DecisionSummary;
use super::path::Path;
use super::problem::Problem;
use crate::service::{Picture, Service, Watcher};
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

/// Of all rollouts.
pub async fn all(State(service): Judge) -> Result<Response, Problem> {
    Events::begin(service, None).await
}

/// Of one; the stream ends when it is deleted.
pub async fn one(State(service): Judge, Path(id): Path<String>) -> Result<Response, Problem> {
    service.status(&id).await?;
    Events::begin(service, Some(id)).await
}

struct Events {
    service: Arc<Service>,
    /// The one rollout that is watched.
    only: Option<String>,
    shown: Arc<Picture>,
    ready: VecDeque<Event>,
    over: bool,
    _watcher: Watcher,
}

impl Events {
    async fn begin(service: Arc<Service>, only: Option<String>) -> Result<Response, Problem> {
        let watcher = service.watcher().ok_or_else(|| {
            Problem::unavailable("as many watch already as this judge has room for").retry(10)
        })?;
        let picture = service.picture().await?;
        let mut events = Self {
            service,
            only,
            shown: Arc::default(),
            ready: VecDeque::new(),
            over: false,
            _watcher: watcher,
        };
        let ids: Vec<&String> = picture.0.keys().filter(|id| events.watches(id)).collect();
        let listed = json!({ "ids": ids }).to_string();
        let listed = Event::default().event("listed").data(listed);
        events.ready.push_back(listed);
        events.differences(&picture);
        events.shown = picture;
        let stream = stream::unfold(events, async |mut events| {
            let event = events.next().await?;
            Some((Ok::<_, Infallible>(event), events))
        });
        // A proxy between would else give up a connection that is silent.
        Ok(Sse::new(stream)
            .keep_alive(KeepAlive::default())
            .into_response())
    }

    fn watches(&self, id: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == id)
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            // While the store fails there is nothing to tell.
            let Ok(picture) = self.service.next_picture().await? else {
                continue;
            };
            self.differences(&picture);
            self.decisions(&picture).await;
            self.shown = picture;
        }
    }

    fn differences(&mut self, picture: &Picture) {
        for (id, seen) in &picture.0 {
            if !self.watches(id) {
                continue;
            }
            let shown = self.shown.0.get(id);
            if shown.is_none_or(|shown| shown.status != seen.status) {
                let event = Event::default().event("rollout").data(&*seen.status);
                self.ready.push_back(event);
            }
        }
        let shown = Arc::clone(&self.shown);
        for id in shown.0.keys().filter(|id| !picture.0.contains_key(*id)) {
            if self.watches(id) {
                let gone = json!({ "id": id }).to_string();
                self.ready
                    .push_back(Event::default().event("deleted").data(gone));
                self.over = self.only.is_some();
            }
        }
    }

    /// Those that were made since the last picture, in their order.
    async fn decisions(&mut self, picture: &Picture) {
        for (id, seen) in &picture.0 {
            if !self.watches(id) {
                continue;
            }
            let shown = self.shown.0.get(id).map_or(0, |shown| shown.decision);
            for sequence in shown + 1..=seen.decision {
                // Whoever wants to be sure reads the list: it may be deleted by now.
                let Ok(Some(sealed)) = self.service.decision(id, sequence).await else {
                    continue;
                };
                let summary = DecisionSummary::of(sealed, None);
                let told = json!({"rollout": id, "decision": summary}).to_string();
                self.ready
                    .push_back(Event::default().event("decision").data(told));
            }
        }
    }
}
