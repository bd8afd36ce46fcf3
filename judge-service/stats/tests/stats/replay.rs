//! Frozen bits.
//!
//! NOTE: stored evidence bundles replay only while these hold. A change of formula,
//! of a grid or of a summation order shows here first; so does a machine that rounds
//! differently. Never update a value without saying so in the evidence's version.

use serinus_stats::distance::{Classes, Distance, distance};
use serinus_stats::paired::{self, Discordant};
use serinus_stats::ratio::{LabelCounts, RatioGrid};
use serinus_stats::sequence::{ArmSlots, Difference, Margin, SLOTS, Stratum, difference};
use serinus_stats::{absolute, quantile, ratio, srm, value};

fn labels() -> [LabelCounts; 2] {
    [(0.1, 100, 17), (0.25, 60, 21)].map(|(share, with_event, in_arm)| LabelCounts {
        share,
        with_event,
        in_arm,
    })
}

fn promotion() -> Difference {
    let requests: [u64; SLOTS] = std::array::from_fn(|slot| 40 + slot as u64 % 7);
    let events: [u64; SLOTS] = std::array::from_fn(|slot| u64::from(slot % 5 == 0));
    let more: [u64; SLOTS] = std::array::from_fn(|slot| slot as u64 % 3);
    let stratum = Stratum {
        canary: ArmSlots {
            requests: &requests,
            events: &events,
        },
        control: ArmSlots {
            requests: &requests,
            events: &more,
        },
    };
    difference(&[stratum, stratum], Margin::Ratio(1.5)).unwrap()
}

fn pairs() -> f64 {
    let pairs = Discordant {
        share: 0.1,
        first: [3, 9],
        second: [40, 5],
    };
    paired::log_e(&RatioGrid::rollback(1.1), &[pairs])
}

fn apart() -> Distance {
    let strata = [
        Classes::new(&[400, 300, 50], &[3_000, 4_000, 300]),
        Classes::new(&[40, 30, 5], &[30, 20, 3]),
    ];
    distance(&strata).unwrap()
}

fn wealth() -> f64 {
    let mut bet = value::ValueBet::new();
    for user in 0..40_u32 {
        bet.observe(user % 3 == 0, f64::from(user % 7) / 7.0, 0.25);
    }
    bet.log_e()
}

#[test]
fn evidence_replays_bit_for_bit() {
    let computed = [
        (
            "ratio",
            ratio::log_e(&RatioGrid::rollback(1.1), labels().into_iter()),
        ),
        ("estimate", ratio::estimate(labels().into_iter()).unwrap()),
        ("absolute", absolute::log_e(0.01, 1735, 5)),
        ("lower", absolute::lower_log_e(0.2, 300, 90)),
        ("srm", srm::log_e_two_arms(srm::CONCENTRATION, labels())),
        ("sequence", promotion().upper_bound(0.05, 36_500.0)),
        // As much as promotes: what decides is in it.
        ("promotion", promotion().times_as_many(1e-200).unwrap()),
        ("pairs", pairs()),
        ("distance", apart().estimate),
        ("distance, at least", apart().lower_bound(0.05)),
        ("distance, at most", apart().upper_bound(0.05)),
        ("quantile", quantile::band(1000, 100, quantile::C_05)),
        ("value", wealth()),
    ];
    let frozen = [
        0x3ff6_10ee_e254_d2ef,
        0x3ffb_9c84_f77c_959c,
        0x4014_943b_312c_b96a,
        0x401b_b6dd_338d_f68d,
        0x3fcc_57b7_c6f7_0000,
        0xbf99_642f_c294_c9cc,
        0x4013_1390_28c2_4e08,
        0xbfe5_d3af_475c_8944,
        0x3fc1_fbc8_3cb3_3fb5,
        0x3fa3_36c7_670d_ac54,
        0x3fcb_c646_61dd_e558,
        0x3fb5_0114_0715_0530,
        0xbfce_d667_f9cf_a842,
    ];
    for ((name, computed), frozen) in computed.iter().zip(frozen) {
        let bits = computed.to_bits();
        assert_eq!(bits, frozen, "{name}: {computed:?} {bits:#x}");
    }
}
