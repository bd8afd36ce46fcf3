//! Argo Rollouts' rule: a success condition for each measurement, and counts of
//! failed measurements.
//!
//! From its documentation (docs/features/analysis.md: background analysis while
//! the steps go on, `successCondition`, `failureLimit: 3` and a pause of two
//! intervals in its example) and its source (analysis/analysis.go: a metric fails
//! when failed measurements are *more* than `failureLimit`, and errs when errors
//! in a row are more than `consecutiveErrorLimit`, 4 by default; an analysis that
//! fails or errs aborts the rollout).
//!
//! The example accepts 95% success at intervals of five minutes. This takes the
//! limits of Flagger's documentation, which are stricter, every ten seconds, so
//! that the two rules differ in nothing but their logic.

use super::STEPS;
use super::course::{Course, End};
use super::observed::Observed;

#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Seconds between measurements, and the window of each.
    pub interval: u64,
    /// Seconds at each weight: `pause: {duration}`.
    pub pause: u64,
    pub failure_limit: u32,
    pub consecutive_error_limit: u32,
    /// `successCondition: result >= ...` on the success rate.
    pub least_success: f64,
    /// The 99th percentile is above its limit when more than this share is.
    pub most_slow: f64,
}

pub const RULE: Rule = Rule {
    interval: 10,
    pause: 20,
    failure_limit: 3,
    consecutive_error_limit: 4,
    least_success: 0.99,
    most_slow: 0.01,
};

/// The counts of one metric.
#[derive(Default)]
struct Metric {
    failed: u32,
    errors_in_a_row: u32,
}

impl Metric {
    /// Takes a measurement: `None` when the query gave no value.
    fn measured(&mut self, success: Option<bool>) {
        match success {
            Some(success) => {
                self.errors_in_a_row = 0;
                self.failed += u32::from(!success);
            }
            None => self.errors_in_a_row += 1,
        }
    }

    fn aborts(&self, rule: &Rule) -> bool {
        self.failed > rule.failure_limit || self.errors_in_a_row > rule.consecutive_error_limit
    }
}

impl Rule {
    /// The rule in words, for those who read the comparison.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "Argo Rollouts' rule (simulated): every {} s, canary alone: success >= {:.0}%, p99 <= 500 ms, more than {} failures abort; {} s at each step",
            self.interval,
            self.least_success * 100.0,
            self.failure_limit,
            self.pause,
        )
    }

    /// A release by this rule, from the canary's first traffic on.
    #[must_use]
    pub fn run(&self, observed: &Observed) -> Course {
        let mut success_rate = Metric::default();
        let mut duration = Metric::default();
        let mut weights = Vec::new();
        let steps_end = self.pause * STEPS.len() as u64;
        let mut second = 0;
        loop {
            if second > 0 && second % self.interval == 0 {
                let window = observed.window(second - self.interval, second);
                success_rate.measured(window.map(|window| window.success >= self.least_success));
                duration.measured(window.map(|window| window.slow <= self.most_slow));
            }
            let failed_checks = success_rate.failed.max(duration.failed);
            let end = if success_rate.aborts(self) || duration.aborts(self) {
                End::RolledBack { second }
            } else if second >= steps_end {
                End::Promoted { second }
            } else {
                if second % self.pause == 0 {
                    let step = usize::try_from(second / self.pause).unwrap_or(usize::MAX);
                    weights.extend(STEPS.get(step).map(|&weight| (second, weight)));
                }
                second += 1;
                continue;
            };
            return Course {
                weights,
                end,
                failed_checks,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::observed::Second;
    use super::*;

    fn every_second(errors: f64, slow: f64) -> Observed {
        let second = Second {
            requests: 100.0,
            errors,
            slow,
        };
        Observed::new(vec![], second)
    }

    #[test]
    fn a_good_canary_is_promoted_when_the_steps_end() {
        let course = RULE.run(&every_second(1.0, 0.0));
        assert_eq!(
            course.weights,
            [(0, 10.0), (20, 25.0), (40, 75.0), (60, 100.0)]
        );
        assert_eq!(course.end, End::Promoted { second: 80 });
        assert_eq!(course.failed_checks, 0);
    }

    #[test]
    fn the_fourth_failure_is_more_than_three() {
        for observed in [every_second(2.0, 0.0), every_second(0.0, 2.0)] {
            let course = RULE.run(&observed);
            assert_eq!(course.end, End::RolledBack { second: 40 });
            assert_eq!(course.failed_checks, 4);
            assert_eq!(course.weights, [(0, 10.0), (20, 25.0)]);
        }
    }

    #[test]
    fn the_fifth_error_in_a_row_is_more_than_four() {
        let course = RULE.run(&Observed::new(vec![], Second::default()));
        assert_eq!(course.end, End::RolledBack { second: 50 });
    }

    #[test]
    fn three_failures_are_forgiven() {
        let second = |errors| Second {
            requests: 100.0,
            errors,
            slow: 0.0,
        };
        // 30 s of failures, then good.
        let seconds = vec![second(50.0); 30];

        let course = RULE.run(&Observed::new(seconds, second(0.0)));
        assert_eq!(course.end, End::Promoted { second: 80 });
        assert_eq!(course.failed_checks, 3);
    }
}
