//! Whether times make sense, each by itself and beside the others.

use super::{Problems, YEAR, within};
use crate::domain::spec::RolloutSpec;
use serinus_core::json::FieldError;

pub fn check(spec: &RolloutSpec, problems: &mut Problems) {
    let (minimum, warm_up) = (&spec.minimum, &spec.warm_up);
    // Polls are answered at least every ten seconds.
    let stale = spec.on_stale.after_seconds;
    problems.look(within("on_stale.after_seconds", stale, 15.0, 86_400.0));
    problems.look(within("watch.seconds", spec.watch.seconds, 1.0, YEAR));
    problems.look(within("minimum.seconds", minimum.seconds, 0.0, YEAR));
    let exposures = minimum.exposures;
    problems.look(within("minimum.exposures", exposures, 1, 1_000_000_000));
    problems.look(within("warm_up.seconds", warm_up.seconds, 0.0, 86_400.0));
    // A thousand answers have one above p99.9; fewer than 20 have none above p95.
    problems.look(within("warm_up.requests", warm_up.requests, 20, 1_000_000));
    problems.look(check_deadline(spec));
}

fn check_deadline(spec: &RolloutSpec) -> Result<(), FieldError> {
    let seconds = spec.deadline.seconds;
    within("deadline.seconds", seconds, 1.0, 10.0 * YEAR)?;
    for (least, problem) in [
        (
            spec.minimum.seconds,
            "a step lasts at least minimum.seconds",
        ),
        (
            spec.warm_up.seconds,
            "nothing is promoted before latency is learned, after warm_up.seconds",
        ),
    ] {
        if seconds <= least {
            let problem = format!("is {seconds}, but {problem} = {least}");
            return Err(FieldError::new("deadline.seconds", problem));
        }
    }
    Ok(())
}
