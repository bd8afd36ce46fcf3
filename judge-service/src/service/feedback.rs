//! Outcomes that are told later: whether an answer was right, or what it was worth. The arm
//! that a user had is computed again, by the plan of the time.

mod item;

pub use item::{Feedback, FeedbackProblem, Received};

use super::deeds::to_its_end;
use super::{DeedError, Service};
use crate::assignment::{Assigner, Headers};
use crate::books::{Books, Entry, Told, Whose};
use crate::domain::plan::{self, Keyed};
use crate::domain::{Millis, Rollout};
use item::Meaning;
use serinus_core::json::FieldError;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Clocks of whoever tells may be ahead by so much.
const AHEAD: Millis = 60_000;

/// Ids that are remembered, to tell what is told again. What is older counts no second
/// time either, since a user has one outcome in an epoch.
const IDS: usize = 65_536;

/// The last ids.
#[derive(Debug, Default)]
pub(super) struct Ids {
    known: HashSet<String>,
    order: VecDeque<String>,
}

/// What became of one.
enum Fate {
    Counted,
    Repeated,
    Late,
    Early,
    NotInTest,
    WithoutPrediction,
}

/// Plans of epochs, made when they are first needed.
#[derive(Default)]
struct Assigners(HashMap<(String, u64), Assigner>);

impl Service {
    /// Counts what was told, each by itself: one that is refused keeps no other from being
    /// counted.
    ///
    /// # Errors
    /// A store that fails; all is to be told again then.
    pub async fn feedback(
        self: &Arc<Self>,
        told: Vec<Result<Feedback, FieldError>>,
    ) -> Result<Received, DeedError> {
        let service = Arc::clone(self);
        to_its_end(async move { service.feedback_now(told).await }).await
    }

    async fn feedback_now(
        &self,
        told: Vec<Result<Feedback, FieldError>>,
    ) -> Result<Received, DeedError> {
        let mut books = self.books().await?;
        let (received, ids) = self.take_all(&mut books, told);
        // What could not be stored is told again, under the same ids.
        self.commit(&mut books).await?;
        drop(books);
        let mut known = self.ids();
        ids.into_iter().for_each(|id| known.remember(id));
        drop(known);
        self.changed.notify_one();
        Ok(received)
    }

    /// Counts them in memory; the ids of those that made sense.
    fn take_all(
        &self,
        books: &mut Books,
        told: Vec<Result<Feedback, FieldError>>,
    ) -> (Received, Vec<String>) {
        let mut received = Received::default();
        let mut assigners = Assigners::default();
        let mut ids = Vec::new();
        for (index, item) in told.into_iter().enumerate() {
            let id = item.as_ref().ok().and_then(|item| item.id.clone());
            let again = id
                .as_ref()
                .is_some_and(|id| self.ids().known.contains(id) || ids.contains(id));
            let fate = match item {
                Ok(_) if again => Ok(Fate::Repeated),
                Ok(item) => self.take_feedback(books, &mut assigners, item),
                Err(error) => Err(error),
            };
            if fate.is_ok() {
                ids.extend(id);
            }
            received.add(index, fate);
        }
        (received, ids)
    }

    fn take_feedback(
        &self,
        books: &mut Books,
        assigners: &mut Assigners,
        told: Feedback,
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
        if entry.rollout.spec.each_request() {
            return Err(FieldError::new(
                "rollout",
                format!(
                    "`{rollout}` draws an arm for each request, so nobody can say which arm a unit had"
                ),
            ));
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
        let mut live = self.live();
        let answers = live.answers(rollout);
        let served = answers.served(unit);
        let mut counted = false;
        if let Some(value) = meaning.value {
            counted |= entry.told(whose, Told::Value(value));
        }
        let right = match meaning.answer {
            Meaning::None => None,
            Meaning::Right(right) => Some(right),
            Meaning::Label(label) => match served.and_then(|served| served.label) {
                Some(predicted) => Some(predicted == label),
                None if meaning.value.is_none() => return Ok(Fate::WithoutPrediction),
                None => None,
            },
        };
        if let Some(right) = right {
            let first = entry.told(whose, Told::Answer { right });
            counted |= first;
            let confidence = told
                .score
                .or_else(|| served.and_then(|served| served.confidence));
            if let Some(confidence) = confidence.filter(|_| first) {
                answers.calibrate(&name, confidence, right);
            }
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

// === impl Assigners ===

impl Assigners {
    /// By the plan that workers had in an epoch.
    fn of(
        &mut self,
        service: &Service,
        entry: &Entry,
        epoch: u64,
    ) -> Result<&Assigner, FieldError> {
        let id = &entry.rollout.spec.id;
        let key = (id.clone(), epoch);
        if !self.0.contains_key(&key) {
            let mut epochs = entry.rollout.epochs.clone();
            epochs.retain(|own| own.epoch <= epoch);
            let then = Rollout {
                epochs,
                ..entry.rollout.clone()
            };
            let keyed = Keyed {
                rollout: &then,
                identity_key: entry.identity_key(),
            };
            let revision = service.delivery.revision();
            let plan = plan::build([keyed], revision, &service.settings.terms);
            let assigner = Assigner::new(plan, id)
                .map_err(|error| FieldError::new("rollout", format!("`{id}`: {error}")))?;
            self.0.insert(key.clone(), assigner);
        }
        self.0
            .get(&key)
            .ok_or_else(|| FieldError::new("rollout", "has no plan"))
    }
}

// === impl Ids ===

impl Ids {
    fn remember(&mut self, id: String) {
        if self.known.insert(id.clone()) {
            self.order.push_back(id);
        }
        while self.order.len() > IDS {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

// === impl Received ===

impl Received {
    fn add(&mut self, index: usize, fate: Result<Fate, FieldError>) {
        match fate {
            Ok(Fate::Counted) => self.counted += 1,
            Ok(Fate::Repeated) => self.repeated += 1,
            Ok(Fate::Late) => self.late += 1,
            Ok(Fate::Early) => self.early += 1,
            Ok(Fate::NotInTest) => self.not_in_test += 1,
            Ok(Fate::WithoutPrediction) => self.without_prediction += 1,
            Err(error) => self.refuse(index, error),
        }
    }
}

/// Headers as the filter has them.
impl Feedback {
    fn headers(&self) -> Headers {
        self.headers
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.as_bytes().to_vec()))
            .collect()
    }
}
