//! Values from independent implementations (testdata/stat_cases.json), each at its
//! own tolerance. A case in the file that no arm below checks fails the test.

use serde_json::Value;
use serinus_stats::ratio::{LabelCounts, RatioGrid};
use serinus_stats::sequence::{
    ArmSlots, Difference, Margin, SLOTS, Sides, Stratum, difference, rho2, z_one_sided, z_two_sided,
};
use serinus_stats::{absolute, psi, quantile, ratio, restart, srm, value};

const CASES: &str = include_str!("../../testdata/stat_cases.json");

#[test]
fn values_of_independent_implementations() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    assert!(!cases.is_empty());
    for case in &cases {
        check(&Case(case));
    }
}

fn check(case: &Case) {
    let library = case.0["source_library"].as_str().unwrap();
    let function = case.0["function"].as_str().unwrap();
    match (library.split(' ').next().unwrap(), function) {
        ("closed", f) if f.starts_with("log sum_k w_k") => rate_ratio(case),
        ("closed", f) if f.starts_with("log mean_j") => agreement(case),
        ("closed", f) if f.starts_with("sum_c lnB") => class_drift(case),
        ("closed", f) if f.starts_with("z2=") => z_boundaries(case),
        ("closed", f) if f.starts_with("X=y*") => betting(case),
        ("confseq", "confseq.boundaries.normal_log_mixture") => normal_log_mixture(case),
        ("confseq", "confseq.boundaries.normal_mixture_bound") => normal_mixture_bound(case),
        ("confseq", "confseq.quantiles.empirical_process_lil_bound") => quantile_band(case),
        ("WannabeSmith/drconfseq", "best_rho2_exact") => tuning(case),
        ("WannabeSmith/drconfseq", "std_conjmix_margin") => unit_margin(case),
        ("WannabeSmith/drconfseq", "asymptotic_confseq") => mean_sequence(case),
        ("WannabeSmith/drconfseq", "lyapunov_asympcs") => lyapunov(case),
        ("akurennoy/yeast", "GAVI.boundary") => gavi(case),
        ("akurennoy/yeast", "mSPRT.boundary") => msprt(case),
        ("michaellindon/avlm", "z_radius") => z_radius(case),
        ("gbstats", f) if f.contains("Sequential") => growthbook_two_sided(case),
        ("gbstats", f) if f.starts_with("sequential_interval_halfwidth") => halfwidth(case),
        ("ssrm-test", "ssrm_test.sequential_p_values") => sample_ratio(case),
        ("savvi", _) => multinomial_odds(case),
        ("statsmodels", "OLS.fit(cov_type=\"cluster\")") => clustered_error(case),
        ("statsmodels", "StratifiedTable") => mantel_haenszel(case),
        ("statsmodels", "StratifiedTable / proportions_ztest") => simpson(case),
        ("R", "mantelhaen.test(correct=FALSE)") => r_mantel_haenszel(case),
        ("numpy", "sum((p-q)*ln(p/q))") => psi_of_shares(case),
        ("evidently", "legacy.calculations.stattests.psi._psi") => psi_of_bins(case),
        ("evidently", _) => psi_of_classes(case),
        _ => panic!("nothing checks case {:?}", case.name()),
    }
}

struct Case<'a>(&'a Value);

impl Case<'_> {
    fn name(&self) -> &str {
        self.0["case"].as_str().unwrap()
    }

    fn arg(&self, name: &str) -> &Value {
        let value = &self.0["args"][name];
        assert!(!value.is_null(), "{}: no argument {name}", self.name());
        value
    }

    fn number(&self, name: &str) -> f64 {
        self.arg(name).as_f64().unwrap()
    }

    fn count(&self, name: &str) -> u64 {
        self.arg(name).as_u64().unwrap()
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        numbers(self.arg(name))
    }

    fn expected(&self, name: &str) -> f64 {
        self.0["expected"][name].as_f64().unwrap()
    }

    /// The tolerance is absolute for values below 1 and relative above.
    fn assert(&self, what: &str, actual: f64, expected: f64) {
        let tolerance = match &self.0["tolerance"] {
            Value::Object(by_name) => by_name[what].as_f64().unwrap(),
            one => one.as_f64().unwrap(),
        };
        assert!(
            (actual - expected).abs() <= tolerance * expected.abs().max(1.0),
            "{}: {what} is {actual}, expected {expected} within {tolerance}",
            self.name()
        );
    }

    fn assert_expected(&self, name: &str, actual: f64) {
        self.assert(name, actual, self.expected(name));
    }

    fn assert_single(&self, actual: f64) {
        self.assert("value", actual, self.0["expected"].as_f64().unwrap());
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

fn counts(value: &Value) -> Vec<u64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_u64().unwrap())
        .collect()
}

