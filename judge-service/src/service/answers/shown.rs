//! What is shown of a rollout's samples: since this judge began to judge, and in its memory
//! alone.

use super::calibration::Calibration;
use super::causes::{Cause, NoPair};
use crate::domain::Millis;
use crate::inference::Apart;
use crate::service::models::Kit;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Pairs of labels that are counted apart.
const MAX_PAIRS: usize = 1_024;

/// Inputs that are shown because the models are farthest apart there.
const FARTHEST: usize = 16;

/// Numbers of an input that are kept.
const INPUT_NUMBERS: usize = 1_024;

/// How many numbers of an input may be kept: those of an arm together are a part of what
/// the rollout lets be kept.
#[must_use]
pub fn numbers_kept(kit: &Kit) -> usize {
    let each = kit.keep_bytes / (FARTHEST * size_of::<f32>()) as u64;
    usize::try_from(each).map_or(INPUT_NUMBERS, |each| each.min(INPUT_NUMBERS))
}

/// What is found about one sample.
pub struct Seen<'a> {
    pub arm: &'a str,
    /// Arms by index, and how far their models are from control's.
    pub apart: Vec<(usize, Apart)>,
    /// What may be shown of its rows.
    pub inputs: &'a [Vec<f32>],
}

/// Of one rollout.
#[derive(Debug, Clone, Default, JsonSchema, Serialize)]
#[schemars(rename = "Answers")]
pub struct Shown {
    /// By arm.
    pub samples: BTreeMap<String, Samples>,
    /// The models of these arms beside control's, on the same inputs.
    pub models: BTreeMap<String, Models>,
    /// Of outcomes that were told, by arm.
    pub calibration: BTreeMap<String, Calibration>,
}

#[derive(Debug, Clone, Default, JsonSchema, Serialize)]
pub struct Samples {
    pub compared: u64,
    /// They came faster than the models answer.
    pub shed: u64,
    /// Requests that were sent to the other arm as well, and what came of those that have
    /// no pair.
    pub paired: u64,
    pub not_paired: BTreeMap<String, u64>,
    /// What could not be read, by cause.
    pub unreadable: BTreeMap<String, Unreadable>,
}

#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Unreadable {
    pub count: u64,
    /// Of the last one.
    pub at_ms: Millis,
    pub problem: String,
    /// Its beginning, without what the rollout's `privacy` takes out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

#[derive(Debug, Clone, Default, JsonSchema, Serialize)]
pub struct Models {
    pub inputs: u64,
    pub differing: u64,
    /// How much larger the arm's score is than control's on average: of two classes the
    /// second's probability, of more the largest, without labels the first value.
    pub mean_shift: Option<f64>,
    /// How often each pair of labels was answered.
    pub confusion: Vec<Confusion>,
    /// The inputs whose scores are farthest apart among those that differ, the farthest
    /// first.
    pub farthest: Vec<Farthest>,
    #[serde(skip)]
    shifts: u64,
    #[serde(skip)]
    shift_sum: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Confusion {
    pub control_label: i64,
    pub arm_label: i64,
    pub count: u64,
}

#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Farthest {
    pub at_ms: Millis,
    /// Empty where it may not be shown.
    pub input: Vec<f32>,
    pub control_label: Option<i64>,
    pub arm_label: Option<i64>,
    pub shift: f64,
}

// === impl Shown ===

impl Shown {
    pub fn shed(&mut self, arm: &str) {
        self.of(arm).shed += 1;
    }

    pub fn paired(&mut self, arm: &str) {
        self.of(arm).paired += 1;
    }

    pub fn not_paired(&mut self, arm: &str, why: NoPair) {
        let of_arm = &mut self.of(arm).not_paired;
        *of_arm.entry(why.name().to_owned()).or_default() += 1;
    }

    pub fn unreadable(
        &mut self,
        arm: &str,
        cause: Cause,
        problem: String,
        excerpt: Option<String>,
        at_ms: Millis,
    ) {
        let known = self.of(arm).unreadable.entry(cause.name().to_owned());
        let before = known.or_insert_with(|| Unreadable {
            count: 0,
            at_ms,
            problem: String::new(),
            excerpt: None,
        });
        // With the one before its excerpt goes: it would be older than it seems.
        *before = Unreadable {
            count: before.count + 1,
            at_ms,
            problem,
            excerpt,
        };
    }

    pub fn compared(&mut self, seen: Seen<'_>, kit: &Kit, at_ms: Millis) {
        self.of(seen.arm).compared += 1;
        for (arm, apart) in seen.apart {
            if let Some(name) = kit.names.get(arm) {
                let models = self.models.entry(name.clone()).or_default();
                models.count(apart, at_ms, kit.keep_ms, seen.inputs);
            }
        }
    }

