//! How far the arm's classes are from control's: total variation, with bounds that hold
//! at every look.
//!
//! # Assumed
//!
//! Each user has one class. Within a stratum (a segment, and a time in which its split
//! did not change) users are randomised and independent.
//!
//! # The estimate
//!
//! ```text
//! D    = 1/2 sum_c | sum_s w_s (p1_sc - p0_sc) |,    w_s = W_s / W
//! W_s  = N1_s N0_s / (N1_s + N0_s),                  W = sum_s W_s
//! ```
//!
//! with `p1` the shares of a class among the arm's users of a stratum and `p0` among
//! control's: the share of answers that would have to change to make the two alike.
//! Strata are not pooled, or one whose users answer otherwise *and* are split otherwise
//! would look like a drift.
//!
//! # Why it needs bounds
//!
//! `D` is never below 0, so chance alone makes it positive: by up to
//! `b = 1/2 sum_c sqrt( sum_s w_s p_sc (1 - p_sc) / W )` on average (Jensen), which is
//! 0.16 for ten equal classes and 100 users of the arm. Comparing `D` with a tolerance
//! takes back what is within it.
//!
//! # The guarantee
//!
//! One user moves `D` by at most `w_s/N`, so `D` exceeds its mean by `r` with probability
//! at most `exp(-2 W r^2)` (McDiarmid), and its mean exceeds the true distance by at most
//! `b`. Empirical distributions are a reverse martingale and `D` is convex in them, so the
//! same holds for all looks from a `W` on at once; the looks are cut where `W` doubles, and
//! piece j has `1/((j+1)(j+2))` of alpha. [`Distance::lower_bound`] is then above the true
//! distance at *any* look with probability at most alpha, and [`Distance::upper_bound`],
//! which needs no `b`, below it. Exact but for `b`, in which the shares seen stand for the
//! true ones, and for strata whose weights change with time.
//!
//! Source: McDiarmid, "On the method of bounded differences" (1989); reverse martingales
//! as in Manole and Ramdas, "Martingale methods for sequential estimation of convex
//! functionals and divergences" (2023).

use crate::math::{is_share, ln, sqrt};

/// Below this W nothing is said: the bounds would be wider than 0.15 anyway.
const FIRST_LOOK: f64 = 64.0;

/// Users of one stratum by class.
#[derive(Clone, Copy, Debug)]
pub struct Classes<'a> {
    arm: &'a [u64],
    control: &'a [u64],
    /// N1 and N0.
    users: [f64; 2],
}

/// How far apart two arms are at one look; nothing is known of one without users.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distance {
    /// D: between 0 and 1, and by chance above the true distance.
    pub estimate: f64,
    /// b: by how much at most, on average.
    pub by_chance: f64,
    /// W: users, as many as count; close to the arm's where control has many more.
    pub weight: f64,
}

/// The distance over all strata, which name the same classes in the same order. One in
/// which an arm has no users does not count. None if none counts, or if they differ in how
/// many classes they have.
pub fn distance(strata: &[Classes]) -> Option<Distance> {
    let classes = strata.first()?.arm.len();
    if !strata.iter().all(|stratum| stratum.has(classes)) {
        return None;
    }
    let counted = || strata.iter().filter(|stratum| stratum.weight() > 0.0);
    let weight: f64 = counted().map(Classes::weight).sum();
    let (mut apart, mut spread) = (0.0, 0.0);
    for class in 0..classes {
        let (mut gap, mut variance) = (0.0, 0.0);
        for stratum in counted() {
            let [arm, control] = stratum.of(class);
            let [all_arm, all_control] = stratum.users;
            let share = (arm + control) / (all_arm + all_control);
            gap += stratum.weight() * (arm / all_arm - control / all_control);
            variance += stratum.weight() * share * (1.0 - share);
        }
        apart += gap.abs();
        spread += sqrt(variance);
    }
    (weight > 0.0).then(|| Distance {
        estimate: apart / weight / 2.0,
        by_chance: spread / weight / 2.0,
        weight,
    })
}

// === impl Classes ===

impl<'a> Classes<'a> {
    /// `arm` of the arm that is judged, `control` of the concurrent control.
    pub fn new(arm: &'a [u64], control: &'a [u64]) -> Classes<'a> {
        let users = |of: &[u64]| of.iter().map(|&users| users as f64).sum();
        Classes {
            arm,
            control,
            users: [users(arm), users(control)],
        }
    }

    fn has(&self, classes: usize) -> bool {
        self.arm.len() == classes && self.control.len() == classes
    }

    /// W_s; 0 where one of the arms has no users.
    fn weight(&self) -> f64 {
        let [arm, control] = self.users;
        if arm + control > 0.0 {
            arm * control / (arm + control)
        } else {
            0.0
        }
    }

    fn of(&self, class: usize) -> [f64; 2] {
        [self.arm, self.control].map(|users| users.get(class).copied().unwrap_or_default() as f64)
    }
}