// === the label e-process ===

fn rate_ratio(case: &Case) {
    let grid = |tolerated| {
        RatioGrid::new(tolerated, &case.numbers("grid"), &case.numbers("weights")).unwrap()
    };
    let log_e = if case.0["args"]["r0"].is_null() {
        let totals = counts(case.arg("total_errors_by_epoch"));
        let shares = case.numbers("canary_share_by_epoch");
        // Nothing depends on which epoch a canary error came from: with r_0 = 1 only
        // their sum enters. Fill the epochs in order.
        let mut left = case.count("canary_errors");
        let epochs: Vec<LabelCounts> = totals
            .iter()
            .zip(&shares)
            .map(|(&with_event, &share)| {
                let in_arm = left.min(with_event);
                left -= in_arm;
                LabelCounts {
                    share,
                    with_event,
                    in_arm,
                }
            })
            .collect();
        assert_eq!(left, 0);
        ratio::log_e(&grid(1.0), epochs.into_iter())
    } else {
        let epoch = LabelCounts {
            share: case.number("canary_share"),
            with_event: case.count("total_errors"),
            in_arm: case.count("canary_errors"),
        };
        ratio::log_e(&grid(case.number("r0")), std::iter::once(epoch))
    };
    case.assert_expected("log_e", log_e);
}

// === bounds, betting ===

fn agreement(case: &Case) {
    let log_e = absolute::log_e_on(
        &case.numbers("grid"),
        case.number("margin"),
        case.count("n"),
        case.count("mismatches"),
    );
    case.assert_expected("log_e", log_e);
    let certified = case.0["expected"]["certified_at_0_05"].as_bool().unwrap();
    assert_eq!(log_e >= restart::threshold(0.05), certified);
}

fn betting(case: &Case) {
    assert_eq!(case.number("c"), 0.5, "the crate stakes at most half");
    let mut bet = value::ValueBet::new();
    let users = case.arg("obs").as_array().unwrap();
    let expected = numbers(&case.0["expected"]["log_wealth"]);
    assert_eq!(users.len(), expected.len());
    for (user, expected) in users.iter().zip(expected) {
        let in_arm = user["canary"].as_u64().unwrap() == 1;
        bet.observe(in_arm, user["y"].as_f64().unwrap(), case.number("rho"));
        case.assert("log_wealth", bet.log_e(), expected);
    }
}

// === sample ratio ===

fn class_drift(case: &Case) {
    let share = case.number("rho");
    let classes = case
        .arg("classes")
        .as_array()
        .unwrap()
        .iter()
        .map(|class| LabelCounts {
            share,
            with_event: class["total"].as_u64().unwrap(),
            in_arm: class["canary"].as_u64().unwrap(),
        });
    let log_e = srm::log_e_two_arms(case.number("concentration"), classes);
    case.assert_expected("log_e", log_e);
}

/// ln E after each batch, all of one epoch.
fn cumulative_log_e(case: &Case, shares: &str, concentration: &str) -> Vec<f64> {
    let shares = case.numbers(shares);
    let mut so_far = vec![0; shares.len()];
    let batches = case.arg("data").as_array().unwrap();
    batches
        .iter()
        .map(|batch| {
            for (sum, count) in so_far.iter_mut().zip(counts(batch)) {
                *sum += count;
            }
            let epoch = srm::NewUsers {
                shares: &shares,
                counts: &so_far,
            };
            srm::log_e(case.number(concentration), [epoch])
        })
        .collect()
}

fn sample_ratio(case: &Case) {
    let log_e = cumulative_log_e(case, "null_probabilities", "dirichlet_concentration");
    let p_values = match &case.0["expected"] {
        Value::Array(_) => numbers(&case.0["expected"]),
        both => {
            for (actual, expected) in log_e.iter().zip(numbers(&both["log_bayes_factor"])) {
                case.assert("log_bayes_factor", *actual, expected);
            }
            numbers(&both["p_values"])
        }
    };
    assert_eq!(log_e.len(), p_values.len());
    let mut largest = f64::NEG_INFINITY;
    for (log_e, expected) in log_e.into_iter().zip(p_values) {
        largest = largest.max(log_e);
        case.assert("p_value", restart::p_value(largest), expected);
    }
}

