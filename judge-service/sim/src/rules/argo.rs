//! Argo Rollouts' rule: a success condition for each measurement; the analysis fails
//! when failures are more than `failureLimit`, and errs when measurements without a
//! value in a row are more than `consecutiveErrorLimit`. Source: argoproj/argo-rollouts,
//! analysis/analysis.go.

use super::{Minute, Rule, minutes};
use crate::worlds::{Look, Run, World};

pub struct Argo {
    pub most_errors: f64,
    pub failure_limit: u32,
    pub consecutive_error_limit: u32,
}

impl Argo {
    /// The limits of its documentation: at least 95% success, `failureLimit: 3`, every
    /// five minutes there and every minute here; 4 is its default.
    pub const USUAL: Argo = Argo {
        most_errors: 0.05,
        failure_limit: 3,
        consecutive_error_limit: 4,
    };

    /// The measurement, counted from 1, with which it aborts. `None` is a measurement
    /// without a value.
    #[must_use]
    pub fn aborts_at(&self, failed: impl IntoIterator<Item = Option<bool>>) -> Option<u64> {
        let (mut failures, mut errors) = (0, 0);
        (1..).zip(failed).find_map(|(number, failed)| {
            match failed {
                Some(failed) => {
                    failures += u32::from(failed);
                    errors = 0;
                }
                None => errors += 1,
            }
            (failures > self.failure_limit || errors > self.consecutive_error_limit)
                .then_some(number)
        })
    }

    fn failed(&self, minute: &Minute) -> Option<bool> {
        minute.canary.rate().map(|rate| rate > self.most_errors)
    }
}

impl Rule for Argo {
    fn names(&self) -> Vec<String> {
        vec![format!(
            "Argo Rollouts' rule, at most {:.0}%",
            self.most_errors * 100.0
        )]
    }

    fn counts_requests(&self) -> bool {
        true
    }

    fn run(&self, _: &World, _: &Run, looks: &[Look]) -> Vec<Option<u64>> {
        let aborts = self.aborts_at(minutes(looks).map(|minute| self.failed(&minute)));
        let minute =
            aborts.and_then(|number| minutes(looks).nth(usize::try_from(number).ok()? - 1));
        vec![minute.map(|minute| minute.end)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_failure_and_the_fifth_error_in_a_row_abort() {
        let rule = Argo::USUAL;
        assert_eq!(
            rule.aborts_at([Some(true), Some(false), Some(true), Some(true), Some(true)]),
            Some(5)
        );
        assert_eq!(
            rule.aborts_at([Some(true), Some(true), Some(true), Some(false)]),
            None
        );
        assert_eq!(rule.aborts_at([None; 5]), Some(5));
        assert_eq!(
            rule.aborts_at([None, None, Some(false), None, None, None]),
            None
        );
    }
}
