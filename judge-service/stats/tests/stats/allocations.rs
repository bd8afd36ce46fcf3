//! A look allocates nothing: a judge looks at hundreds of rollouts several times a second.

use allocation_counter::measure;
use serinus_stats::distance::{Classes, distance};
use serinus_stats::paired::{self, Discordant};
use serinus_stats::ratio::{self, LabelCounts, RatioGrid};
use serinus_stats::restart;
use serinus_stats::sequence::{ArmSlots, Influences, Margin, SLOTS, Stratum};
use serinus_stats::srm::{self, NewUsers};
use serinus_stats::value::{Terms, ValueBet};
use serinus_stats::{absolute, psi, quantile};
use std::hint::black_box;

const LABELS: [LabelCounts; 2] = [
    LabelCounts {
        share: 0.1,
        with_event: 300,
        in_arm: 40,
    },
    LabelCounts {
        share: 0.25,
        with_event: 200,
        in_arm: 60,
    },
];

#[track_caller]
fn allocates_nothing(look: impl FnOnce() -> f64) {
    let mut found = f64::NAN;
    let counted = measure(|| found = black_box(look()));
    assert!(!found.is_nan());
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn evidence_of_harm() {
    let grid = RatioGrid::rollback(1.1);
    allocates_nothing(|| {
        let log_e = ratio::log_e(&grid, LABELS.into_iter());
        let estimate = ratio::estimate(LABELS.into_iter()).unwrap_or_default();
        restart::weighted(0.25, log_e)
            + estimate
            + LABELS
                .iter()
                .map(|own| ratio::most_evidence(own, 1.1))
                .sum::<f64>()
    });
    let pairs = [Discordant {
        share: 0.1,
        first: [3, 9],
        second: [40, 5],
    }];
    allocates_nothing(|| paired::log_e(&grid, &pairs));
}

#[test]
fn what_promotes_and_what_is_shown() {
    let (requests, events) = ([100; SLOTS], [1; SLOTS]);
    let arm = ArmSlots {
        requests: &requests,
        events: &events,
    };
    let strata = [Stratum {
        canary: arm,
        control: arm,
    }];
    allocates_nothing(|| {
        let influences = Influences::of(&strata).unwrap();
        let judged = influences.at(Margin::Ratio(1.5)).unwrap();
        let shown = influences.at(Margin::Absolute(0.0)).unwrap();
        f64::from(u8::from(judged.promotes(0.025))) + shown.interval(0.05, 2e4).1
    });
    allocates_nothing(|| absolute::log_e(0.01, 500, 1) + absolute::lower_log_e(0.2, 500, 90));
    allocates_nothing(|| quantile::band(500, 100, quantile::C_05));
}

#[test]
fn splits_classes_and_values() {
    let (shares, counts) = ([9_000.0, 1_000.0], [900, 100]);
    allocates_nothing(|| {
        let users = NewUsers {
            shares: &shares,
            counts: &counts,
        };
        srm::log_e(srm::CONCENTRATION, [users]) + srm::log_e_two_arms(srm::CONCENTRATION, LABELS)
    });
    let (arm, control) = ([50, 30, 20], [500, 300, 200]);
    let strata = [Classes::new(&arm, &control)];
    allocates_nothing(|| {
        let found = distance(&strata).unwrap();
        found.lower_bound(0.01) + found.upper_bound(0.01) + psi::psi(&arm, &control).unwrap()
    });
    let mut bet = ValueBet::new();
    allocates_nothing(|| {
        let terms = Terms {
            share: 0.1,
            ..Terms::default()
        };
        bet.observe_by(true, 0.5, terms);
        bet.log_e()
    });
}
