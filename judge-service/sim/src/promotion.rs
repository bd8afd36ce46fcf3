//! A canary exactly at the margin, of errors or of slow answers: how seldom it passes. And
//! a good one: how soon.
//!
//! Every request is simulated here, since a user's many requests are the point.

use crate::draw::Draw;
use crate::worlds::BASE;
use serinus_stats::sequence::{ArmSlots, Margin, SLOTS, Stratum, difference};
use serinus_stats::{absolute, restart};

/// Control's errors may be so many times as frequent: the default of a spec.
pub const MARGIN: f64 = 1.5;
/// The default of a spec, for "surely under".
const MARGIN_ABSOLUTE: f64 = 0.01;
pub const ALPHA: f64 = 0.05;
const LOOK: u64 = 1_000;
/// 2^32.
const POINTS: f64 = 4_294_967_296.0;
/// Who errs, and how often in control.
#[derive(Clone, Copy, Debug)]
pub struct Frail {
    /// Every so manieth user is frail.
    pub every: u32,
    /// How often those err, and all others.
    pub rates: [f64; 2],
}

impl Frail {
    /// As in [`crate::worlds`]: 1% on average.
    const SOME: Frail = Frail {
        every: 20,
        rates: [0.15, (BASE - 0.15 / 20.0) / 0.95],
    };
    const NOBODY: Frail = Frail {
        every: 1,
        rates: [BASE; 2],
    };
    /// All errors are those of so few that a small canary may have none of them.
    const FEW: Frail = Frail {
        every: 50,
        rates: [0.6, 0.0],
    };
}

/// A time in which nothing changed.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Canary's share of users; it never falls.
    pub share: f64,
    /// Times the base rate, in both arms.
    pub times: f64,
}

#[derive(Clone, Debug)]
pub struct Promotion {
    pub name: &'static str,
    pub words: &'static str,
    pub users: u32,
    pub requests_each: u64,
    pub frail: Frail,
    pub ratio: f64,
    /// The ratio beyond which it must not pass.
    pub margin: f64,
    /// A rate that a canary may surely be under instead.
    pub margin_absolute: Option<f64>,
    /// Equally long, and judged as strata of one comparison.
    pub epochs: Vec<Epoch>,
}

/// The request at which each rule promotes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Promoted {
    /// The gated sequence alone, with all of alpha.
    pub sequence: Option<u64>,
    /// As policy has it: the sequence or, where there is one, the absolute bound, half of
    /// alpha for each.
    pub policy: Option<u64>,
    /// The gated sequence with all of alpha over all epochs as if they were one.
    pub pooled: Option<u64>,
}

/// At the margin.
#[must_use]
pub fn at_the_margin() -> Vec<Promotion> {
    let plain = vec![Epoch {
        share: 0.1,
        times: 1.0,
    }];
    let margin = |name, words, users, requests_each, epochs| Promotion {
        name,
        words,
        users,
        requests_each,
        frail: Frail::SOME,
        ratio: MARGIN,
        margin: MARGIN,
        margin_absolute: Some(MARGIN_ABSOLUTE),
        epochs,
    };
    // As many answers above the canary's threshold as above control's, which is lower.
    let slow = |name, words, frail| Promotion {
        frail,
        ratio: 1.0,
        margin: 1.0,
        margin_absolute: None,
        ..margin(name, words, 20_000, 20, plain.clone())
    };
    let [median, tail] = [
        slow(
            "promotion_p50",
            "half of all answers too slow; every second user has four times as many as the others",
            Frail {
                every: 2,
                rates: [0.8, 0.2],
            },
        ),
        slow(
            "promotion_p95",
            "5% of answers too slow; every 20th user has most of them",
            Frail {
                every: 20,
                rates: [0.6, 0.02 / 0.95],
            },
        ),
    ];
    let falling = [(0.1, 3.0), (0.25, 2.0), (0.75, 1.0)];
    let falling = falling
        .map(|(share, times)| Epoch { share, times })
        .to_vec();
    vec![
        margin(
            "promotion_20",
            "20,000 users who differ, 20 requests each",
            20_000,
            20,
            plain.clone(),
        ),
        margin(
            "promotion_100",
            "20,000 users who differ, 100 requests each",
            20_000,
            100,
            plain.clone(),
        ),
        margin(
            "promotion_200",
            "2,000 users who differ, 200 requests each",
            2_000,
            200,
            plain.clone(),
        ),
        margin(
            "promotion_simpson",
            "errors of all fall from 3 to 1% on a ramp: pooled, the canary looks better than control",
            20_000,
            20,
            falling,
        ),
        Promotion {
            frail: Frail::FEW,
            ..margin(
                "promotion_tenants",
                "5,000 users of whom one in 50 has all the errors, and 1% of them on the canary",
                5_000,
                100,
                vec![Epoch {
                    share: 0.01,
                    times: 1.0,
                }],
            )
        },
        median,
        tail,
    ]
}

