//! What is shown while the judge runs and need not survive it: the last
//! evaluations, series for plots, disagreements, counters.

use super::answers::shown::{Seen, Shown};
use super::models::Kit;
use super::{IngestError, incident};
use crate::books::{Counted, Refusal};
use crate::domain::{Metric, Millis, Phase, Verdict};
use schemars::JsonSchema;
use serde::Serialize;
use serinus_core::histogram;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// Points of a series: at one a second, half an hour.
const POINTS: usize = 1_800;
const POINT_EVERY_MS: Millis = 1_000;
const EXAMPLES: usize = 64;
/// Numbers of an example's input that are kept.
const EXAMPLE_NUMBERS: usize = 1_024;

#[derive(Default)]
pub(super) struct Live {
    pub counters: Counters,
    rollouts: HashMap<String, LiveRollout>,
}

#[derive(Default)]
struct LiveRollout {
    evaluation: Option<Verdict>,
    series: VecDeque<Point>,
    examples: VecDeque<Example>,
    answers: Shown,
    /// How long what is of a request may be kept.
    keep_ms: Millis,
}

/// Since the judge started.
#[derive(Debug, Clone, Default, JsonSchema, Serialize)]
pub struct Counters {
    pub reports_counted: u64,
    pub reports_duplicate: u64,
    pub reports_missing: u64,
    pub reports_refused: u64,
    /// Of those, the ones under a name that another report has.
    pub reports_claimed: u64,
    pub reports_postponed: u64,
    /// Parts of reports for rollouts or epochs that are not known (any more).
    pub report_parts_unknown: u64,
    pub requests_malformed: u64,
    pub samples_compared: u64,
    pub samples_unreadable: u64,
    pub samples_shed: u64,
    /// Outcomes that were told, by what became of them.
    pub feedback: BTreeMap<&'static str, u64>,
    /// From a sample's arrival to its place in the statistics, in microseconds.
    pub sample_p50_us: Option<u64>,
    pub sample_p99_us: Option<u64>,
    /// Samples by how long that took.
    #[serde(skip)]
    pub(super) sample_times: Vec<u64>,
    /// Filter configurations that went out by ECDS, and what proxies said of them.
    pub ecds_sent: u64,
    pub ecds_accepted: u64,
    pub ecds_refused: u64,
}

/// A disagreement between a served answer and the model file.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Example {
    pub arm: String,
    pub at_ms: Millis,
    pub input: Vec<f32>,
    pub served_label: Option<i64>,
    pub expected_label: Option<i64>,
    pub largest_difference: Option<f32>,
    /// What the other arm's server answered to the same request, for a pair of which only
    /// this answer is not its model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<OtherAnswer>,
}

/// The better half of a pair.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct OtherAnswer {
    pub arm: String,
    pub label: Option<i64>,
}

/// One point of a rollout's series.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Point {
    pub at_ms: Millis,
    pub step: usize,
    pub phase: Phase,
    pub traffic: Vec<PointTraffic>,
    pub metrics: Vec<PointMetric>,
    /// Of each segment and arm the metric with the most evidence of harm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<PointSegment>,
}

/// Sums since the rollout began.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct PointTraffic {
    pub arm: String,
    pub exposures: u64,
    pub finished: u64,
    pub errors: u64,
}

#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct PointMetric {
    pub metric: Metric,
    pub arm: String,
    pub difference: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    pub harm_log_e: Option<f64>,
    pub harm_threshold: Option<f64>,
}

#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct PointSegment {
    pub segment: String,
    pub arm: String,
    pub metric: Metric,
    pub harm_log_e: f64,
    pub harm_threshold: f64,
}

impl Live {
    pub fn evaluated(
        &mut self,
        rollout: &str,
        verdict: &Verdict,
        step: usize,
        phase: Phase,
        traffic: Vec<PointTraffic>,
    ) {
        let live = self.rollouts.entry(rollout.to_owned()).or_default();
        let last = live.series.back().map_or(0, |point| point.at_ms);
        let news = live
            .series
            .back()
            .is_none_or(|point| (point.step, point.phase) != (step, phase));
        // A clock may be set back, too.
        if news || verdict.at_ms.abs_diff(last) >= POINT_EVERY_MS {
            if live.series.len() >= POINTS {
                live.series.pop_front();
            }
            live.series.push_back(Point {
                at_ms: verdict.at_ms,
                step,
                phase,
                traffic,
                metrics: verdict
                    .metrics
                    .iter()
                    .filter(|metric| metric.segment.is_none())
                    .map(|metric| PointMetric {
                        metric: metric.metric,
                        arm: metric.arm.clone(),
                        difference: metric.difference,
                        lower: metric.lower,
                        upper: metric.upper,
                        harm_log_e: metric.harm_log_e,
                        harm_threshold: metric.harm_threshold,
                    })
                    .collect(),
                segments: worst_of_segments(verdict),
            });
        }
        live.evaluation = Some(verdict.clone());
    }

    pub fn evaluation(&self, rollout: &str) -> Option<Verdict> {
        self.rollouts.get(rollout)?.evaluation.clone()
    }

    /// Trouble that hits `control` and another arm alike.
    pub fn incident(&self, rollout: &str, control: &str) -> Option<String> {
        incident::notice(self.rollouts.get(rollout)?.series.iter(), control)
    }

