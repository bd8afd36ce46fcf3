//! What several judges on one database have beside the store: who of them judges, and
//! what the others tell that one.
//!
//! Time is the database's, so that no judge's clock matters. A judge that froze and
//! wakes after its lease has passed finds its commits [`super::StoreError::Fenced`].

use super::{Store, StoreError};
use async_trait::async_trait;
use serinus_core::plan::Revision;
use std::time::Duration;

/// How long a lease stands without being renewed: a judge that dies is followed by
/// another after this time at most.
pub const LEASE: Duration = Duration::from_secs(3);

/// What is known without being the one that judges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// The address of the judge whose lease stands.
    pub leader: Option<String>,
    /// Of the plan that is out.
    pub revision: Option<Revision>,
}

/// What a judge that does not judge took, for the one that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub kind: LetterKind,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterKind {
    /// A worker's report, byte for byte.
    Report,
    /// What workers were heard of: who has which plan.
    Heard,
}

#[async_trait]
pub trait Shared: Store {
    /// Becomes the one that judges, if nobody's lease stands. `address` is where the
    /// others find it. From then on each commit checks, in its own transaction, that
    /// nobody else became it.
    async fn take_lease(&self, address: &str) -> Result<bool, StoreError>;

    /// Keeps the lease for [`LEASE`] from now; `false` when another judge has it.
    async fn renew(&self) -> Result<bool, StoreError>;

    /// Lets another judge take over at once; commits after this are fenced.
    async fn give_up(&self) -> Result<(), StoreError>;

    /// What the judges of this database know and nobody else does: whoever asks first makes
    /// it.
    async fn secret(&self) -> Result<Vec<u8>, StoreError>;

    async fn outlook(&self) -> Result<Outlook, StoreError>;

    /// The plan that is out, with its bytes as workers get them.
    async fn published(&self) -> Result<Option<(Revision, Vec<u8>)>, StoreError>;

    /// Returns when some judge committed a new revision or posted letters, or after a
    /// second.
    async fn news(&self) -> Result<(), StoreError>;

    /// When this returns, the letters are on disk.
    async fn post(&self, letters: &[Letter]) -> Result<(), StoreError>;

    /// The oldest letters, with their positions. [`super::Change::letters_read`] takes
    /// them away in the transaction that has what they said.
    async fn letters(&self, limit: i64) -> Result<Vec<(i64, Letter)>, StoreError>;
}
