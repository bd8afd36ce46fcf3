//! One arm's users and counts at a step.
//!
//! Users are not simulated one by one: those of a kind who erred last in the same epoch
//! are alike, and how many of them err until the next look is binomial. So the work does
//! not grow with the traffic.

use super::Question;
use crate::draw::Draw;
use serinus_stats::sequence::slots_hit_by;

pub(super) struct Arm {
    pub requests_per_second: f64,
    /// Where every request is a user.
    error_rate: f64,
    /// Empty where every request is a user.
    groups: Vec<Group>,
    /// Requests a second of one user.
    pace: f64,
    /// Of requests, as far as samples are chosen by request or limited.
    sampled_share: f64,
    /// Added to the rate's variance, for users who differ.
    clustering: f64,
    pub requests: u64,
    pub errors: u64,
    pub seen: u64,
    /// Of those, whose first request failed.
    pub bad: u64,
    /// Users with an answer that was checked.
    pub sampled: u64,
}

/// Users of one kind.
struct Group {
    error_rate: f64,
    /// By the epoch of their last error, 0 for none.
    erred_in: Vec<u64>,
    /// Not seen yet at this step.
    unseen: u64,
    /// Chosen for samples, and none was taken yet.
    unsampled: u64,
}

impl Arm {
    /// With a share of all users, and so many of each kind, who err so often.
    pub fn new(question: &Question, share: f64, error_rate: f64, kinds: &[(f64, u64)]) -> Self {
        let users: u64 = kinds.iter().map(|(_, users)| users).sum();
        let all = question.users.a_day();
        // As many requests as the arm's users send: by chance it has more or fewer.
        let pace = all.map_or(0.0, |all| question.requests_per_second / all);
        let requests_per_second = match all {
            None => question.requests_per_second * share,
            Some(_) => pace * users as f64,
        };
        let (chosen, admitted) = question.agreement.map_or((0.0, 0.0), |agreement| {
            let admitted = agreement.admitted(question.requests_per_second);
            (agreement.sampled, admitted)
        });
        let group = |&(error_rate, users): &(f64, u64)| Group {
            error_rate,
            erred_in: vec![users],
            unseen: users,
            unsampled: (users as f64 * chosen).round() as u64,
        };
        Self {
            requests_per_second,
            error_rate,
            groups: kinds.iter().map(group).collect(),
            pace,
            sampled_share: if all.is_none() {
                chosen * admitted
            } else {
                admitted
            },
            clustering: clustering(kinds),
            requests: 0,
            errors: 0,
            seen: 0,
            bad: 0,
            sampled: 0,
        }
    }

    /// So many seconds of traffic in an epoch, counted from 1. For each epoch before it:
    /// users with an error whose last one was then.
    pub fn pass(&mut self, seconds: f64, epoch: usize, draw: &mut Draw) -> Vec<u64> {
        let requests = draw.poisson(self.requests_per_second * seconds);
        self.requests += requests;
        if self.groups.is_empty() {
            let errors = draw.binomial(requests, self.error_rate);
            self.errors += errors;
            self.seen += requests;
            self.bad += errors;
            self.sampled += draw.binomial(requests, self.sampled_share);
            return vec![errors];
        }
        let each = self.pace * seconds;
        let mut users = vec![0; epoch + 1];
        for group in &mut self.groups {
            let new = draw.binomial(group.unseen, chance(each));
            group.unseen -= new;
            self.seen += new;
            self.bad += draw.binomial(new, group.error_rate);
            let sampled = draw.binomial(group.unsampled, chance(each * self.sampled_share));
            group.unsampled -= sampled;
            self.sampled += sampled;
            self.errors += group.err(each, epoch, &mut users, draw);
        }
        self.errors = self.errors.min(self.requests);
        users
    }

    pub fn rate(&self) -> f64 {
        self.errors as f64 / self.requests.max(1) as f64
    }

    /// Of the rate, over users.
    pub fn variance(&self) -> f64 {
        self.rate() * (1.0 - self.rate()) / self.requests.max(1) as f64 + self.clustering
    }