    /// An outcome of an answer to which the model gave this probability.
    pub fn calibrate(&mut self, arm: &str, confidence: f64, right: bool) {
        let known = self.calibration.entry(arm.to_owned());
        known.or_default().count(confidence, right);
    }

    /// Takes out what is older than may be kept.
    pub fn expire(&mut self, now: Millis, keep_ms: Millis) {
        let is_old = |at_ms: Millis| now.saturating_sub(at_ms) > keep_ms;
        for models in self.models.values_mut() {
            models.farthest.retain(|input| !is_old(input.at_ms));
        }
        for (cause, unreadable) in self
            .samples
            .values_mut()
            .flat_map(|samples| samples.unreadable.iter_mut())
        {
            // The problem may quote the body.
            if is_old(unreadable.at_ms) {
                unreadable.excerpt = None;
                unreadable.problem.clone_from(cause);
            }
        }
    }

    /// Takes out all that is of a request.
    pub fn forget_bodies(&mut self) {
        self.expire(Millis::MAX, 0);
    }

    fn of(&mut self, arm: &str) -> &mut Samples {
        self.samples.entry(arm.to_owned()).or_default()
    }
}

// === impl Models ===

impl Models {
    fn count(&mut self, apart: Apart, at_ms: Millis, keep_ms: Millis, inputs: &[Vec<f32>]) {
        self.inputs += 1;
        self.differing += u64::from(apart.differs);
        if let Some(shift) = apart.shift {
            self.shifts += 1;
            self.shift_sum += shift;
            self.mean_shift = Some(self.shift_sum / self.shifts as f64);
        }
        if let Some((control_label, arm_label)) = apart.first_label.zip(apart.second_label) {
            self.confuse(control_label, arm_label);
        }
        self.farthest
            .retain(|known| at_ms.saturating_sub(known.at_ms) <= keep_ms);
        let shift = apart.shift.unwrap_or_default();
        let place = self
            .farthest
            .partition_point(|known| known.shift.abs() >= shift.abs());
        if apart.differs && place < FARTHEST {
            let input = inputs.get(apart.row).cloned().unwrap_or_default();
            self.farthest.insert(
                place,
                Farthest {
                    at_ms,
                    input,
                    control_label: apart.first_label,
                    arm_label: apart.second_label,
                    shift,
                },
            );
            self.farthest.truncate(FARTHEST);
        }
    }

    fn confuse(&mut self, control_label: i64, arm_label: i64) {
        let place = self
            .confusion
            .binary_search_by_key(&(control_label, arm_label), |known| {
                (known.control_label, known.arm_label)
            });
        match place {
            Ok(known) => {
                if let Some(known) = self.confusion.get_mut(known) {
                    known.count += 1;
                }
            }
            Err(place) if self.confusion.len() < MAX_PAIRS => self.confusion.insert(
                place,
                Confusion {
                    control_label,
                    arm_label,
                    count: 1,
                },
            ),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(first: i64, second: i64, shift: f64) -> Apart {
        Apart {
            differs: first != second,
            row: 0,
            first_label: Some(first),
            second_label: Some(second),
            shift: Some(shift),
        }
    }

    #[test]
    fn the_farthest_inputs_are_kept_for_as_long_as_may_be() {
        let mut models = Models::default();
        for at_ms in 0..100u64 {
            let shift = if at_ms % 2 == 0 { -1.0 } else { 1.0 } * at_ms as f64;
            models.count(apart(1, 2, shift), at_ms, 1_000, &[vec![at_ms as f32]]);
        }
        assert_eq!(models.farthest.len(), FARTHEST);
        assert_eq!(models.farthest[0].input, [99.0]);
        assert!(
            models
                .farthest
                .iter()
                .all(|known| known.shift.abs() >= 84.0)
        );
        assert_eq!(models.confusion.len(), 1);
        assert_eq!(models.confusion[0].count, 100);
        let mut shown = Shown::default();
        shown.models.insert("canary".to_owned(), models);
        shown.expire(1_090, 1_000);
        assert_eq!(shown.models["canary"].farthest.len(), 10);
        shown.forget_bodies();
        assert!(shown.models["canary"].farthest.is_empty());
    }

    #[test]
    fn what_is_alike_is_no_example() {
        let mut models = Models::default();
        models.count(apart(1, 1, 0.3), 1, 10, &[vec![1.0]]);
        assert_eq!((models.inputs, models.differing), (1, 0));
        assert!(models.farthest.is_empty());
        assert_eq!(models.mean_shift, Some(0.3));
    }
}
