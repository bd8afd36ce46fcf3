//! Frozen bits.
//!
//! NOTE: stored evidence bundles replay only while these hold. A change of formula,
//! of a grid or of a summation order shows here first; so does a machine that rounds
//! differently. Never update a value without saying so in the evidence's version.

use serinus_stats::ratio::{LabelCounts, RatioGrid};
use serinus_stats::sequence::{ArmSlots, Margin, SLOTS, Stratum, difference};
use serinus_stats::{absolute, quantile, ratio, srm, value};

fn labels() -> [LabelCounts; 2] {
    [(0.1, 100, 17), (0.25, 60, 21)].map(|(share, with_event, in_arm)| LabelCounts {
        share,
        with_event,
        in_arm,
    })
}

fn upper_bound() -> f64 {
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
    let found = difference(&[stratum, stratum], Margin::Ratio(1.5)).unwrap();
    found.upper_bound(0.05, 36_500.0)
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
        ("sequence", upper_bound()),
        ("quantile", quantile::band(1000, 100, quantile::C_025)),
        ("value", wealth()),
    ];
    let frozen = [
        0x3ff6_10ee_e254_d2ef,
        0x3ffb_9c84_f77c_959c,
        0x4014_943b_312c_b96a,
        0x401b_b6dd_338d_f68d,
        0x3fcc_57b7_c6f7_0000,
        0xbf99_642f_c294_c9cc,
        0x3fb5_8f70_9e1c_b0c0,
        0xbfce_d667_f9cf_a842,
    ];
    for ((name, computed), frozen) in computed.into_iter().zip(frozen) {
        assert_eq!(
            computed.to_bits(),
            frozen,
            "{name}: {computed:?} {:#x}",
            computed.to_bits()
        );
    }
}
