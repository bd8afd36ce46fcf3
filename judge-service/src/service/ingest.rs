//! Reports and comparisons on their way into the books: taken in order, written
//! together, acknowledged only when they are on disk.

use super::answers::Found;
use super::{Place, Service};
use crate::books::{Books, Counted, Refusal};
use crate::domain::{Millis, report};
use serinus_core::json::FieldError;
use serinus_core::plan::Revision;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use std::vec::Drain;
use tokio::sync::{mpsc, oneshot};

/// What is written together at most. Whatever came while the commit before was under way
/// makes the next batch, so batches grow with the load.
const BATCH: usize = 4_096;

/// A batch has the books no longer than this at a time: verdicts and pages want them too.
const HELD: Duration = Duration::from_millis(10);

pub(super) enum Ingest {
    /// As it came: it is read when it is counted. Read, it has some hundred parts in
    /// several times the memory, of which thousands would wait and grow cold.
    Report {
        body: Vec<u8>,
        place: Place,
        done: oneshot::Sender<Result<Counted, IngestError>>,
    },
    Found(Found),
}

#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Unreadable(#[from] FieldError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The worker is to keep the report and send it again.
    #[error("the judge is busy; send the report again later")]
    Busy,
    #[error("the report could not be stored; send it again later")]
    Store,
}

/// A report that was counted, until the commit that has it.
struct Answer {
    done: oneshot::Sender<Result<Counted, IngestError>>,
    result: Result<Taken, IngestError>,
    _place: Place,
}

struct Taken {
    counted: Counted,
    session: String,
    revision: Option<Revision>,
}

impl Service {
    /// Counts a report; when this returns `Ok`, the count is on disk.
    ///
    /// # Errors
    /// A report that is refused for good, or a judge that cannot take it now: the worker
    /// is to send it again.
    pub async fn report(&self, body: Vec<u8>) -> Result<Counted, IngestError> {
        let result = self.queue(body).await;
        self.live().counters.counted(&result);
        result
    }

    async fn queue(&self, body: Vec<u8>) -> Result<Counted, IngestError> {
        let place = self.room.take(body.len())?;
        let (done, answer) = oneshot::channel();
        let ingest = Ingest::Report { body, place, done };
        self.ingest.send(ingest).map_err(|_| IngestError::Busy)?;
        answer.await.map_err(|_| IngestError::Busy)?
    }

    pub(super) async fn take_reports(self: Arc<Self>, mut queue: mpsc::UnboundedReceiver<Ingest>) {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            self.take_batch(batch.drain(..)).await;
            self.changed.notify_one();
        }
    }

    /// Counts them, commits once, and answers.
    async fn take_batch(&self, mut batch: Drain<'_, Ingest>) {
        let mut answers = Vec::with_capacity(batch.len());
        let stored = self.store_batch(&mut batch, &mut answers).await;
        let now = self.now();
        for Answer { done, result, .. } in answers {
            let answer = match result {
                Ok(_) if !stored => Err(IngestError::Store),
                // Who sends nonsense is no worker.
                Ok(taken) => {
                    self.delivery.reported(&taken.session, taken.revision, now);
                    Ok(taken.counted)
                }
                Err(error) => Err(error),
            };
            // A worker that hung up sends the same bytes again, as a duplicate.
            let _ = done.send(answer);
        }
        // What was not taken, the workers keep, and send again.
        for ingest in batch {
            if let Ingest::Report { done, .. } = ingest {
                let _ = done.send(Err(IngestError::Store));
            }
        }
    }

    /// Whether all that was counted is on disk.
    async fn store_batch(&self, batch: &mut Drain<'_, Ingest>, answers: &mut Vec<Answer>) -> bool {
        let mut failures = None;
        loop {
            let Ok(mut books) = self.books().await else {
                return false;
            };
            let before = *failures.get_or_insert_with(|| self.trouble.failures());
            let began = Instant::now();
            while began.elapsed() < HELD
                && let Some(ingest) = batch.next()
            {
                if !self.take(&mut books, ingest, answers).await {
                    return false;
                }
            }
            if batch.len() == 0 {
                // Who had the books meanwhile may have committed what was counted here, or
                // failed to.
                let committed = self.commit(&mut books).await.is_ok();
                return committed && self.trouble.failures() == before;
            }
        }
    }

    /// Whether the store still answers.
    async fn take(&self, books: &mut Books, ingest: Ingest, answers: &mut Vec<Answer>) -> bool {
        match ingest {
            Ingest::Report { body, place, done } => {
                let result = self.count(books, &body).await;
                let answers_still = !matches!(result, Err(IngestError::Store));
                answers.push(Answer {
                    done,
                    result,
                    _place: place,
                });
                answers_still
            }
            Ingest::Found(found) => {
                if let Some(entry) = books.entry_mut(&found.rollout) {
                    found.count(entry);
                    self.live().counters.sample_took(found.arrived.elapsed());
                }
                true
            }
        }
    }

    /// Counts one report, until the next commit in memory only.
    ///
    /// A worker that comes from another judge may have left a report there: that one is
    /// counted first, or it would seem to have been counted already.
    async fn count(&self, books: &mut Books, body: &[u8]) -> Result<Taken, IngestError> {
        let report = report::read(body)?;
        if let Some(shared) = &self.shared
            && !books.follows(&report)
        {
            let mut more = true;
            while more {
                let read = self.take_letters(books, &**shared).await;
                more = read.map_err(|_| IngestError::Store)? > 0;
            }
        }
        Ok(Taken {
            counted: books.count(&report)?,
            session: report.session,
            revision: report.revision,
        })
    }
}

/// What the clocks said when the process first asked.
static STARTED: LazyLock<(Instant, Millis)> = LazyLock::new(|| {
    let wall = jiff::Timestamp::now().as_millisecond();
    (Instant::now(), wall.try_into().unwrap_or_default())
});

/// The wall clock as it was at the start, and from then on a steady one: a wall clock that
/// is set forward would end minimums, watches and deadlines.
#[must_use]
pub fn wall_clock() -> Millis {
    let (started, wall) = &*STARTED;
    let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    wall.saturating_add(elapsed)
}