// === impl Distance ===

impl Distance {
    /// The true distance is below this at some look with probability at most `alpha`. 0,
    /// which says nothing, for an alpha that is not strictly between 0 and 1.
    pub fn lower_bound(&self, alpha: f64) -> f64 {
        let Some(piece) = Piece::of(self.weight) else {
            return 0.0;
        };
        let by_chance = self.by_chance * sqrt(self.weight / piece.starts);
        (self.estimate - by_chance - piece.radius(alpha)).max(0.0)
    }

    /// The true distance is above this at some look with probability at most `alpha`. 1
    /// where nothing is said.
    pub fn upper_bound(&self, alpha: f64) -> f64 {
        let piece = Piece::of(self.weight);
        piece.map_or(1.0, |piece| (self.estimate + piece.radius(alpha)).min(1.0))
    }
}

/// The looks between one doubling of W and the next.
struct Piece {
    /// W at its first look.
    starts: f64,
    /// Its part of alpha.
    part: f64,
}

// === impl Piece ===

impl Piece {
    fn of(weight: f64) -> Option<Piece> {
        let (mut starts, mut index) = (FIRST_LOOK, 0.0);
        // A W that is no number is in no piece; 2^64 users are more than there are.
        while starts * 2.0 <= weight && index < 64.0 {
            starts *= 2.0;
            index += 1.0;
        }
        (weight >= starts).then(|| Piece {
            starts,
            part: 1.0 / ((index + 1.0) * (index + 2.0)),
        })
    }

    fn radius(&self, alpha: f64) -> f64 {
        if !is_share(alpha) {
            return 1.0;
        }
        sqrt(-ln(alpha * self.part) / (2.0 * self.starts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arm: &[u64], control: &[u64]) -> Distance {
        distance(&[Classes::new(arm, control)]).unwrap()
    }

    #[test]
    fn it_is_what_would_have_to_change() {
        let found = of(&[20, 30, 50], &[500, 300, 200]);
        assert!((found.estimate - 0.3).abs() < 1e-15);
        assert!((found.weight - 100.0 * 1_000.0 / 1_100.0).abs() < 1e-12);
        assert_eq!(of(&[10, 0], &[0, 10]).estimate, 1.0);
        assert_eq!(of(&[7, 7], &[100, 100]).estimate, 0.0);
    }

    #[test]
    fn chance_alone_puts_ten_classes_apart() {
        let equal = of(&[10; 10], &[1_000; 10]);
        assert!((0.14..0.16).contains(&equal.by_chance), "{equal:?}");
    }

    #[test]
    fn strata_that_are_split_otherwise_are_not_pooled() {
        // Gold users answer 0, and are half on the arm; of the others a tenth is.
        let gold = Classes::new(&[1_000, 0], &[1_000, 0]);
        let rest = Classes::new(&[0, 1_000], &[0, 9_000]);
        let apart = distance(&[gold, rest]).unwrap();
        assert_eq!(apart.estimate, 0.0);
        assert_eq!(of(&[1_000, 1_000], &[1_000, 9_000]).estimate, 0.4);
    }

    #[test]
    fn what_is_surely_far_apart_is_said() {
        let near = |users: u64| of(&[users * 6 / 10, users * 4 / 10], &[users * 5, users * 5]);
        // 0.1 apart: that it is more than 0.05 is seen with many users, and never that it
        // is more than 0.1.
        assert_eq!(near(100).lower_bound(0.01), 0.0);
        assert!(near(10_000).lower_bound(0.01) > 0.05);
        for users in [1_000, 100_000, 10_000_000] {
            let found = near(users);
            assert!(found.lower_bound(0.01) < 0.1 && found.upper_bound(0.01) > 0.1);
        }
        assert!(near(10_000_000).lower_bound(0.01) > 0.098);
    }

    #[test]
    fn what_makes_no_sense_says_nothing() {
        assert_eq!(distance(&[]), None);
        assert_eq!(distance(&[Classes::new(&[5, 5], &[0, 0])]), None);
        assert_eq!(distance(&[Classes::new(&[5, 5], &[5])]), None);
        assert_eq!(distance(&[Classes::new(&[], &[])]), None);
        let few = of(&[5, 0], &[0, 50]);
        assert_eq!((few.lower_bound(0.05), few.upper_bound(0.05)), (0.0, 1.0));
        let many = of(&[5_000, 0], &[0, 50_000]);
        for alpha in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!(
                (many.lower_bound(alpha), many.upper_bound(alpha)),
                (0.0, 1.0)
            );
        }
        assert!(of(&[u64::MAX, 0], &[0, u64::MAX]).lower_bound(0.05) > 0.99);
    }
}
