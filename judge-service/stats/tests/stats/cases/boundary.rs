//! The boundary of the sequence.

use super::Case;
use serinus_stats::sequence::{Difference, Sides, rho2, z_one_sided, z_two_sided};

pub fn z_boundaries(case: &Case) {
    let (tau, alpha) = (case.number("tau"), case.number("alpha"));
    case.assert_expected("two_sided", z_two_sided(tau, alpha));
    case.assert_expected("one_sided", z_one_sided(tau, alpha));
}

/// rho^2 n* that makes the two-sided bound exactly tightest: -W_{-1}(-alpha^2/e) - 1,
/// which is the u that solves u - ln(1+u) = -2 ln alpha. The crate uses the paper's
/// closed approximation; drconfseq's sequence uses this.
fn exact_tuning(alpha: f64) -> f64 {
    let mut u = 10.0_f64;
    for _ in 0..50 {
        u -= (u - u.ln_1p() + 2.0 * alpha.ln()) / (1.0 - 1.0 / (1.0 + u));
    }
    u
}

pub fn tuning(case: &Case) {
    let (alpha, n_star) = (case.number("alpha_opt"), case.number("t_opt"));
    case.assert_expected("approx", rho2(alpha, n_star, Sides::Two));
    case.assert_expected("exact", exact_tuning(alpha) / n_star);
}

/// A sequence for a mean, with the estimate and error given.
fn sequence(estimate: f64, standard_error: f64, n: u64) -> Difference {
    Difference {
        estimate,
        standard_error,
        canary_error: 0.0,
        control_error: 0.0,
        canary_rate: 0.0,
        control_rate: 0.0,
        canary_events: 0,
        control_events: 0,
        canary_event_slots: 0,
        control_event_slots: 0,
        n,
        share: 0.5,
    }
}

pub fn unit_margin(case: &Case) {
    let t = case.number("t");
    let z = z_two_sided(t * case.number("rho2"), case.number("alpha"));
    case.assert_single(z / t.sqrt());
}

fn mean_and_variance(x: &[f64], degrees: f64) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let squares: f64 = x.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, squares / (n - degrees))
}

pub fn mean_sequence(case: &Case) {
    let x = case.numbers("x");
    let alpha = case.number("alpha");
    for t in [10, 20] {
        let (mean, variance) = mean_and_variance(&x[..t], 1.0);
        let tau = t as f64 * exact_tuning(alpha) / case.number("t_opt");
        let radius = z_two_sided(tau, alpha) * (variance / t as f64).sqrt();
        case.assert_expected(&format!("l_{t}"), mean - radius);
        case.assert_expected(&format!("u_{t}"), mean + radius);
    }
}

pub fn lyapunov(case: &Case) {
    let x = case.numbers("x");
    let (mean, variance) = mean_and_variance(&x, 1.0);
    let t = x.len() as f64;
    // Time is the accumulated variance here, in place of n.
    let z = z_two_sided(t * variance * case.number("rho2"), case.number("alpha"));
    let radius = z * (variance / t).sqrt();
    case.assert_expected("l_20", mean - radius);
    case.assert_expected("u_20", mean + radius);
}

/// GAVI and mSPRT are one-sided at alpha by being two-sided at 2 alpha.
pub fn gavi(case: &Case) {
    let two_sided = 2.0 * case.number("significance_level_one_sided");
    let n = case.number("n");
    let rho = 1.0 / rho2(two_sided, case.number("n_tune"), Sides::Two);
    case.assert_expected("rho", rho);
    case.assert_expected("boundary", z_two_sided(n / rho, two_sided) * n.sqrt());
}

pub fn msprt(case: &Case) {
    let two_sided = 2.0 * case.number("significance_level_one_sided");
    let n = case.number("n");
    case.assert_single(z_two_sided(n / case.number("phi"), two_sided) * n.sqrt());
}

pub fn z_radius(case: &Case) {
    let tau = case.number("n") / case.number("g");
    case.assert_single(z_two_sided(tau, case.number("alpha")));
}

pub fn confseq_tau(case: &Case) -> f64 {
    assert_eq!(case.arg("is_one_sided"), false);
    case.number("v") * rho2(case.number("alpha_opt"), case.number("v_opt"), Sides::Two)
}

pub fn normal_mixture_bound(case: &Case) {
    let z = z_two_sided(confseq_tau(case), case.number("alpha"));
    case.assert_single(z * case.number("v").sqrt());
}

pub fn normal_log_mixture(case: &Case) {
    // At the level that the mixture reaches, the bound is the sum itself.
    let alpha = (-case.0["expected"].as_f64().unwrap()).exp();
    let z = z_two_sided(confseq_tau(case), alpha);
    case.assert("bound", z * case.number("v").sqrt(), case.number("s"));
}

/// GrowthBook's estimates and errors (unclustered), our bounds.
pub fn growthbook_two_sided(case: &Case) {
    let expected = &case.0["expected"];
    let either = |a: &str, b: &str| expected[a].as_f64().or(expected[b].as_f64()).unwrap();
    let n = |arm: &str| case.arg(arm)["n"].as_u64().unwrap();
    let found = sequence(
        either("expected", "estimate"),
        either("stddev", "se"),
        n("a") + n("b"),
    );
    let (alpha, tuning_n) = (
        case.number("alpha"),
        case.number("sequential_tuning_parameter"),
    );

    let function = case.0["function"].as_str().unwrap();
    let (low, high) = (expected["ci"][0].as_f64(), expected["ci"][1].as_f64());
    if function.contains("TreatmentGreater") {
        case.assert("ci", found.lower_bound(alpha, tuning_n), low.unwrap());
    } else if function.contains("TreatmentLesser") {
        case.assert("ci", found.upper_bound(alpha, tuning_n), high.unwrap());
    } else {
        let interval = found.interval(alpha, tuning_n);
        case.assert("ci", interval.0, low.unwrap());
        case.assert("ci", interval.1, high.unwrap());
    }
}

pub fn halfwidth(case: &Case) {
    let n = case.number("n");
    let (alpha, tuning_n) = (
        case.number("alpha"),
        case.number("sequential_tuning_parameter"),
    );
    let rho = rho2(alpha, tuning_n, Sides::One).sqrt();
    case.assert_expected("rho", rho);
    let found = sequence(0.0, (case.number("s2") / n).sqrt(), case.count("n"));
    case.assert_expected("halfwidth", found.upper_bound(alpha, tuning_n));
}
