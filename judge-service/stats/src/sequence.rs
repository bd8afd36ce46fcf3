//! The clustered, stratified confidence sequence: what promotes, and what is shown.
//!
//! # Assumed
//!
//! Users are randomised; a user's requests depend on each other and come back over
//! time. Users are independent. They are grouped into 256 hash slots that are
//! independent of the arm, so slots are independent clusters and their spread shows
//! the true variance of request-level rates. A stratum is a step (of one segment):
//! within it the split is constant, so pooling over a ramp cannot flip a sign.
//!
//! # The estimate
//!
//! ```text
//! Delta   = R1 - m R0  (or R1 - R0 - d)
//! R       = sum_e w_e R_e,             w_e ~ N1_e N0_e / (N1_e + N0_e), sum w_e = 1
//! psi_b   = sum_e w_e [ (Y1_eb - R1_e N1_eb)/N1_e - m (Y0_eb - R0_e N0_eb)/N0_e ]
//! SE^2    = B/(B-1) sum_b psi_b^2
//! ```
//!
//! with Y events, N requests, b a slot, B the slots that had a request (all 256 in
//! practice; with few users fewer, and then the correction matters). R1/R0 is the
//! Mantel-Haenszel risk ratio.
//!
//! # The guarantee
//!
//! `Delta` is above its upper bound at *any* look with probability at most alpha, and
//! so for the lower bound. It is asymptotic: wrong while the canary has few events
//! (34% wrong in A/A runs at a 10% split and 1% errors), hence [`Gate`]. With all
//! bounds below 0 for every guardrail the promotion as a whole errs with probability
//! at most alpha: an intersection-union test needs no correction. Simulated false
//! promotion exactly at the margin 1.5, for users that differ: 2.5% (20,000 users),
//! 5.0% (2,000 users with 200 requests each, the hard case).
//!
//! Start it afresh at each step: evidence for promotion is that step's own.
//!
//! Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central
//! limit theory and asymptotic confidence sequences" (arXiv 2103.06476), equation 9
//! (two-sided) and 134 (one-sided); the linearised cluster variance is that of
//! Taylor-series survey estimation.

mod influences;
mod promoting;
mod strata;
#[cfg(test)]
mod tests;

pub use influences::{Influences, Rates, difference, rates};
pub use promoting::{Gate, slots_hit_by};
pub use strata::{ArmSlots, Counts, SLOTS, Stratum, Totals, add_slots, total};

use crate::math::{is_share, ln, sqrt};

/// Requests at which the judge's sequences are tightest: a step of a small service in its
/// first hour, or of a large one in its first minute. The bound is valid at any other
/// number too.
pub const TUNING_REQUESTS: f64 = 20_000.0;

/// What is compared; the canary is acceptable where `Delta` is below 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Margin {
    /// `R1 - m R0`: the canary's rate is less than m times control's. 1 compares
    /// without a margin.
    Ratio(f64),
    /// `R1 - R0 - d`: the canary's rate is less than control's plus d. 0 is the plain
    /// difference, for display.
    Absolute(f64),
}

/// `Delta` at one look, and what its bounds need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// `Delta`: below 0 is within the margin.
    pub estimate: f64,
    /// Its clustered standard error.
    pub standard_error: f64,
    /// That of R1 alone.
    pub canary_error: f64,
    /// That of R0 alone.
    pub control_error: f64,
    /// R1, weighted over strata; events per request.
    pub canary_rate: f64,
    /// R0, weighted over strata; events per request.
    pub control_rate: f64,
    /// The canary's events in the strata that count.
    pub canary_events: u64,
    /// Control's events in the strata that count.
    pub control_events: u64,
    /// Slots in which the canary had an event: at most the number of its users with
    /// one, and close to it while they are few.
    pub canary_event_slots: u32,
    /// The same of control.
    pub control_event_slots: u32,
    /// Requests of both arms in the strata that count: the index of the sequence. It
    /// enters only relative to the tuning n, so requests serve although users are the
    /// independent units.
    pub n: u64,
    /// The canary's share of those requests.
    pub share: f64,
}

