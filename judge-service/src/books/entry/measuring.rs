//! When a rollout is measured anew: latency thresholds are learned, processes start again.

use super::Entry;
use crate::domain::Millis;
use crate::policy::thresholds;
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
        let is_due = thresholds::restart_is_due(self.rollout.step_epochs(), now);
        if is_due {
            self.rollout.restart_processes(now);
        }
        is_due
    }
}
