//! Bins of a served score, fixed once and for all: so that distributions can be added up
//! and compared whatever a model answers.
//!
//! A hundred bins from 0 to 1, where probabilities are; outside of that eight for each
//! doubling, to both sides. Bins are in the order of their scores.

/// Bins for each doubling.
const OCTAVE: f64 = 8.0;
const PERCENT: f64 = 100.0;
/// Smaller than 2^-64 is 0.
const LEAST: f64 = -64.0 * OCTAVE;
/// The exponents of float64, in eighths.
const MOST: f64 = 1_024.0 * OCTAVE;

/// `None` for what is no number.
#[must_use]
pub fn bin(score: f64) -> Option<i64> {
    if !score.is_finite() {
        return None;
    }
    // The casts are of whole numbers within ten thousand.
    Some(if score > 1.0 {
        100 + eighths(score) as i64
    } else if score >= 0.0 {
        (score * PERCENT).floor().min(99.0) as i64
    } else {
        -1 - (eighths(-score) - LEAST) as i64
    })
}

/// The least score of a bin, and where the next begins.
#[must_use]
pub fn bounds(bin: i64) -> (f64, f64) {
    let power = |eighths: i64| libm::exp2(eighths as f64 / OCTAVE);
    match bin {
        ..0 => {
            let eighths = (-1 - bin).saturating_add(LEAST as i64);
            (-power(eighths.saturating_add(1)), -power(eighths))
        }
        0..100 => (bin as f64 / PERCENT, (bin + 1) as f64 / PERCENT),
        _ => (power(bin - 100), power((bin - 100).saturating_add(1))),
    }
}

fn eighths(score: f64) -> f64 {
    (libm::log2(score) * OCTAVE).floor().clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_number_has_no_bin() {
        assert_eq!(bin(f64::NAN), None);
        assert_eq!(bin(f64::INFINITY), None);
        assert_eq!(bin(1.0), Some(99));
        assert_eq!(bin(0.0), Some(0));
        assert_eq!(bin(-0.0), Some(0));
        assert_eq!(bounds(i64::MAX).0, f64::INFINITY);
        assert_eq!(bounds(i64::MIN).1, f64::NEG_INFINITY);
    }

    proptest! {
        #[test]
        fn a_score_is_in_its_bin(score in -1e6..1e6f64) {
            let (least, next) = bounds(bin(score).unwrap());
            prop_assert!(least <= score * (1.0 + score.signum() * 1e-12) && score * (1.0 - score.signum() * 1e-12) <= next, "{least} {score} {next}");
        }

        #[test]
        fn bins_are_in_order(low in -1e6..1e6f64, more in 0.0..1e6f64) {
            prop_assert!(bin(low) <= bin(low + more));
        }
    }
}
