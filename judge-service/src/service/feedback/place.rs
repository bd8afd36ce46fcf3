//! Whose answer an outcome is about, as far as the books know.

use super::assigners::Assigners;
use super::item::{Feedback, Meanings, Subject};
use crate::books::{Books, Whose};
use crate::domain::remembered::{Kind, Name};
use crate::domain::{Millis, Rollout};
use crate::service::Service;
use serinus_core::identity::UnitHash;
use serinus_core::json::FieldError;

/// Clocks of whoever tells may be ahead by so much.
const AHEAD: Millis = 60_000;

/// An outcome, and whose it is.
pub(super) struct Placed {
    pub told: Feedback,
    pub meanings: Meanings,
    /// Under what its parts are told, each once.
    pub answer_told: Vec<Name>,
    pub value_told: Vec<Name>,
    pub place: Place,
}

pub(super) enum Place {
    /// Its user's.
    User(Assigned),
    /// Its request, which is known if it was sampled.
    Request(Name),
    /// It is of before the rollout began.
    Early,
    /// The arm was not drawn.
    NotInTest,
}

/// What the plan of the time gave a user.
pub(super) struct Assigned {
    epoch: u64,
    segment: Option<String>,
    arm: usize,
    pub unit: UnitHash,
}

impl Assigned {
    pub fn whose(&self) -> Whose<'_> {
        Whose {
            epoch: self.epoch,
            segment: self.segment.as_deref(),
            arm: self.arm,
            unit: self.unit,
        }
    }
}

impl Service {
    /// # Errors
    /// An outcome that makes no sense, or is of no rollout that can be told any.
    pub(super) fn place(
        &self,
        books: &Books,
        assigners: &mut Assigners,
        told: Feedback,
    ) -> Result<Placed, FieldError> {
        let meanings = told.meanings()?;
        let now = self.now();
        let at_ms = told.at_ms.unwrap_or(now);
        if at_ms > now.saturating_add(AHEAD) {
            return Err(FieldError::new(
                "at_ms",
                format!("is {at_ms}, and it is {now} now: milliseconds since 1970 are right"),
            ));
        }
        let entry = books.entry(&told.rollout);
        let entry = entry.ok_or_else(|| unknown(&told.rollout))?;
        let secret = entry.secret();
        let secret = secret.ok_or_else(|| FieldError::new("rollout", "has no secret"))?;
        let name = |kind, id: &String| Name::of(kind, &secret, id);
        let id = told.id.iter();
        let mut answer_told: Vec<Name> = id.clone().map(|id| name(Kind::AnswerById, id)).collect();
        let mut value_told: Vec<Name> = id.map(|id| name(Kind::ValueById, id)).collect();
        let place = match told.subject()? {
            Subject::Request(request) => {
                // Users count once by what is known of them, requests by this.
                if entry.rollout.spec.each_request() {
                    answer_told.push(Name::of(Kind::AnswerOfRequest, &secret, request));
                    value_told.push(Name::of(Kind::ValueOfRequest, &secret, request));
                }
                Place::Request(Name::of(Kind::Request, &secret, request))
            }
            Subject::Unit(unit) => {
                can_be_told(&entry.rollout)?;
                let mut epochs = entry.rollout.epochs.iter().rev();
                match epochs.find(|epoch| epoch.started_ms <= at_ms) {
                    None => Place::Early,
                    Some(epoch) => {
                        let epoch = epoch.epoch;
                        let assigner = assigners.of(self, entry, epoch)?;
                        let found = assigner.assign(unit.as_bytes(), &told.headers());
                        let arm = entry.rollout.arm_index(found.arm);
                        match found.unit.zip(arm) {
                            None => Place::NotInTest,
                            Some((unit, arm)) => Place::User(Assigned {
                                epoch,
                                segment: found.segment.map(str::to_owned),
                                arm,
                                unit,
                            }),
                        }
                    }
                }
            }
        };
        Ok(Placed {
            told,
            meanings,
            answer_told,
            value_told,
            place,
        })
    }
}

pub(super) fn unknown(rollout: &str) -> FieldError {
    FieldError::new("rollout", format!("there is no rollout `{rollout}`"))
}

/// # Errors
/// A rollout of whose users nobody can say afterwards which arm they had.
fn can_be_told(rollout: &Rollout) -> Result<(), FieldError> {
    let id = &rollout.spec.id;
    if rollout.spec.each_request() {
        return Err(FieldError::new(
            "unit",
            format!(
                "`{id}` draws an arm for each request, so nobody can say which arm a unit had; `request_id` says it of requests that were sampled"
            ),
        ));
    }
    let segments = rollout.spec.segments.iter();
    let mut conditions = segments.flat_map(|segment| &segment.when);
    if conditions.any(|condition| condition.body.is_some()) {
        return Err(FieldError::new(
            "unit",
            format!(
                "`{id}` has segments by a value in the body, which is not told, so nobody can say which arm a unit had; `request_id` says it of requests that were sampled"
            ),
        ));
    }
    Ok(())
}
