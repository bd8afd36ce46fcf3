//! Which class is predicted: the sample-ratio process within each class, logs summed.

use crate::draw::Draw;
use serinus_stats::ratio::LabelCounts;
use serinus_stats::{restart, srm};

const SHARE: f64 = 0.1;
const CLASSES: usize = 10;
/// It informs, like the sample-ratio alarm.
const ALPHA: f64 = 0.01;
/// New users between looks.
const LOOK: u64 = 250;

/// Canary predicts the first class so many times as often as control does, and the
/// others less.
#[derive(Clone, Copy, Debug)]
pub struct Drift {
    pub name: &'static str,
    pub words: &'static str,
    pub times: f64,
    pub users: u64,
}

/// The worlds that are run; the first is the one without a change.
#[must_use]
pub fn all() -> [Drift; 2] {
    [
        Drift {
            name: "drift_none",
            words: "ten classes, predicted alike",
            times: 1.0,
            users: 250_000,
        },
        Drift {
            name: "drift",
            words: "ten classes, one of them predicted 1.2 times as often",
            times: 1.2,
            users: 250_000,
        },
    ]
}

impl Drift {
    /// The user at which the alarm is raised.
    #[must_use]
    pub fn run(&self, seed: u64, run: u64) -> Option<u64> {
        let mut draw = Draw::new(seed, self.name, run);
        let equal = 1.0 / CLASSES as f64;
        let first = equal * self.times;
        let mut counts = [LabelCounts {
            share: SHARE,
            with_event: 0,
            in_arm: 0,
        }; CLASSES];
        (1..=self.users / LOOK).find_map(|look| {
            let in_canary = draw.binomial(LOOK, SHARE);
            for (users, first, is_canary) in
                [(in_canary, first, true), (LOOK - in_canary, equal, false)]
            {
                let (mut left, mut rest) = (users, 1.0);
                for (index, count) in counts.iter_mut().enumerate() {
                    let part = if index == 0 {
                        first
                    } else {
                        (1.0 - first) / (CLASSES - 1) as f64
                    };
                    let of_class = draw.binomial(left, (part / rest).min(1.0));
                    left -= of_class;
                    rest -= part;
                    count.with_event += of_class;
                    count.in_arm += if is_canary { of_class } else { 0 };
                }
            }
            let log_e = srm::log_e_two_arms(srm::CONCENTRATION, counts);
            (log_e >= restart::threshold(ALPHA)).then_some(look * LOOK)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drift_is_noticed_and_none_is_not() {
        let alarms = |drift: &Drift| (0..30).filter(|&run| drift.run(1, run).is_some()).count();
        let [none, drift] = all();
        assert!(alarms(&none) <= 3);
        assert_eq!(alarms(&drift), 30);
    }
}
