//! What a person does to a rollout that there is, and which of it its phase allows.

use super::deeds::{Change, ServiceError, to_its_end};
use super::status::Status;
use super::{Asked, Service};
use crate::domain::decision::Deed;
use crate::domain::{Millis, Phase, Rollout};
use std::sync::Arc;

impl Service {
    /// # Errors
    /// No such rollout, or one that is not as the deed needs it.
    pub async fn act(
        self: &Arc<Self>,
        id: &str,
        deed: Deed,
        asked: Asked,
    ) -> Result<Status, ServiceError> {
        let (service, id) = (Arc::clone(self), id.to_owned());
        to_its_end(async move { service.act_now(&id, deed, asked).await }).await
    }

    async fn act_now(&self, id: &str, deed: Deed, asked: Asked) -> Result<Status, ServiceError> {
        self.by_person(id, asked, |rollout, now| {
            done(rollout, deed, now)?;
            match deed {
                Deed::StopSampling => {
                    self.models.close(id, true);
                    self.live().forget_bodies(id);
                }
                Deed::StartSampling => self.models.close(id, false),
                _ => {}
            }
            Ok(Change::of(deed))
        })
        .await
    }
}

/// Does to a rollout what a person asks for, if its phase allows it.
fn done(rollout: &mut Rollout, deed: Deed, now: Millis) -> Result<(), ServiceError> {
    let (phase, step) = (rollout.phase, rollout.step);
    let conflict = |wanted: &str| {
        let phase = phase.words();
        ServiceError::Conflict(format!(
            "the rollout is {phase}; only a rollout that is {wanted} allows this"
        ))
    };
    match (deed, phase) {
        (Deed::Promote, Phase::Waiting) => rollout.enter_step(step, now)?,
        (Deed::Promote, Phase::Running | Phase::Paused) => {
            if rollout.is_last_step() {
                return Err(ServiceError::Conflict(
                    "it is at its last step already".to_owned(),
                ));
            }
            rollout.enter_step(step + 1, now)?;
        }
        (Deed::Approve, _) if rollout.awaits_approval => rollout.enter_step(step + 1, now)?,
        (Deed::Pause, Phase::Running) => rollout.set_phase(Phase::Paused, now),
        (Deed::Resume, Phase::Paused) => rollout.set_phase(Phase::Running, now),
        (Deed::Abort, phase) if !phase.is_over() => rollout.take_back(Phase::Aborted, now),
        (Deed::Finish, Phase::Promoted) => rollout.finish(now)?,
        (Deed::StopSampling | Deed::StartSampling, phase) if !phase.is_over() => {
            rollout.sampling_off = deed == Deed::StopSampling;
            if rollout.sampling_off {
                rollout.forgot_answers_ms = Some(now);
            }
        }
        (Deed::Approve, Phase::Running) => {
            return Err(ServiceError::Conflict(
                "it does not ask for an approval now: the evidence for its next step is not in, or that step needs none (`promote` goes on without evidence)".to_owned(),
            ));
        }
        (Deed::Approve, _) => return Err(conflict("paused and asks for an approval")),
        (Deed::Finish, _) => return Err(conflict("promoted")),
        (Deed::Pause, _) => return Err(conflict("running")),
        (Deed::Resume, _) => return Err(conflict("paused")),
        (Deed::Abort | Deed::StopSampling | Deed::StartSampling, _) => {
            return Err(conflict("waiting, running, paused or promoted"));
        }
        _ => return Err(conflict("waiting, running or paused")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use std::collections::BTreeMap;

    fn rollout() -> Rollout {
        Rollout::start(spec(&spec_json()).unwrap(), BTreeMap::new(), 1, 1_000).unwrap()
    }

    fn refused(rollout: &Rollout, deed: Deed) -> String {
        let mut after = rollout.clone();
        let error = done(&mut after, deed, 2_000).unwrap_err();
        assert_eq!(&after, rollout, "{deed:?} changed something");
        error.to_string()
    }

    #[test]
    fn who_did_not_ask_is_not_approved() {
        let mut rollout = rollout();
        let said = refused(&rollout, Deed::Approve);
        assert!(said.contains("does not ask for an approval"), "{said}");
        done(&mut rollout, Deed::Pause, 2_000).unwrap();
        let said = refused(&rollout, Deed::Approve);
        assert!(said.contains("is paused"), "{said}");
        rollout.awaits_approval = true;
        done(&mut rollout, Deed::Approve, 3_000).unwrap();
        assert_eq!((rollout.step, rollout.phase), (1, Phase::Running));
        assert!(!rollout.awaits_approval);
    }

    #[test]
    fn what_is_over_stays_over() {
        let mut rollout = rollout();
        done(&mut rollout, Deed::Abort, 2_000).unwrap();
        for deed in [
            Deed::Promote,
            Deed::Approve,
            Deed::Pause,
            Deed::Resume,
            Deed::Abort,
            Deed::Finish,
            Deed::StopSampling,
        ] {
            let said = refused(&rollout, deed);
            assert!(said.starts_with("the rollout is aborted; only"), "{said}");
        }
    }
}
