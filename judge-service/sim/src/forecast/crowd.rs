//! Who has which arm in one release: by chance, and the same at every step.

use super::{Question, Step, Users};
use crate::draw::Draw;
use crate::worlds;

/// How many times as often one in twenty errs: 15% where all together do in 1%.
const FRAIL_TIMES: f64 = 15.0;

/// Users of one kind, by where they fall between 0 and 1.
pub(super) struct Kind {
    /// Control's share of their requests that fail.
    pub error_rate: f64,
    /// The ends of stretches, and users in each.
    stretches: Vec<(f64, u64)>,
}

/// Empty where every request is a user.
pub(super) struct Crowd {
    pub kinds: Vec<Kind>,
}

impl Crowd {
    pub fn new(question: &Question, run: u64) -> Self {
        let (users, frail) = match question.users {
            Users::EveryRequest => return Self { kinds: Vec::new() },
            Users::Alike(users) => (users, None),
            Users::Differ(users) => {
                let rate = question.base_error_rate * FRAIL_TIMES;
                (users, Some(rate.min(1.0)))
            }
        };
        let crowd = worlds::Crowd {
            base: question.base_error_rate,
            frail,
            ..worlds::Crowd::ALIKE
        };
        let mut draw = Draw::new(question.seed, "forecast crowd", run);
        let kinds = crowd.classes().into_iter();
        let kinds = kinds.filter(|kind| kind.traffic > 0.0).map(|kind| {
            let users = (users * kind.traffic).round() as u64;
            Kind {
                error_rate: kind.rate,
                stretches: placed(&question.steps, users, &mut draw),
            }
        });
        Self {
            kinds: kinds.collect(),
        }
    }
}

/// The canary has the users from 0 on and control those up to 1, as buckets are given
/// out: who once had the canary keeps it while its share grows.
fn placed(steps: &[Step], users: u64, draw: &mut Draw) -> Vec<(f64, u64)> {
    let ends = steps
        .iter()
        .flat_map(|step| [step.canary, 1.0 - step.control]);
    let mut ends: Vec<f64> = ends.chain([1.0]).collect();
    ends.sort_by(f64::total_cmp);
    let (mut start, mut left) = (0.0, users);
    let stretch = |end: f64| {
        let part = (end - start) / (1.0 - start);
        let inside = if end < 1.0 {
            draw.binomial(left, part)
        } else {
            left
        };
        start = end;
        left -= inside;
        (end, inside)
    };
    ends.into_iter().map(stretch).collect()
}

impl Kind {
    pub fn of_canary(&self, step: &Step) -> u64 {
        self.up_to(step.canary)
    }

    pub fn of_control(&self, step: &Step) -> u64 {
        self.up_to(1.0) - self.up_to(1.0 - step.control)
    }

    fn up_to(&self, end: f64) -> u64 {
        let inside = self.stretches.iter().filter(|(own, _)| *own <= end);
        inside.map(|(_, users)| users).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_keep_the_canary_and_differ_as_said() {
        let question = Question {
            users: Users::Differ(5_000.0),
            ..Question::default()
        };
        let crowd = Crowd::new(&question, 0);
        let [frail, sturdy] = &crowd.kinds[..] else {
            panic!("two kinds");
        };
        assert!((frail.error_rate - 0.15).abs() < 1e-12);
        assert_eq!((frail.up_to(1.0), sturdy.up_to(1.0)), (250, 4_750));
        let mut before = 0;
        for step in &question.steps {
            let canary = sturdy.of_canary(step);
            assert_eq!(canary + sturdy.of_control(step), 4_750);
            assert!(canary > before);
            // Seven standard deviations.
            let expected = 4_750.0 * step.canary;
            assert!((canary as f64 - expected).abs() < 250.0, "{canary}");
            before = canary;
        }
    }

    #[test]
    fn a_service_that_fails_half_the_time_has_users_who_always_fail() {
        let question = Question {
            users: Users::Differ(1_000.0),
            base_error_rate: 0.5,
            ..Question::default()
        };
        let crowd = Crowd::new(&question, 0);
        assert_eq!(crowd.kinds[0].error_rate, 1.0);
        let rate = crowd.kinds[1].error_rate;
        assert!((0.05 + 0.95 * rate - 0.5).abs() < 1e-12);
        let every = Question::default();
        assert!(Crowd::new(&every, 0).kinds.is_empty());
    }
}
