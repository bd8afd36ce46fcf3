//! Whether of both arms as many are counted as their users: where labels come late, or
//! answers are sampled, that is what comparing them takes for granted.

use super::view::{Comparison, EpochView};
use super::{SRM_ALPHA, words};
use serinus_stats::ratio::LabelCounts;
use serinus_stats::{restart, srm};

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
