//! Whose answer an outcome is about, as far as the books know.

use super::assigners::Assigners;
use super::item::{Feedback, Meanings, Subject};
use crate::books::Books;
use crate::domain::remembered::Name;
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
    /// What it must not have been told under before.
    pub ids: Vec<Name>,
    pub place: Place,
}

pub(super) enum Place {
    /// Its user, with what the plan of the time gave them.
    User {
        epoch: u64,
        segment: Option<String>,
        arm: usize,
        unit: UnitHash,
    },
    /// Its request, which is known if it was sampled.
    Request(Name),
    /// It is of before the rollout began.
    Early,
    /// The arm was not drawn.
    NotInTest,
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
        let id = told.id.as_ref().map(|id| Name::told(&secret, id));
        let mut ids: Vec<Name> = id.into_iter().collect();
        let place = match told.subject()? {
            Subject::Request(request) => {
                // Users count once by what is known of them, requests by this.
                if entry.rollout.spec.each_request() {
                    ids.push(Name::told(&secret, &format!("request {request}")));
                }
                Place::Request(Name::request(&secret, request))
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
                            Some((unit, arm)) => Place::User {
                                epoch,
                                segment: found.segment.map(str::to_owned),
                                arm,
                                unit,
                            },
                        }
                    }
                }
            }
        };
        Ok(Placed {
            told,
            meanings,
            ids,
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
