//! Whether the versions can serve: asked of the URLs that specs name.

use super::Service;
use crate::domain::Rollout;
use crate::web::Web;
use axum::http::Request;
use http_body_util::Full;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const ASK_EVERY: Duration = Duration::from_secs(2);

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What each URL answered last.
pub(super) struct Readiness {
    web: Web,
    /// By URL; nothing found is wrong with one that is ready.
    found: Mutex<HashMap<String, Option<String>>>,
}

impl Readiness {
    pub fn new(web: Web) -> Self {
        Self {
            web,
            found: Mutex::new(HashMap::new()),
        }
    }

    /// The arms of a rollout that are not ready, and why.
    #[must_use]
    pub fn lacking(&self, rollout: &Rollout) -> BTreeMap<String, String> {
        let found = self.found();
        let arms = rollout.spec.arms.iter();
        let needed = arms.filter(|arm| !rollout.is_dropped(&arm.name));
        needed
            .filter_map(|arm| {
                let problem = match found.get(arm.ready.as_ref()?) {
                    Some(problem) => problem.clone()?,
                    None => "it was not asked yet".to_owned(),
                };
                Some((arm.name.clone(), problem))
            })
            .collect()
    }

    /// Asks all URLs, side by side; whether any answers otherwise than before.
    async fn ask(&self, urls: Vec<String>) -> bool {
        let mut asked = tokio::task::JoinSet::new();
        for url in urls {
            let web = self.web.clone();
            asked.spawn(async move {
                let problem = is_well(&web, &url).await.err();
                (url, problem)
            });
        }
        let now: HashMap<_, _> = asked.join_all().await.into_iter().collect();
        let mut found = self.found();
        let changed = *found != now;
        *found = now;
        changed
    }

    fn found(&self) -> MutexGuard<'_, HashMap<String, Option<String>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    pub(super) async fn watch_readiness(self: Arc<Self>) {
        let mut tick = tokio::time::interval(ASK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.created.notified() => {}
            }
            let Ok(books) = self.books().await else {
                continue;
            };
            let rollouts = books.entries().iter().map(|entry| &entry.rollout);
            let waiting = rollouts.filter(|rollout| !rollout.phase.is_over());
            let arms = waiting.flat_map(|rollout| &rollout.spec.arms);
            let mut urls: Vec<String> = arms.filter_map(|arm| arm.ready.clone()).collect();
            drop(books);
            urls.sort_unstable();
            urls.dedup();
            if self.readiness.ask(urls).await {
                self.changed.notify_one();
            }
        }
    }
}

/// # Errors
/// What came instead of a 2xx, in words.
async fn is_well(web: &Web, url: &str) -> Result<(), String> {
    let request = Request::get(url)
        .body(Full::default())
        .map_err(|error| format!("GET {url} is no URL: {error}"))?;
    // The status says all.
    let answer = web
        .call_for_a_rollout(request, ANSWER_WITHIN, 0)
        .await
        .map_err(|error| format!("GET {url} failed: {error}"))?;
    match answer.status {
        status if status.is_success() => Ok(()),
        status => Err(format!("GET {url} answered {status}")),
    }
}
