//! Properties that hold for all inputs. Expectations under the null are exact: every
//! outcome is enumerated, so no tolerance is spent on chance.

use proptest::collection::vec;
use proptest::prelude::*;
use serinus_stats::distance::{Classes, distance};
use serinus_stats::ratio::{LabelCounts, RatioGrid};
use serinus_stats::sequence::{ArmSlots, Margin, SLOTS, Stratum, difference};
use serinus_stats::{absolute, paired, psi, quantile, ratio, srm, value};

/// Rounding of a sum of a few hundred products.
const ROUNDING: f64 = 1e-9;

fn binomial(n: u64, p: f64) -> Vec<f64> {
    let mut mass = vec![1.0];
    for _ in 0..n {
        let mut next = vec![0.0; mass.len() + 1];
        for (x, probability) in mass.iter().enumerate() {
            next[x] += probability * (1.0 - p);
            next[x + 1] += probability * p;
        }
        mass = next;
    }
    mass
}

fn mean_over_binomial(n: u64, p: f64, log_e: impl Fn(u64) -> f64) -> f64 {
    let mass = binomial(n, p);
    (0..=n)
        .zip(mass)
        .map(|(x, mass)| mass * log_e(x).exp())
        .sum()
}

/// The probability that an event falls on the arm.
fn on_arm(share: f64, ratio: f64) -> f64 {
    share * ratio / (1.0 - share + share * ratio)
}

fn labels(share: f64, with_event: u64, in_arm: u64) -> LabelCounts {
    LabelCounts {
        share,
        with_event,
        in_arm,
    }
}

fn one(share: f64, with_event: u64, in_arm: u64) -> std::iter::Once<LabelCounts> {
    std::iter::once(labels(share, with_event, in_arm))
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0_u64), 3 => 0_u64..100_000, 1 => any::<u64>()]
}

fn any_labels() -> impl Strategy<Value = LabelCounts> {
    let share = prop_oneof![3 => 0.0..1.0, 1 => any::<f64>()];
    let count = || prop_oneof![3 => 0_u64..10_000, 1 => any::<u64>()];
    (share, count(), count()).prop_map(|(share, n, x)| labels(share, n, x))
}

