//! How each webhook does, and when it is tried again: of each rollout apart, since one that
//! is refused must not hold back the news of others.

use crate::domain::Millis;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A letter that was refused so often is given up, after four minutes: who receives it may
/// have been about to learn of a new event.
const REFUSALS: u32 = 10;

/// How a webhook does.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct WebhookState {
    pub name: String,
    pub told: u64,
    /// Attempts in a row that failed, of the rollout with the most.
    pub failures: u32,
    /// Of that rollout's last attempt.
    pub problem: Option<String>,
    pub problem_since_ms: Option<Millis>,
    /// Decisions that it refused for good, and was not told of.
    pub given_up: u64,
}

/// Which decision is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub id: String,
    pub created_ms: Millis,
    pub sequence: u64,
}

/// What came of an attempt that failed, in words.
pub enum Failed {
    /// The letter is not wanted, and will not be later.
    Refused(String),
    Later(String),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Again,
    GivenUp,
}

#[derive(Default)]
pub(in crate::service) struct Hooks {
    states: Mutex<BTreeMap<String, Own>>,
}

/// Of one webhook.
#[derive(Default)]
struct Own {
    told: u64,
    given_up: u64,
    /// By rollout.
    troubles: BTreeMap<String, Trouble>,
    /// The last decision of a rollout that was given up, and why.
    refused: BTreeMap<String, (About, String)>,
}

struct Trouble {
    about: About,
    failures: u32,
    refusals: u32,
    problem: String,
    since_ms: Millis,
    again: Instant,
}

// === impl Failed ===

impl Failed {
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Refused(words) | Self::Later(words) => words,
        }
    }
}

// === impl Hooks ===

impl Hooks {
    #[must_use]
    pub fn states(&self) -> Vec<WebhookState> {
        let states = self.lock();
        let state = |(name, own): (&String, &Own)| {
            let worst = own.troubles.values().max_by_key(|one| one.failures);
            WebhookState {
                name: name.clone(),
                told: own.told,
                failures: worst.map_or(0, |one| one.failures),
                problem: worst.map(|one| one.problem.clone()),
                problem_since_ms: worst.map(|one| one.since_ms),
                given_up: own.given_up,
            }
        };
        states.iter().map(state).collect()
    }

    /// For people who look at a rollout.
    #[must_use]
    pub fn notices(&self, rollout: &str) -> Vec<String> {
        let states = self.lock();
        let notices = |(name, own): (&String, &Own)| {
            let late = own.troubles.get(rollout).map(|one| {
                format!(
                    "webhook {name} was not told yet of decision {}, after {} attempts: {}",
                    one.about.sequence, one.failures, one.problem
                )
            });
            let refused = own.refused.get(rollout).map(|(about, problem)| {
                format!(
                    "webhook {name} refused decision {} {REFUSALS} times and is not told of it: {problem}",
                    about.sequence
                )
            });
            [late, refused].into_iter().flatten().collect::<Vec<_>>()
        };
        states.iter().flat_map(notices).collect()
    }

    /// Whether a rollout's next attempt is still to come.
    #[must_use]
    pub fn waits(&self, hook: &str, rollout: &str, now: Instant) -> bool {
        let states = self.lock();
        let trouble = states.get(hook).and_then(|own| own.troubles.get(rollout));
        trouble.is_some_and(|trouble| trouble.again > now)
    }

    pub fn told(&self, hook: &str, about: &About) {
        let mut states = self.lock();
        let own = states.entry(hook.to_owned()).or_default();
        own.told += 1;
        own.troubles.remove(&about.id);
    }

    pub fn failed(
        &self,
        hook: &str,
        about: &About,
        now_ms: Millis,
        now: Instant,
        failed: Failed,
    ) -> Next {
        let mut states = self.lock();
        let own = states.entry(hook.to_owned()).or_default();
        let new = || Trouble {
            about: about.clone(),
            failures: 0,
            refusals: 0,
            problem: String::new(),
            since_ms: now_ms,
            again: now,
        };
        let trouble = own.troubles.entry(about.id.clone()).or_insert_with(new);
        if trouble.about != *about {
            *trouble = new();
        }
        trouble.failures = trouble.failures.saturating_add(1);
        trouble.again = now + pause(trouble.failures);
        if let Failed::Refused(_) = failed {
            trouble.refusals += 1;
        }
        failed.words().clone_into(&mut trouble.problem);
        if trouble.refusals < REFUSALS {
            return Next::Again;
        }
        own.troubles.remove(&about.id);
        own.given_up += 1;
        let refused = (about.clone(), failed.words().to_owned());
        own.refused.insert(about.id.clone(), refused);
        Next::GivenUp
    }

