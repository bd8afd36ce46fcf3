//! What must survive: one trait, whose backends keep the same promises.
//!
//! The store knows values and bytes; it knows no statistics and no HTTP.

mod shared;
mod sqlite;

pub use shared::{LEASE, Letter, LetterKind, Outlook, Shared};
pub use sqlite::Sqlite;

use crate::domain::decision::Sealed;
use crate::domain::units::UnitRecord;
use crate::domain::{EpochSums, Millis, Rollout};
use async_trait::async_trait;
use serinus_core::identity::UnitHash;
use serinus_core::plan::Revision;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database could not be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("the database cannot be locked: {0}")]
    Lock(String),
    #[error("{what} in the database is damaged: {problem}")]
    Damaged { what: String, problem: String },
    /// This judge is no longer the one that judges.
    #[error("another judge has taken over")]
    Fenced,
}

/// Everything that a judge knows, to begin with.
#[derive(Debug, Default)]
pub struct Loaded {
    pub revision: Revision,
    /// In the order of their creation.
    pub rollouts: Vec<LoadedRollout>,
    /// The last sequence number counted of each worker session.
    pub sessions: Vec<(String, u64)>,
}

#[derive(Debug)]
pub struct LoadedRollout {
    pub rollout: Rollout,
    pub identity_key: String,
    pub sums: Vec<EpochSums>,
    pub units: Vec<(UnitHash, UnitRecord)>,
    /// Sequence number and hash of the last decision.
    pub last_decision: Option<(u64, String)>,
}

/// What changes together: all of it or nothing.
#[derive(Debug, Default)]
pub struct Change {
    pub now_ms: Millis,
    pub revision: Option<Revision>,
    /// The plan of `revision` as workers get it, for the judges that share the store.
    pub published: Option<Vec<u8>>,
    pub deleted: Vec<String>,
    /// With the secret of their pseudonyms.
    pub rollouts: Vec<(Rollout, String)>,
    pub sums: Vec<(String, EpochSums)>,
    pub units: Vec<(String, UnitHash, UnitRecord)>,
    pub sessions: Vec<(String, u64)>,
    pub decisions: Vec<Sealed>,
    /// Positions of letters whose content this change has.
    pub letters_read: Vec<i64>,
}

impl Change {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.revision.is_none()
            && self.deleted.is_empty()
            && self.rollouts.is_empty()
            && self.sums.is_empty()
            && self.units.is_empty()
            && self.sessions.is_empty()
            && self.decisions.is_empty()
            && self.letters_read.is_empty()
    }
}

#[async_trait]
pub trait Store: Send + Sync {
    async fn load(&self) -> Result<Loaded, StoreError>;

    /// When this returns, the change is on disk.
    async fn commit(&self, change: Change) -> Result<(), StoreError>;

    /// A rollout's decisions, oldest first.
    async fn decisions(&self, rollout: &str) -> Result<Vec<Sealed>, StoreError>;

    async fn decision(&self, rollout: &str, sequence: u64) -> Result<Option<Sealed>, StoreError>;
}
