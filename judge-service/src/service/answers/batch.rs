//! Samples that are compared together: each model answers all inputs of a rollout at once.

use super::causes::Cause;
use super::found::{Found, What};
use super::predict::Predictions;
use super::read::{Read, Rows, Served, Unreadable};
use super::shown::{self, Seen};
use super::work::{Work, header};
use crate::books::{Paired, Sampled};
use crate::domain::{Millis, scores};
use crate::inference::{self, Answer, Comparison, Message, Model};
use crate::service::Service;
use crate::service::live::{Example, OtherAnswer};
use crate::service::models::{Kit, Reader};
use serinus_core::sample::Sample;
use std::sync::Arc;

pub fn compare(service: &Service, samples: Vec<Work>) -> Vec<Found> {
    let mut found = Vec::with_capacity(samples.len());
    for samples in by_rollout(samples) {
        let Some(kit) = samples.first().map(|first| Arc::clone(&first.kit)) else {
            continue;
        };
        let mut rows: Rows = vec![Vec::new(); kit.arms.len()];
        let (mut read, mut unreadable) = (Vec::new(), Vec::new());
        for work in samples {
            match Read::sample(work, &mut rows, &mut unreadable) {
                Ok(sample) => read.push(sample),
                Err(nothing) => unreadable.push(nothing),
            }
        }
        let predictions = Predictions::of(&kit, &rows, &read);
        for (index, sample) in read.into_iter().enumerate() {
            let judged = Judged {
                kit: &kit,
                sample: &sample,
                predictions: &predictions,
                index,
            };
            let what = match &sample.second {
                Some(second) => judged.pair(service, second, &rows).map(What::Pair),
                None => judged.judge(service, &rows),
            };
            match what {
                Some(what) => found.push(counted(sample.work, what, service.now())),
                None => {
                    let (cause, problem) = judged.why_not();
                    let body = Some(sample.request);
                    unreadable.push(Unreadable::new(&sample.work, cause, problem, body));
                }
            }
        }
        for one in unreadable {
            one.count(service);
        }
    }
    found
}

fn by_rollout(samples: Vec<Work>) -> Vec<Vec<Work>> {
    let mut groups: Vec<Vec<Work>> = Vec::new();
    for work in samples {
        let same = groups.iter_mut().find(|group| {
            let first = group.first();
            first.is_some_and(|first| Arc::ptr_eq(&first.kit, &work.kit))
        });
        match same {
            Some(group) => group.push(work),
            None => groups.push(vec![work]),
        }
    }
    groups
}

fn counted(work: Work, what: What, now: Millis) -> Found {
    let waited = u64::try_from(work.arrived.elapsed().as_millis()).unwrap_or(u64::MAX);
    let id = header(&work.sample.request_headers, &work.kit.request_header);
    let request_id = id.map(str::to_owned);
    let Sample {
        rollout,
        epoch,
        segment,
        unit,
        ..
    } = work.sample;
    Found {
        rollout,
        epoch,
        segment,
        arm: work.arm,
        unit,
        request_id,
        what,
        arrived: work.arrived,
        // Of before a stop of the sampling is what came before it.
        at_ms: now.saturating_sub(waited),
    }
}

/// One sample of a batch, and what the models said to all of it.
struct Judged<'a> {
    kit: &'a Kit,
    sample: &'a Read,
    predictions: &'a Predictions,
    index: usize,
}

/// Of other arms' models from control's, by arm.
#[derive(Default)]
struct Differences {
    differs: Vec<(usize, bool)>,
    /// How, where both answered.
    apart: Vec<(usize, inference::Apart)>,
}

