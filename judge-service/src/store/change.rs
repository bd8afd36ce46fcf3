//! What the books give the store to keep.

use crate::domain::Rollout;
use crate::domain::audit::Audited;
use crate::domain::decision::Sealed;
use crate::domain::remembered::Remembered;
use serinus_core::plan::Revision;

/// A row among others that are nowhere near: a page of its own, in the table or its index.
pub const SCATTERED: usize = 4_096;

/// What changes together: all of it or nothing.
#[derive(Debug, Default)]
pub struct Change {
    pub revision: Option<Revision>,
    /// The plan of `revision` as workers get it, for the judges that share the store.
    pub published: Option<Vec<u8>>,
    pub deleted: Vec<String>,
    /// With the secret of their pseudonyms.
    pub rollouts: Vec<(Rollout, String)>,
    pub sums: Vec<SumsChange>,
    pub units: Vec<UnitsChange>,
    pub sessions: Option<SessionsChange>,
    /// Instead of what was there under their names, of which each is here once.
    pub remembered: Vec<Remembered>,
    pub decisions: Vec<Sealed>,
    /// Who did all that.
    pub audit: Vec<Audited>,
    /// Positions of letters whose content this change has.
    pub letters_read: Vec<i64>,
}

/// All that was counted in one epoch and segment, instead of what was there.
#[derive(Debug, PartialEq, Eq)]
pub struct SumsChange {
    pub rollout: String,
    pub epoch: u64,
    pub segment: Option<String>,
    /// As [`crate::domain::EpochSums::to_bytes`] writes them.
    pub bytes: Vec<u8>,
}

/// Users of a rollout.
#[derive(Debug, PartialEq, Eq)]
pub struct UnitsChange {
    pub rollout: String,
    /// All that it has, instead of what was there; otherwise those that changed.
    pub all: bool,
    /// As [`crate::domain::units::pack`] writes them.
    pub bytes: Vec<u8>,
}

/// Worker sessions.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionsChange {
    /// All that are remembered, instead of what was there; otherwise those that changed.
    pub all: bool,
    /// As [`crate::domain::sessions::pack`] writes them.
    pub bytes: Vec<u8>,
}

impl Change {
    /// About as many as are written again and again.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let sums = self.sums.iter().map(|sums| sums.bytes.len());
        let units = self.units.iter().map(|units| units.bytes.len());
        let sessions = self.sessions.iter().map(|sessions| sessions.bytes.len());
        let lists: usize = sums.chain(units).chain(sessions).sum();
        lists + self.remembered.len() * SCATTERED
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.revision.is_none()
            && self.deleted.is_empty()
            && self.rollouts.is_empty()
            && self.sums.is_empty()
            && self.units.is_empty()
            && self.sessions.is_none()
            && self.remembered.is_empty()
            && self.decisions.is_empty()
            && self.audit.is_empty()
            && self.letters_read.is_empty()
    }
}