fn multinomial_odds(case: &Case) {
    let log_e = cumulative_log_e(case, "theta_0", "k");
    for (log_e, expected) in log_e.iter().zip(numbers(&case.0["expected"]["odds"])) {
        case.assert("odds", log_e.exp(), expected);
    }
}

// === the boundary of the sequence ===

fn z_boundaries(case: &Case) {
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

fn tuning(case: &Case) {
    let (alpha, n_star) = (case.number("alpha_opt"), case.number("t_opt"));
    case.assert_expected("approx", rho2(alpha, n_star, Sides::Two));
    case.assert_expected("exact", exact_tuning(alpha) / n_star);
}

/// A sequence for a mean, with the estimate and error given.
fn sequence(estimate: f64, standard_error: f64, n: u64) -> Difference {
    Difference {
        estimate,
        standard_error,
        canary_rate: 0.0,
        control_rate: 0.0,
        canary_events: 0,
        control_events: 0,
        canary_event_slots: 0,
        n,
        share: 0.5,
    }
}

fn unit_margin(case: &Case) {
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

fn mean_sequence(case: &Case) {
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

fn lyapunov(case: &Case) {
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
fn gavi(case: &Case) {
    let two_sided = 2.0 * case.number("significance_level_one_sided");
    let n = case.number("n");
    let rho = 1.0 / rho2(two_sided, case.number("n_tune"), Sides::Two);
    case.assert_expected("rho", rho);
    case.assert_expected("boundary", z_two_sided(n / rho, two_sided) * n.sqrt());
}

fn msprt(case: &Case) {
    let two_sided = 2.0 * case.number("significance_level_one_sided");
    let n = case.number("n");
    case.assert_single(z_two_sided(n / case.number("phi"), two_sided) * n.sqrt());
}

fn z_radius(case: &Case) {
    let tau = case.number("n") / case.number("g");
    case.assert_single(z_two_sided(tau, case.number("alpha")));
}

fn confseq_tau(case: &Case) -> f64 {
    assert_eq!(case.arg("is_one_sided"), false);
    case.number("v") * rho2(case.number("alpha_opt"), case.number("v_opt"), Sides::Two)
}

fn normal_mixture_bound(case: &Case) {
    let z = z_two_sided(confseq_tau(case), case.number("alpha"));
    case.assert_single(z * case.number("v").sqrt());
}

fn normal_log_mixture(case: &Case) {
    // At the level that the mixture reaches, the bound is the sum itself.
    let alpha = (-case.0["expected"].as_f64().unwrap()).exp();
    let z = z_two_sided(confseq_tau(case), alpha);
    case.assert("bound", z * case.number("v").sqrt(), case.number("s"));
}

/// GrowthBook's estimates and errors (unclustered), our bounds.
fn growthbook_two_sided(case: &Case) {
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

fn halfwidth(case: &Case) {
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

// === the estimate of the sequence ===

/// Requests and events of one arm by slot.
struct Arm {
    requests: [u64; SLOTS],
    events: [u64; SLOTS],
}

impl Arm {
    fn empty() -> Arm {
        Arm {
            requests: [0; SLOTS],
            events: [0; SLOTS],
        }
    }

    /// A table's counts, half of the events in each of two slots.
    fn pooled(events: u64, requests: u64) -> Arm {
        let mut arm = Arm::empty();
        arm.requests[0] = requests / 2;
        arm.requests[1] = requests - requests / 2;
        arm.events[0] = events / 2;
        arm.events[1] = events - events / 2;
        arm
    }

    fn slots(&self) -> ArmSlots<'_> {
        ArmSlots {
            requests: &self.requests,
            events: &self.events,
        }
    }
}

fn plain_difference(epochs: &[(Arm, Arm)]) -> Difference {
    let strata: Vec<Stratum> = epochs
        .iter()
        .map(|(canary, control)| Stratum {
            canary: canary.slots(),
            control: control.slots(),
        })
        .collect();
    difference(&strata, Margin::Ratio(1.0)).unwrap()
}

fn clustered_error(case: &Case) {
    let mut arms = [Arm::empty(), Arm::empty()];
    let users = case.arg("users").as_array().unwrap();
    for (slot, user) in users.iter().enumerate() {
        let arm = &mut arms[user["arm"].as_u64().unwrap() as usize];
        let outcomes = counts(&user["y"]);
        arm.requests[slot] = outcomes.len() as u64;
        arm.events[slot] = outcomes.iter().sum();
    }
    let [control, canary] = arms;
    let found = plain_difference(&[(canary, control)]);
    case.assert_expected("diff", found.estimate);
    case.assert_expected("R1", found.canary_rate);
    case.assert_expected("R0", found.control_rate);

    // Ours corrects by G/(G-1) for G clusters; the library's correction has a factor
    // (n-1)/(n-k) more, for k = 2 regressors.
    let (g, n) = (users.len() as f64, found.n as f64);
    let correction = (g / (g - 1.0)).sqrt();
    case.assert_expected("se_cluster_nocorrection", found.standard_error / correction);
    let regressors = ((n - 1.0) / (n - 2.0)).sqrt();
    case.assert_expected("se_cluster_corrected", found.standard_error * regressors);
}

/// Epochs of [events, requests] per arm.
fn epochs(case: &Case) -> Vec<(Arm, Arm)> {
    let pooled = |counts: Vec<u64>| Arm::pooled(counts[0], counts[1]);
    let epochs = case.arg("epochs").as_array().unwrap().iter();
    epochs
        .map(|epoch| {
            (
                pooled(counts(&epoch["canary"])),
                pooled(counts(&epoch["control"])),
            )
        })
        .collect()
}

fn mantel_haenszel(case: &Case) {
    let found = plain_difference(&epochs(case));
    case.assert_expected("riskratio", found.canary_rate / found.control_rate);
}

fn simpson(case: &Case) {
    no_effect_in_any_epoch(case, &epochs(case), case.expected("cmh_riskratio_pooled"));
}

fn r_mantel_haenszel(case: &Case) {
    let table = |rows: &Value| {
        let [canary, control] = [0, 1].map(|row| counts(&rows[row]));
        let arm = |cells: Vec<u64>| Arm::pooled(cells[0], cells[0] + cells[1]);
        (arm(canary), arm(control))
    };
    let epochs: Vec<(Arm, Arm)> = case
        .arg("tables")
        .as_array()
        .unwrap()
        .iter()
        .map(table)
        .collect();
    no_effect_in_any_epoch(case, &epochs, case.expected("common_or"));
}

/// A ramp with equal rates in each epoch, which pooling mistakes for a regression.
fn no_effect_in_any_epoch(case: &Case, epochs: &[(Arm, Arm)], expected_ratio: f64) {
    let found = plain_difference(epochs);
    case.assert("estimate", found.estimate, 0.0);
    case.assert(
        "ratio",
        found.canary_rate / found.control_rate,
        expected_ratio,
    );

    let total = |counts: &[u64; SLOTS]| counts.iter().sum::<u64>();
    let labels = epochs.iter().map(|(canary, control)| {
        let (n1, n0) = (total(&canary.requests), total(&control.requests));
        let (y1, y0) = (total(&canary.events), total(&control.events));
        LabelCounts {
            share: n1 as f64 / (n1 + n0) as f64,
            with_event: y1 + y0,
            in_arm: y1,
        }
    });
    case.assert(
        "label ratio",
        ratio::estimate(labels.clone()).unwrap(),
        expected_ratio,
    );
    assert!(ratio::log_e(&RatioGrid::rollback(1.0), labels) < 0.0);

    let sum = |pick: fn(&(Arm, Arm)) -> &[u64; SLOTS]| {
        epochs.iter().map(|epoch| total(pick(epoch))).sum()
    };
    let canary = Arm::pooled(sum(|e| &e.0.events), sum(|e| &e.0.requests));
    let control = Arm::pooled(sum(|e| &e.1.events), sum(|e| &e.1.requests));
    let pooled = plain_difference(&[(canary, control)]);
    assert!(
        pooled.canary_rate > 1.5 * pooled.control_rate,
        "pooling no longer misleads"
    );
}

// === familiar numbers ===

fn quantile_band(case: &Case) {
    assert_eq!((case.number("alpha"), case.number("A")), (0.05, 0.85));
    case.assert_single(quantile::band(
        case.count("t"),
        case.count("t_min"),
        quantile::C_05,
    ));
}

fn psi_of_shares(case: &Case) {
    let in_hundredths = |name: &str| -> Vec<u64> {
        case.numbers(name)
            .iter()
            .map(|share| (share * 100.0).round() as u64)
            .collect()
    };
    case.assert_single(psi::psi(&in_hundredths("p"), &in_hundredths("q")).unwrap());
}

fn psi_of_classes(case: &Case) {
    let of = |name: &str| ["a", "b", "c"].map(|class| case.arg(name)[class].as_u64().unwrap());
    let index = psi::psi(&of("reference_counts"), &of("current_counts")).unwrap();
    case.assert_expected("psi", index);
}

/// The library bins both samples together by Sturges' rule.
fn psi_of_bins(case: &Case) {
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
