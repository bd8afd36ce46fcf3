//! Samples that are compared together: each model answers all inputs of a rollout at once.

use super::found::{Found, What};
use super::memory::Served;
use super::shown::Seen;
use crate::books::{Paired, Sampled};
use crate::domain::scores;
use crate::inference::{self, Answer, Message, Model, ProtocolError};
use crate::service::Service;
use crate::service::live::Example;
use crate::service::models::{Kit, Reader};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serinus_core::sample::{Header, Sample};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

#[derive(Clone)]
pub struct Work {
    pub sample: Sample,
    /// Index of its arm.
    pub arm: usize,
    pub kit: Arc<Kit>,
    /// Another arm's answer to the same request: then the two are compared, and the sample
    /// alone is counted elsewhere.
    pub second: Option<Second>,
    /// When the judge got it.
    pub arrived: Instant,
}

#[derive(Clone)]
pub struct Second {
    pub arm: usize,
    pub body: Vec<u8>,
    pub headers: Vec<Header>,
}

/// A sample that was read.
struct Read {
    work: Work,
    request: Vec<u8>,
    served: Answer,
    /// The other arm's answer.
    second: Option<(usize, Answer)>,
    /// Its rows among those of the batch.
    rows: Range<usize>,
}

/// Rows of one model's answers to a batch; `None` where it was not asked.
type Predictions = Option<Vec<Vec<f32>>>;

