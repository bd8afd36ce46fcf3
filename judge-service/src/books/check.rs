//! Whether a report can be one of a worker of this judge. What cannot is refused
//! whole, with the field that is wrong.

use super::{Entry, Refusal};
use crate::domain::sessions::SessionName;
use serinus_core::histogram;
use serinus_core::report::{ArmReport, Report, RolloutReport, SlotRow};

/// Requests of one arm and slot in one report; no proxy serves so many.
pub(super) const MAX_COUNT: u64 = 1 << 32;

/// A second each of them.
const MAX_LATENCY_SUM_US: u64 = MAX_COUNT * 1_000_000;

/// What does not depend on the rollouts: whose report it is.
pub fn check(report: &Report) -> Result<SessionName, Refusal> {
    if report.version != serinus_core::report::VERSION {
        return Err(malformed(
            "version",
            format!(
                "is {}, and this judge reads {}",
                report.version,
                serinus_core::report::VERSION
            ),
        ));
    }
    let session = SessionName::read(&report.session)
        .ok_or_else(|| malformed("session", "is not 32 hex digits".to_owned()))?;
    if report.sequence == 0 || report.sequence > i64::MAX.unsigned_abs() {
        return Err(malformed("sequence", "counts from 1".to_owned()));
    }
    Ok(session)
}

/// For each arm of a report its index in the spec; `None` for an epoch that
/// this rollout did not have.
pub fn arms_of(
    entry: &Entry,
    index: usize,
    part: &RolloutReport,
) -> Result<Option<Vec<usize>>, Refusal> {
    if !entry.knows(part.epoch, part.segment.as_deref()) {
        return Ok(None);
    }
    let mut arms = Vec::with_capacity(part.arms.len());
    for (position, arm) in part.arms.iter().enumerate() {
        let found = entry.rollout.arm_index(&arm.arm).ok_or_else(|| {
            malformed(
                format!("rollouts[{index}].arms[{position}].arm"),
                format!("unknown arm `{}`", arm.arm),
            )
        })?;
        arms.push(found);
        for (row, slot) in arm.slots.iter().enumerate() {
            let field = || format!("rollouts[{index}].arms[{position}].slots[{row}]");
            let &SlotRow(_, exposures, finished, errors, latency_us, ref over) = slot;
            let answered = finished.checked_sub(errors);
            if answered.is_none_or(|answered| over.iter().any(|&over| over > answered)) {
                return Err(malformed(
                    field(),
                    "counts more errors or slow answers than finished requests".to_owned(),
                ));
            }
            if exposures.max(finished) > MAX_COUNT || latency_us > MAX_LATENCY_SUM_US {
                return Err(malformed(
                    field(),
                    format!(
                        "counts more than {MAX_COUNT} requests, or their latency more than {MAX_LATENCY_SUM_US} us"
                    ),
                ));
            }
        }
        check_arm(arm).map_err(|(field, problem)| {
            malformed(
                format!("rollouts[{index}].arms[{position}].{field}"),
                problem,
            )
        })?;
    }
    if let Some((cause, _)) = part.fallbacks.iter().find(|(_, count)| **count > MAX_COUNT) {
        return Err(malformed(
            format!("rollouts[{index}].fallbacks.{}", cause.name()),
            more_than_most(),
        ));
    }
    if let Some(trip) = &part.breaker {
        // Any arm's but the baseline's, which another one is once it has won.
        let known = entry.rollout.arm_index(&trip.arm).is_some();
        if !known || trip.errors == 0 || trip.errors > trip.finished {
            return Err(malformed(
                format!("rollouts[{index}].breaker"),
                format!(
                    "`{}` is no arm, or {} errors of {} requests open no breaker",
                    trip.arm.escape_debug(),
                    trip.errors,
                    trip.finished
                ),
            ));
        }
    }
    let listed = part
        .new_units
        .iter()
        .map(|unit| unit.1)
        .chain(part.first_outcomes.iter().map(|unit| unit.1))
        .chain(part.first_errors.iter().map(|unit| unit.1))
        .chain(part.first_slow.iter().map(|unit| unit.1));
    if let Some(bad) = listed
        .into_iter()
        .find(|&arm| usize::from(arm) >= arms.len())
    {
        return Err(malformed(
            format!("rollouts[{index}]"),
            format!(
                "a list names arm {bad}, but the report has {} arms",
                arms.len()
            ),
        ));
    }
    Ok(Some(arms))
}

/// What is counted of an arm beside its slots: the field that is wrong, and what is.
fn check_arm(arm: &ArmReport) -> Result<(), (&'static str, String)> {
    for (field, count) in [
        ("local_replies", arm.local_replies),
        ("disconnects", arm.disconnects),
        ("samples_sent", arm.samples_sent),
        ("samples_dropped", arm.samples_dropped),
    ] {
        if count > MAX_COUNT {
            return Err((field, more_than_most()));
        }
    }
    let buckets = arm.histogram.iter().map(|&(bucket, _)| bucket);
    if let Some(unknown) = buckets
        .into_iter()
        .find(|&bucket| usize::from(bucket) >= histogram::BUCKETS)
    {
        return Err((
            "histogram",
            format!(
                "names bucket {unknown}, and the last one is {}",
                histogram::BUCKETS - 1
            ),
        ));
    }
    let answered = arm.slots.iter().map(|row| row.2.saturating_sub(row.3));
    let answered = answered.fold(0, u64::saturating_add);
    let counts = arm.histogram.iter().map(|&(_, count)| count);
    if counts.fold(0, u64::saturating_add) > answered {
        return Err((
            "histogram",
            format!("counts more answers than the {answered} of the slots that are no error"),
        ));
    }
    Ok(())
}

fn more_than_most() -> String {
    format!("counts more than {MAX_COUNT} requests")
}

fn malformed(field: impl Into<String>, problem: impl Into<String>) -> Refusal {
    Refusal::Malformed {
        field: field.into(),
        problem: problem.into(),
    }
}