impl Judged<'_> {
    /// Why nothing could be said of it.
    fn why_not(&self) -> (Cause, &'static str) {
        match &self.sample.second {
            Some((other, _)) if self.sample.rows_of(*other).is_none() => (
                Cause::OtherInputs,
                "the request has not what the other arm's model reads",
            ),
            _ => (Cause::NotTaken, "the model does not take this input"),
        }
    }

    fn predicted(&self, arm: usize) -> Option<&[Vec<f32>]> {
        self.predictions.get(arm, self.index)
    }

    /// Whether an arm answered as its own model does; `None` when that one does not take
    /// the input.
    fn comparison(&self, arm: usize, served: &Answer) -> Option<Comparison> {
        let model = &*self.kit.arm(arm)?.model;
        let expected = self.predicted(arm)?;
        let tolerance = self.kit.tolerance;
        Some(inference::compare(model, expected, served, tolerance))
    }

    /// `None` when its model does not take the input.
    fn judge(&self, service: &Service, rows: &Rows) -> Option<What> {
        let (kit, sample) = (self.kit, self.sample);
        let arm = sample.work.arm;
        let reader = kit.arm(arm)?;
        let model = &*reader.model;
        let expected = self.predicted(arm)?;
        let served = sample.served.as_ref();
        let comparison = served.and_then(|served| self.comparison(arm, served));
        let agrees = comparison.as_ref().is_some_and(|one| one.agrees);
        let Differences { differs, apart } = self.differences();
        let shows = !agrees || apart.iter().any(|(_, apart)| apart.differs);
        let inputs = if shows {
            shown_inputs(kit, reader, sample, rows)
        } else {
            Vec::new()
        };
        let label = served.and_then(|served| first_label(model, served));
        let kept = sample.kept.as_ref();
        let score = served.and_then(|served| served_score(model, served));
        let now = service.now();
        let id = &sample.work.sample.rollout;
        let mut live = service.live();
        live.counters.samples_compared += 1;
        if !agrees {
            let row = comparison.as_ref().map_or(0, |one| one.row);
            let example = Example {
                arm: sample.work.arm_name().to_owned(),
                at_ms: now,
                input: inputs.get(row).cloned().unwrap_or_default(),
                served_label: comparison.as_ref().and_then(|one| one.served_label),
                expected_label: expected.get(row).and_then(|row| model.label_of(row)),
                largest_difference: comparison
                    .and_then(|one| one.largest_difference)
                    .filter(|number| number.is_finite()),
                other: None,
            };
            live.example(id, example, kit);
        }
        let seen = Seen {
            arm: sample.work.arm_name(),
            apart,
            inputs: &inputs,
        };
        live.compared(id, seen, kit, now);
        drop(live);
        Some(What::Sample {
            found: Sampled {
                agrees,
                label,
                score: score.and_then(scores::bin),
                differs,
            },
            answer: (
                kept.and_then(|kept| first_label(model, kept)),
                kept.and_then(|kept| confidence(model, kept)),
            ),
        })
    }

    /// Whether the other arms' models answer the input otherwise than control's, and how.
    /// What only one of them does not take is answered otherwise.
    fn differences(&self) -> Differences {
        let kit = self.kit;
        let mut found = Differences::default();
        let Some(control) = kit.arm(kit.control) else {
            return found;
        };
        let before = self.predicted(kit.control);
        for (other, own) in kit.arms.iter().enumerate() {
            let Some(own) = own.as_ref().filter(|_| other != kit.control) else {
                continue;
            };
            let can_be_asked = |arm: usize| self.sample.rows_of(arm).is_some();
            if !can_be_asked(kit.control) || !can_be_asked(other) {
                continue;
            }
            match (before, self.predicted(other)) {
                (Some(before), Some(after)) => {
                    let apart = inference::difference(
                        (&*control.model, before),
                        (&*own.model, after),
                        kit.difference,
                    );
                    found.differs.push((other, apart.differs));
                    found.apart.push((other, apart));
                }
                (None, None) => {}
                _ => found.differs.push((other, true)),
            }
        }
        found
    }

    /// `None` when a model does not take the input.
    fn pair(
        &self,
        service: &Service,
        (other, second): &(usize, Served),
        rows: &Rows,
    ) -> Option<Paired> {
        let (kit, sample) = (self.kit, self.sample);
        let (arm, other) = (sample.work.arm, *other);
        let is_wrong = |arm: usize, served: &Served| match served {
            Some(served) => Some(!self.comparison(arm, served)?.agrees),
            None => self.predicted(arm).map(|_| true),
        };
        let wrong = [is_wrong(arm, &sample.served)?, is_wrong(other, second)?];
        let differs = match (&sample.served, second) {
            (Some(first), Some(second)) => inference::answers_differ(
                (&*kit.arm(arm)?.model, first),
                (&*kit.arm(other)?.model, second),
                kit.difference,
            ),
            (None, None) => false,
            _ => true,
        };
        let both = [(arm, &sample.served), (other, second)];
        let discordant = match wrong {
            [true, false] => Some(both),
            [false, true] => Some([both[1], both[0]]),
            _ => None,
        };
        let example = discordant.map(|pair| self.discordant(pair, service.now(), rows));
        let id = &sample.work.sample.rollout;
        let mut live = service.live();
        if let Some(answers) = live.answers_of(id, kit) {
            answers.paired(sample.work.arm_name());
        }
        if let Some(example) = example {
            live.example(id, example, kit);
        }
        drop(live);
        // One of the two is control.
        let (treatment, [treatment_wrong, control_wrong]) = if arm == kit.control {
            (other, [wrong[1], wrong[0]])
        } else {
            (arm, wrong)
        };
        Some(Paired {
            treatment,
            differs,
            treatment_wrong,
            control_wrong,
        })
    }
}

