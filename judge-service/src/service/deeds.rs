//! What people do to rollouts: under which conditions, how it is recorded, and why it is
//! refused.

use super::status::Status;
use super::{Asked, Service};
use crate::books::{Books, Entry, Made};
use crate::domain::check::Unsound;
use crate::domain::decision::Deed;
use crate::domain::{Millis, Phase, Rollout};
use crate::reading::which_there_are;
use crate::store::StoreError;
use serinus_core::json::FieldError;
use std::sync::Arc;

/// Why the service did not do, or say, what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("{0}")]
    Spec(#[from] Unsound),
    #[error("there is a rollout `{0}` already; delete it first, or choose another id")]
    Exists(String),
    /// No rollout, or no arm of it, with those that there are.
    #[error("{0}")]
    Unknown(String),
    #[error("{0}")]
    Conflict(String),
    #[error("rollout `{rollout}` has changed since: it is at version {version} now")]
    Changed { rollout: String, version: String },
    #[error("something else was asked under the key `{0}`; what is asked again must be the same")]
    KeyIsUsed(String),
    #[error("it could not be stored, and is not done: {0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Internal(String),
}

impl From<FieldError> for ServiceError {
    fn from(error: FieldError) -> Self {
        Self::Spec(error.into())
    }
}

/// What a person's deed did to a rollout, for the record.
pub(super) struct Change {
    pub deed: Deed,
    /// Arms that it took off.
    pub drops: Vec<String>,
    /// What followed from it, beside the person's own words.
    pub more_reasons: Vec<String>,
}

impl Change {
    pub fn of(deed: Deed) -> Self {
        Self {
            deed,
            drops: Vec::new(),
            more_reasons: Vec::new(),
        }
    }
}

impl Service {
    /// Forgets a rollout and the secret of its users' pseudonyms. Its requests
    /// then go by Envoy's default route.
    ///
    /// # Errors
    /// No such rollout, or one that still splits traffic.
    pub async fn delete(self: &Arc<Self>, id: &str, asked: Asked) -> Result<(), ServiceError> {
        let (service, id) = (Arc::clone(self), id.to_owned());
        to_its_end(async move { service.delete_now(&id, asked).await }).await
    }

    async fn delete_now(&self, id: &str, asked: Asked) -> Result<(), ServiceError> {
        let mut books = self.books().await?;
        let entry = known(&books, id)?;
        asked.holds(entry)?;
        let phase = entry.rollout.phase;
        if phase == Phase::Promoted {
            return Err(ServiceError::Conflict(
                "the rollout is promoted, and its plan gives the new version to everybody; finish it first, or abort it"
                    .to_owned(),
            ));
        }
        if phase.is_live() {
            return Err(ServiceError::Conflict(format!(
                "the rollout is {}; abort it first",
                phase.words()
            )));
        }
        books.delete(id);
        let reasons = asked.reason.into_iter().collect();
        books.audit(id, &asked.who, "delete", reasons, self.now(), None);
        self.publish(&mut books).await?;
        drop(books);
        self.models.forget(id);
        self.live().forget(id);
        Ok(())
    }

    /// What a person does to a rollout that there is: once, if it was asked under a key,
    /// and only if the rollout is as it was when they looked at it. A change that fails
    /// must have changed nothing.
    pub(super) async fn by_person(
        &self,
        id: &str,
        asked: Asked,
        change: impl FnOnce(&mut Rollout, Millis) -> Result<Change, ServiceError>,
    ) -> Result<Status, ServiceError> {
        let mut books = self.books().await?;
        let now = self.now();
        let entry = known_mut(&mut books, id)?;
        if asked.was_done(entry)? {
            return Ok(self.status_of(entry));
        }
        asked.holds(entry)?;
        let from_step = entry.rollout.step;
        let change = change(&mut entry.rollout, now)?;
        asked.remember(entry);
        let mut reasons = vec![asked.reason.unwrap_or_else(|| "by hand".to_owned())];
        reasons.extend(change.more_reasons);
        let made = Made {
            drops: change.drops,
            ..Made::by_person(now, change.deed, from_step, reasons)
        };
        self.recorded(&mut books, id, made, &asked.who).await
    }

    /// A person's deed is in the books, on disk and in force.
    pub(super) async fn recorded(
        &self,
        books: &mut Books,
        id: &str,
        made: Made,
        who: &str,
    ) -> Result<Status, ServiceError> {
        books
            .decide_by(id, made, who)
            .map_err(ServiceError::Internal)?;
        self.publish(books).await?;
        self.changed.notify_one();
        Ok(self.status_of(known(books, id)?))
    }
}

/// # Errors
/// No such rollout.
pub(super) fn known<'books>(books: &'books Books, id: &str) -> Result<&'books Entry, ServiceError> {
    books.entry(id).ok_or_else(|| unknown(books, id))
}

/// # Errors
/// No such rollout.
pub(super) fn known_mut<'books>(
    books: &'books mut Books,
    id: &str,
) -> Result<&'books mut Entry, ServiceError> {
    if books.entry(id).is_none() {
        return Err(unknown(books, id));
    }
    books
        .entry_mut(id)
        .ok_or_else(|| ServiceError::Internal(format!("rollout `{id}` is gone")))
}

fn unknown(books: &Books, id: &str) -> ServiceError {
    ServiceError::Unknown(format!("{}; {}", no_rollout(id), others(books, id)))
}

pub(super) fn no_rollout(id: &str) -> String {
    format!("there is no rollout `{id}`")
}

/// The rollouts that there are instead of a wrong one.
pub(super) fn others(books: &Books, wrong: &str) -> String {
    let entries = books.entries().iter();
    let ids: Vec<&str> = entries
        .map(|entry| entry.rollout.spec.id.as_str())
        .collect();
    which_there_are(wrong, &ids)
}

/// Runs a deed in a task of its own: a caller that hangs up must not leave one half
/// done, with books, disk and plan each saying something else.
pub(super) async fn to_its_end<T: Send + 'static>(
    deed: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) -> Result<T, ServiceError> {
    match tokio::spawn(deed).await {
        Ok(result) => result,
        Err(error) => Err(ServiceError::Internal(error.to_string())),
    }
}
