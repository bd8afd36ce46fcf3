//! Which class is predicted: the sample-ratio process within each class, logs summed, and
//! the bounds of the distance.

use crate::draw::Draw;
use serinus_stats::distance::{Classes, distance};
use serinus_stats::ratio::LabelCounts;
use serinus_stats::{restart, srm};

const SHARE: f64 = 0.1;
const CLASSES: usize = 10;
/// It informs, like the sample-ratio alarm.
const ALPHA: f64 = 0.01;
/// The judge's default: a tenth of answers may be distributed otherwise.
const TOLERATED: f64 = 0.1;
/// New users between looks.
const LOOK: u64 = 250;

/// What is done about a drift.
pub const RULES: [&str; 3] = [
    "ours, alarm at alpha 0.01",
    "ours, surely more than 10% apart, alpha 0.01",
    "an alarm, and more than 10% apart as seen",
];

/// Canary predicts the first class so many times as often as control does, and the
/// others less.
#[derive(Clone, Copy, Debug)]
pub struct Drift {
    pub name: &'static str,
    pub words: &'static str,
    pub times: f64,
    pub users: u64,
}

/// The worlds that are run; the first is the one without a change, and in the third as much
/// is changed as is tolerated.
#[must_use]
pub fn all() -> [Drift; 4] {
    let drift = |name, words, times| Drift {
        name,
        words,
        times,
        users: 250_000,
    };
    [
        drift("drift_none", "ten classes, predicted alike", 1.0),
        drift(
            "drift",
            "ten classes, one of them predicted 1.2 times as often: 2% of answers are others",
            1.2,
        ),
        drift(
            "drift_tolerated",
            "one predicted twice as often: 10% of answers are others, which is tolerated",
            2.0,
        ),
        drift(
            "drift_beyond",
            "one predicted three times as often: 20% of answers are others",
            3.0,
        ),
    ]
}

impl Drift {
    /// Whether the rule of this index is to act: the first does at any change.
    #[must_use]
    pub fn is_to_be_caught_by(&self, rule: usize) -> bool {
        let apart = (self.times - 1.0) / CLASSES as f64;
        apart > if rule == 0 { 0.0 } else { TOLERATED }
    }

    /// The user at which each rule acts.
    #[must_use]
    pub fn run(&self, seed: u64, run: u64) -> [Option<u64>; RULES.len()] {
        let mut draw = Draw::new(seed, self.name, run);
        let equal = 1.0 / CLASSES as f64;
        let first = equal * self.times;
        let mut users = [[0; CLASSES]; 2];
        let mut acted = [None; RULES.len()];
        for look in 1..=self.users / LOOK {
            let in_canary = draw.binomial(LOOK, SHARE);
            let [control, canary] = &mut users;
            predict(&mut draw, LOOK - in_canary, equal, control);
            predict(&mut draw, in_canary, first, canary);
            for (acted, acts) in acted.iter_mut().zip(acts(control, canary)) {
                if acts && acted.is_none() {
                    *acted = Some(look * LOOK);
                }
            }
            if acted.iter().all(Option::is_some) {
                break;
            }
        }
        acted
    }
}

/// Adds the classes of so many users more; all but the first are predicted alike.
fn predict(draw: &mut Draw, users: u64, first: f64, counts: &mut [u64; CLASSES]) {
    let (mut left, mut rest) = (users, 1.0);
    let others = (1.0 - first) / (CLASSES - 1) as f64;
    let parts = std::iter::once(first).chain(std::iter::repeat(others));
    for (count, part) in counts.iter_mut().zip(parts) {
        let of_class = draw.binomial(left, (part / rest).min(1.0));
        left -= of_class;
        rest -= part;
        *count += of_class;
    }
}

fn acts(control: &[u64; CLASSES], canary: &[u64; CLASSES]) -> [bool; RULES.len()] {
    let labels = canary
        .iter()
        .zip(control)
        .map(|(&canary, &control)| LabelCounts {
            share: SHARE,
            with_event: canary + control,
            in_arm: canary,
        });
    let log_e = srm::log_e_two_arms(srm::CONCENTRATION, labels);
    let alarm = log_e >= restart::threshold(ALPHA);
    let apart = distance(&[Classes::new(canary, control)]).unwrap_or_default();
    [
        alarm,
        alarm && apart.lower_bound(ALPHA) > TOLERATED,
        alarm && apart.estimate > TOLERATED,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drift_is_noticed_and_none_is_not() {
        let acted = |drift: &Drift| {
            let mut acted = [0; RULES.len()];
            for run in 0..30 {
                for (sum, at) in acted.iter_mut().zip(drift.run(1, run)) {
                    *sum += u32::from(at.is_some());
                }
            }
            acted
        };
        let [none, drift, tolerated, beyond] = all().map(|drift| acted(&drift));
        assert!(none[0] <= 3);
        assert_eq!([none[1], drift[1]], [0, 0]);
        assert_eq!(drift[0], 30);
        // What is tolerated is surely seen and seldom taken back, unless what is seen is
        // taken for what is true.
        assert_eq!(tolerated[0], 30);
        assert!(tolerated[1] <= 2 && tolerated[2] >= 20, "{tolerated:?}");
        assert_eq!(beyond, [30; 3]);
    }
}
