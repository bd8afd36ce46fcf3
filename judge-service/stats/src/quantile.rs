//! A band around an empirical distribution that holds at every sample size at once.
//!
//! # Assumed
//!
//! Independent samples from one distribution. Requests of one user are not
//! independent, so feed one request per user, or read it as a picture.
//!
//! # Guaranteed
//!
//! With probability at least 1 - alpha, the empirical distribution function is
//! within [`band`] of the true one, everywhere, for all t >= t_min. So the true
//! q-quantile lies between the empirical quantiles at `q - band` and `q + band`.
//!
//! Source: Howard and Ramdas, "Sequential estimation of quantiles with applications
//! to A/B testing and best-arm identification" (2022), Theorem 2 with A = 0.85;
//! constants by `confseq` 0.0.11, `empirical_process_lil_bound`.

use crate::math::{ln, sqrt};

/// The constant C of a band that may fail with probability 0.05.
pub const C_05: f64 = 8.1227;

/// Half the band's height, in probability, after `samples` samples, if nobody looked
/// before `first_look` (t_min; 0 counts as 1):
/// `0.85 sqrt((ln(1 + ln(t/t_min)) + C)/t)`.
///
/// 1, which says nothing, before the first look, when the formula exceeds it, and
/// for a constant that is not a number.
pub fn band(samples: u64, first_look: u64, constant: f64) -> f64 {
    let first_look = first_look.max(1);
    if samples < first_look {
        return 1.0;
    }
    let t = samples as f64;
    let iterated = ln(1.0 + ln(t / first_look as f64));
    let half_height = 0.85 * sqrt((iterated + constant) / t);
    // `min` also turns NaN into 1.
    half_height.min(1.0)
}

/// The levels of the two empirical quantiles that bracket the true q-quantile: the
/// band around q, cut off at 0 and 1. A level of 0 or 1 means unbounded on that side.
pub fn levels(q: f64, band: f64) -> (f64, f64) {
    ((q - band).max(0.0), (q + band).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_says_nothing_before_its_first_look() {
        assert_eq!(band(0, 0, C_05), 1.0);
        assert_eq!(band(99, 100, C_05), 1.0);
        assert_eq!(band(1, 1, C_05), 1.0);
        assert_eq!(band(1000, 100, f64::NAN), 1.0);
        assert!(band(1000, 100, C_05) < band(500, 100, C_05));
    }

    #[test]
    fn levels_are_cut_off() {
        assert_eq!(levels(0.5, 0.25), (0.25, 0.75));
        assert_eq!(levels(0.99, 0.25), (0.74, 1.0));
        assert_eq!(levels(0.01, 0.25), (0.0, 0.26));
    }
}
