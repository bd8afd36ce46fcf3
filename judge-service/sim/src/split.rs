//! Do users arrive in the planned ratio? Ours, a chi-square test that is looked at again and
//! again, and what comes of counting users when they are answered.

use crate::draw::Draw;
use serinus_stats::ratio::LabelCounts;
use serinus_stats::{restart, srm};

const SHARE: f64 = 0.1;
const ALPHA: f64 = 0.01;
/// The chi-square value that one look exceeds with probability [`ALPHA`], by one degree of
/// freedom.
const CHI_SQUARE: f64 = 6.6349;
/// New users between looks.
const LOOK: u64 = 250;

pub const RULES: [&str; 3] = [
    "ours, alpha 0.01",
    "the same, of users who were answered",
    "chi-square at each look, alpha 0.01",
];

#[derive(Clone, Copy, Debug)]
pub struct Split {
    pub name: &'static str,
    pub words: &'static str,
    /// The share of canary's users who do not arrive.
    pub lost: f64,
    /// Users who come while canary answers one; control answers at once.
    pub late: u64,
    pub users: u64,
}

#[must_use]
pub fn all() -> [Split; 3] {
    let split = |name, words, lost, late| Split {
        name,
        words,
        lost,
        late,
        users: 250_000,
    };
    [
        split("split_right", "users arrive as they are split", 0.0, 0),
        split(
            "split_late",
            "the same, and canary answers 5 s late at 100 new users a second",
            0.0,
            500,
        ),
        split("split_wrong", "5% of canary's users do not arrive", 0.05, 0),
    ]
}

impl Split {
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.lost > 0.0
    }

    /// The user at which each rule gives the alarm.
    #[must_use]
    pub fn run(&self, seed: u64, run: u64) -> [Option<u64>; RULES.len()] {
        let mut draw = Draw::new(seed, self.name, run);
        let (mut control, mut canary) = (0, 0);
        // Of canary at each look, so that those of before are the ones who were answered.
        let mut history: Vec<u64> = vec![0];
        let behind = usize::try_from(self.late / LOOK).unwrap_or_default();
        let mut alarms = [None; RULES.len()];
        for look in 1..=self.users / LOOK {
            let in_canary = draw.binomial(LOOK, SHARE);
            control += LOOK - in_canary;
            canary += draw.binomial(in_canary, 1.0 - self.lost);
            history.push(canary);
            let answered = history
                .iter()
                .rev()
                .nth(behind)
                .copied()
                .unwrap_or_default();
            let alarm = [
                ours(control, canary),
                ours(control, answered),
                chi_square(control, canary) > CHI_SQUARE,
            ];
            for (at, alarm) in alarms.iter_mut().zip(alarm) {
                if alarm && at.is_none() {
                    *at = Some(look * LOOK);
                }
            }
            if alarms.iter().all(Option::is_some) {
                break;
            }
        }
        alarms
    }
}

fn ours(control: u64, canary: u64) -> bool {
    let users = LabelCounts {
        share: SHARE,
        with_event: control + canary,
        in_arm: canary,
    };
    srm::log_e_two_arms(srm::CONCENTRATION, [users]) >= restart::threshold(ALPHA)
}

/// Pearson's, for one share.
fn chi_square(control: u64, canary: u64) -> f64 {
    let all = (control + canary) as f64;
    let expected = SHARE * all;
    let distance = canary as f64 - expected;
    distance * distance / (expected * (1.0 - SHARE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_noticed_and_what_is_late_is_not() {
        let [right, late, wrong] = all().map(|split| {
            let mut alarms = [0; RULES.len()];
            for run in 0..30 {
                for (sum, at) in alarms.iter_mut().zip(split.run(1, run)) {
                    *sum += u32::from(at.is_some());
                }
            }
            alarms
        });
        assert!(right[0] <= 2 && right[0] == right[1], "{right:?}");
        // STATISTICS: peeked, a quarter is false.
        assert!((2..=18).contains(&right[2]), "{right:?}");
        assert!(late[0] <= 2 && late[1] == 30, "{late:?}");
        assert_eq!(wrong, [30; 3]);
    }
}
