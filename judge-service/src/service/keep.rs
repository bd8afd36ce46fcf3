//! The books and the store behind them: memory never knows more than the disk.

use super::{Published, Service};
use crate::books::Books;
use crate::domain::plan::Terms;
use crate::metrics::Measures;
use crate::store::StoreError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// While the store fails, it is asked this often. Who comes between is told at once
/// that it fails, and may ask again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// While it fails, the log says so this often.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// How the store does. The books' lock is held whenever this changes.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The last commit failed: the books may say what is not on disk, or not say what is.
    unknown: bool,
    /// Commits that failed since the judge started.
    failures: u64,
    asked: Option<Instant>,
    /// The log says that it fails.
    failing: bool,
    said: Option<Instant>,
    said_over: Option<Instant>,
}

impl Service {
    /// The books, which nobody else has meanwhile. After a commit that failed they are
    /// read again first.
    ///
    /// # Errors
    /// A store that fails: what is so, nobody knows until it can be read.
    pub(super) async fn books(&self) -> Result<tokio::sync::MutexGuard<'_, Books>, StoreError> {
        let mut books = self.books.lock().await;
        if self.trouble.may_ask()? {
            let loaded = self.store.load().await;
            *books = Books::from_loaded(loaded.inspect_err(|error| self.trouble.say(error))?);
            self.trouble.state().unknown = false;
            // The commit that failed may have arrived all the same, and what it changed is in
            // no plan then. This also shows whether the store takes anything again.
            self.publish(&mut books).await?;
        }
        Ok(books)
    }

    /// Writes what the books changed. If that fails, the books are not known until they
    /// are read again, which [`Self::books`] does.
    ///
    /// # Errors
    /// The store's; or an earlier commit by whoever holds the books had failed: what it
    /// had is lost, and what rests on that must not be kept.
    pub(super) async fn commit(&self, books: &mut Books) -> Result<(), StoreError> {
        let change = books.take_change();
        if self.trouble.state().unknown {
            return Err(StoreError::Failing);
        }
        if change.is_empty() {
            return Ok(());
        }
        // Not the evidence, which may have megabytes.
        let decisions = change.decisions.iter();
        let decisions: Vec<_> = decisions
            .map(|sealed| (sealed.decision.deed, sealed.decision.by))
            .collect();
        let began = Instant::now();
        let stored = self.store.commit(change).await;
        Measures::took(&self.measures.commit, began.elapsed());
        match &stored {
            Ok(()) => {
                self.trouble.is_over();
                for (deed, by) in decisions {
                    self.measures.decided(deed, by);
                }
            }
            Err(error) => {
                self.trouble.failed();
                if matches!(error, StoreError::Fenced) {
                    self.overruled.notify_one();
                }
                self.trouble.say(error);
            }
        }
        stored
    }

    /// Commits the books under a new revision and gives the plan out.
    pub(super) async fn publish(&self, books: &mut Books) -> Result<(), StoreError> {
        // What workers take is measured from here.
        let decided = self.now();
        let pace = self.pace.next();
        let terms = Terms {
            report_interval_ms: pace.report_interval_ms,
            most_samples: pace.most_samples,
            ..self.settings.terms.clone()
        };
        let plan = Published::of(&books.next_plan(&terms));
        if self.shared.is_some() {
            books.give_out(plan.bytes.to_vec());
        }
        self.commit(books).await?;
        self.delivery.give_out(plan, decided);
        self.pace.given(pace);
        Ok(())
    }
}

// === impl Trouble ===

impl Trouble {
    /// Whether the books have to be read again.
    ///
    /// # Errors
    /// They would have to, but the store was asked just now.
    fn may_ask(&self) -> Result<bool, StoreError> {
        let mut state = self.state();
        if !state.unknown {
            return Ok(false);
        }
        let lately = state.asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN);
        if lately {
            return Err(StoreError::Failing);
        }
        state.asked = Some(Instant::now());
        Ok(true)
    }

    fn failed(&self) {
        let mut state = self.state();
        state.unknown = true;
        state.failures += 1;
    }

    /// Commits that failed until now: whoever lets go of the books before it has committed
    /// sees by this whether what it changed was lost meanwhile.
    pub(super) fn failures(&self) -> u64 {
        self.state().failures
    }

    fn say(&self, error: &StoreError) {
        let mut state = self.state();
        state.failing = true;
        if is_due(state.said) {
            tracing::error!(%error, "the store fails; what was not stored is taken back, and workers are asked to wait");
            state.said = Some(Instant::now());
        }
    }

    fn is_over(&self) {
        let mut state = self.state();
        // On a disk that is nearly full small changes fit and large ones do not.
        if core::mem::take(&mut state.failing) && is_due(state.said_over) {
            tracing::info!("the store keeps again");
            state.said_over = Some(Instant::now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_due(said: Option<Instant>) -> bool {
    said.is_none_or(|said| said.elapsed() >= SAY_AGAIN)
}
