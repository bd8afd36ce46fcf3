//! Whether the shares of steps and segments make sense, and how many buckets they are.

use super::{unknown_arm, within};
use crate::domain::spec::{RolloutSpec, Segment, Step};
use serinus_core::allocation::AllocationError;
use serinus_core::bucket::BUCKETS;
use serinus_core::json::{FieldError, written};

pub fn check_step(spec: &RolloutSpec, step: &Step, is_last: bool) -> Result<(), FieldError> {
    let weights = weights(spec, step, spec.holdback_percent)?;
    has_control(spec, step, &weights, is_last)
}

/// Whether a share is one of whole buckets; one of less than half a bucket would be none.
pub fn is_in_hundredths(field: &str, percent: f64) -> Result<(), FieldError> {
    let buckets = percent * 100.0;
    let is_whole = (buckets.round() - buckets).abs() <= 1e-6;
    if is_whole && (percent <= 0.0 || buckets.round() >= 1.0) {
        return Ok(());
    }
    let shown = written(percent);
    let problem = format!("is {shown}; hundredths of a percent are the finest");
    Err(FieldError::new(field, problem))
}

/// A step without a control decides nothing; only the last one may have none.
fn has_control(
    spec: &RolloutSpec,
    step: &Step,
    weights: &[u16],
    is_last: bool,
) -> Result<(), FieldError> {
    let mut arms = spec.arms.iter().zip(weights);
    let has_users = arms.any(|(arm, &weight)| arm.name == spec.control() && weight > 0);
    if has_users || is_last || spec.is_look_step(step) {
        return Ok(());
    }
    Err(FieldError::new(
        "weights",
        format!(
            "leave `{}` nobody, and so no control to compare with; only the last step may do that",
            spec.control()
        ),
    ))
}

/// What the compiled plan does not tell: it has no weights.
pub fn check_segment(spec: &RolloutSpec, segment: &Segment) -> Result<(), FieldError> {
    match (&segment.arm, &segment.weights) {
        (Some(_), Some(_)) => Err(FieldError::new(
            "weights",
            "stand beside `arm`; one of the two is right",
        )),
        (Some(arm), None) if spec.arm_index(arm).is_none() => Err(unknown_arm("arm", arm, spec)),
        (None, Some(own)) => {
            let own = Step {
                weights: own.clone(),
                ..Step::default()
            };
            weights(spec, &own, spec.holdback_percent).map(drop)
        }
        _ => Ok(()),
    }
}

/// How many buckets are held back. In floats a percentage is seldom a whole number of them:
/// 2.3 times 100 is a little less than 230.
pub fn holdback_buckets(percent: f64) -> u16 {
    (percent * 100.0).round().min(f64::from(BUCKETS)) as u16
}

/// A step's weights in buckets, in the order of the arms; the baseline has the rest.
///
/// # Errors
/// An unknown arm, a weight that is no share in hundredths of a percent, or more
/// than 100% in all.
pub fn weights(
    spec: &RolloutSpec,
    step: &Step,
    holdback_percent: f64,
) -> Result<Vec<u16>, FieldError> {
    for (name, &percent) in &step.weights {
        let field = format!("weights.{name}");
        if spec.arm_index(name).is_none() {
            return Err(unknown_arm(&field, name, spec));
        }
        if name == spec.baseline() {
            return Err(FieldError::new(
                field,
                "is the baseline, which has what the others leave",
            ));
        }
        within(&field, percent, 0.0, 100.0)?;
        is_in_hundredths(&field, percent)?;
    }
    let gives_nobody_anything = step.weights.values().all(|&percent| percent == 0.0);
    if gives_nobody_anything && !spec.is_look_step(step) {
        return Err(FieldError::new(
            "weights",
            "give no arm any users; a step needs more than 0%, or something to look at meanwhile: a `shadow` that gets copies, or a `model` of every arm",
        ));
    }
    let percent = |name: &str| step.weights.get(name).copied().unwrap_or_default();
    // At most 100.0 x 100 each, so the cast cannot lose anything.
    let buckets = |name: &str| (percent(name) * 100.0).round() as u16;
    let given: u32 = step.weights.keys().map(|arm| u32::from(buckets(arm))).sum();
    let Some(rest) = u32::from(BUCKETS).checked_sub(given) else {
        return Err(FieldError::new(
            "weights",
            AllocationError::TooMuch(given).to_string(),
        ));
    };
    let rest = u16::try_from(rest).unwrap_or(BUCKETS);
    // The holdback comes out of what the arms would have, in proportion.
    let holdback = holdback_buckets(holdback_percent);
    let available = BUCKETS - holdback.max(rest);
    let mut weights: Vec<u16> = spec
        .arms
        .iter()
        .map(|arm| {
            if arm.name == spec.baseline() || given == 0 {
                return 0;
            }
            let share = u32::from(buckets(&arm.name)) * u32::from(available) / given;
            u16::try_from(share).unwrap_or(BUCKETS)
        })
        .collect();
    let placed: u16 = weights.iter().sum();
    if let Some(index) = spec.arm_index(spec.baseline())
        && let Some(weight) = weights.get_mut(index)
    {
        *weight = BUCKETS - placed;
    }
    Ok(weights)
}
