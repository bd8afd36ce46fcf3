//! Flagger's rule: the canary alone against fixed limits, and a count of failed
//! checks that success never resets.
//!
//! From its documentation (docs/gitbook/usage/how-it-works.md and metrics.md: the
//! two builtin metrics, with the limits of every example there) and its source
//! (pkg/controller/scheduler.go: a failed check stops the advance and adds one;
//! the count is compared at the beginning of the next check; no data is a failed
//! check).

use super::STEPS;
use super::course::{Course, End};
use super::observed::Observed;

#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Seconds between checks, and the window that a check looks at. 10 s is the
    /// least that Flagger accepts; its default is 60 s.
    pub interval: u64,
    /// Failed checks until the rollback.
    pub threshold: u32,
    /// `request-success-rate`, `thresholdRange.min`.
    pub least_success: f64,
    /// `request-duration` is the 99th percentile: above its limit when more than
    /// this share of answers is.
    pub most_slow: f64,
}

pub const RULE: Rule = Rule {
    interval: 10,
    threshold: 5,
    least_success: 0.99,
    most_slow: 0.01,
};

impl Rule {
    /// The rule in words, for those who read the comparison.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "Flagger's rule (simulated): every {} s, canary alone: success >= {:.0}% and p99 <= 500 ms, {} failed checks roll back",
            self.interval,
            self.least_success * 100.0,
            self.threshold,
        )
    }

    /// A release by this rule, from the canary's first traffic on.
    #[must_use]
    pub fn run(&self, observed: &Observed) -> Course {
        let mut weights = Vec::new();
        let mut steps = STEPS.into_iter();
        let mut failed_checks = 0;
        // The first tick finds no canary traffic, checks nothing and advances.
        weights.extend(steps.next().map(|weight| (0, weight)));
        let mut second = 0;
        loop {
            second += self.interval;
            if failed_checks >= self.threshold {
                let end = End::RolledBack { second };
                return Course {
                    weights,
                    end,
                    failed_checks,
                };
            }
            if !self.passes(observed, second) {
                failed_checks += 1;
                continue;
            }
            let Some(weight) = steps.next() else {
                let end = End::Promoted { second };
                return Course {
                    weights,
                    end,
                    failed_checks,
                };
            };
            weights.push((second, weight));
        }
    }

    fn passes(&self, observed: &Observed, second: u64) -> bool {
        observed
            .window(second - self.interval, second)
            .is_some_and(|window| {
                window.success >= self.least_success && window.slow <= self.most_slow
            })
    }
}

#[cfg(test)]
mod tests {
    use super::super::observed::Second;
    use super::*;
    use serde_json::Value;

    /// A second whose checks pass or fail.
    fn second(fails: bool) -> Second {
        Second {
            requests: 100.0,
            errors: if fails { 2.0 } else { 0.0 },
            slow: 0.0,
        }
    }

    fn forever(fails: bool) -> Observed {
        Observed::new(vec![], second(fails))
    }

    #[test]
    fn a_good_canary_is_promoted_after_four_checks() {
        let course = RULE.run(&forever(false));
        assert_eq!(
            course.weights,
            [(0, 10.0), (10, 25.0), (20, 75.0), (30, 100.0)]
        );
        assert_eq!(course.end, End::Promoted { second: 40 });
    }

    #[test]
    fn a_broken_canary_goes_at_the_tick_after_the_fifth_failure() {
        let course = RULE.run(&forever(true));
        assert_eq!(course.weights, [(0, 10.0)]);
        assert_eq!(course.end, End::RolledBack { second: 60 });
    }

    #[test]
    fn no_data_is_a_failed_check() {
        let course = RULE.run(&Observed::new(vec![], Second::default()));
        assert_eq!(course.end, End::RolledBack { second: 60 });
    }

    #[test]
    fn slow_answers_count_when_the_percentile_is_over() {
        let slow = |slow| {
            let second = Second {
                requests: 100.0,
                errors: 0.0,
                slow,
            };
            RULE.run(&Observed::new(vec![], second)).end
        };
        assert_eq!(slow(1.0), End::Promoted { second: 40 });
        assert_eq!(slow(2.0), End::RolledBack { second: 60 });
    }

    /// The reference case `Flagger failed-check counter: cumulative, never reset
    /// by success`, read from Flagger's source (the file beside this one names it).
    #[test]
    fn success_does_not_reset_the_count() {
        let case: Value = serde_json::from_str(include_str!("flagger_case.json")).unwrap();
        let fails: Vec<bool> = case["args"]["fails"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fail| fail == 1)
            .collect();
        let rule = Rule {
            threshold: u32::try_from(case["args"]["threshold"].as_u64().unwrap()).unwrap(),
            ..RULE
        };
        // Windows that pass advance to the next step, and the case has more of
        // them than there are steps: what is asked is when the count is full.
        let windows = fails
            .iter()
            .flat_map(|&fails| std::iter::repeat_n(second(fails), RULE.interval as usize));
        let observed = Observed::new(windows.collect(), Second::default());
        let mut failed = 0;
        let full = (1..).find(|check| {
            failed += u32::from(!rule.passes(&observed, check * rule.interval));
            failed >= rule.threshold
        });
        assert_eq!(full, case["expected"]["rollback_after_check"].as_u64());
    }
}