    /// In how many slots its users with an error fall, as expected.
    pub fn event_slots(&self) -> u32 {
        let erred: u64 = if self.groups.is_empty() {
            self.errors
        } else {
            let erred = self
                .groups
                .iter()
                .map(|group| group.erred_in.iter().skip(1));
            erred.flatten().sum()
        };
        slots_hit_by(erred as f64) as u32
    }
}

impl Group {
    /// Errors of this kind while each user is expected to send so many requests; users
    /// with one are added to those of their epochs.
    fn err(&mut self, each: f64, epoch: usize, users: &mut [u64], draw: &mut Draw) -> u64 {
        let all: u64 = self.erred_in.iter().sum();
        let erring = chance(each * self.error_rate);
        let mut erred_now = 0;
        self.erred_in.resize(epoch + 1, 0);
        for (own, users) in self.erred_in.iter_mut().zip(users) {
            let erred = draw.binomial(*own, erring);
            *own -= erred;
            *users += erred;
            erred_now += erred;
        }
        if let Some(now) = self.erred_in.last_mut() {
            *now += erred_now;
        }
        // The same users' further errors.
        let further = all as f64 * (each * self.error_rate - erring);
        erred_now + draw.poisson(further)
    }
}

/// A user's requests fail together: users who send alike and of whom each fails in a share
/// p of them give a rate whose variance is that of p over their number, however many
/// requests they send.
fn clustering(kinds: &[(f64, u64)]) -> f64 {
    let users: f64 = kinds.iter().map(|&(_, users)| users as f64).sum();
    let mean: f64 = kinds
        .iter()
        .map(|&(p, users)| p * users as f64)
        .sum::<f64>()
        / users;
    let squares = kinds
        .iter()
        .map(|&(p, users)| (p - mean) * (p - mean) * users as f64);
    let clustering = squares.sum::<f64>() / users / users;
    if clustering.is_finite() {
        clustering
    } else {
        0.0
    }
}

/// Of at least one arrival where so many are expected.
fn chance(expected: f64) -> f64 {
    -libm::expm1(-expected)
}

#[cfg(test)]
mod tests {
    use super::super::{Agreement, Users};
    use super::*;

    #[test]
    fn users_who_differ_vary_more_however_much_they_send() {
        assert_eq!(clustering(&[]), 0.0);
        assert_eq!(clustering(&[(0.01, 0)]), 0.0);
        assert_eq!(clustering(&[(0.01, 500)]), 0.0);
        // 25 of 500 at 15%, the others at 0.263%: 0.145 is how far they are from each other.
        let found = clustering(&[(0.15, 25), (0.002_632, 475)]);
        let right = 0.05 * 0.95 * 0.147_368_f64.powi(2) / 500.0;
        assert!((found / right - 1.0).abs() < 1e-3, "{found} {right}");
    }

    #[test]
    fn an_arm_counts_what_its_users_send() {
        let question = Question {
            users: Users::Differ(10_000.0),
            requests_per_second: 100.0,
            agreement: Some(Agreement {
                sampled: 0.5,
                per_second: 1e6,
                margin_absolute: 0.01,
            }),
            ..Question::default()
        };
        let mut arm = Arm::new(&question, 0.1, 0.0, &[(0.15, 50), (0.002_632, 950)]);
        let mut draw = Draw::new(1, "arm", 0);
        let users = arm.pass(10_000.0, 1, &mut draw);
        // 100 requests of each user: a hundred thousand, of which 1% fail.
        assert!((arm.requests as f64 - 1e5).abs() < 1_600.0);
        assert!((arm.errors as f64 - 1_000.0).abs() < 160.0);
        assert_eq!((arm.seen, arm.sampled), (1_000, 500));
        // All the frail, and of the others those with an error in 0.26 expected ones.
        let expected = 50.0 + 950.0 * chance(0.2632);
        assert!((users[0] as f64 - expected).abs() < 70.0, "{users:?}");
        assert!(arm.event_slots() > 150);
    }
}
