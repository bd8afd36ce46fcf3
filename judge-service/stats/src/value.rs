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
        self.observe_beyond(0.0, in_arm, value, share);
    }

    /// The same, against "the arm's mean value is at most `tolerated` above control's",
    /// which is 0 to 1. A stake of half of what cannot lose everything leaves
    /// `1 + stake (x - tolerated) >= 1/2 - tolerated (1-rho)/2`, which is above 0.
    pub fn observe_beyond(&mut self, tolerated: f64, in_arm: bool, value: f64, share: f64) {
        let tolerated = tolerated.clamp(0.0, 1.0);
        if !SHARES.contains(&share) || value.is_nan() || tolerated.is_nan() {
            return;
        }
        let value = value.clamp(0.0, 1.0);
        let x = if in_arm {
            value / share
        } else {
            -value / (1.0 - share)
        } - tolerated;
        // With mean = sum/(n+1) and var = (squares+1)/(n+1) - mean^2, the Kelly stake
        // mean/(var + mean^2) is this. It uses earlier users only: else it would not be
        // a bet. Half of the largest stake that cannot lose everything keeps
        // 1 + stake x >= 1/2.
        let kelly = self.sum / (self.sum_of_squares + 1.0);
        let stake = kelly.clamp(0.0, (1.0 - share) / 2.0);
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
