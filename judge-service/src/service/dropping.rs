//! A person takes one arm off.

use super::deeds::{Change, ServiceError, to_its_end};
use super::status::Status;
use super::{Asked, Service};
use crate::domain::decision::Deed;
use crate::domain::{Millis, Phase, Rollout};
use crate::reading::which_there_are;
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
    ) -> Result<Status, ServiceError> {
        let (service, id, arm) = (Arc::clone(self), id.to_owned(), arm.to_owned());
        to_its_end(async move {
            let dropped = |rollout: &mut Rollout, now| dropped(rollout, arm, now);
            service.by_person(&id, asked, dropped).await
        })
        .await
    }
}

fn dropped(rollout: &mut Rollout, arm: String, now: Millis) -> Result<Change, ServiceError> {
    let Some(index) = rollout.arm_index(&arm) else {
        let arms = rollout.spec.arms.iter();
        let arms: Vec<&str> = arms.map(|arm| arm.name.as_str()).collect();
        let (id, others) = (&rollout.spec.id, which_there_are(&arm, &arms));
        let problem = format!("rollout `{id}` has no arm `{arm}`; {others}");
        return Err(ServiceError::Unknown(problem));
    };
    if let Some(conflict) = conflict(rollout, &arm, index) {
        return Err(ServiceError::Conflict(conflict));
    }
    let mut change = Change {
        drops: vec![arm],
        ..Change::of(Deed::Drop)
    };
    if rollout.goes_on_without(&change.drops) {
        rollout.drop_arms(&change.drops, now);
    } else {
        rollout.take_back(Phase::RolledBack, now);
        let end = "nothing else is on trial, so the rollout is taken back";
        change.more_reasons.push(end.to_owned());
    }
    Ok(change)
}

/// Why an arm cannot be taken off.
fn conflict(rollout: &Rollout, arm: &str, index: usize) -> Option<String> {
    let phase = rollout.phase;
    if phase.is_over() {
        let phase = phase.words();
        Some(format!("the rollout is {phase}; nothing is on trial"))
    } else if rollout.is_dropped(arm) {
        Some(format!("`{arm}` was dropped already"))
    } else if !rollout.is_treatment(index) {
        Some(format!(
            "`{arm}` is what the others are compared with or go back to; `abort` takes them all back"
        ))
    } else {
        None
    }
}