/// Whether a bound looks at one side or at both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// One bound, at alpha.
    One,
    /// An interval, at alpha for both sides together.
    Two,
}

// === impl Difference ===

impl Difference {
    /// The one-sided bound above `Delta`: below 0 promotes, if the gate is open.
    ///
    /// `tuning_n` is the n at which the bound is tightest: the requests of both arms
    /// expected by the decision. It must be chosen before the data. Infinite where
    /// [`z_one_sided`] is.
    pub fn upper_bound(&self, alpha: f64, tuning_n: f64) -> f64 {
        let tau = self.tau(alpha, tuning_n, Sides::One);
        self.estimate + self.radius(z_one_sided(tau, alpha))
    }

    /// The one-sided bound below `Delta`: above 0, the margin is exceeded.
    pub fn lower_bound(&self, alpha: f64, tuning_n: f64) -> f64 {
        let tau = self.tau(alpha, tuning_n, Sides::One);
        self.estimate - self.radius(z_one_sided(tau, alpha))
    }

    /// The two-sided interval for `Delta`, for display.
    pub fn interval(&self, alpha: f64, tuning_n: f64) -> (f64, f64) {
        let tau = self.tau(alpha, tuning_n, Sides::Two);
        let radius = self.radius(z_two_sided(tau, alpha));
        (self.estimate - radius, self.estimate + radius)
    }

    fn tau(&self, alpha: f64, tuning_n: f64, sides: Sides) -> f64 {
        self.n as f64 * rho2(alpha, tuning_n, sides)
    }

    fn radius(&self, z: f64) -> f64 {
        // Infinity times a standard error of 0 would be NaN.
        if z.is_finite() {
            z * self.standard_error
        } else {
            f64::INFINITY
        }
    }
}

/// `|z|` may reach this at any look with probability at most alpha:
/// `sqrt((1 + 1/tau)(ln(1+tau) + 2 ln(1/alpha)))`.
///
/// tau = n rho^2 is the sequence's time. Infinite (no statement) unless tau is
/// positive and finite and alpha strictly between 0 and 1.
pub fn z_two_sided(tau: f64, alpha: f64) -> f64 {
    if !is_time(tau) || !is_share(alpha) {
        return f64::INFINITY;
    }
    sqrt((1.0 + 1.0 / tau) * (ln(1.0 + tau) - 2.0 * ln(alpha)))
}

/// z may reach this at any look with probability at most alpha:
/// `sqrt(2 (1 + 1/tau) ln(1 + sqrt(1+tau)/(2 alpha)))`. Infinite like [`z_two_sided`].
pub fn z_one_sided(tau: f64, alpha: f64) -> f64 {
    if !is_time(tau) || !is_share(alpha) {
        return f64::INFINITY;
    }
    sqrt(2.0 * (1.0 + 1.0 / tau) * ln(1.0 + sqrt(1.0 + tau) / (2.0 * alpha)))
}

/// rho^2, which makes the bound (almost) tightest at `n_star`:
/// `(-2 ln a + ln(-2 ln a + 1)) / n_star`, a = alpha for two sides and 2 alpha for one.
///
/// 0, with which every bound is infinite, unless `n_star` is positive and a strictly
/// between 0 and 1. (rho is the paper's name; it is no share.)
pub fn rho2(alpha: f64, n_star: f64, sides: Sides) -> f64 {
    let a = match sides {
        Sides::One => 2.0 * alpha,
        Sides::Two => alpha,
    };
    if !is_share(a) || !is_time(n_star) {
        return 0.0;
    }
    let evidence = -2.0 * ln(a);
    (evidence + ln(evidence + 1.0)) / n_star
}

fn is_time(x: f64) -> bool {
    x > 0.0 && x.is_finite()
}
