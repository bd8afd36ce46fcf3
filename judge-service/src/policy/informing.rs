//! What metrics have in common that are shown, and decide only where a spec says so.

use super::view::{Comparison, EpochView};
use super::{SRM_ALPHA, words};
use crate::domain::{Bundle, EpochSums};
use serinus_stats::ratio::LabelCounts;
use serinus_stats::restart::{self, Process};
use serinus_stats::srm;

/// What was counted at this step of what is compared, with users on the arm or without: for
/// what is found about an arm's answers on requests of whichever arm.
pub fn sums_of_step<'a>(
    bundle: &'a Bundle,
    comparison: &Comparison<'a>,
) -> impl Iterator<Item = &'a EpochSums> + use<'a> {
    let segment = comparison.segment;
    bundle.sums.iter().filter(move |sums| {
        let mut epochs = bundle.rollout.step_epochs();
        epochs.any(|epoch| epoch.epoch == sums.epoch)
            && (segment.is_none() || sums.segment.as_deref() == segment)
    })
}

/// The part of alpha that each step has of what is counted anew at each: equal parts.
pub fn part_of_step(comparison: &Comparison<'_>) -> f64 {
    1.0 / comparison.rollout.spec.steps.len().max(1) as f64
}

/// ln of the evidence of something that is counted anew at each step, as a threshold for
/// the whole rollout is compared with it. 0 where nothing speaks against the arm.
pub fn of_step(comparison: &Comparison<'_>, log_e: f64) -> f64 {
    let process = Process {
        weight: part_of_step(comparison),
        log_e,
    };
    restart::strongest([process]).max(0.0)
}

/// ln of the evidence that who is counted at all depends on the arm: then what is counted
/// of them cannot be compared. `users` of an arm are counted in an epoch.
pub fn coverage<'a>(
    comparison: &Comparison<'a>,
    users: impl Fn(&EpochView<'a>, usize) -> u64,
) -> Coverage {
    let counts = comparison.epochs.iter().map(|view| {
        let in_arm = users(view, comparison.arm);
        LabelCounts {
            share: comparison.share(view.weights),
            with_event: in_arm + users(view, comparison.control),
            in_arm,
        }
    });
    Coverage {
        log_e: srm::log_e_two_arms(srm::CONCENTRATION, counts),
    }
}

/// With fewer of each found, what decides nothing by itself is not taken for well.
pub const ENOUGH: u64 = 100;

pub struct Coverage {
    pub log_e: f64,
}

impl Coverage {
    pub fn is_unequal(&self) -> bool {
        self.log_e >= restart::threshold(SRM_ALPHA)
    }

    /// Why `what`, of which there is `shown`, is not compared.
    pub fn words(&self, comparison: &Comparison<'_>, what: &str, shown: &str) -> String {
        format!(
            "{what} are told of {} and {} in another ratio than their {} (odds against chance {}), so they cannot be compared: {shown}",
            comparison.arm_name(),
            comparison.control_name(),
            comparison.units(),
            words::odds(self.log_e)
        )
    }
}
