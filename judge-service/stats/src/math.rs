//! The only door to transcendental functions, so that every machine rounds alike.

pub(crate) use libm::{exp, lgamma, log as ln};

/// IEEE 754 fixes the result of a square root, so the hardware's is portable.
pub(crate) fn sqrt(x: f64) -> f64 {
    x.sqrt()
}

/// Strictly between 0 and 1; false for NaN.
pub(crate) fn is_share(x: f64) -> bool {
    x > 0.0 && x < 1.0
}

/// A running `ln sum exp(term)` that neither overflows nor allocates.
///
/// Terms are kept relative to the largest so far, so the result is finite as soon
/// as one term is.
#[derive(Clone, Copy)]
pub(crate) struct LogSum {
    largest: f64,
    scaled: f64,
}

impl LogSum {
    pub(crate) const EMPTY: LogSum = LogSum {
        largest: f64::NEG_INFINITY,
        scaled: 0.0,
    };

    pub(crate) fn add(&mut self, term: f64) {
        // A term of minus infinity adds nothing, and the difference of two
        // infinities below would be NaN.
        if term == f64::NEG_INFINITY {
            return;
        }
        if term <= self.largest {
            self.scaled += exp(term - self.largest);
        } else {
            self.scaled = self.scaled * exp(self.largest - term) + 1.0;
            self.largest = term;
        }
    }

    pub(crate) fn ln(self) -> f64 {
        self.largest + ln(self.scaled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_sum_agrees_with_arithmetic() {
        let mut sum = LogSum::EMPTY;
        for x in [1.0, 4.0, 2.0, 3.0] {
            sum.add(ln(x));
        }
        assert!((sum.ln() - ln(10.0)).abs() < 1e-15);
    }

    #[test]
    fn log_sum_survives_terms_that_overflow() {
        let mut sum = LogSum::EMPTY;
        sum.add(f64::NEG_INFINITY);
        sum.add(-1e19);
        sum.add(1e19);
        sum.add(1e19);
        assert_eq!(sum.ln(), 1e19 + ln(2.0));
    }
}
