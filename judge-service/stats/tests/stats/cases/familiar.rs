//! Familiar numbers: bands of quantiles, and PSI.

use super::Case;
use serinus_stats::{psi, quantile};

pub fn quantile_band(case: &Case) {
    assert_eq!((case.number("alpha"), case.number("A")), (0.05, 0.85));
    case.assert_single(quantile::band(
        case.count("t"),
        case.count("t_min"),
        quantile::C_05,
    ));
}

pub fn psi_of_shares(case: &Case) {
    let in_hundredths = |name: &str| -> Vec<u64> {
        case.numbers(name)
            .iter()
            .map(|share| (share * 100.0).round() as u64)
            .collect()
    };
    case.assert_single(psi::psi(&in_hundredths("p"), &in_hundredths("q")).unwrap());
}

pub fn psi_of_classes(case: &Case) {
    let of = |name: &str| ["a", "b", "c"].map(|class| case.arg(name)[class].as_u64().unwrap());
    let index = psi::psi(&of("reference_counts"), &of("current_counts")).unwrap();
    case.assert_expected("psi", index);
}

/// The library bins both samples together by Sturges' rule.
pub fn psi_of_bins(case: &Case) {
    let (reference, current) = (case.numbers("reference"), case.numbers("current"));
    let all = || reference.iter().chain(&current).copied();
    let (low, high) = (
        all().fold(f64::MAX, f64::min),
        all().fold(f64::MIN, f64::max),
    );
    let bins = ((all().count() as f64).log2() + 1.0).ceil() as usize;
    let histogram = |sample: &[f64]| {
        let mut counts = vec![0; bins];
        for x in sample {
            let bin = ((x - low) / (high - low) * bins as f64) as usize;
            counts[bin.min(bins - 1)] += 1;
        }
        counts
    };
    case.assert_single(psi::psi(&histogram(&reference), &histogram(&current)).unwrap());
}
