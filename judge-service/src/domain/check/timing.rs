//! Whether times make sense, each by itself and beside the others.

use super::within;
use crate::domain::spec::RolloutSpec;
use serinus_core::json::FieldError;

pub fn check(spec: &RolloutSpec) -> Result<(), FieldError> {
    // Polls are answered at least every ten seconds.
    within(
        "on_stale.after_seconds",
        spec.on_stale.after_seconds,
        15.0,
        86_400.0,
    )?;
    within("watch.seconds", spec.watch.seconds, 1.0, 31_536_000.0)?;
    within("minimum.seconds", spec.minimum.seconds, 0.0, 31_536_000.0)?;
    within(
        "minimum.exposures",
        spec.minimum.exposures,
        1,
        1_000_000_000,
    )?;
    within("warm_up.seconds", spec.warm_up.seconds, 0.0, 86_400.0)?;
    // A thousand answers have one above p99.9; fewer than 20 have none above p95.
    within("warm_up.requests", spec.warm_up.requests, 20, 1_000_000)?;
    within(
        "deadline.seconds",
        spec.deadline.seconds,
        1.0,
        315_360_000.0,
    )?;
    if spec.deadline.seconds <= spec.minimum.seconds {
        return Err(FieldError::new(
            "deadline.seconds",
            format!(
                "is {}, but a step lasts at least minimum.seconds = {}",
                spec.deadline.seconds, spec.minimum.seconds
            ),
        ));
    }
    if spec.deadline.seconds <= spec.warm_up.seconds {
        return Err(FieldError::new(
            "deadline.seconds",
            format!(
                "is {}, but nothing is promoted before latency is learned, after warm_up.seconds = {}",
                spec.deadline.seconds, spec.warm_up.seconds
            ),
        ));
    }
    Ok(())
}
