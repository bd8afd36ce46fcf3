//! A person takes one arm off.

use super::deeds::{DeedError, to_its_end};
use super::status::Status;
use super::{Asked, Service};
use crate::books::Made;
use crate::domain::Phase;
use crate::domain::decision::{By, Deed};
use std::sync::Arc;

impl Service {
    /// The arm's users get the baseline, and the others go on. Without any other it is
    /// the end of the rollout.
    ///
    /// # Errors
    /// No such rollout or arm, an arm that is not on trial, or a rollout that is over.
    pub async fn drop_arm(
        self: &Arc<Self>,
        id: &str,
        arm: &str,
        asked: Asked,
    ) -> Result<Status, DeedError> {
        let (service, id, arm) = (Arc::clone(self), id.to_owned(), arm.to_owned());
        to_its_end(async move { service.drop_now(&id, arm, asked).await }).await
    }

    async fn drop_now(&self, id: &str, arm: String, asked: Asked) -> Result<Status, DeedError> {
        let mut books = self.books().await?;
        let now = self.now();
        let entry = books
            .entry_mut(id)
            .ok_or_else(|| DeedError::Unknown(id.to_owned()))?;
        if asked.was_done(entry)? {
            return Ok(self.status_of(entry));
        }
        asked.holds(entry)?;
        let rollout = &mut entry.rollout;
        let Some(index) = rollout.arm_index(&arm) else {
            let rollout = id.to_owned();
            return Err(DeedError::UnknownArm { rollout, arm });
        };
        let phase = rollout.phase;
        let conflict = if phase.is_over() {
            let phase = phase.name().replace('_', " ");
            Some(format!("the rollout is {phase}; nothing is on trial"))
        } else if rollout.is_dropped(&arm) {
            Some(format!("`{arm}` was dropped already"))
        } else if !rollout.is_treatment(index) {
            Some(format!(
                "`{arm}` is what the others are compared with or go back to; `abort` takes them all back"
            ))
        } else {
            None
        };
        if let Some(conflict) = conflict {
            return Err(DeedError::Conflict(conflict));
        }
        let from_step = rollout.step;
        asked.remember(entry);
        let rollout = &mut entry.rollout;
        let mut reasons = vec![asked.reason.clone().unwrap_or_else(|| "by hand".to_owned())];
        let drops = vec![arm];
        if rollout.goes_on_without(&drops) {
            rollout.drop_arms(&drops, now);
        } else {
            rollout.take_back(Phase::RolledBack, now);
            reasons.push("nothing else is on trial, so the rollout is taken back".to_owned());
        }
        entry.touch();
        let made = Made {
            at_ms: now,
            deed: Deed::Drop,
            by: By::Person,
            from_step,
            drops,
            reasons,
            evidence: None,
            evidence_before: None,
        };
        self.recorded(&mut books, id, made, &asked.who).await
    }
}
