//! The estimate and its bounds.

use super::*;

pub(super) const NONE: [u64; SLOTS] = [0; SLOTS];

pub(super) fn stratum<'a>(canary: [&'a [u64]; 2], control: [&'a [u64]; 2]) -> Stratum<'a> {
    Stratum {
        canary: ArmSlots {
            requests: canary[0],
            events: canary[1],
        },
        control: ArmSlots {
            requests: control[0],
            events: control[1],
        },
    }
}

/// Every slot the same, but for every fourth, which has the given events.
pub(super) fn every_fourth(events: u64) -> [u64; SLOTS] {
    std::array::from_fn(|slot| if slot % 4 == 0 { events } else { 0 })
}

#[test]
fn no_concurrent_comparison_is_none() {
    let some = [10; SLOTS];
    let margin = Margin::Ratio(1.5);
    assert_eq!(difference(&[], margin), None);
    assert_eq!(
        difference(&[stratum([&some, &NONE], [&NONE, &NONE])], margin),
        None
    );
    assert_eq!(
        difference(&[stratum([&some, &NONE], [&some[1..], &NONE])], margin),
        None
    );
    let both = [stratum([&some, &NONE], [&some, &NONE])];
    assert_eq!(difference(&both, Margin::Ratio(f64::NAN)), None);
    assert_eq!(difference(&both, Margin::Absolute(f64::INFINITY)), None);
    assert!(difference(&both, margin).is_some());
}

#[test]
fn a_stratum_without_control_does_not_count() {
    let (some, events) = ([10; SLOTS], every_fourth(2));
    let margin = Margin::Ratio(1.5);
    let one = stratum([&some, &events], [&some, &events]);
    let alone = stratum([&some, &some], [&NONE, &NONE]);
    assert_eq!(
        difference(&[one], margin),
        difference(&[one, alone], margin)
    );
}

#[test]
fn margins_move_the_estimate() {
    let (some, twice, once) = ([100; SLOTS], every_fourth(8), every_fourth(4));
    let strata = [stratum([&some, &twice], [&some, &once])];
    let estimate = |margin| difference(&strata, margin).unwrap().estimate;
    assert!((estimate(Margin::Absolute(0.0)) - 0.01).abs() < 1e-15);
    assert!((estimate(Margin::Absolute(0.015)) + 0.005).abs() < 1e-15);
    assert!((estimate(Margin::Ratio(1.5)) - 0.005).abs() < 1e-15);
    assert!(estimate(Margin::Ratio(2.0)).abs() < 1e-15);
}

#[test]
fn the_margin_scales_the_influence_of_control() {
    // The canary's spread is in other slots than control's, so variances add.
    let (some, events) = ([100; SLOTS], every_fourth(4));
    let shifted: [u64; SLOTS] = std::array::from_fn(|slot| u64::from(slot < 64) * 4);
    let variance = |margin| {
        let strata = [stratum([&some, &events], [&some, &shifted])];
        let error = difference(&strata, Margin::Ratio(margin))
            .unwrap()
            .standard_error;
        error * error
    };
    let (zero, one, two) = (variance(0.0), variance(1.0), variance(2.0));
    assert!((one - 2.0 * zero).abs() < 1e-12 * one);
    assert!((two - 5.0 * zero).abs() < 1e-12 * two);
}

#[test]
fn one_cluster_shows_no_spread() {
    let lone: [u64; SLOTS] = std::array::from_fn(|slot| u64::from(slot == 7) * 100);
    let event: [u64; SLOTS] = std::array::from_fn(|slot| u64::from(slot == 7));
    let found = difference(
        &[stratum([&lone, &event], [&lone, &event])],
        Margin::Ratio(1.5),
    );
    assert_eq!(found, None);
}

#[test]
fn what_makes_no_sense_bounds_nothing() {
    let (some, events) = ([100; SLOTS], every_fourth(4));
    let strata = [stratum([&some, &events], [&some, &events])];
    let found = difference(&strata, Margin::Ratio(1.5)).unwrap();
    assert!(found.upper_bound(0.05, 50_000.0) > found.estimate);
    for (alpha, tuning_n) in [
        (0.0, 1e4),
        (0.6, 1e4),
        (f64::NAN, 1e4),
        (0.05, 0.0),
        (0.05, -1.0),
    ] {
        assert_eq!(found.upper_bound(alpha, tuning_n), f64::INFINITY);
        assert_eq!(found.lower_bound(alpha, tuning_n), f64::NEG_INFINITY);
    }
    assert_eq!(found.interval(1.0, 1e4), (f64::NEG_INFINITY, f64::INFINITY));
}

#[test]
fn the_rates_alone_are_those_of_the_difference() {
    let (some, events) = ([10; SLOTS], every_fourth(2));
    let strata = [
        stratum([&some, &events], [&some, &NONE]),
        stratum([&some, &some], [&NONE, &NONE]),
    ];
    let found = difference(&strata, Margin::Absolute(0.0)).unwrap();
    let alone = rates(strata.iter().map(Stratum::totals)).unwrap();
    assert_eq!(alone.gap(), found.estimate);
    assert_eq!(
        (alone.canary, alone.control),
        (found.canary_rate, found.control_rate)
    );
    assert_eq!(rates([]), None);
}
