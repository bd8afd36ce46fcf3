//! When a rollout is measured anew: latency thresholds are learned, processes start again.

use super::Entry;
use crate::domain::{Epoch, Millis};
use crate::policy::thresholds;
use serinus_stats::restart::FIRST_RESTART_SECONDS;
use std::collections::BTreeMap;

impl Entry {
    /// Starts a new epoch when latency thresholds are learned or processes restart; whether
    /// it did.
    pub fn measure(&mut self, now: Millis) -> bool {
        let is_due = self.learn(now) || self.restart(now);
        if is_due {
            self.touch();
        }
        is_due
    }

    fn learn(&mut self, now: Millis) -> bool {
        let Some(epoch) = self.rollout.epoch() else {
            return false;
        };
        if !thresholds::is_warm(&self.rollout.spec, epoch, now) {
            return false;
        }
        let (number, control) = (epoch.epoch, self.rollout.control_index());
        let mut answers = BTreeMap::new();
        let (mut decided, mut under_way) = (0, 0);
        let sums = self.sums.iter().filter(|sums| sums.epoch == number);
        for arm in sums.filter_map(|sums| sums.arms.get(control)) {
            for (&bucket, count) in &arm.histogram {
                *answers.entry(bucket).or_default() += count;
            }
            decided += arm.decided();
            under_way += arm.under_way();
        }
        let is_settled = thresholds::is_settled(epoch, now, decided, under_way);
        // Asked before all else: it notes what was answered until the step was warm.
        let answers = self.since_warm(number, &answers);
        if !is_settled {
            return false;
        }
        let learned = thresholds::learn(&self.rollout.spec, &answers);
        let has_learned = learned.is_some();
        if let Some(learned) = learned {
            self.rollout.learned(learned, now);
        }
        has_learned
    }

    fn restart(&mut self, now: Millis) -> bool {
        let is_due = restart_is_due(self.rollout.step_epochs(), now);
        if is_due {
            self.rollout.restart_processes(now);
        }
        is_due
    }
}

/// Whether the processes of a step start anew now: at 1, 2, 4, 8 ... minutes after
/// the thresholds were learned, so that a regression that starts late is not
/// weighed against a long good past.
fn restart_is_due<'a>(epochs: impl Iterator<Item = &'a Epoch>, now: Millis) -> bool {
    let learned: Vec<&Epoch> = epochs.filter(|epoch| epoch.thresholds.is_some()).collect();
    let (Some(first), Ok(restarts)) = (learned.first(), u32::try_from(learned.len())) else {
        return false;
    };
    let first_ms: Millis = FIRST_RESTART_SECONDS * 1_000;
    let due = first_ms.saturating_mul(1 << (restarts - 1).min(40));
    now.saturating_sub(first.started_ms) >= due
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::Thresholds;
    use crate::domain::rollout::tests::rollout;

    #[test]
    fn processes_start_anew_when_the_step_is_twice_as_old() {
        let mut rollout = rollout();
        assert!(!restart_is_due(rollout.step_epochs(), 10_000_000));
        let thresholds = Thresholds {
            edges_us: vec![],
            tail: vec![],
            promotion: vec![],
        };
        rollout.learned(thresholds, 6_000);
        for due_ms in [66_000, 126_000, 246_000, 486_000] {
            assert!(!restart_is_due(rollout.step_epochs(), due_ms - 1));
            assert!(restart_is_due(rollout.step_epochs(), due_ms));
            rollout.restart_processes(due_ms);
        }
    }
}
