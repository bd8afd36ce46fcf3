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
use std::time::{Duration, Instant};

/// Outcomes that are counted before others have the books,
const AT_ONCE: usize = 1_024;

/// and for how long their arms are computed.
const HELD: Duration = Duration::from_millis(10);

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
            self.take_some(&mut told, &mut received).await?;
        }
        self.changed.notify_one();
        let mut live = self.live();
        for (outcome, count) in received.counts() {
            *live.counters.feedback.entry(outcome).or_default() += count;
        }
        drop(live);
        Ok(received)
    }

    /// As many as others can wait for.
    async fn take_some(
        &self,
        told: &mut (impl Iterator<Item = (usize, Result<Feedback, FieldError>)> + Send),
        received: &mut Received,
    ) -> Result<(), ServiceError> {
        let mut books = self.books().await?;
        // What is remembered is asked of the store, which may not have the last of it.
        self.commit(&mut books).await?;
        let placed = self.place_some(&books, told);
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

    fn place_some(
        &self,
        books: &Books,
        told: &mut impl Iterator<Item = (usize, Result<Feedback, FieldError>)>,
    ) -> Vec<(usize, Result<Placed, FieldError>)> {
        let began = Instant::now();
        let mut assigners = Assigners::default();
        let mut placed = Vec::new();
        while placed.len() < AT_ONCE
            && began.elapsed() < HELD
            && let Some((index, item)) = told.next()
        {
            let item = item.and_then(|item| self.place(books, &mut assigners, item));
            placed.push((index, item));
        }
        placed
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
            meanings: Meanings { answer, value },
            answer_told,
            value_told,
            place,
        } = placed;
        let rollout = &told.rollout;
        let Some(entry) = books.entry_mut(rollout) else {
            return Err(place::unknown(rollout));
        };
        // Each part by itself: a label may come after its value.
        let value = value.filter(|_| !recalled.was_told(rollout, value_told));
        let tells_answer = *answer != Meaning::None && !recalled.was_told(rollout, answer_told);
        if value.is_none() && !tells_answer {
            return Ok(Fate::Repeated);
        }
        if entry.rollout.phase.is_over() {
            return Ok(Fate::Late);
        }
        let now = self.now();
        let since = entry.recalls_since(now);
        let answered = match place {
            Place::Early => return Ok(Fate::Early),
            Place::NotInTest => return Ok(Fate::NotInTest),
            Place::Request(name) => recalled.answer(rollout, *name, since).cloned(),
            Place::User(whose) => recalled.last_answer(rollout, whose, since).cloned(),
        };
        let whose = match (place, &answered) {
            (Place::User(whose), _) => whose.whose(),
            (_, Some(answered)) => Whose::of(answered),
            (_, None) => return Ok(Fate::UnknownRequest),
        };
        let mut counted = false;
        if let Some(value) = value {
            let by_id = !value_told.is_empty();
            counted |= entry.told(whose, Told::Value { value, by_id });
            recalled.tell(rollout, value_told);
            entry.was_told(value_told, now);
        }
        if tells_answer {
            let label = answered.as_ref().and_then(|answered| answered.label);
            let right = match *answer {
                Meaning::None => None,
                Meaning::Right(right) => Some(right),
                Meaning::Label(truth) => label.map(|predicted| predicted == truth),
            };
            // It may come again with what it lacked.
            let Some(right) = right else {
                return Ok(match counted {
                    true => Fate::ValueAlone,
                    false => Fate::WithoutPrediction,
                });
            };
            let first = entry.told(whose, Told::Answer { right });
            counted |= first;
            let given = answered.as_ref().and_then(|answered| answered.confidence);
            if let Some(confidence) = told.score.or(given).filter(|_| first) {
                calibrated.push(Calibrated {
                    rollout: rollout.clone(),
                    arm: whose.arm,
                    confidence,
                    right,
                });
            }
            recalled.tell(rollout, answer_told);
            entry.was_told(answer_told, now);
        }
        Ok(if counted {
            Fate::Counted
        } else {
            Fate::Repeated
        })
    }
}