pub fn compare(service: &Service, samples: Vec<Work>) -> Vec<Found> {
    let mut found = Vec::with_capacity(samples.len());
    for samples in by_rollout(samples) {
        let (mut rows, mut read) = (Vec::new(), Vec::new());
        for work in samples {
            match read_sample(work, &mut rows) {
                Ok(sample) => read.push(sample),
                Err(unreadable) => unreadable.count(service),
            }
        }
        let Some(kit) = read.first().map(|first| Arc::clone(&first.work.kit)) else {
            continue;
        };
        let predictions: Vec<Predictions> = kit
            .arms
            .iter()
            .enumerate()
            .map(|(arm, reader)| predict(reader.as_ref()?, arm, &rows, &read))
            .collect();
        for sample in read {
            let alone;
            let (predicted, at) = if is_complete(&predictions, sample.work.arm) {
                (&predictions, sample.rows.clone())
            } else {
                // A row of the batch that a model does not take: each is asked alone.
                let own = rows.get(sample.rows.clone()).unwrap_or_default();
                alone = kit
                    .arms
                    .iter()
                    .map(|reader| reader.as_ref()?.model.predict_wide(own).ok())
                    .collect();
                (&alone, 0..own.len())
            };
            let found_one = match &sample.second {
                Some(second) => pair(service, &kit, &sample, second, predicted, at).map(What::Pair),
                None => judge(service, &kit, &sample, predicted, at, &rows).map(What::Sample),
            };
            match found_one {
                Some(what) => {
                    let Sample {
                        rollout,
                        epoch,
                        segment,
                        unit,
                        ..
                    } = sample.work.sample;
                    found.push(Found {
                        rollout,
                        epoch,
                        segment,
                        arm: sample.work.arm,
                        unit,
                        what,
                        arrived: sample.work.arrived,
                    });
                }
                None => Unreadable {
                    cause: "not_taken",
                    problem: "the model does not take this input".to_owned(),
                    body: Some(sample.request),
                    work: sample.work,
                }
                .count(service),
            }
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

/// A sample that cannot be compared.
struct Unreadable {
    cause: &'static str,
    problem: String,
    /// The body that it is about, as the application wrote it, as far as that is known.
    body: Option<Vec<u8>>,
    work: Work,
}

impl Unreadable {
    fn count(self, service: &Service) {
        let kit = &self.work.kit;
        let excerpt = self
            .body
            .filter(|_| kit.keep_bytes > 0)
            .and_then(|body| kit.redaction.excerpt(&body));
        // The problem may quote names of the body, so it is kept only where that may be.
        let problem = if kit.redaction.is_empty() {
            self.problem
        } else {
            self.cause.to_owned()
        };
        let now = service.now();
        let mut live = service.live();
        live.counters.samples_unreadable += 1;
        live.answers(&self.work.sample.rollout).unreadable(
            &self.work.sample.arm,
            self.cause,
            problem,
            excerpt,
            now,
        );
    }
}

fn read_sample(work: Work, rows: &mut Vec<Vec<f64>>) -> Result<Read, Box<Unreadable>> {
    let Some(reader) = work.kit.arm(work.arm) else {
        return Err(unreadable(work, "without_model", String::new(), None));
    };
    let decoded = (
        STANDARD.decode(&work.sample.request),
        STANDARD.decode(&work.sample.response),
    );
    let (Ok(request), Ok(response)) = decoded else {
        let problem = "the sample is not base64".to_owned();
        return Err(unreadable(work, "not_base64", problem, None));
    };
    let message = message(&request, &work.sample.request_headers);
    let inputs = match reader.protocol.request(&message) {
        Ok(inputs) => inputs,
        Err(error) => {
            let body = message.decoded().ok().map(|body| body.into_owned());
            return Err(refused(work, &error, body));
        }
    };
    let answer = self::message(&response, &work.sample.response_headers);
    let served = match reader.protocol.response(&answer) {
        Ok(served) => served,
        Err(error) => {
            let body = answer.decoded().ok().map(|body| body.into_owned());
            return Err(refused(work, &error, body));
        }
    };
    let second = match &work.second {
        None => None,
        Some(second) => match read_second(&work.kit, second) {
            Ok(answer) => Some((second.arm, answer)),
            Err((cause, problem)) => return Err(unreadable(work, cause, problem, None)),
        },
    };
    let request = message.decoded().map(|body| body.into_owned());
    let start = rows.len();
    rows.extend(inputs);
    Ok(Read {
        request: request.unwrap_or_default(),
        served,
        second,
        rows: start..rows.len(),
        work,
    })
}

fn read_second(kit: &Kit, second: &Second) -> Result<Answer, (&'static str, String)> {
    let Some(reader) = kit.arm(second.arm) else {
        return Err(("without_model", String::new()));
    };
    let answer = message(&second.body, &second.headers);
    let read = reader.protocol.response(&answer);
    read.map_err(|error| (error.cause().name(), error.to_string()))
}

fn refused(work: Work, error: &ProtocolError, body: Option<Vec<u8>>) -> Box<Unreadable> {
    unreadable(work, error.cause().name(), error.to_string(), body)
}

fn unreadable(
    work: Work,
    cause: &'static str,
    problem: String,
    body: Option<Vec<u8>>,
) -> Box<Unreadable> {
    Box::new(Unreadable {
        cause,
        problem,
        body,
        work,
    })
}

pub fn message<'a>(body: &'a [u8], headers: &'a [Header]) -> Message<'a> {
    let header = |wanted: &str| {
        let mut headers = headers.iter();
        headers
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    Message {
        body,
        content_encoding: header("content-encoding"),
        header_length: header("inference-header-content-length")
            .and_then(|length| length.trim().parse().ok()),
    }
}

/// Every model answers all rows: its own arm's to see what was served, and all to see
/// whether they differ. One with other inputs is asked for its own arm's alone.
fn predict(reader: &Reader, arm: usize, rows: &[Vec<f64>], read: &[Read]) -> Predictions {
    let model = &*reader.model;
    if rows.iter().all(|row| row.len() == model.input_len()) {
        return model.predict_wide(rows).ok();
    }
    // In the places of the batch's rows, so that ranges stay what they are.
    let mut answers = vec![Vec::new(); rows.len()];
    for sample in read.iter().filter(|sample| sample.work.arm == arm) {
        let own = rows.get(sample.rows.clone())?;
        let predicted = model.predict_wide(own).ok()?;
        for (place, answer) in answers
            .get_mut(sample.rows.clone())?
            .iter_mut()
            .zip(predicted)
        {
            *place = answer;
        }
    }
    Some(answers)
}

fn is_complete(predictions: &[Predictions], arm: usize) -> bool {
    predictions.get(arm).is_some_and(Option::is_some)
}

/// `None` when its model does not take the input.
fn judge(
    service: &Service,
    kit: &Kit,
    sample: &Read,
    predictions: &[Predictions],
    at: Range<usize>,
    rows: &[Vec<f64>],
) -> Option<Sampled> {
    let arm = sample.work.arm;
    let reader = kit.arm(arm)?;
    let answers = |arm: usize| predictions.get(arm)?.as_ref()?.get(at.clone());
    let expected = answers(arm)?;
    let comparison = inference::compare(&*reader.model, expected, &sample.served, kit.tolerance);
    let score = served_score(&*reader.model, &sample.served);
    let control = kit.arm(kit.control).zip(answers(kit.control));
    let mut differs = Vec::new();
    let mut seen = Seen {
        arm: kit.names.get(arm).cloned().unwrap_or_default(),
        unit: sample.work.sample.unit,
        served: Served {
            label: comparison.served_label,
            confidence: confidence(&*reader.model, &sample.served),
        },
        apart: Vec::new(),
    };
    for (other, own) in kit.arms.iter().enumerate() {
        let Some(own) = own.as_ref().filter(|_| other != kit.control) else {
            continue;
        };
        let Some(((control, before), after)) = control.zip(answers(other)) else {
            continue;
        };
        // A model with other inputs has no answer to these.
        if before.iter().chain(after).any(Vec::is_empty) {
            continue;
        }
        let apart = inference::difference(
            (&*control.model, before),
            (&*own.model, after),
            kit.difference,
        );
        differs.push((other, apart.differs));
        seen.apart.push((other, apart));
    }
    let now = service.now();
    let mut live = service.live();
    live.counters.samples_compared += 1;
    let input = || {
        let row = rows.get(sample.rows.start + comparison.row);
        shown_input(kit, reader, sample, row)
    };
    if !comparison.agrees {
        let example = Example {
            arm: seen.arm.clone(),
            at_ms: now,
            input: input(),
            served_label: comparison.served_label,
            expected_label: comparison.expected_label,
            largest_difference: comparison
                .largest_difference
                .filter(|number| number.is_finite()),
        };
        live.example(&sample.work.sample.rollout, example, kit);
    }
    live.answers(&sample.work.sample.rollout)
        .compared(seen, kit, now, input);
    Some(Sampled {
        agrees: comparison.agrees,
        label: comparison.served_label,
        score: score.and_then(scores::bin),
        differs,
    })
}

/// `None` when a model does not take the input.
fn pair(
    service: &Service,
    kit: &Kit,
    sample: &Read,
    (other, second): &(usize, Answer),
    predictions: &[Predictions],
    at: Range<usize>,
) -> Option<Paired> {
    let arm = sample.work.arm;
    let is_wrong = |arm: usize, served: &Answer| {
        let model = &*kit.arm(arm)?.model;
        let expected = predictions.get(arm)?.as_ref()?.get(at.clone())?;
        Some(!inference::compare(model, expected, served, kit.tolerance).agrees)
    };
    let wrong = [is_wrong(arm, &sample.served)?, is_wrong(*other, second)?];
    let differs = inference::answers_differ(
        (&*kit.arm(arm)?.model, &sample.served),
        (&*kit.arm(*other)?.model, second),
        kit.difference,
    );
    service
        .live()
        .answers(&sample.work.sample.rollout)
        .paired(&sample.work.sample.arm, None);
    // One of the two is control.
    let (treatment, [treatment_wrong, control_wrong]) = if arm == kit.control {
        (*other, [wrong[1], wrong[0]])
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

/// What may be shown of an input: where something is taken out, only what can still be
/// read then.
fn shown_input(kit: &Kit, reader: &Reader, sample: &Read, row: Option<&Vec<f64>>) -> Vec<f32> {
    let narrow = |row: &Vec<f64>| row.iter().map(|&number| number as f32).collect();
    if kit.keep_bytes == 0 {
        return Vec::new();
    }
    if kit.redaction.is_empty() {
        return row.map(narrow).unwrap_or_default();
    }
    let redacted = kit.redaction.of(&sample.request);
    let bytes = redacted.and_then(|value| serde_json::to_vec(&value).ok());
    let read = bytes.and_then(|bytes| reader.protocol.request(&Message::new(&bytes)).ok());
    read.and_then(|rows| rows.first().map(narrow))
        .unwrap_or_default()
}

/// The probability of the label that was served, as far as it is one.
fn confidence(model: &dyn Model, served: &Answer) -> Option<f64> {
    let row = served.probabilities.as_ref()?.first()?;
    let most = row.iter().copied().reduce(f32::max)?;
    model.labels().map(|_| f64::from(most))
}

/// Of the first row, as it was served.
fn served_score(model: &dyn Model, served: &Answer) -> Option<f64> {
    inference::score(model, served.probabilities.as_ref()?.first()?)
}