proptest! {
    // === ratio ===

    #[test]
    fn ratio_has_mean_one_at_the_tolerated_ratio_and_less_below(
        tolerated in 0.5_f64..3.0,
        fraction in 0.0_f64..1.0,
        shares in (0.01_f64..0.99, 0.01_f64..0.99),
        sizes in (0_u64..12, 0_u64..12),
    ) {
        let grid = RatioGrid::rollback(tolerated);
        let mean = |truth: f64| {
            mean_over_binomial(sizes.0, on_arm(shares.0, truth), |x| {
                let second = mean_over_binomial(sizes.1, on_arm(shares.1, truth), |y| {
                    let epochs = [labels(shares.0, sizes.0, x), labels(shares.1, sizes.1, y)];
                    ratio::log_e(&grid, epochs.into_iter())
                });
                second.ln()
            })
        };
        prop_assert!((mean(tolerated) - 1.0).abs() < ROUNDING);
        prop_assert!(mean(tolerated * fraction) <= 1.0 + ROUNDING);
    }

    #[test]
    fn ratio_grows_with_each_event_on_the_arm(
        tolerated in 0.5_f64..3.0,
        share in 0.01_f64..0.99,
        n in 1_u64..1000,
        x in 0_u64..1000,
    ) {
        let grid = RatioGrid::rollback(tolerated);
        let x = x.min(n - 1);
        prop_assert!(
            ratio::log_e(&grid, one(share, n, x)) < ratio::log_e(&grid, one(share, n, x + 1))
        );
    }

    #[test]
    fn epochs_with_one_share_are_one_epoch(
        share in 0.01_f64..0.99,
        parts in vec((0_u64..1000, 0_u64..1000), 1..6),
    ) {
        let grid = RatioGrid::rollback(1.1);
        let epochs = parts.iter().map(|&(n, x)| labels(share, n, x.min(n)));
        let n = epochs.clone().map(|e| e.with_event).sum();
        let x = epochs.clone().map(|e| e.in_arm).sum();
        let whole = ratio::log_e(&grid, one(share, n, x));
        let split = ratio::log_e(&grid, epochs.clone());
        prop_assert!((whole - split).abs() <= ROUNDING * whole.abs().max(1.0));
        match (ratio::estimate(epochs), ratio::estimate(one(share, n, x))) {
            (Some(split), Some(whole)) => prop_assert!((split - whole).abs() <= 1e-9 * whole),
            (split, whole) => prop_assert_eq!(split, whole),
        }
    }

    #[test]
    fn ratio_is_finite_for_any_input(
        tolerated in any::<f64>(),
        epochs in vec(any_labels(), 0..5),
    ) {
        let grid = RatioGrid::rollback(tolerated);
        prop_assert!(ratio::log_e(&grid, epochs.iter().copied()).is_finite());
        if let Some(ratio) = ratio::estimate(epochs.iter().copied()) {
            prop_assert!(ratio.is_finite() && ratio >= 0.0);
        }
    }

    #[test]
    fn the_estimate_is_the_most_likely_ratio(
        epochs in vec((0.02_f64..0.98, 1_u64..200, 0_u64..200), 1..4),
    ) {
        let epochs: Vec<_> = epochs.iter().map(|&(s, n, x)| labels(s, n, x.min(n))).collect();
        let Some(best) = ratio::estimate(epochs.iter().copied()).filter(|&r| r > 0.0) else {
            return Ok(());
        };
        for other in [best * 0.9, best * 1.1] {
            let grid = RatioGrid::new(best, &[other], &[1.0]).unwrap();
            prop_assert!(ratio::log_e(&grid, epochs.iter().copied()) < 0.0);
        }
    }

    #[test]
    fn a_pair_is_a_label_at_one_half_where_nobody_has_the_arm(
        arm in 0_u64..500, control in 0_u64..500,
    ) {
        let grid = RatioGrid::rollback(1.2);
        let of = |second| [paired::Discordant { second, ..paired::Discordant::default() }];
        prop_assert_eq!(
            paired::log_e(&grid, &of([arm, control])),
            ratio::log_e(&grid, one(0.5, arm + control, arm))
        );
        prop_assert!(paired::log_e(&grid, &of([u64::MAX - arm, u64::MAX - control])).is_finite());
    }

    /// At what is tolerated the expected E is 1, however much more often whoever is asked
    /// again is wrong.
    #[test]
    fn the_way_of_the_second_answer_is_no_evidence(
        share in 0.05_f64..0.95, first in 1_u64..8, second in 1_u64..8,
    ) {
        let grid = RatioGrid::rollback(1.0);
        let mean = mean_over_binomial(first, share, |x| {
            mean_over_binomial(second, 1.0 - share, |y| {
                let pairs = paired::Discordant {
                    share,
                    first: [x, first - x],
                    second: [y, second - y],
                };
                paired::log_e(&grid, &[pairs])
            })
            .ln()
        });
        prop_assert!((mean - 1.0).abs() < ROUNDING, "{mean}");
    }

    // === distance ===

    #[test]
    fn a_distance_is_between_its_bounds(
        classes in vec((any_count(), any_count(), any_count(), any_count()), 1..6),
        alpha in 1e-6_f64..0.5,
    ) {
        let side = |of: fn(&(u64, u64, u64, u64)) -> u64| classes.iter().map(of).collect::<Vec<_>>();
        let (arm, control) = (side(|all| all.0), side(|all| all.1));
        let (more_arm, more_control) = (side(|all| all.2), side(|all| all.3));
        let strata = [
            Classes::new(&arm, &control),
            Classes::new(&more_arm, &more_control),
        ];
        let Some(found) = distance(&strata) else {
            let none = |users: &[u64]| users.iter().all(|&users| users == 0);
            let empty = (none(&arm) || none(&control)) && (none(&more_arm) || none(&more_control));
            prop_assert!(empty);
            return Ok(());
        };
        let (lower, upper) = (found.lower_bound(alpha), found.upper_bound(alpha));
        prop_assert!((0.0..=1.0 + ROUNDING).contains(&found.estimate), "{found:?}");
        prop_assert!(0.0 <= lower && lower <= found.estimate, "{lower} {found:?}");
        prop_assert!(upper <= 1.0 && found.estimate <= upper + ROUNDING, "{upper} {found:?}");
        // Who is to be surer says less.
        prop_assert!(found.lower_bound(alpha / 10.0) <= lower);
        prop_assert!(found.upper_bound(alpha / 10.0) >= upper);
        let itself = distance(&[Classes::new(&arm, &arm)]);
        prop_assert!(itself.is_none_or(|itself| itself.estimate == 0.0));
    }

    // === absolute ===

    #[test]
    fn absolute_has_mean_at_most_one_at_and_above_the_bound(
        bound in 0.001_f64..0.6,
        beyond in 0.0_f64..1.0,
        users in 0_u64..60,
    ) {
        let below = |x| absolute::log_e(bound, users, x);
        prop_assert!((mean_over_binomial(users, bound, below) - 1.0).abs() < ROUNDING);
        let truth = bound + beyond * (1.0 - bound);
        prop_assert!(mean_over_binomial(users, truth, below) <= 1.0 + ROUNDING);

        let above = |x| absolute::lower_log_e(bound, users, x);
        prop_assert!((mean_over_binomial(users, bound, above) - 1.0).abs() < ROUNDING);
        prop_assert!(mean_over_binomial(users, bound * beyond, above) <= 1.0 + ROUNDING);
    }

    #[test]
    fn absolute_is_monotone_in_the_events(
        bound in 0.001_f64..0.6,
        users in 1_u64..5000,
        events in 0_u64..5000,
    ) {
        let events = events.min(users - 1);
        let (fewer, more) = (events, events + 1);
        prop_assert!(absolute::log_e(bound, users, fewer) > absolute::log_e(bound, users, more));
        prop_assert!(
            absolute::lower_log_e(bound, users, fewer) < absolute::lower_log_e(bound, users, more)
        );
    }

    #[test]
    fn absolute_is_finite_for_any_input(
        bound in prop_oneof![0.0..1.0, any::<f64>(), Just(1.0 - f64::EPSILON / 2.0), Just(5e-324)],
        users in any::<u64>(),
        events in any::<u64>(),
    ) {
        prop_assert!(absolute::log_e(bound, users, events).is_finite());
        prop_assert!(absolute::lower_log_e(bound, users, events).is_finite());
    }

    // === srm ===

    #[test]
    fn srm_has_mean_one_while_the_split_is_as_stated(
        share in 0.01_f64..0.99,
        concentration in 1.0_f64..2000.0,
        users in 0_u64..60,
    ) {
        let log_e = |x| srm::log_e_two_arms(concentration, [labels(share, users, x)]);
        prop_assert!((mean_over_binomial(users, share, log_e) - 1.0).abs() < ROUNDING);
    }

    #[test]
    fn srm_has_mean_one_with_three_arms(
        widths in (1_u64..10_000, 1_u64..10_000, 1_u64..10_000),
        users in 0_u64..20,
    ) {
        let shares = [widths.0, widths.1, widths.2].map(|width| width as f64);
        let total: f64 = shares.iter().sum();
        let mean = mean_over_binomial(users, shares[0] / total, |first| {
            let rest = users - first;
            let second_of_rest = shares[1] / (shares[1] + shares[2]);
            mean_over_binomial(rest, second_of_rest, |second| {
                let counts = [first, second, rest - second];
                let epoch = srm::NewUsers { shares: &shares, counts: &counts };
                srm::log_e(srm::CONCENTRATION, [epoch])
            })
            .ln()
        });
        prop_assert!((mean - 1.0).abs() < ROUNDING);
    }

    #[test]
    fn two_arms_are_a_case_of_many(
        epochs in vec((0.01_f64..0.99, 0_u64..100_000, 0_u64..100_000), 0..4),
    ) {
        let two = epochs.iter().map(|&(share, x, y)| labels(share, x + y, x));
        let two = srm::log_e_two_arms(srm::CONCENTRATION, two);
        let rows: Vec<_> = epochs.iter().map(|&(s, x, y)| ([s, 1.0 - s], [x, y])).collect();
        let many = rows.iter().map(|(shares, counts)| srm::NewUsers { shares, counts });
        let many = srm::log_e(srm::CONCENTRATION, many);
        prop_assert!((two - many).abs() <= 1e-7 * two.abs().max(1.0), "{} {}", two, many);
    }

    #[test]
    fn srm_is_finite_for_any_input(
        concentration in any::<f64>(),
        epochs in vec(any_labels(), 0..4),
        shares in vec(any::<f64>(), 0..4),
        counts in vec(any::<u64>(), 0..4),
    ) {
        prop_assert!(srm::log_e_two_arms(srm::CONCENTRATION, epochs.iter().copied()).is_finite());
        let epoch = srm::NewUsers { shares: &shares, counts: &counts };
        prop_assert!(srm::log_e(srm::CONCENTRATION, [epoch]).is_finite());
        prop_assert!(srm::log_e(concentration, [epoch]).is_finite());
    }

    // === value ===

    #[test]
    fn a_bet_on_no_difference_has_mean_at_most_one(
        share in 0.05_f64..0.95,
        users in vec((0.0_f64..1.0, 0.0_f64..1.0), 0..9),
    ) {
        // Each user's value is at most as high in the arm as in control.
        let mean: f64 = (0..1_u32 << users.len())
            .map(|assignment| {
                let mut bet = value::ValueBet::new();
                let mut probability = 1.0;
                for (i, &(a, b)) in users.iter().enumerate() {
                    let in_arm = assignment >> i & 1 == 1;
                    probability *= if in_arm { share } else { 1.0 - share };
                    bet.observe(in_arm, if in_arm { a.min(b) } else { a.max(b) }, share);
                }
                probability * bet.log_e().exp()
            })
            .sum();
        prop_assert!(mean <= 1.0 + ROUNDING);
    }

    #[test]
    fn a_bet_is_never_nan(users in vec((any::<bool>(), any::<f64>(), any::<f64>()), 0..50)) {
        let mut bet = value::ValueBet::new();
        for (in_arm, value, share) in users {
            bet.observe(in_arm, value, share);
        }
        prop_assert!(bet.log_e().is_finite());
    }

    // === sequence ===

    #[test]
    fn bounds_surround_the_estimate_whatever_is_counted(
        counts in vec(vec(prop_oneof![3 => 0_u64..50, 1 => any::<u64>()], SLOTS), 4..=8),
        margin in 0.5_f64..3.0,
        alpha in 0.001_f64..0.2,
    ) {
        let strata: Vec<Stratum> = counts
            .chunks_exact(4)
            .map(|four| Stratum {
                canary: ArmSlots { requests: &four[0], events: &four[1] },
                control: ArmSlots { requests: &four[2], events: &four[3] },
            })
            .collect();
        for margin in [Margin::Ratio(margin), Margin::Absolute(margin - 1.0)] {
            let found = difference(&strata, margin).unwrap();
            prop_assert!(found.standard_error.is_finite() && found.standard_error >= 0.0);
            prop_assert!((0.0..=1.0).contains(&found.share));
            let (low, high) = found.interval(alpha, 1e5);
            prop_assert!(low <= found.estimate && found.estimate <= high);
            prop_assert!(found.lower_bound(alpha, 1e5) <= found.estimate);
            prop_assert!(found.estimate <= found.upper_bound(alpha, 1e5));
            // Half of alpha on each side is stricter than alpha on one.
            prop_assert!(found.upper_bound(alpha, 1e5) <= high);
        }
    }

    #[test]
    fn a_stratum_that_comes_twice_keeps_its_estimate_and_error(
        requests in vec(1_u64..50, SLOTS),
        other in vec(1_u64..50, SLOTS),
    ) {
        // Two copies of one stratum are that stratum twice: the rates stay, and so does
        // the error, since the same slots (users) came back.
        let events: Vec<u64> = requests.iter().map(|n| n / 3).collect();
        let stratum = Stratum {
            canary: ArmSlots { requests: &requests, events: &events },
            control: ArmSlots { requests: &other, events: &[1; SLOTS] },
        };
        let once = difference(&[stratum], Margin::Ratio(1.2)).unwrap();
        let twice = difference(&[stratum, stratum], Margin::Ratio(1.2)).unwrap();
        prop_assert!((once.estimate - twice.estimate).abs() < 1e-12);
        prop_assert!((once.standard_error - twice.standard_error).abs() < 1e-12);
        prop_assert_eq!(2 * once.n, twice.n);
    }

    // === quantile, psi ===

    #[test]
    fn a_band_is_a_probability(t in any::<u64>(), t_min in any::<u64>()) {
        let band = quantile::band(t, t_min, quantile::C_05);
        prop_assert!((0.0..=1.0).contains(&band));
    }

    #[test]
    fn psi_is_finite_symmetric_and_not_negative(
        counts in vec((any::<u64>(), any::<u64>()), 1..20),
    ) {
        let (p, q): (Vec<u64>, Vec<u64>) = counts.into_iter().unzip();
        let (forward, back) = (psi::psi(&p, &q), psi::psi(&q, &p));
        if let (Some(forward), Some(back)) = (forward, back) {
            prop_assert!(forward.is_finite() && forward >= 0.0);
            prop_assert!((forward - back).abs() <= 1e-12 * forward.max(1.0));
        }
    }
}
