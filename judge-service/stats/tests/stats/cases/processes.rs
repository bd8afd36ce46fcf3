//! What e-processes come to.

use super::{Case, counts, numbers};
use serde_json::Value;
use serinus_stats::ratio::{LabelCounts, RatioGrid};
use serinus_stats::{absolute, ratio, restart, srm, value};

pub fn rate_ratio(case: &Case) {
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

pub fn agreement(case: &Case) {
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

pub fn betting(case: &Case) {
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

pub fn class_drift(case: &Case) {
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

pub fn sample_ratio(case: &Case) {
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

pub fn multinomial_odds(case: &Case) {
    let log_e = cumulative_log_e(case, "theta_0", "k");
    for (log_e, expected) in log_e.iter().zip(numbers(&case.0["expected"]["odds"])) {
        case.assert("odds", log_e.exp(), expected);
    }
}
