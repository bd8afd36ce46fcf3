//! What peers' rules make of the same traffic. They are simulated from those systems'
//! documentation and source, and are no runs of them (`serinus_tests::peers`).

use serinus_tests::peers::{Course, End, Observed, Second, argo_rollouts, flagger};
use serinus_tests::random::Random;

/// The new version's life for a rule is so long at least: five minutes.
const SECONDS: usize = 300;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Seconds since the first bad answer.
    RolledBack(f64),
    /// Nothing in the rule saw it.
    Promoted,
}

impl Verdict {
    /// `good_s` is how long the new version had traffic before its first bad answer.
    pub fn of_flagger(observed: &Observed, good_s: f64) -> Self {
        Self::of(&flagger::RULE.run(observed), good_s)
    }

    pub fn of_argo_rollouts(observed: &Observed, good_s: f64) -> Self {
        Self::of(&argo_rollouts::RULE.run(observed), good_s)
    }

    fn of(course: &Course, good_s: f64) -> Self {
        match course.end {
            End::RolledBack { second } => Self::RolledBack(second as f64 - good_s),
            End::Promoted { .. } => Self::Promoted,
        }
    }

    pub fn seconds(self) -> Option<f64> {
        match self {
            Self::RolledBack(seconds) => Some(seconds),
            Self::Promoted => None,
        }
    }
}

/// What was seen of the new version, and how it would have gone on: each request after
/// that fails with the same chance.
pub fn gone_on(seen: &[Second], then: Second, seed: u64) -> Vec<Second> {
    let mut random = Random::new(seed);
    // In the last second that was seen it was taken back in the middle.
    let whole = seen
        .iter()
        .filter(|second| second.requests > then.requests / 2.0);
    let mut seconds: Vec<Second> = whole.copied().collect();
    let chance = |of: f64| of / then.requests.max(1.0);
    while seconds.len() < SECONDS {
        let mut happened = |chance: f64| {
            let requests = then.requests.round() as u64;
            (0..requests).filter(|_| random.uniform() < chance).count() as f64
        };
        seconds.push(Second {
            requests: then.requests,
            errors: happened(chance(then.errors)),
            slow: happened(chance(then.slow)),
        });
    }
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(requests: f64, errors: f64) -> Second {
        Second {
            requests,
            errors,
            slow: 0.0,
        }
    }

    #[test]
    fn what_was_not_seen_happens_as_often() {
        let seen = [second(19.0, 9.0), second(21.0, 12.0), second(3.0, 3.0)];
        let seconds = gone_on(&seen, second(20.0, 10.0), 1);
        assert_eq!(seconds[..2], seen[..2]);
        let later: f64 = seconds[2..].iter().map(|second| second.errors).sum();
        // 298 x 20 requests, half of which fail, +- 6 sd (39).
        assert!((later - 2_980.0).abs() < 240.0, "{later}");
    }

    #[test]
    fn a_rule_sees_errors_and_no_wrong_answers() {
        let failing = Observed::new(gone_on(&[], second(20.0, 10.0), 1), second(20.0, 10.0));
        assert_eq!(
            Verdict::of_flagger(&failing, 0.5),
            Verdict::RolledBack(59.5)
        );
        assert_eq!(
            Verdict::of_argo_rollouts(&failing, 0.0),
            Verdict::RolledBack(40.0)
        );
        let wrong = Observed::new(gone_on(&[], second(20.0, 0.0), 1), second(20.0, 0.0));
        assert_eq!(Verdict::of_flagger(&wrong, 0.0), Verdict::Promoted);
        assert_eq!(Verdict::of_argo_rollouts(&wrong, 0.0), Verdict::Promoted);
    }
}
