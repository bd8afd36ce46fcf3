//! The population stability index: a familiar number, not a test.
//!
//! It has no error rate, grows with the number of classes, and shrinks with the
//! sample size even when nothing moved. Users know it from other tools ("over 0.25
//! is a shift"), so it is shown; nothing is decided by it. What decides is
//! [`crate::srm`] within each class, and [`crate::distance`]'s lower bound.

use crate::math::ln;

/// What an empty class counts as, as in evidently.
const EMPTY_SHARE: f64 = 1e-4;

/// `sum_i (p_i - q_i) ln(p_i / q_i)` over the classes' shares in the two counts.
///
/// A class empty in one count only would make it infinite. As in evidently 0.7
/// (`get_binned_data`), such a share counts as 0.0001, or as a millionth of the
/// smallest share that is not zero if that is not larger than 0.0001; the other
/// shares stay. A class empty in both adds nothing. None if the lengths differ or one
/// side has no observations: there is no distribution to compare.
pub fn psi(reference: &[u64], current: &[u64]) -> Option<f64> {
    let (p, q) = (Shares::of(reference)?, Shares::of(current)?);
    let index = reference
        .iter()
        .zip(current)
        .filter(|&(&a, &b)| a > 0 || b > 0)
        .map(|(&a, &b)| (p.share(a), q.share(b)))
        .map(|(p, q)| (p - q) * ln(p / q))
        .sum();
    (reference.len() == current.len()).then_some(index)
}

struct Shares {
    total: f64,
    empty: f64,
}

// === impl Shares ===

impl Shares {
    fn of(counts: &[u64]) -> Option<Shares> {
        let total: f64 = counts.iter().map(|&count| count as f64).sum();
        let least = counts.iter().filter(|&&count| count > 0).min()?;
        let least = *least as f64 / total;
        let empty = if least > EMPTY_SHARE {
            EMPTY_SHARE
        } else {
            least / 1e6
        };
        Some(Shares { total, empty })
    }

    fn share(&self, count: u64) -> f64 {
        if count == 0 {
            self.empty
        } else {
            count as f64 / self.total
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moved_is_zero_and_nothing_seen_is_none() {
        assert_eq!(psi(&[5, 3, 2], &[50, 30, 20]), Some(0.0));
        assert_eq!(psi(&[5, 0, 2], &[50, 0, 20]), Some(0.0));
        assert_eq!(psi(&[0, 0], &[1, 1]), None);
        assert_eq!(psi(&[], &[]), None);
        assert_eq!(psi(&[1, 1], &[1, 1, 1]), None);
    }

    #[test]
    fn an_empty_class_beside_a_rare_one_stays_rarer() {
        let shares = Shares::of(&[1, 0, 99_999]).unwrap();
        assert!((shares.share(0) - 1e-11).abs() < 1e-25);
        assert!(psi(&[1, 0, 99_999], &[0, 5, 10]).unwrap().is_finite());
    }
}
