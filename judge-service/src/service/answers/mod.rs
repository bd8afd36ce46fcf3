//! Sampled requests and answers: read, answered again by the model files, and compared, on
//! a thread of its own. A slow model never delays reports, plans or verdicts.

mod batch;
mod calibration;
mod found;
mod memory;
pub mod pairing;
pub mod redaction;
pub mod shown;
pub mod status;

use super::Service;
use super::models::Kit;
use crate::metrics::Measures;
use batch::Work;
use serinus_core::sample::{self, SampleBatch};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Instant;

pub(super) use found::Found;

/// Samples that wait for the models; what comes on top is shed and counted. Which
/// arm a sample is of does not matter for that.
const QUEUE: usize = 4_096;

/// Samples that are answered together at most: more at a time gain little, and would wait
/// for each other.
const BATCH: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum SampleRefusal {
    #[error("version: is {0}, and this judge reads {version}", version = sample::VERSION)]
    Version(u32),
    #[error("session: is not 32 hex digits")]
    Session,
    #[error("the judge is busy, and does without these samples")]
    Busy,
    #[error("samples[{index}].rollout: there is no rollout `{rollout}`")]
    UnknownRollout { index: usize, rollout: String },
    #[error("samples[{index}].arm: rollout `{rollout}` has no arm `{arm}`")]
    UnknownArm {
        index: usize,
        rollout: String,
        arm: String,
    },
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, schemars::JsonSchema, serde::Serialize)]
pub struct Taken {
    pub taken: usize,
    /// The queue was full.
    pub shed: usize,
    /// The arm has no model to compare with.
    pub without_model: usize,
}

pub(super) struct Queue {
    samples: SyncSender<Work>,
}

pub(super) fn queue() -> (Queue, Receiver<Work>) {
    let (samples, work) = sync_channel(QUEUE);
    (Queue { samples }, work)
}

pub(super) fn spawn(service: &Arc<Service>, work: Receiver<Work>) {
    let service = Arc::downgrade(service);
    let spawned = std::thread::Builder::new()
        .name("reference".to_owned())
        .spawn(move || run(&service, &work));
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread for inference: samples will be shed");
    }
}

fn run(service: &Weak<Service>, work: &Receiver<Work>) {
    while let Ok(first) = work.recv() {
        let more = core::iter::from_fn(|| work.try_recv().ok());
        let samples: Vec<_> = core::iter::once(first).chain(more).take(BATCH).collect();
        let Some(service) = service.upgrade() else {
            return;
        };
        let count = u32::try_from(samples.len()).unwrap_or(u32::MAX).max(1);
        let began = Instant::now();
        let compared = batch::compare(&service, samples);
        // Each as its part of the batch.
        Measures::took(&service.measures().inference, began.elapsed() / count);
        for found in compared {
            // As many as this thread makes: its own queue sheds when it is full.
            if service.ingest.send(super::Ingest::Found(found)).is_err() {
                return;
            }
        }
    }
}

impl Service {
    /// Queues samples for comparison.
    ///
    /// # Errors
    /// A batch that is not one of a worker of this judge; nothing of it is queued.
    pub async fn sample(self: &Arc<Self>, batch: SampleBatch) -> Result<Taken, SampleRefusal> {
        if batch.version != sample::VERSION {
            return Err(SampleRefusal::Version(batch.version));
        }
        if !serinus_core::report::is_session(&batch.session) {
            return Err(SampleRefusal::Session);
        }
        if self.room.is_scarce() {
            return Err(self.shed(&batch));
        }
        let Ok(books) = self.books().await else {
            return Err(self.shed(&batch));
        };
        let mut work = Vec::new();
        let arrived = Instant::now();
        let mut taken = Taken::default();
        for (index, sample) in batch.samples.into_iter().enumerate() {
            let Some(entry) = books.entry(&sample.rollout) else {
                return Err(SampleRefusal::UnknownRollout {
                    index,
                    rollout: sample.rollout,
                });
            };
            let Some(arm) = entry.rollout.arm_index(&sample.arm) else {
                return Err(SampleRefusal::UnknownArm {
                    index,
                    rollout: sample.rollout,
                    arm: sample.arm,
                });
            };
            let kit = self.models.get(&sample.rollout);
            match kit.filter(|kit: &Arc<Kit>| kit.arm(arm).is_some()) {
                Some(kit) => work.push(Work {
                    sample,
                    arm,
                    kit,
                    second: None,
                    arrived,
                }),
                None => taken.without_model += 1,
            }
        }
        drop(books);
        self.delivery.serves(&batch.session, self.now());
        for work in work {
            self.pair(&work);
            match self.samples.samples.try_send(work) {
                Ok(()) => taken.taken += 1,
                Err(error) => {
                    let (std::sync::mpsc::TrySendError::Full(work)
                    | std::sync::mpsc::TrySendError::Disconnected(work)) = error;
                    taken.shed += 1;
                    self.live()
                        .answers(&work.sample.rollout)
                        .shed(&work.sample.arm);
                }
            }
        }
        self.live().counters.samples_shed += taken.shed as u64;
        Ok(taken)
    }

    fn shed(&self, batch: &SampleBatch) -> SampleRefusal {
        let mut live = self.live();
        live.counters.samples_shed += batch.samples.len() as u64;
        for sample in &batch.samples {
            // Names are checked later than this: only what is known is counted by name.
            if self.models.get(&sample.rollout).is_some() {
                live.answers(&sample.rollout).shed(&sample.arm);
            }
        }
        SampleRefusal::Busy
    }
}
