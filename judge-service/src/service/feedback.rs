//! Outcomes that are told later: whether an answer was right, or what it was worth. The arm
//! that a user had is computed again, by the plan of the time.

mod assigners;
mod ids;
mod item;

pub use item::{Feedback, FeedbackProblem, Received};

use super::deeds::to_its_end;
use super::{Service, ServiceError};
use crate::books::{Books, Told, Whose};
use crate::domain::{Millis, Rollout};
use assigners::Assigners;
use ids::Key;
use item::{Fate, Meaning};
use serinus_core::json::FieldError;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use ids::Ids;

/// Clocks of whoever tells may be ahead by so much.
const AHEAD: Millis = 60_000;

/// How long the books are held before others have their turn.
const HELD: Duration = Duration::from_millis(10);

/// The probability that a model gave to what it predicted, and whether that was right.
struct Calibrated {
    rollout: String,
    arm: String,
    confidence: f64,
    right: bool,
}

/// What is counted in memory, and known once it is on disk.
#[derive(Default)]
struct Pending {
    keys: Vec<Key>,
    calibrated: Vec<Calibrated>,
}

impl Service {
    /// Counts what was told, each by itself: one that is refused keeps no other from being
    /// counted.
    ///
    /// # Errors
    /// A store that fails; all is to be told again then.
    pub async fn feedback(
        self: &Arc<Self>,
        told: Vec<Result<Feedback, FieldError>>,
    ) -> Result<Received, ServiceError> {
        let service = Arc::clone(self);
        to_its_end(async move { service.feedback_now(told).await }).await
    }

    async fn feedback_now(
        &self,
        told: Vec<Result<Feedback, FieldError>>,
    ) -> Result<Received, ServiceError> {
        let mut received = Received::default();
        let mut told = told.into_iter().enumerate();
        while told.len() > 0 {
            let mut books = self.books().await?;
            let pending = self.take_some(&mut books, &mut told, &mut received);
            let committed = self.commit(&mut books).await;
            // Under the books, so that nobody who tells the same again comes between.
            self.settle(pending, committed.is_ok());
            committed?;
        }
        self.changed.notify_one();
        let mut live = self.live();
        for (outcome, count) in received.counts() {
            *live.counters.feedback.entry(outcome).or_default() += count;
        }
        drop(live);
        Ok(received)
    }

    /// Counts in memory what can be counted before others have their turn.
    fn take_some(
        &self,
        books: &mut Books,
        told: &mut impl Iterator<Item = (usize, Result<Feedback, FieldError>)>,
        received: &mut Received,
    ) -> Pending {
        let began = Instant::now();
        let mut assigners = Assigners::default();
        let mut pending = Pending::default();
        while began.elapsed() < HELD
            && let Some((index, item)) = told.next()
        {
            let fate = match item {
                Ok(item) => self.take_feedback(books, &mut assigners, item, &mut pending),
                Err(error) => Err(error),
            };
            received.add(index, fate);
        }
        pending
    }

    /// What could not be stored is told again, under the same ids.
    fn settle(&self, pending: Pending, committed: bool) {
        let mut ids = self.ids();
        for key in pending.keys {
            if !committed {
                ids.forget(&key);
            }
        }
        drop(ids);
        if !committed {
            return;
        }
        let mut live = self.live();
        for known in pending.calibrated {
            live.answers(&known.rollout)
                .calibrate(&known.arm, known.confidence, known.right);
        }
    }

    fn take_feedback(
        &self,
        books: &mut Books,
        assigners: &mut Assigners,
        told: Feedback,
        pending: &mut Pending,
    ) -> Result<Fate, FieldError> {
        let meaning = told.meaning()?;
        let now = self.now();
        let at_ms = told.at_ms.unwrap_or(now);
        if at_ms > now.saturating_add(AHEAD) {
            return Err(FieldError::new(
                "at_ms",
                format!("is {at_ms}, and it is {now} now: milliseconds since 1970 are right"),
            ));
        }
        let rollout = &told.rollout;
        let Some(entry) = books.entry_mut(rollout) else {
            return Err(FieldError::new(
                "rollout",
                format!("there is no rollout `{rollout}`"),
            ));
        };
        can_be_told(&entry.rollout)?;
        let key = told.id.as_ref().map(|id| Key {
            rollout: rollout.clone(),
            created_ms: entry.rollout.created_ms,
            id: id.clone(),
        });
        if key.as_ref().is_some_and(|key| self.ids().knows(key)) {
            return Ok(Fate::Repeated);
        }
        if entry.rollout.phase.is_over() {
            return Ok(Fate::Late);
        }
        let epochs = entry.rollout.epochs.iter();
        let Some(epoch) = epochs
            .rev()
            .find(|epoch| epoch.started_ms <= at_ms)
            .map(|epoch| epoch.epoch)
        else {
            return Ok(Fate::Early);
        };
        let assigner = assigners.of(self, entry, epoch)?;
        let found = assigner.assign(told.unit.as_bytes(), &told.headers());
        let Some(unit) = found.unit else {
            return Ok(Fate::NotInTest);
        };
        let (name, segment) = (found.arm.to_owned(), found.segment.map(str::to_owned));
        let Some(arm) = entry.rollout.arm_index(&name) else {
            return Ok(Fate::NotInTest);
        };
        let whose = Whose {
            epoch,
            segment: segment.as_deref(),
            arm,
            unit,
        };
        let last = self.live().last_answer(rollout, (unit, arm, epoch));
        let mut counted = false;
        if let Some(value) = meaning.value {
            counted |= entry.told(whose, Told::Value(value));
        }
        let right = match meaning.answer {
            Meaning::None => None,
            Meaning::Right(right) => Some(right),
            Meaning::Label(label) => match last.and_then(|last| last.label) {
                Some(predicted) => Some(predicted == label),
                None if counted => return Ok(Fate::ValueAlone),
                None => return Ok(Fate::WithoutPrediction),
            },
        };
        if let Some(right) = right {
            let first = entry.told(whose, Told::Answer { right });
            counted |= first;
            let confidence = told.score.or_else(|| last.and_then(|last| last.confidence));
            if let Some(confidence) = confidence.filter(|_| first) {
                pending.calibrated.push(Calibrated {
                    rollout: rollout.clone(),
                    arm: name,
                    confidence,
                    right,
                });
            }
        }
        // Whatever else becomes of one, it may come again with what it lacked.
        if let Some(key) = key {
            self.ids().remember(key.clone());
            pending.keys.push(key);
        }
        Ok(if counted {
            Fate::Counted
        } else {
            Fate::Repeated
        })
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, Ids> {
        let ids = self.feedback_ids.lock();
        ids.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// # Errors
/// A rollout of whose users nobody can say afterwards which arm they had.
fn can_be_told(rollout: &Rollout) -> Result<(), FieldError> {
    let id = &rollout.spec.id;
    if rollout.spec.each_request() {
        return Err(FieldError::new(
            "rollout",
            format!("`{id}` draws an arm for each request, so nobody can say which arm a unit had"),
        ));
    }
    let segments = rollout.spec.segments.iter();
    let mut conditions = segments.flat_map(|segment| &segment.when);
    if conditions.any(|condition| condition.body.is_some()) {
        return Err(FieldError::new(
            "rollout",
            format!(
                "`{id}` has segments by a value in the body, which is not told, so nobody can say which arm a unit had"
            ),
        ));
    }
    Ok(())
}
