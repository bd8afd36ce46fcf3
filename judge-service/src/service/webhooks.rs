//! Tells others of decisions: each once, in order, and again until they answer 2xx. The
//! chain of decisions is what is to be told, and a rollout remembers up to where each hook
//! has been: so nothing is lost when the judge restarts, or another one takes over.

mod letter;
mod state;

pub use letter::{Event, Format, Webhook};
pub use state::WebhookState;

use super::Service;
use crate::domain::Millis;
use crate::domain::decision::Sealed;
use crate::web::Web;
use axum::http::StatusCode;
use letter::Letter;
pub(super) use letter::signature;
pub(super) use state::Hooks;
use state::{About, Failed, Next};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(500);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What is shown of a refusal, and what is read of it: a character has four bytes at most.
const SHOWN: usize = 200;
const KEPT: usize = SHOWN * 4;

/// Older news is given up: who was away for so long looks by itself.
const OLDEST_MS: Millis = 7 * 24 * 3_600 * 1_000;

impl Service {
    #[must_use]
    pub fn webhooks(&self) -> Vec<WebhookState> {
        self.hooks.states()
    }

    pub(super) async fn tell_of_decisions(self: Arc<Self>, hook: Arc<Webhook>) {
        // What was decided before anybody was to be told is no news.
        self.skip_old_news(&hook.name).await;
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            while let Some((about, letter)) = self.next_letter(&hook).await {
                let is_done = match letter {
                    None => true,
                    Some(letter) => self.tell(&hook, &about, &letter).await,
                };
                if is_done {
                    self.has_told(&hook.name, &about).await;
                }
            }
        }
    }

    /// Whether that is over: the hook knows, or never will.
    async fn tell(&self, hook: &Webhook, about: &About, letter: &Letter) -> bool {
        let name = &hook.name;
        let Err(failed) = send(&self.web, hook, letter).await else {
            self.hooks.told(name, about);
            return true;
        };
        let (rollout, decision) = (&about.id, about.sequence);
        let problem = failed.words().to_owned();
        let next = self
            .hooks
            .failed(name, about, self.now(), Instant::now(), failed);
        match next {
            Next::Again => {
                tracing::warn!(webhook = %name, rollout, decision, %problem, "nobody was told; another attempt follows");
                false
            }
            Next::GivenUp => {
                tracing::error!(webhook = %name, rollout, decision, %problem, "the webhook refuses a decision for good: it is not told of it");
                true
            }
        }
    }

    async fn skip_old_news(&self, hook: &str) {
        let Ok(mut books) = self.books().await else {
            return;
        };
        let ids: Vec<String> = books
            .entries()
            .iter()
            .filter(|entry| !entry.rollout.told.contains_key(hook))
            .map(|entry| entry.rollout.spec.id.clone())
            .collect();
        for id in ids {
            if let Some(entry) = books.entry_mut(&id) {
                let decisions = entry.decisions();
                entry.rollout.told.insert(hook.to_owned(), decisions);
                entry.touch();
            }
        }
        // What cannot be stored is told once more than needed.
        let _ = self.commit(&mut books).await;
    }

    /// A rollout's oldest decision that the hook was not told of, of the first rollout
    /// that does not wait for another attempt; no letter where the hook does not want to
    /// know.
    async fn next_letter(&self, hook: &Webhook) -> Option<(About, Option<Letter>)> {
        let books = self.books().await.ok()?;
        self.hooks.keep_only(&hook.name, |id, created_ms| {
            let entry = books.entry(id);
            entry.is_some_and(|entry| entry.rollout.created_ms == created_ms)
        });
        let now = Instant::now();
        let told = |told: Option<&u64>| told.copied().unwrap_or_default();
        let entry = books.entries().iter().find(|entry| {
            entry.decisions() > told(entry.rollout.told.get(&hook.name))
                && !self.hooks.waits(&hook.name, &entry.rollout.spec.id, now)
        })?;
        let rollout = entry.rollout.clone();
        drop(books);
        let about = About {
            id: rollout.spec.id.clone(),
            created_ms: rollout.created_ms,
            sequence: told(rollout.told.get(&hook.name)) + 1,
        };
        let sealed = self.store.decision(&about.id, about.sequence).await;
        let sealed: Option<Sealed> = sealed.ok()?;
        let letter = sealed.and_then(|sealed| {
            let old = self.now().saturating_sub(sealed.decision.at_ms) > OLDEST_MS;
            (!old)
                .then(|| Letter::of(&rollout, &sealed))
                .filter(|letter| letter.is_for(hook))
        });
        Some((about, letter))
    }

    async fn has_told(&self, hook: &str, about: &About) {
        let Ok(mut books) = self.books().await else {
            return;
        };
        // Another rollout may have the id by now, of which nobody was told.
        if let Some(entry) = books.entry_mut(&about.id)
            && entry.rollout.created_ms == about.created_ms
        {
            let told = entry.rollout.told.entry(hook.to_owned()).or_default();
            *told = about.sequence.max(*told);
            entry.touch();
        }
        // It goes out once more after a restart, under the same key.
        let _ = self.commit(&mut books).await;
    }
}

/// # Errors
/// What came instead of a 2xx, in words. The status decides, whatever becomes of the body.
async fn send(web: &Web, hook: &Webhook, letter: &Letter) -> Result<(), Failed> {
    let request = letter.request(hook).map_err(Failed::Later)?;
    let answer = web.call(request, ANSWER_WITHIN, KEPT).await;
    let answer = answer.map_err(|error| Failed::Later(error.to_string()))?;
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        return Err(Failed::Later(format!(
            "answered {status}, and redirects are not followed: configure where it leads"
        )));
    }
    let why = format!("answered {status}: {}", answer.said(SHOWN));
    Err(match is_refusal(status) {
        true => Failed::Refused(why),
        false => Failed::Later(why),
    })
}

/// Whether a letter is what is wrong, and not the moment.
fn is_refusal(status: StatusCode) -> bool {
    let of_the_moment = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !of_the_moment.contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_the_moment_is_no_refusal() {
        for (status, refuses) in [
            (400, true),
            (404, true),
            (422, true),
            (408, false),
            (425, false),
            (429, false),
            (500, false),
            (302, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_refusal(status), refuses, "{status}");
        }
    }
}
