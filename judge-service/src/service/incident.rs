//! Trouble that hits both arms alike: not the model's fault, and worth saying,
//! since a person who sees errors during a release suspects the release.
//!
//! It only informs. The verdict needs no such rule: it compares the arms.

use super::live::Point;
use crate::domain::Millis;

/// What counts as "now": the shortest of these that has enough errors. A short one
/// mixes the least of what was before, or of another step.
const WINDOWS_MS: [Millis; 3] = [3_000, 10_000, 60_000];

/// An arm is in trouble when its share of errors is now this many times what it was,
const TIMES: f64 = 3.0;
/// and higher by this at least,
const RISE: f64 = 0.01;
/// with so many errors that chance does not explain it: 20 where 6.7 were expected
/// come once in 30,000 windows, and in both arms at once never.
const ERRORS: u64 = 20;

/// Beyond this ratio of the arms' shares it is not "alike".
const ALIKE: f64 = 2.0;

struct Trouble<'a> {
    arm: &'a str,
    before: f64,
    now: f64,
}

/// A sentence when control and another arm are both in trouble now.
pub(super) fn notice<'a>(
    series: impl DoubleEndedIterator<Item = &'a Point> + Clone,
    control: &str,
) -> Option<String> {
    WINDOWS_MS
        .iter()
        .find_map(|&window_ms| notice_in(series.clone(), control, window_ms))
}

fn notice_in<'a>(
    series: impl DoubleEndedIterator<Item = &'a Point> + Clone,
    control: &str,
    window_ms: Millis,
) -> Option<String> {
    let last = series.clone().next_back()?;
    let start = last.at_ms.saturating_sub(window_ms);
    // What was counted before the window.
    let before = series.rev().find(|point| point.at_ms <= start)?;
    let troubles: Vec<Trouble<'_>> = last
        .traffic
        .iter()
        .filter_map(|now| {
            let before = before.traffic.iter().find(|arm| arm.arm == now.arm)?;
            let errors = now.errors.checked_sub(before.errors)?;
            let finished = now.finished.checked_sub(before.finished)?;
            let trouble = Trouble {
                arm: &now.arm,
                before: share(before.errors, before.finished)?,
                now: share(errors, finished)?,
            };
            let risen = trouble.now >= (trouble.before * TIMES).max(trouble.before + RISE);
            (errors >= ERRORS && risen).then_some(trouble)
        })
        .collect();
    let of_control = troubles.iter().find(|trouble| trouble.arm == control)?;
    let of_arm = troubles.iter().find(|trouble| {
        trouble.arm != control
            && trouble.now < of_control.now * ALIKE
            && of_control.now < trouble.now * ALIKE
    })?;
    let words = |trouble: &Trouble<'_>| {
        format!(
            "{} {:.1}% -> {:.1}%",
            trouble.arm,
            trouble.before * 100.0,
            trouble.now * 100.0
        )
    };
    Some(format!(
        "errors have risen in both arms: not your model ({}, {})",
        words(of_control),
        words(of_arm)
    ))
}

fn share(errors: u64, finished: u64) -> Option<f64> {
    (finished > 0).then(|| errors as f64 / finished as f64)
}

#[cfg(test)]
mod tests {
    use super::super::live::PointTraffic;
    use super::*;
    use crate::domain::Phase;

    /// Points a second apart: 10 s as usual (0.5%), then 5 s with these errors of
    /// 750 and 250 requests a second.
    fn series(control: u64, canary: u64) -> Vec<Point> {
        let mut sums = [(0, 0), (0, 0)];
        (0..15)
            .map(|second| {
                let usual = second < 10;
                for (sum, (finished, errors)) in sums.iter_mut().zip([
                    (800, if usual { 4 } else { control }),
                    (200, if usual { 1 } else { canary }),
                ]) {
                    sum.0 += finished;
                    sum.1 += errors;
                }
                let traffic = |arm: &str, (finished, errors)| PointTraffic {
                    arm: arm.to_owned(),
                    exposures: finished,
                    finished,
                    errors,
                };
                Point {
                    at_ms: second * 1_000,
                    step: 0,
                    phase: Phase::Running,
                    traffic: vec![traffic("control", sums[0]), traffic("canary", sums[1])],
                    metrics: vec![],
                    segments: vec![],
                }
            })
            .collect()
    }

    #[test]
    fn says_so_when_both_fail() {
        let said = notice(series(240, 60).iter(), "control").unwrap();
        assert!(said.starts_with("errors have risen in both arms: not your model (control "));
        assert!(said.contains("-> 30.0%, canary"), "{said}");
    }

    #[test]
    fn is_silent_when_one_fails_or_none() {
        for (control, canary) in [(4, 1), (4, 60), (240, 1), (60, 200)] {
            assert_eq!(
                notice(series(control, canary).iter(), "control"),
                None,
                "{control} {canary}"
            );
        }
        assert_eq!(
            notice(series(240, 60)[..9].iter(), "control"),
            None,
            "too short"
        );
        assert_eq!(notice([].iter(), "control"), None);
    }
}
