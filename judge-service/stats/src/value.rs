//! Betting on a business value in [0, 1], one user at a time.
//!
//! # Assumed
//!
//! Users are randomised with a known share rho. Each enters once, when the attribution
//! window closed, in closing order, with a value G in [0, 1].
//!
//! # The idea and the guarantee
//!
//! `X = G (A/rho - (1-A)/(1-rho))` is an unbiased estimate of the arm's mean value
//! minus control's. The wealth `prod (1 + lambda X)` of a gambler who stakes
//! `0 <= lambda <= (1-rho)/2`, chosen from earlier users only, is an e-process for "the
//! arm's mean is at most control's". A large one shows that the arm's value is higher:
//! to accuse the arm of a lower value, bet on `1 - G`. With a tolerance t it is one for
//! "the arm's mean is at most t above control's": then the bets are on `X - t`.
//!
//! Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
//! betting" (2024), with the approximate Kelly stake `mean/(var + mean^2)`
//! after one imaginary user with X^2 = 1.

use crate::math::ln;

/// Shares whose inverse is harmless; an allocation has 10,000 buckets at most.
const SHARES: std::ops::RangeInclusive<f64> = 1e-9..=1.0 - 1e-9;

/// On what is bet for one user.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// The arm's share of its users and control's when this one was assigned.
    pub share: f64,
    /// A guess at the value, from earlier users only: then `X = (G - centre) (...)`, which
    /// is as unbiased, and as much quieter as the guess is good.
    pub centre: f64,
    /// How far above control's the arm's mean may be.
    pub tolerated: f64,
}

/// A gambler's wealth and what it learned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ValueBet {
    log_wealth: f64,
    sum: f64,
    sum_of_squares: f64,
}

// === impl ValueBet ===

impl ValueBet {
    /// Before the first user.
    pub fn new() -> ValueBet {
        ValueBet::default()
    }

    /// Where a bet of before had come to, as [`Self::parts`] told it.
    pub fn resumed([log_wealth, sum, sum_of_squares]: [f64; 3]) -> ValueBet {
        ValueBet {
            log_wealth,
            sum,
            sum_of_squares,
        }
    }

    /// All there is to keep of it: ln of the wealth, the sum of what was bet on, and that of
    /// its squares.
    pub fn parts(&self) -> [f64; 3] {
        [self.log_wealth, self.sum, self.sum_of_squares]
    }

    /// The next user in closing order, with the arm's share when assigned. Values are
    /// clamped to [0, 1]; a NaN, or a share closer than 1e-9 to 0 or 1, is left out.
    pub fn observe(&mut self, in_arm: bool, value: f64, share: f64) {
        let terms = Terms {
            share,
            ..Terms::default()
        };
        self.observe_by(in_arm, value, terms);
    }

    /// The same, by terms of its own.
    pub fn observe_by(&mut self, in_arm: bool, value: f64, terms: Terms) {
        let Terms { share, .. } = terms;
        let (centre, tolerated) = (
            terms.centre.clamp(0.0, 1.0),
            terms.tolerated.clamp(0.0, 1.0),
        );
        if !SHARES.contains(&share) || [value, centre, tolerated].iter().any(|x| x.is_nan()) {
            return;
        }
        let from_centre = value.clamp(0.0, 1.0) - centre;
        let x = if in_arm {
            from_centre / share
        } else {
            -from_centre / (1.0 - share)
        } - tolerated;
        // With mean = sum/(n+1) and var = (squares+1)/(n+1) - mean^2, the Kelly stake
        // mean/(var + mean^2) is this. It uses earlier users only: else it would not be
        // a bet. Half of the largest stake that cannot lose everything keeps
        // 1 + stake x >= 1/2.
        let kelly = self.sum / (self.sum_of_squares + 1.0);
        let most_lost = (centre / share).max((1.0 - centre) / (1.0 - share)) + tolerated;
        let stake = kelly.clamp(0.0, 0.5 / most_lost);
        self.log_wealth += ln(1.0 + stake * x);
        self.sum += x;
        self.sum_of_squares += x * x;
    }

    /// ln E against "the arm's mean value is at most control's", or so much above it as
    /// is tolerated.
    pub fn log_e(&self) -> f64 {
        self.log_wealth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: f64 = 0.1;

    fn terms(centre: f64, tolerated: f64) -> Terms {
        Terms {
            share: SHARE,
            centre,
            tolerated,
        }
    }

    /// A gambler that has learned to stake.
    fn eager() -> ValueBet {
        ValueBet::resumed([0.0, 300.0, 500.0])
    }

    #[test]
    fn nothing_loses_everything() {
        for share in [1e-6, 0.1, 0.5, 0.9, 1.0 - 1e-6] {
            for centre in [0.0, 0.3, 1.0] {
                for tolerated in [0.0, 0.2, 1.0] {
                    for (in_arm, value) in [(true, 0.0), (true, 1.0), (false, 0.0), (false, 1.0)] {
                        let mut bet = eager();
                        let terms = Terms {
                            share,
                            centre,
                            tolerated,
                        };
                        bet.observe_by(in_arm, value, terms);
                        assert!(bet.log_e() >= ln(0.5) - 1e-12, "{terms:?} {in_arm} {value}");
                    }
                }
            }
        }
    }

    /// The expected factor is 1 where the arm is as far above control as is tolerated, and
    /// less below, whatever the guess at the value is: that makes it an e-process.
    #[test]
    fn at_what_is_tolerated_nothing_is_won_on_average() {
        for centre in [0.0, 0.4, 1.0] {
            for (above, at_most) in [(0.2, 1.0), (0.1, 1.0 - 1e-3)] {
                let (control, arm) = (0.5, 0.5 + above);
                let mut factor = 0.0;
                for (in_arm, mean, chance) in [(true, arm, SHARE), (false, control, 1.0 - SHARE)] {
                    for (value, chance) in [(1.0, chance * mean), (0.0, chance * (1.0 - mean))] {
                        let mut bet = eager();
                        bet.observe_by(in_arm, value, terms(centre, 0.2));
                        factor += chance * crate::math::exp(bet.log_e());
                    }
                }
                assert!(factor <= at_most + 1e-12, "{centre}: {factor}");
                let is_even = (factor - 1.0).abs() < 1e-12;
                assert_eq!(is_even, above == 0.2, "{centre}: {factor}");
            }
        }
    }

    #[test]
    fn a_good_guess_is_sooner_sure() {
        // Every tenth user is the arm's; its values are 0.9, and control's 0.8.
        let sure = |centre: f64| {
            let mut bet = ValueBet::new();
            for user in 0..20_000 {
                let in_arm = user % 10 == 0;
                let value = if in_arm { 0.9 } else { 0.8 };
                bet.observe_by(in_arm, value, terms(centre, 0.0));
            }
            bet.log_e()
        };
        assert!(
            sure(0.81) > 10.0 * sure(0.0),
            "{} {}",
            sure(0.81),
            sure(0.0)
        );
        let blind = Terms {
            centre: f64::NAN,
            ..terms(0.0, 0.0)
        };
        let mut bet = eager();
        bet.observe_by(true, 1.0, blind);
        assert_eq!(bet, eager(), "what makes no sense is left out");
    }
}
