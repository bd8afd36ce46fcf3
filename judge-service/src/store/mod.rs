//! What must survive: one trait, whose backends keep the same promises.
//!
//! The store knows values and bytes; it knows no statistics and no HTTP.

mod change;
mod convert;
mod location;
mod postgres;
mod shared;
mod sqlite;

pub use change::{Change, SessionsChange, SumsChange, UnitsChange};
pub use location::{Location, PostgresUrl};
pub use postgres::Postgres;
pub use shared::{LEASE, Letter, LetterKind, Outlook, Shared};
pub use sqlite::Sqlite;

use crate::domain::audit::{Audited, Head};
use crate::domain::decision::Sealed;
use crate::domain::remembered::{Forgotten, Kind, Name, Remembered};
use crate::domain::sessions::Heard;
use crate::domain::units::Units;
use crate::domain::{EpochSums, Millis, Rollout};
use async_trait::async_trait;
use serinus_core::plan::Revision;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database could not be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("the database cannot be locked: {0}")]
    Lock(String),
    #[error("this machine gives no randomness: {0}")]
    Randomness(String),
    #[error("{what} in the database is damaged: {problem}")]
    Damaged { what: String, problem: String },
    /// This judge is not, or no longer, the one that judges.
    #[error("another judge has taken over")]
    Fenced,
    #[error("the database did not answer within {0:?}")]
    Silent(std::time::Duration),
    /// It failed just now, and is not asked again yet.
    #[error("the database fails")]
    Failing,
}

/// Everything that a judge knows, to begin with.
#[derive(Debug, Default)]
pub struct Loaded {
    pub revision: Revision,
    /// In the order of their creation.
    pub rollouts: Vec<LoadedRollout>,
    /// Worker sessions with the last report that was counted, oldest first; later entries
    /// replace earlier ones of the same session.
    pub sessions: Vec<Heard>,
    /// Where the record of all deeds ends.
    pub audited: Option<Head>,
}

#[derive(Debug)]
pub struct LoadedRollout {
    pub rollout: Rollout,
    pub identity_key: String,
    /// By epoch, the rest before the segments.
    pub sums: Vec<EpochSums>,
    pub units: Units,
    /// Users in the lists of which `units` were read: each as often as it is there.
    pub units_stored: usize,
    /// Sequence number and hash of the last decision.
    pub last_decision: Option<(u64, String)>,
}

#[async_trait]
pub trait Store: Send + Sync {
    async fn load(&self) -> Result<Loaded, StoreError>;

    /// When this returns, the change is on disk. When it fails, the change may be there
    /// all the same if the connection was lost at the end: what is there is known only
    /// after another [`Store::load`].
    async fn commit(&self, change: Change) -> Result<(), StoreError>;

    /// A rollout's decisions, oldest first.
    async fn decisions(&self, rollout: &str) -> Result<Vec<Sealed>, StoreError>;

    async fn decision(&self, rollout: &str, sequence: u64) -> Result<Option<Sealed>, StoreError>;

    /// What of these is remembered of a rollout, in any order.
    async fn recall(&self, rollout: &str, names: &[Name]) -> Result<Vec<Remembered>, StoreError>;

    /// Since when there are at most so many of a kind; `None` where there are no more.
    async fn since_most(
        &self,
        rollout: &str,
        kind: Kind,
        most: u32,
    ) -> Result<Option<Millis>, StoreError>;

    /// Takes out what is old, at most [`AT_ONCE`](crate::domain::remembered::AT_ONCE), and
    /// says how much that was. Nobody's commit is touched: it is for whoever asks first.
    async fn forget(&self, what: &Forgotten) -> Result<u64, StoreError>;

    /// The same of rollouts that are there no more.
    async fn forget_deleted(&self) -> Result<u64, StoreError>;

    /// The record of all deeds after this number, oldest first.
    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<Audited>, StoreError>;
}