/// As good as control.
#[must_use]
pub fn good() -> Vec<Promotion> {
    let good = |name, words, share| Promotion {
        name,
        words,
        users: 100_000,
        requests_each: 4,
        frail: Frail::NOBODY,
        ratio: 1.0,
        margin: MARGIN,
        margin_absolute: Some(MARGIN_ABSOLUTE),
        epochs: vec![Epoch { share, times: 1.0 }],
    };
    vec![
        good("promotion_good_10", "a good canary with 10% of users", 0.1),
        good("promotion_good_50", "a good canary with 50% of users", 0.5),
    ]
}

/// Requests and events by slot.
struct Arm {
    requests: [u64; SLOTS],
    events: [u64; SLOTS],
}

#[derive(Clone, Copy)]
struct User {
    slot: u8,
    bucket: f32,
    is_seen: bool,
}

impl Promotion {
    #[must_use]
    pub fn requests(&self) -> u64 {
        u64::from(self.users) * self.requests_each
    }

    #[must_use]
    pub fn run(&self, seed: u64, run: u64) -> Promoted {
        let mut draw = Draw::new(seed, self.name, run);
        let mut users: Vec<User> = (0..self.users)
            .map(|_| User {
                slot: draw.below(SLOTS as u32) as u8,
                bucket: draw.uniform() as f32,
                is_seen: false,
            })
            .collect();
        let [frail, sturdy] = self.frail.rates;
        let mut promoted = Promoted::default();
        let mut strata: Vec<[Arm; 2]> = Vec::new();
        // First requests of canary's users, and of those, failed.
        let (mut seen, mut bad) = (0, 0);
        let each = self.requests() / self.epochs.len().max(1) as u64;
        for epoch in &self.epochs {
            strata.push([(); 2].map(|()| Arm::EMPTY));
            // A request fails when its point is below that.
            let below = |times: f64| [sturdy, frail].map(|rate| (rate * times * POINTS) as u32);
            let control_below = below(epoch.times);
            let canary_below = below(epoch.times * self.ratio);
            let share = epoch.share as f32;
            for look in 1..=each / LOOK {
                let Some(arms) = strata.last_mut() else { break };
                for _ in 0..LOOK {
                    let (number, point) = draw.below_and_point(self.users);
                    let Some(user) = users.get_mut(number as usize) else {
                        continue;
                    };
                    let canary = user.bucket < share;
                    let [usual, frail] = if canary { canary_below } else { control_below };
                    let is_frail = number.is_multiple_of(self.frail.every);
                    let failed = point < if is_frail { frail } else { usual };
                    if canary && !user.is_seen {
                        user.is_seen = true;
                        seen += 1;
                        bad += u64::from(failed);
                    }
                    let [control_arm, canary_arm] = arms;
                    let arm = if canary { canary_arm } else { control_arm };
                    arm.count(user.slot, failed);
                }
                self.look(
                    &strata,
                    (seen, bad),
                    &mut promoted,
                    (strata.len() as u64 - 1) * each + look * LOOK,
                );
                if promoted
                    .sequence
                    .and(promoted.policy)
                    .and(promoted.pooled)
                    .is_some()
                {
                    return promoted;
                }
            }
        }
        promoted
    }

