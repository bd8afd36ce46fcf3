//! What metrics have in common that are shown, and decide only where a spec says so.

use super::view::{Comparison, EpochView};
use super::{SRM_ALPHA, words};
use crate::domain::Bundle;
use crate::domain::sums::Answers;
use serinus_stats::ratio::LabelCounts;
use serinus_stats::restart::{self, Process};
use serinus_stats::srm;

/// What was found about the arm's answers at this step, on requests of whichever arm: for
/// what is found without users on it, which a step may give none.
pub fn answers<'a>(
    bundle: &'a Bundle,
    comparison: &Comparison<'a>,
) -> impl Iterator<Item = &'a Answers> + use<'a> {
    let (arm, segment) = (comparison.arm, comparison.segment);
    let sums = bundle.sums.iter().filter(move |sums| {
        let mut epochs = bundle.rollout.step_epochs();
        epochs.any(|epoch| epoch.epoch == sums.epoch)
            && (segment.is_none() || sums.segment.as_deref() == segment)
    });
    sums.filter_map(move |sums| sums.arms.get(arm))
        .map(|arm| &arm.answers)
}

/// ln of the evidence of something that is counted anew at each step, as a threshold for
/// the whole rollout is compared with it: each step has an equal part of alpha. 0 where
/// nothing speaks against the arm.
pub fn of_step(comparison: &Comparison<'_>, log_e: f64) -> f64 {
    let steps = comparison.rollout.spec.steps.len().max(1);
    let process = Process {
        weight: 1.0 / steps as f64,
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
