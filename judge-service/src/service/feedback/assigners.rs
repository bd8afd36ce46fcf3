//! Which arm a user had, by the plan of the time.

use crate::assignment::Assigner;
use crate::books::Entry;
use crate::domain::Rollout;
use crate::domain::plan::{self, Keyed};
use crate::service::Service;
use serinus_core::json::FieldError;
use std::collections::HashMap;

/// Plans of epochs, made when they are first needed.
#[derive(Default)]
pub(super) struct Assigners(HashMap<(String, u64), Assigner>);

impl Assigners {
    /// By the plan that workers had in an epoch.
    ///
    /// # Errors
    /// A plan that no worker could have had.
    pub fn of(
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
