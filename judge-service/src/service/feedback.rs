//! Outcomes that are told later: whether an answer was right, or what it was worth. The arm
//! that a user had is computed again, by the plan of the time; that of a request is known
//! where it was sampled.

mod assigners;
mod item;
mod place;
mod recalled;

pub use item::{Feedback, FeedbackProblem, Received};

use super::deeds::to_its_end;
use super::{Service, ServiceError};
use crate::books::{Books, Told, Whose};
use assigners::Assigners;
use item::{Fate, Meaning, Meanings};
use place::{Place, Placed};
use recalled::Recalled;
use serinus_core::json::FieldError;
use std::sync::Arc;

/// Outcomes that are counted before others have the books.
const AT_ONCE: usize = 1_024;

/// The probability that a model gave to what it predicted, and whether that was right.
struct Calibrated {
    rollout: String,
    arm: usize,
    confidence: f64,
    right: bool,
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
            let some: Vec<_> = told.by_ref().take(AT_ONCE).collect();
            self.take_some(some, &mut received).await?;
        }
        self.changed.notify_one();
        let mut live = self.live();
        for (outcome, count) in received.counts() {
            *live.counters.feedback.entry(outcome).or_default() += count;
        }
        drop(live);
        Ok(received)
    }

    async fn take_some(
        &self,
        told: Vec<(usize, Result<Feedback, FieldError>)>,
        received: &mut Received,
    ) -> Result<(), ServiceError> {
        let mut books = self.books().await?;
        // What is remembered is asked of the store, which may not have the last of it.
        self.commit(&mut books).await?;
        let placed = self.place_all(&books, told);
        let wanted = placed.iter().filter_map(|(_, placed)| placed.as_ref().ok());
        let mut recalled = Recalled::of(&*self.store, wanted).await?;
        let mut calibrated = Vec::new();
        for (index, placed) in placed {
            let fate = placed.and_then(|placed| {
                self.count_one(&mut books, &mut recalled, &placed, &mut calibrated)
            });
            received.add(index, fate);
        }
        self.commit(&mut books).await?;
        let mut live = self.live();
        for known in calibrated {
            let entry = books.entry(&known.rollout);
            let arm = entry.and_then(|entry| entry.rollout.spec.arms.get(known.arm));
            if let Some(arm) = arm {
                live.answers(&known.rollout)
                    .calibrate(&arm.name, known.confidence, known.right);
            }
        }
        Ok(())
    }

    fn place_all(
        &self,
        books: &Books,
        told: Vec<(usize, Result<Feedback, FieldError>)>,
    ) -> Vec<(usize, Result<Placed, FieldError>)> {
        let mut assigners = Assigners::default();
        let placed = told.into_iter().map(|(index, item)| {
            let placed = item.and_then(|item| self.place(books, &mut assigners, item));
            (index, placed)
        });
        placed.collect()
    }

    fn count_one(
        &self,
        books: &mut Books,
        recalled: &mut Recalled,
        placed: &Placed,
        calibrated: &mut Vec<Calibrated>,
    ) -> Result<Fate, FieldError> {
        let Placed {
            told,
            meanings,
            ids,
            place,
        } = placed;
        let rollout = &told.rollout;
        let Some(entry) = books.entry_mut(rollout) else {
            return Err(place::unknown(rollout));
        };
        if ids.iter().any(|id| recalled.was_told(rollout, *id)) {
            return Ok(Fate::Repeated);
        }
        if entry.rollout.phase.is_over() {
            return Ok(Fate::Late);
        }
        let now = self.now();
        let since = entry.recalls_since(now);
        let (whose, answered) = match place {
            Place::Early => return Ok(Fate::Early),
            Place::NotInTest => return Ok(Fate::NotInTest),
            Place::Request(name) => match recalled.answer(rollout, *name, since) {
                Some(answered) => (Whose::of(answered), Some(answered)),
                None => return Ok(Fate::UnknownRequest),
            },
            Place::User {
                epoch,
                segment,
                arm,
                unit,
            } => {
                let whose = Whose {
                    epoch: *epoch,
                    segment: segment.as_deref(),
                    arm: *arm,
                    unit: *unit,
                };
                (whose, recalled.last_answer(rollout, whose, since))
            }
        };
        let Meanings { answer, value } = *meanings;
        let by_id = !ids.is_empty();
        let mut counted = false;
        if let Some(value) = value {
            counted |= entry.told(whose, Told::Value { value, by_id });
        }
        let right = match answer {
            Meaning::None => None,
            Meaning::Right(right) => Some(right),
            Meaning::Label(label) => match answered.and_then(|answered| answered.label) {
                Some(predicted) => Some(predicted == label),
                None if counted => return Ok(Fate::ValueAlone),
                None => return Ok(Fate::WithoutPrediction),
            },
        };
        if let Some(right) = right {
            let first = entry.told(whose, Told::Answer { right });
            counted |= first;
            let given = answered.and_then(|answered| answered.confidence);
            if let Some(confidence) = told.score.or(given).filter(|_| first) {
                calibrated.push(Calibrated {
                    rollout: rollout.clone(),
                    arm: whose.arm,
                    confidence,
                    right,
                });
            }
        }
        // Whatever else becomes of one, it may come again with what it lacked.
        for &id in ids {
            recalled.tell(rollout, id);
            entry.was_told(id, now);
        }
        Ok(if counted {
            Fate::Counted
        } else {
            Fate::Repeated
        })
    }
}
