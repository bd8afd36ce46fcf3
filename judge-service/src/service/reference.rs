//! Sampled answers against the model file, on a thread of its own: a slow model
//! never delays reports, plans or verdicts.

use super::Service;
use super::ingest::{Comparison, Ingest};
use super::live::Example;
use crate::domain::spec::AnswerTolerance;
use crate::inference::{self, Message, Model, OpenInference, Protocol, Tolerance};
use crate::metrics::Measures;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serinus_core::sample::{self, Sample, SampleBatch};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Samples that wait for the model; what comes on top is shed and counted. Which
/// arm a sample is of does not matter for that.
const QUEUE: usize = 4_096;

pub(super) struct Work {
    sample: Sample,
    tolerance: Tolerance,
    model: Arc<dyn Model>,
}

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

pub(super) fn queue() -> (SyncSender<Work>, Receiver<Work>) {
    sync_channel(QUEUE)
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

impl Service {
    /// Queues samples for comparison.
    ///
    /// # Errors
    /// A batch that is not one of a worker of this judge; nothing of it is queued.
    pub async fn sample(&self, batch: SampleBatch) -> Result<Taken, SampleRefusal> {
        if batch.version != sample::VERSION {
            return Err(SampleRefusal::Version(batch.version));
        }
        if !serinus_core::report::is_session(&batch.session) {
            return Err(SampleRefusal::Session);
        }
        let shed = || {
            self.live().counters.samples_shed += batch.samples.len() as u64;
            SampleRefusal::Busy
        };
        if self.room.is_scarce() {
            return Err(shed());
        }
        let books = self.books().await.map_err(|_| shed())?;
        let mut work = Vec::new();
        let mut taken = Taken::default();
        for (index, sample) in batch.samples.into_iter().enumerate() {
            let Some(entry) = books.entry(&sample.rollout) else {
                return Err(SampleRefusal::UnknownRollout {
                    index,
                    rollout: sample.rollout,
                });
            };
            if entry.rollout.arm_index(&sample.arm).is_none() {
                return Err(SampleRefusal::UnknownArm {
                    index,
                    rollout: sample.rollout,
                    arm: sample.arm,
                });
            }
            let tolerance = tolerance(&entry.rollout.spec.guardrails.agreement.tolerance);
            match self.models.get(&sample.rollout, &sample.arm) {
                Some(model) => work.push(Work {
                    sample,
                    tolerance,
                    model,
                }),
                None => taken.without_model += 1,
            }
        }
        drop(books);
        self.delivery.serves(&batch.session, self.now());
        for work in work {
            match self.samples.try_send(work) {
                Ok(()) => taken.taken += 1,
                Err(_) => taken.shed += 1,
            }
        }
        self.live().counters.samples_shed += taken.shed as u64;
        Ok(taken)
    }
}

// The casts lose only digits that a float32 model does not have.
fn tolerance(spec: &AnswerTolerance) -> Tolerance {
    Tolerance {
        absolute: spec.absolute as f32,
        relative: spec.relative as f32,
    }
}

fn run(service: &Weak<Service>, work: &Receiver<Work>) {
    while let Ok(work) = work.recv() {
        let Some(service) = service.upgrade() else {
            return;
        };
        let began = Instant::now();
        let compared = compare(&work);
        Measures::took(&service.measures.inference, began.elapsed());
        match compared {
            Ok((input, comparison)) => {
                if !comparison.agrees {
                    let example = Example {
                        arm: work.sample.arm.clone(),
                        at_ms: service.now(),
                        input,
                        served_label: comparison.served_label,
                        expected_label: comparison.expected_label,
                        largest_difference: comparison
                            .largest_difference
                            .filter(|number| number.is_finite()),
                    };
                    service.live().example(&work.sample.rollout, example);
                }
                service.live().counters.samples_compared += 1;
                let found = Ingest::Comparison(Comparison {
                    rollout: work.sample.rollout,
                    epoch: work.sample.epoch,
                    segment: work.sample.segment,
                    arm: work.sample.arm,
                    unit: work.sample.unit,
                    agrees: comparison.agrees,
                });
                // As many as this thread makes: its own queue sheds when it is full.
                if service.ingest.send(found).is_err() {
                    return;
                }
            }
            Err(problem) => {
                tracing::debug!(rollout = %work.sample.rollout, %problem, "a sample cannot be compared");
                service.live().counters.samples_unreadable += 1;
            }
        }
    }
}

fn compare(work: &Work) -> Result<(Vec<f32>, inference::Comparison), String> {
    let Work {
        sample,
        tolerance,
        model,
    } = work;
    let decode = |text: &str| STANDARD.decode(text).map_err(|error| error.to_string());
    let protocol = OpenInference::for_model(&**model);
    let rows = protocol
        .request(&Message::new(&decode(&sample.request)?))
        .map_err(|error| error.to_string())?;
    let served = protocol
        .response(&Message::new(&decode(&sample.response)?))
        .map_err(|error| error.to_string())?;
    let expected = model
        .predict_wide(&rows)
        .map_err(|error| error.to_string())?;
    let comparison = inference::compare(&**model, &expected, &served, *tolerance);
    let input = rows.into_iter().nth(comparison.row).unwrap_or_default();
    // An example is shown to people; a float32 is as precise as they need.
    let input = input.into_iter().map(|number| number as f32).collect();
    Ok((input, comparison))
}
