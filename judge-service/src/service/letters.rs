//! Letters of the judges that do not judge: reports that they took, and what they
//! heard of workers.

use super::overtaking::is_later;
use super::{Heard, Service};
use crate::books::{Books, Counted};
use crate::domain::report;
use crate::service::IngestError;
use crate::store::{Letter, LetterKind, Shared, StoreError};
use serinus_core::plan::Revision;
use std::sync::Arc;
use std::time::Duration;

/// Letters read at once. Reports are some kilobytes each.
const AT_ONCE: i64 = 1_024;

/// After a database that did not answer.
const PAUSE: Duration = Duration::from_millis(300);

impl Service {
    /// Reads letters as they come.
    pub(super) async fn read_letters(self: Arc<Self>, shared: Arc<dyn Shared>) {
        loop {
            let read = match self.books().await {
                Ok(mut books) => self.take_letters(&mut books, &*shared).await,
                Err(error) => Err(error),
            };
            let waited = match read {
                Ok(0) => shared.news().await.map(drop),
                Ok(_) => {
                    self.changed.notify_one();
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = waited {
                tracing::warn!(%error, "letters of other judges wait");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Counts what has been posted, and deletes it in the same commit; how many letters
    /// there were.
    pub(super) async fn take_letters(
        &self,
        books: &mut Books,
        shared: &dyn Shared,
    ) -> Result<usize, StoreError> {
        let letters = shared.letters(AT_ONCE).await?;
        if letters.is_empty() {
            return Ok(0);
        }
        let ours = books.revision();
        let mut newest = ours;
        let mut counted = Vec::new();
        for (position, letter) in &letters {
            match letter.kind {
                LetterKind::Report => counted.extend(count(books, letter)),
                LetterKind::Heard => newest = newest.max(self.hear(letter, ours)),
            }
            books.read_letter(*position);
        }
        // What is not believed for now its worker says again.
        let _ = self.overtake_in(books, newest).await?;
        self.commit(books).await?;
        let mut live = self.live();
        for counted in counted {
            live.counters.counted(&counted);
        }
        Ok(letters.len())
    }

    /// The newest revision that a worker said it has, of those that may be true: one that
    /// is invented must not hide the others.
    fn hear(&self, letter: &Letter, ours: Revision) -> Revision {
        let heard: Vec<Heard> = match serde_json::from_slice(&letter.body) {
            Ok(heard) => heard,
            Err(error) => {
                tracing::warn!(%error, "a letter of another judge cannot be read");
                return ours;
            }
        };
        let mut newest = ours;
        for heard in &heard {
            heard.tell(&self.delivery);
            if let Heard::Polled { poll, .. } = heard
                && is_later(poll.revision, ours)
            {
                newest = newest.max(poll.revision);
            }
        }
        newest
    }
}

/// As if the report had come here; its worker had its answer already.
fn count(books: &mut Books, letter: &Letter) -> Option<Result<Counted, IngestError>> {
    match report::read(&letter.body) {
        Ok(report) => {
            let counted = books.count(&report).map_err(IngestError::Refused);
            if let Err(error) = &counted {
                tracing::warn!(%error, session = %report.session, "a report that another judge took is refused");
            }
            Some(counted)
        }
        Err(error) => {
            tracing::warn!(%error, "a report that another judge took cannot be read");
            None
        }
    }
}
