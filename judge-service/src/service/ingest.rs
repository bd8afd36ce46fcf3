//! Reports and comparisons on their way into the books: taken in order, written
//! together, acknowledged only when they are on disk.

use super::Service;
use crate::books::{Counted, Refusal};
use crate::domain::Millis;
use serinus_core::identity::UnitHash;
use serinus_core::report::Report;
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// Reports in one commit: at 5 ms a commit that is 50,000 a second.
const BATCH: usize = 256;

pub(super) enum Ingest {
    Report {
        report: Box<Report>,
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
    /// Counts a report; when this returns `Ok`, the count is on disk.
    ///
    /// # Errors
    /// A report that is refused for good, or a judge that cannot take it now.
    pub async fn report(&self, report: Report) -> Result<Counted, IngestError> {
        let session = report.session.clone();
        let (done, answer) = oneshot::channel();
        let ingest = Ingest::Report {
            report: Box::new(report),
            done,
        };
        self.ingest
            .try_send(ingest)
            .map_err(|_| IngestError::Busy)?;
        let result = answer.await.map_err(|_| IngestError::Busy)?;
        // Who sends nonsense is no worker.
        if result.is_ok() {
            self.delivery.serves(&session, self.now());
        }
        self.live().counters.counted(&result);
        result
    }

    pub(super) async fn take_reports(self: Arc<Self>, mut queue: mpsc::Receiver<Ingest>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            self.take_batch(&mut batch).await;
            self.changed.notify_one();
        }
    }

    async fn take_batch(&self, batch: &mut Vec<Ingest>) {
        let mut books = self.books.lock().await;
        let mut answers = Vec::with_capacity(batch.len());
        for ingest in batch.drain(..) {
            match ingest {
                Ingest::Report { report, done } => answers.push((done, books.count(&report))),
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
        for (done, counted) in answers {
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
