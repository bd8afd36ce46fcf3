//! Tells others of decisions: each once, in order, and again until they answer 2xx. The
//! chain of decisions is what is to be told, and a rollout remembers up to where each hook
//! has been: so nothing is lost when the judge restarts, or another one takes over.

mod letter;

pub use letter::{Event, Format, Webhook};

use super::Service;
use crate::domain::Millis;
use crate::domain::decision::Sealed;
use crate::web::Web;
use letter::Letter;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(500);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Older news is given up: who was away for so long looks by itself.
const OLDEST_MS: Millis = 7 * 24 * 3_600 * 1_000;

/// How a webhook does.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct WebhookState {
    pub name: String,
    pub told: u64,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Of the last attempt.
    pub problem: Option<String>,
    pub problem_since_ms: Option<Millis>,
}

#[derive(Default)]
pub(super) struct Hooks {
    states: Mutex<BTreeMap<String, WebhookState>>,
}

// === impl Hooks ===

impl Hooks {
    #[must_use]
    pub fn states(&self) -> Vec<WebhookState> {
        self.lock().values().cloned().collect()
    }

    /// For people who look at a rollout.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let states = self.lock();
        let failing = states.values().filter_map(|state| {
            let problem = state.problem.as_ref()?;
            Some(format!(
                "webhook {} was not told yet, after {} attempts: {problem}",
                state.name, state.failures
            ))
        });
        failing.collect()
    }

    fn note(&self, hook: &str, now: Millis, problem: Option<String>) -> u32 {
        let mut states = self.lock();
        let state = states.entry(hook.to_owned()).or_default();
        state.name = hook.to_owned();
        match problem {
            None => {
                state.told += 1;
                state.failures = 0;
                (state.problem, state.problem_since_ms) = (None, None);
            }
            Some(problem) => {
                state.failures = state.failures.saturating_add(1);
                state.problem = Some(problem);
                state.problem_since_ms.get_or_insert(now);
            }
        }
        state.failures
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, WebhookState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
            while let Some((id, letter)) = self.next_letter(&hook).await {
                if let Some(letter) = letter {
                    if let Err(problem) = send(&self.web, &hook, &letter).await {
                        let now = self.now();
                        let failures = self.hooks.note(&hook.name, now, Some(problem.clone()));
                        tracing::warn!(webhook = %hook.name, %problem, failures, "nobody was told; another attempt follows");
                        tokio::time::sleep(pause(failures)).await;
                        continue;
                    }
                    self.hooks.note(&hook.name, self.now(), None);
                }
                self.has_told(&hook.name, &id).await;
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

    /// The oldest decision that the hook was not told of; no letter where it does not want
    /// to know.
    async fn next_letter(&self, hook: &Webhook) -> Option<(String, Option<Letter>)> {
        let books = self.books().await.ok()?;
        let entry = books.entries().iter().find(|entry| {
            let told = entry.rollout.told.get(&hook.name).copied();
            entry.decisions() > told.unwrap_or_default()
        })?;
        let told = entry.rollout.told.get(&hook.name).copied();
        let sequence = told.unwrap_or_default() + 1;
        let rollout = entry.rollout.clone();
        drop(books);
        let id = rollout.spec.id.clone();
        let sealed: Option<Sealed> = self.store.decision(&id, sequence).await.ok()?;
        let letter = sealed.and_then(|sealed| {
            let old = self.now().saturating_sub(sealed.decision.at_ms) > OLDEST_MS;
            (!old)
                .then(|| Letter::of(&rollout, &sealed))
                .filter(|letter| letter.is_for(hook))
        });
        Some((id, letter))
    }

    async fn has_told(&self, hook: &str, id: &str) {
        let Ok(mut books) = self.books().await else {
            return;
        };
        if let Some(entry) = books.entry_mut(id) {
            *entry.rollout.told.entry(hook.to_owned()).or_default() += 1;
            entry.touch();
        }
        // It goes out once more after a restart, under the same key.
        let _ = self.commit(&mut books).await;
    }
}

/// Longer after each failure, and never the same for two hooks that failed together.
fn pause(failures: u32) -> Duration {
    let doubled = SHORTEST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let mut random = [0u8; 2];
    // Without randomness they try at the same moment, and no more.
    let _ = getrandom::fill(&mut random);
    let share = f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX);
    doubled.min(LONGEST_PAUSE).mul_f64(0.75 + share / 4.0)
}

/// # Errors
/// What came instead of a 2xx, in words.
async fn send(web: &Web, hook: &Webhook, letter: &Letter) -> Result<(), String> {
    let (status, body) = web.ask(letter.request(hook)?, ANSWER_WITHIN).await?;
    if status.is_success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&body).chars().take(200).collect();
    let why = match status {
        status if status.is_redirection() => {
            format!("answered {status}, and redirects are not followed: configure where it leads")
        }
        status => format!("answered {status}: {}", said.trim()),
    };
    Err(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let longest = |failures| (0..50).map(|_| pause(failures)).max().unwrap();
        assert!(longest(1) <= SHORTEST_PAUSE);
        assert!(longest(5) > longest(1));
        for failures in [9, 40, u32::MAX] {
            let pause = pause(failures);
            assert!(
                pause <= LONGEST_PAUSE && pause >= LONGEST_PAUSE.mul_f64(0.7),
                "{pause:?}"
            );
        }
    }

    #[test]
    fn a_hook_that_fails_is_told_of_until_it_answers() {
        let hooks = Hooks::default();
        assert_eq!(hooks.note("mlflow", 5, Some("answered 500".to_owned())), 1);
        assert_eq!(hooks.note("mlflow", 9, Some("answered 503".to_owned())), 2);
        assert_eq!(hooks.states()[0].problem_since_ms, Some(5));
        assert!(hooks.notices()[0].contains("after 2 attempts: answered 503"));
        hooks.note("mlflow", 10, None);
        assert!(hooks.notices().is_empty());
    }
}
