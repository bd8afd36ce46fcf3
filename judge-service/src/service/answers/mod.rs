//! Sampled requests and answers: read, answered again by the model files, and compared, on
//! a thread of its own. A slow model never delays reports, plans or verdicts.

mod batch;
mod calibration;
mod causes;
mod found;
pub mod pairing;
mod predict;
mod queue;
mod read;
pub mod redaction;
pub mod shown;
pub mod status;
mod work;

use super::Service;
use super::models::Kit;
use crate::books::Whose;
use crate::metrics::Measures;
use queue::Queued;
use serinus_core::sample::{self, Sample, SampleBatch};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};
use std::time::Instant;
use work::Work;

pub(super) use found::Found;
pub(super) use queue::{Queue, queue};

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
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, schemars::JsonSchema, serde::Serialize)]
pub struct Taken {
    pub taken: usize,
    /// The queue was full.
    pub shed: usize,
    /// The arm has no model to compare with.
    pub without_model: usize,
    /// The rollout is gone or over, has no such arm, epoch or segment, or copies nothing
    /// any more: workers hear of that later.
    pub unwanted: usize,
}

pub(super) fn spawn(service: &Arc<Service>, work: Receiver<Queued>) {
    let service = Arc::downgrade(service);
    let spawned = std::thread::Builder::new()
        .name("reference".to_owned())
        .spawn(move || run(&service, &work));
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread for inference: samples will be shed");
    }
}

fn run(service: &Weak<Service>, work: &Receiver<Queued>) {
    while let Ok(first) = work.recv() {
        let more = core::iter::from_fn(|| work.try_recv().ok());
        let queued: Vec<Queued> = core::iter::once(first).chain(more).take(BATCH).collect();
        let Some(service) = service.upgrade() else {
            return;
        };
        let count = u32::try_from(queued.len()).unwrap_or(u32::MAX).max(1);
        let began = Instant::now();
        let (samples, places): (Vec<_>, Vec<_>) = queued.into_iter().map(Queued::apart).unzip();
        // A defect in a model's engine costs one batch, and not all that come after it.
        let compared = catch_unwind(AssertUnwindSafe(|| batch::compare(&service, samples)));
        drop(places);
        let Ok(compared) = compared else {
            tracing::error!("a batch of {count} samples was given up: inference failed in it");
            service.live().counters.samples_unreadable += u64::from(count);
            continue;
        };
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
        let Ok(mut books) = self.books().await else {
            return Err(self.shed(&batch));
        };
        let mut work = Vec::new();
        let mut taken = Taken::default();
        for sample in batch.samples {
            let entry = books.entry_mut(&sample.rollout);
            let wanting = entry.filter(|entry| entry.rollout.takes_samples());
            let known = wanting.and_then(|entry| {
                let arm = entry.rollout.arm_index(&sample.arm)?;
                // A worker may still have the plan of another rollout of this name.
                let knows = entry.knows(sample.epoch, sample.segment.as_deref());
                knows.then_some((entry, arm))
            });
            let Some((entry, arm)) = known else {
                taken.unwanted += 1;
                continue;
            };
            // Whatever becomes of the sample, an outcome may name its request.
            let header = &entry.rollout.spec.remember.request_header;
            let request_id = work::header(&sample.request_headers, header).map(str::to_owned);
            let whose = Whose {
                epoch: sample.epoch,
                segment: sample.segment.as_deref(),
                arm,
                unit: sample.unit,
            };
            entry.asked(whose, request_id.as_deref(), self.now());
            work.push((sample, arm));
        }
        drop(books);
        self.delivery.serves(&batch.session, self.now());
        for (sample, arm) in work {
            self.offer(sample, arm, &mut taken);
        }
        self.live().counters.samples_shed += taken.shed as u64;
        Ok(taken)
    }

    fn offer(self: &Arc<Self>, sample: Sample, arm: usize, taken: &mut Taken) {
        let kit = self.models.get(&sample.rollout);
        let Some(kit) = kit.filter(|kit: &Arc<Kit>| kit.arm(arm).is_some()) else {
            taken.without_model += 1;
            return;
        };
        let work = Work {
            sample,
            arm,
            kit: Arc::clone(&kit),
            second: None,
            arrived: Instant::now(),
        };
        self.pair(&work);
        let (rollout, name) = (work.sample.rollout.clone(), work.arm_name().to_owned());
        if self.samples.send(work) {
            taken.taken += 1;
            return;
        }
        taken.shed += 1;
        if let Some(answers) = self.live().answers_of(&rollout, &kit) {
            answers.shed(&name);
        }
    }

    fn shed(&self, batch: &SampleBatch) -> SampleRefusal {
        let mut live = self.live();
        live.counters.samples_shed += batch.samples.len() as u64;
        for sample in &batch.samples {
            // Names are checked later than this: only what is known is counted by name.
            let kit = self.models.get(&sample.rollout);
            let Some(kit) = kit.filter(|kit| kit.names.contains(&sample.arm)) else {
                continue;
            };
            if let Some(answers) = live.answers_of(&sample.rollout, &kit) {
                answers.shed(&sample.arm);
            }
        }
        SampleRefusal::Busy
    }
}