    pub fn series(&self, rollout: &str) -> Vec<Point> {
        self.rollouts
            .get(rollout)
            .map(|live| live.series.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Keeps an example, as far and as long as the rollout lets be kept.
    pub fn example(&mut self, rollout: &str, mut example: Example, kit: &Kit) {
        if kit.keep_bytes == 0 || kit.is_closed() {
            return;
        }
        example.input.truncate(EXAMPLE_NUMBERS);
        let live = self.rollouts.entry(rollout.to_owned()).or_default();
        live.keep_ms = kit.keep_ms;
        let now = example.at_ms;
        let examples = &mut live.examples;
        examples.push_front(example);
        examples.truncate(EXAMPLES);
        let mut left = kit.keep_bytes;
        let kept = examples.iter().take_while(|example| {
            let bytes = size_of::<Example>() + size_of_val(example.input.as_slice());
            let fits = left >= bytes as u64;
            left = left.saturating_sub(bytes as u64);
            fits && now.saturating_sub(example.at_ms) <= kit.keep_ms
        });
        let kept = kept.count();
        examples.truncate(kept);
    }

    /// What is shown of a rollout's samples.
    pub fn answers(&mut self, rollout: &str) -> &mut Shown {
        &mut self.rollouts.entry(rollout.to_owned()).or_default().answers
    }

    /// The same, for what is found about a sample: nothing is kept of one whose rollout
    /// was deleted meanwhile, or copies nothing any more.
    pub fn answers_of(&mut self, rollout: &str, kit: &Kit) -> Option<&mut Shown> {
        self.open(rollout, kit).map(|live| &mut live.answers)
    }

    /// Keeps what was found about a sample.
    pub fn compared(&mut self, rollout: &str, seen: Seen<'_>, kit: &Kit, now: Millis) {
        if let Some(live) = self.open(rollout, kit) {
            live.answers.compared(seen, kit, now);
        }
    }

    fn open(&mut self, rollout: &str, kit: &Kit) -> Option<&mut LiveRollout> {
        if kit.is_closed() {
            return None;
        }
        let live = self.rollouts.entry(rollout.to_owned()).or_default();
        live.keep_ms = kit.keep_ms;
        Some(live)
    }

    /// Takes out what is of a request and older than may be kept, also where a rollout is
    /// over.
    pub fn expire(&mut self, now: Millis) {
        for live in self.rollouts.values_mut() {
            let keep_ms = live.keep_ms;
            live.examples
                .retain(|example| now.saturating_sub(example.at_ms) <= keep_ms);
            live.answers.expire(now, keep_ms);
        }
    }

    /// Takes out all that is of a request.
    pub fn forget_bodies(&mut self, rollout: &str) {
        if let Some(live) = self.rollouts.get_mut(rollout) {
            live.examples.clear();
            live.answers.forget_bodies();
        }
    }

    /// Newest first.
    pub fn examples(&self, rollout: &str) -> Vec<Example> {
        self.rollouts
            .get(rollout)
            .map(|live| live.examples.iter().cloned().collect())
            .unwrap_or_default()
    }

    pub fn forget(&mut self, rollout: &str) {
        self.rollouts.remove(rollout);
    }
}

/// All of them over half an hour would be ten times as much, and the last verdict has them.
fn worst_of_segments(verdict: &Verdict) -> Vec<PointSegment> {
    let mut worst: Vec<PointSegment> = Vec::new();
    for metric in &verdict.metrics {
        let (Some(segment), Some(harm_log_e), Some(harm_threshold)) =
            (&metric.segment, metric.harm_log_e, metric.harm_threshold)
        else {
            continue;
        };
        let found = PointSegment {
            segment: segment.clone(),
            arm: metric.arm.clone(),
            metric: metric.metric,
            harm_log_e,
            harm_threshold,
        };
        // Thresholds differ: what counts is how far it has come.
        let far = |point: &PointSegment| point.harm_log_e / point.harm_threshold;
        let same =
            |point: &&mut PointSegment| point.segment == found.segment && point.arm == found.arm;
        match worst.iter_mut().find(same) {
            Some(point) if far(point) < far(&found) => *point = found,
            Some(_) => {}
            None => worst.push(found),
        }
    }
    worst
}

impl Counters {
    pub(super) fn sample_took(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.sample_times.resize(histogram::BUCKETS, 0);
        if let Some(count) = self.sample_times.get_mut(histogram::bucket_of(micros)) {
            *count += 1;
        }
    }

    /// As it is shown.
    #[must_use]
    pub(super) fn with_quantiles(mut self) -> Self {
        self.sample_p50_us = histogram::quantile(&self.sample_times, 0.5);
        self.sample_p99_us = histogram::quantile(&self.sample_times, 0.99);
        self
    }

    pub(super) fn counted(&mut self, result: &Result<Counted, IngestError>) {
        match result {
            Ok(counted) if counted.duplicate => self.reports_duplicate += 1,
            Ok(counted) => {
                self.reports_counted += 1;
                self.reports_missing = self.reports_missing.saturating_add(counted.missing);
                self.report_parts_unknown += counted.unknown.len() as u64;
            }
            Err(IngestError::Refused(refusal)) => {
                self.reports_refused += 1;
                self.reports_claimed += u64::from(matches!(refusal, Refusal::Claimed { .. }));
            }
            Err(IngestError::Unreadable(_)) => self.requests_malformed += 1,
            Err(IngestError::Busy | IngestError::Store) => self.reports_postponed += 1,
        }
    }
}
