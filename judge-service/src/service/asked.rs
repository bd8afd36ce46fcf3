//! What comes with a person's deed: words, and under which conditions it is meant.

use super::ServiceError;
use crate::books::Entry;
use crate::domain::rollout::UsedKey;

#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The name of who asks, for the record.
    pub who: String,
    pub reason: Option<String>,
    /// Only if the rollout is still as one of these versions, which [`Entry::version`]
    /// names: who looked at it before a decision does not know what it is now.
    pub only_if: Option<Vec<String>>,
    /// Who asks again with the same key, since no answer came, does not do it twice.
    pub key: Option<UsedKey>,
}

impl Asked {
    /// Whether it was done before, under its key.
    ///
    /// # Errors
    /// Another deed was done under that key.
    pub(super) fn was_done(&self, entry: &Entry) -> Result<bool, ServiceError> {
        let Some(asked) = &self.key else {
            return Ok(false);
        };
        let mut used = entry.rollout.keys.iter();
        match used.find(|used| used.key == asked.key) {
            None => Ok(false),
            Some(used) if used.content == asked.content => Ok(true),
            Some(_) => Err(ServiceError::KeyIsUsed(asked.key.clone())),
        }
    }

    /// # Errors
    /// The rollout is not as it was when it was looked at.
    pub(super) fn holds(&self, entry: &Entry) -> Result<(), ServiceError> {
        let version = entry.version();
        match &self.only_if {
            Some(versions) if !versions.contains(&version) => Err(ServiceError::Changed {
                rollout: entry.rollout.spec.id.clone(),
                version,
            }),
            _ => Ok(()),
        }
    }

    /// To be called when it is done, before that is stored.
    pub(super) fn remember(&self, entry: &mut Entry) {
        if let Some(key) = &self.key {
            entry.rollout.use_key(key.clone());
        }
    }
}