    /// Forgets rollouts that are gone.
    pub fn keep_only(&self, hook: &str, is_known: impl Fn(&str, Millis) -> bool) {
        let mut states = self.lock();
        if let Some(own) = states.get_mut(hook) {
            let known = |about: &About| is_known(&about.id, about.created_ms);
            own.troubles.retain(|_, trouble| known(&trouble.about));
            own.refused.retain(|_, (about, _)| known(about));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Own>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer after each failure, and never the same for two that failed together.
fn pause(failures: u32) -> Duration {
    let doubled = SHORTEST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let mut random = [0u8; 2];
    // Without randomness they try at the same moment, and no more.
    let _ = getrandom::fill(&mut random);
    let share = f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX);
    doubled.min(LONGEST_PAUSE).mul_f64(0.75 + share / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(id: &str, sequence: u64) -> About {
        About {
            id: id.to_owned(),
            created_ms: 7,
            sequence,
        }
    }

    fn away() -> Failed {
        Failed::Later("answered 500".to_owned())
    }

    fn refused() -> Failed {
        Failed::Refused("answered 422: no".to_owned())
    }

    #[test]
    fn pauses_grow_and_end() {
        let longest = |failures| (0..50).map(|_| pause(failures)).max().unwrap();
        assert!(longest(1) <= SHORTEST_PAUSE);
        assert!(longest(5) > longest(1));
        for failures in [10, 40, u32::MAX] {
            let pause = pause(failures);
            assert!(
                pause <= LONGEST_PAUSE && pause >= LONGEST_PAUSE.mul_f64(0.7),
                "{pause:?}"
            );
        }
    }

    #[test]
    fn a_hook_that_fails_is_told_of_until_it_answers() {
        let (hooks, now) = (Hooks::default(), Instant::now());
        let one = about("a", 1);
        hooks.failed("mlflow", &one, 5, now, away());
        hooks.failed("mlflow", &one, 9, now, away());
        assert_eq!(hooks.states()[0].problem_since_ms, Some(5));
        let notices = hooks.notices("a");
        assert!(
            notices[0].contains("decision 1, after 2 attempts: answered 500"),
            "{notices:?}"
        );
        hooks.told("mlflow", &one);
        assert!(hooks.notices("a").is_empty());
        assert_eq!(hooks.states()[0].problem, None);
    }

    #[test]
    fn one_rollouts_trouble_is_no_others() {
        let (hooks, now) = (Hooks::default(), Instant::now());
        hooks.failed("mlflow", &about("a", 1), 5, now, away());
        assert!(hooks.waits("mlflow", "a", now));
        assert!(!hooks.waits("mlflow", "b", now));
        assert!(!hooks.waits("slack", "a", now));
        hooks.told("mlflow", &about("b", 1));
        assert_eq!(hooks.states()[0].failures, 1, "the other's goes on");
        assert!(hooks.notices("b").is_empty());
        assert!(!hooks.waits("mlflow", "a", now + LONGEST_PAUSE));
    }

    #[test]
    fn what_is_refused_for_good_is_given_up_and_said() {
        let (hooks, now) = (Hooks::default(), Instant::now());
        let one = about("a", 3);
        for _ in 1..REFUSALS {
            assert_eq!(hooks.failed("mlflow", &one, 5, now, refused()), Next::Again);
            assert_eq!(hooks.failed("mlflow", &one, 5, now, away()), Next::Again);
        }
        assert_eq!(
            hooks.failed("mlflow", &one, 5, now, refused()),
            Next::GivenUp
        );
        assert!(!hooks.waits("mlflow", "a", now));
        let notices = hooks.notices("a");
        assert!(
            notices[0].contains("refused decision 3") && notices[0].contains("answered 422: no"),
            "{notices:?}"
        );
        assert_eq!(hooks.states()[0].given_up, 1);
        // The next decision begins anew.
        let next = about("a", 4);
        assert_eq!(
            hooks.failed("mlflow", &next, 6, now, refused()),
            Next::Again
        );
        hooks.keep_only("mlflow", |_, created_ms| created_ms == 8);
        assert!(hooks.notices("a").is_empty());
    }
}
