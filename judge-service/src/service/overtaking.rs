//! A worker knows a later plan than this judge: its database is one of before. A new
//! generation makes every worker follow.
//!
//! Whoever reaches the port may say so, and nobody can know whether it is true. So it is
//! believed within bounds, and seldom.

use super::Service;
use crate::access::{Limit, Rate};
use crate::books::Books;
use crate::domain::audit;
use crate::store::StoreError;
use serinus_core::plan::Revision;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Each database that is put back starts one generation; nobody does that a thousand times
/// without a poll between.
const MOST_GENERATIONS: u64 = 1_024;

/// Somebody who puts databases back does it by hand.
const RATE: Rate = Rate {
    burst: 3,
    every: Duration::from_secs(600),
};

pub(super) struct Overtaking {
    limit: Limit,
    /// What was said last and is not believed now.
    refused: Mutex<Option<Refused>>,
}

struct Refused {
    seen: Revision,
    until: Instant,
}

// === impl Overtaking ===

impl Overtaking {
    pub fn new() -> Self {
        Self {
            limit: Limit::new(RATE),
            refused: Mutex::new(None),
        }
    }

    /// For people who look at a rollout.
    #[must_use]
    pub fn notice(&self, now: Instant) -> Option<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = refused.as_ref().filter(|refused| refused.until > now)?;
        Some(format!(
            "somebody says that it was given plan {}, which is later than this judge's; new generations were started too often lately, so it is not believed for now",
            refused.seen
        ))
    }

    fn admits(&self, seen: Revision, now: Instant) -> Result<(), Duration> {
        self.limit.take("", now).inspect_err(|wait| {
            let until = now + *wait;
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            *refused = Some(Refused { seen, until });
        })
    }
}

/// Whether a judge whose plan is `ours` can have given out what was seen.
pub(super) fn is_later(seen: Revision, ours: Revision) -> bool {
    let last = ours.generation.saturating_add(MOST_GENERATIONS);
    seen > ours && seen.generation <= last
}

impl Service {
    /// A worker has seen a plan that this judge does not know.
    ///
    /// # Errors
    /// The time to wait: that was said too often.
    pub async fn overtake(self: &Arc<Self>, seen: Revision) -> Result<(), Duration> {
        let service = Arc::clone(self);
        // In a task of its own, as a deed: the worker may hang up.
        let done = tokio::spawn(async move { service.overtake_now(seen).await });
        done.await.unwrap_or(Ok(()))
    }

    async fn overtake_now(&self, seen: Revision) -> Result<(), Duration> {
        let Ok(mut books) = self.books().await else {
            return Ok(());
        };
        match self.overtake_in(&mut books, seen).await {
            Ok(admitted) => admitted,
            Err(_) => {
                tracing::warn!("the new generation is not in force; the next poll tries again");
                Ok(())
            }
        }
    }

    /// Whether it was admitted, or how long to wait.
    pub(super) async fn overtake_in(
        &self,
        books: &mut Books,
        seen: Revision,
    ) -> Result<Result<(), Duration>, StoreError> {
        let ours = books.revision();
        if !is_later(seen, ours) {
            return Ok(Ok(()));
        }
        if let Err(wait) = self.overtaking.admits(seen, Instant::now()) {
            tracing::error!(%seen, %ours, ?wait, "a worker knows a later plan, and new generations were started too often");
            return Ok(Err(wait));
        }
        tracing::warn!(%seen, %ours, "a worker knows a later plan: starting a new generation");
        books.overtake(seen, self.now());
        let why = format!("a worker knows plan {seen}, which is later than {ours}");
        books.audit("", audit::JUDGE, "overtake", vec![why], self.now(), None);
        self.publish(books).await?;
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(generation: u64, counter: u64) -> Revision {
        Revision {
            generation,
            counter,
        }
    }

    #[test]
    fn what_no_judge_gave_out_is_not_later() {
        let ours = revision(7, 100);
        for (seen, later) in [
            (revision(7, 100), false),
            (revision(6, 900), false),
            (revision(7, 101), true),
            (revision(8, 1), true),
            (revision(7 + MOST_GENERATIONS, 1), true),
            (revision(8 + MOST_GENERATIONS, 1), false),
            (revision(u64::MAX, u64::MAX), false),
        ] {
            assert_eq!(is_later(seen, ours), later, "{seen}");
        }
        assert!(!is_later(revision(u64::MAX, 1), revision(u64::MAX, 1)));
    }

    #[test]
    fn three_are_believed_and_then_one_in_ten_minutes() {
        let (overtaking, start) = (Overtaking::new(), Instant::now());
        for generation in 1..=3 {
            overtaking.admits(revision(generation, 1), start).unwrap();
        }
        assert_eq!(overtaking.notice(start), None);
        let wait = overtaking.admits(revision(4, 1), start).unwrap_err();
        assert_eq!(wait, RATE.every);
        let notice = overtaking.notice(start).unwrap();
        assert!(notice.contains("plan 4.1"), "{notice}");
        let later = start + wait;
        assert_eq!(overtaking.notice(later), None);
        overtaking.admits(revision(4, 1), later).unwrap();
        overtaking.admits(revision(5, 1), later).unwrap_err();
    }
}
