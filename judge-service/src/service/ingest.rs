//! Reports and comparisons on their way into the books: taken in order, written
//! together, acknowledged only when they are on disk.

use super::{Place, Service};
use crate::books::{Books, Counted, Refusal};
use crate::domain::Millis;
use crate::store::StoreError;
use serinus_core::identity::UnitHash;
use serinus_core::report::Report;
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// What is written together at most. Whatever came while the commit before was under way
/// makes the next batch, so batches grow with the load.
const BATCH: usize = 4_096;

pub(super) enum Ingest {
    Report {
        report: Box<Report>,
        place: Place,
        done: oneshot::Sender<Result<Counted, IngestError>>,
    },
    Comparison(Comparison),
}

/// What inference found about one sample.
pub(super) struct Comparison {
    pub rollout: String,
    pub epoch: u64,
    pub segment: Option<String>,
    pub arm: String,
    pub unit: UnitHash,
    pub agrees: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The worker is to keep the report and send it again.
    #[error("the judge is busy; send the report again later")]
    Busy,
    #[error("the report could not be stored; send it again later")]
    Store,
}

impl Service {
    /// Room for a report of so many bytes, before it is read.
    ///
    /// # Errors
    /// None now: the worker is to send it again.
    pub fn room_for(&self, bytes: usize) -> Result<Place, IngestError> {
        self.room
            .take(bytes)
            .inspect_err(|_| self.live().counters.reports_postponed += 1)
    }

    /// Counts a report; when this returns `Ok`, the count is on disk.
    ///
    /// # Errors
    /// A report that is refused for good, or a judge that cannot take it now.
    pub async fn report(&self, report: Report, place: Place) -> Result<Counted, IngestError> {
        let (session, revision) = (report.session.clone(), report.revision);
        let (done, answer) = oneshot::channel();
        let ingest = Ingest::Report {
            report: Box::new(report),
            place,
            done,
        };
        self.ingest.send(ingest).map_err(|_| IngestError::Busy)?;
        let result = answer.await.map_err(|_| IngestError::Busy)?;
        // Who sends nonsense is no worker.
        if result.is_ok() {
            self.delivery.reported(&session, revision, self.now());
        }
        self.live().counters.counted(&result);
        result
    }

    pub(super) async fn take_reports(self: Arc<Self>, mut queue: mpsc::UnboundedReceiver<Ingest>) {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            self.take_batch(&mut batch).await;
            self.changed.notify_one();
        }
    }

    async fn take_batch(&self, batch: &mut Vec<Ingest>) {
        let Ok(mut books) = self.books().await else {
            return postpone(batch);
        };
        if self.fill_gaps(&mut books, batch).await.is_err() {
            return postpone(batch);
        }
        let mut answers = Vec::with_capacity(batch.len());
        for ingest in batch.drain(..) {
            match ingest {
                Ingest::Report {
                    report,
                    place,
                    done,
                } => {
                    let counted = books.count(&report);
                    answers.push((done, place, counted));
                }
                Ingest::Comparison(found) => {
                    if let Some(entry) = books.entry_mut(&found.rollout)
                        && let Some(arm) = entry.rollout.arm_index(&found.arm)
                    {
                        let segment = found.segment.as_deref();
                        entry.compared(found.epoch, segment, arm, found.unit, found.agrees);
                    }
                }
            }
        }
        let stored = self.commit(&mut books).await.is_ok();
        drop(books);
        for (done, _place, counted) in answers {
            let answer = match counted {
                Err(refusal) => Err(IngestError::Refused(refusal)),
                Ok(_) if !stored => Err(IngestError::Store),
                Ok(counted) => Ok(counted),
            };
            // A worker that hung up sends the same bytes again, as a duplicate.
            let _ = done.send(answer);
        }
    }
}

impl Service {
    /// A worker that comes from another judge may have left a report there: that one is
    /// counted first, or it would seem to have been counted already.
    async fn fill_gaps(&self, books: &mut Books, batch: &[Ingest]) -> Result<(), StoreError> {
        let Some(shared) = &self.shared else {
            return Ok(());
        };
        let follows = |ingest: &Ingest| match ingest {
            Ingest::Report { report, .. } => books.follows(report),
            Ingest::Comparison(_) => true,
        };
        if batch.iter().all(follows) {
            return Ok(());
        }
        while self.take_letters(books, &**shared).await? > 0 {}
        Ok(())
    }
}

/// Their workers keep them, and send them again.
fn postpone(batch: &mut Vec<Ingest>) {
    for ingest in batch.drain(..) {
        if let Ingest::Report { done, .. } = ingest {
            let _ = done.send(Err(IngestError::Store));
        }
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
