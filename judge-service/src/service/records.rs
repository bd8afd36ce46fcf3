//! What was decided and done, for who looks at it later.

use super::Service;
use super::deeds::{ServiceError, known};
use crate::domain::Delivered;
use crate::domain::audit::Audited;
use crate::domain::decision::Sealed;
use std::collections::BTreeMap;

impl Service {
    /// # Errors
    /// No such rollout, or a store that cannot be read.
    pub async fn decisions(&self, id: &str) -> Result<Vec<Sealed>, ServiceError> {
        known(&*self.books().await?, id)?;
        Ok(self.store.decisions(id).await?)
    }

    /// How decisions reached the workers, by their numbers.
    ///
    /// # Errors
    /// No such rollout, or a store that fails.
    pub async fn delivered(&self, id: &str) -> Result<BTreeMap<u64, Delivered>, ServiceError> {
        let books = self.books().await?;
        Ok(known(&books, id)?.rollout.delivered.clone())
    }

    /// # Errors
    /// A store that cannot be read.
    pub async fn decision(&self, id: &str, sequence: u64) -> Result<Option<Sealed>, ServiceError> {
        Ok(self.store.decision(id, sequence).await?)
    }

    /// Who did what, after this number, oldest first.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn audit(&self, after: u64, limit: u32) -> Result<Vec<Audited>, ServiceError> {
        Ok(self.store.audit(after, limit).await?)
    }
}