impl Judged<'_> {
    /// A pair of which only the first answer is not its model's.
    fn discordant(&self, pair: [(usize, &Served); 2], now: Millis, rows: &Rows) -> Example {
        let [(arm, served), (other, better)] = pair;
        let kit = self.kit;
        let name = |arm: usize| kit.names.get(arm).cloned().unwrap_or_default();
        let model = |arm: usize| kit.arm(arm).map(|reader| &*reader.model);
        let label = |arm: usize, served: &Served| first_label(model(arm)?, served.as_ref()?);
        let expected = self.predicted(arm).and_then(|rows| rows.first());
        let reader = kit.arm(self.sample.work.arm);
        let inputs = reader.map(|reader| shown_inputs(kit, reader, self.sample, rows));
        Example {
            arm: name(arm),
            at_ms: now,
            input: inputs.into_iter().flatten().next().unwrap_or_default(),
            served_label: label(arm, served),
            expected_label: expected.and_then(|row| model(arm)?.label_of(row)),
            largest_difference: None,
            other: Some(OtherAnswer {
                arm: name(other),
                label: label(other, better),
            }),
        }
    }
}

/// What may be shown of a sample's inputs, by row: where something is taken out, only what
/// can still be read then.
fn shown_inputs(kit: &Kit, reader: &Reader, sample: &Read, rows: &Rows) -> Vec<Vec<f32>> {
    let most = shown::numbers_kept(kit);
    if most == 0 {
        return Vec::new();
    }
    let narrow = |row: &Vec<f64>| row.iter().take(most).map(|&number| number as f32).collect();
    if kit.redaction.is_empty() {
        let own = sample.rows_of(sample.work.arm);
        let rows = rows.get(kit.inputs_like(sample.work.arm));
        let own = own.zip(rows).and_then(|(own, rows)| rows.get(own));
        return own.into_iter().flatten().map(narrow).collect();
    }
    let redacted = kit.redaction.of(&sample.request);
    let bytes = redacted.and_then(|value| serde_json::to_vec(&value).ok());
    let read = bytes.and_then(|bytes| reader.protocol.request(&Message::new(&bytes)).ok());
    read.iter().flatten().map(narrow).collect()
}

/// The label of the first row, as it was served, or as its probabilities mean it.
fn first_label(model: &dyn Model, served: &Answer) -> Option<i64> {
    match (&served.labels, &served.probabilities) {
        (Some(labels), _) => labels.first().copied(),
        (None, rows) => model.label_of(rows.as_ref()?.first()?),
    }
}

/// The probability of the first row's label, as far as it is one.
fn confidence(model: &dyn Model, served: &Answer) -> Option<f64> {
    let row = served.probabilities.as_ref()?.first()?;
    let most = row.iter().copied().reduce(f32::max)?;
    model.labels().map(|_| f64::from(most))
}

/// Of the first row, as it was served.
fn served_score(model: &dyn Model, served: &Answer) -> Option<f64> {
    inference::score(model, served.probabilities.as_ref()?.first()?)
}