    fn look(&self, arms: &[[Arm; 2]], (seen, bad): (u64, u64), promoted: &mut Promoted, at: u64) {
        let strata: Vec<Stratum<'_>> = arms
            .iter()
            .map(|[control, canary]| Stratum {
                canary: canary.slots(),
                control: control.slots(),
            })
            .collect();
        let found = difference(&strata, Margin::Ratio(self.margin));
        let within = |alpha| found.as_ref().is_some_and(|found| found.promotes(alpha));
        if promoted.sequence.is_none() && within(ALPHA) {
            promoted.sequence = Some(at);
        }
        // One epoch is its own pool.
        let pooled = || {
            if arms.len() > 1 {
                is_pooled_within(arms)
            } else {
                within(ALPHA)
            }
        };
        if promoted.pooled.is_none() && pooled() {
            promoted.pooled = Some(at);
        }
        // Two ways to pass share alpha.
        let passes = match self.margin_absolute {
            Some(margin) => {
                let log_e = absolute::log_e(margin, seen, bad);
                log_e >= restart::threshold(ALPHA / 2.0) || within(ALPHA / 2.0)
            }
            None => within(ALPHA),
        };
        if promoted.policy.is_none() && passes {
            promoted.policy = Some(at);
        }
    }
}

/// What nobody should do over a ramp.
fn is_pooled_within(epochs: &[[Arm; 2]]) -> bool {
    let mut pooled = [(); 2].map(|()| Arm::EMPTY);
    for arms in epochs {
        for (sum, arm) in pooled.iter_mut().zip(arms) {
            sum.add(arm);
        }
    }
    let [control, canary] = &pooled;
    let stratum = Stratum {
        canary: canary.slots(),
        control: control.slots(),
    };
    difference(&[stratum], Margin::Ratio(MARGIN)).is_some_and(|found| found.promotes(ALPHA))
}

impl Arm {
    const EMPTY: Arm = Arm {
        requests: [0; SLOTS],
        events: [0; SLOTS],
    };

    fn add(&mut self, other: &Arm) {
        for (sum, count) in self.requests.iter_mut().zip(other.requests) {
            *sum += count;
        }
        for (sum, count) in self.events.iter_mut().zip(other.events) {
            *sum += count;
        }
    }

    fn count(&mut self, slot: u8, failed: bool) {
        if let Some(requests) = self.requests.get_mut(usize::from(slot)) {
            *requests += 1;
        }
        if failed && let Some(events) = self.events.get_mut(usize::from(slot)) {
            *events += 1;
        }
    }

    fn slots(&self) -> ArmSlots<'_> {
        ArmSlots {
            requests: &self.requests,
            events: &self.events,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_at_the_margin_seldom_pass_and_runs_repeat() {
        let [small, _, hard, simpson, tenants, median, tail] = at_the_margin().try_into().unwrap();
        for promotion in [small, hard, simpson, tenants, median, tail] {
            let runs: Vec<Promoted> = (0..20).map(|run| promotion.run(5, run)).collect();
            assert!(runs.iter().filter(|run| run.policy.is_some()).count() <= 5);
            assert_eq!(promotion.run(5, 0), runs[0]);
        }
    }

    #[test]
    fn good_canaries_pass_about_when_the_table_says() {
        // The gate alone takes 50 / (0.1 x 1%) = 50,000; STATISTICS has 16,000 at 50%.
        for (promotion, table) in good().into_iter().zip([50_000, 16_000]) {
            let mut times: Vec<u64> = (0..20)
                .map(|run| promotion.run(5, run).sequence.unwrap())
                .collect();
            times.sort_unstable();
            assert!(
                (table * 7 / 10..table * 15 / 10).contains(&times[10]),
                "{}",
                times[10]
            );
        }
    }
}
