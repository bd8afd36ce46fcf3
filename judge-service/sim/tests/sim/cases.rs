//! Peers' rules against the cases of their own tests (testdata/README.md).

use serde_json::Value;
use serinus_sim::rules::Flagger;
use serinus_sim::rules::kayenta::classifier::{Classification, Classifier, Direction, EffectSize};
use serinus_sim::rules::kayenta::mann_whitney::{shift, statistic};
use serinus_sim::rules::kayenta::score::{Outcome, Result, outcome, weighted_sum};

const CASES: &str = include_str!("../../testdata/peer_cases.json");

/// Kayenta's solver stops within 1e-4 of a jump, on either side.
const SOLVER: f64 = 1.01e-4;

#[test]
fn peers_answer_as_their_own_tests_ask() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    assert_eq!(cases.len(), 34);
    for case in &cases {
        let name = case["case"].as_str().unwrap();
        let (args, expected) = (&case["args"], &case["expected"]);
        match case["function"].as_str().unwrap() {
            "MannWhitney.mannWhitneyUTest" => interval(name, args, expected),
            "MannWhitney.wilcoxonDiff" => {
                let found = statistic(
                    &numbers(&args["x"]),
                    &numbers(&args["y"]),
                    args["mu"].as_f64().unwrap(),
                );
                close(name, found, expected.as_f64().unwrap(), 1e-5);
            }
            "wilcox.test(exact=FALSE,conf.int=TRUE)" => {
                let (x, y) = (numbers(&args["x"]), numbers(&args["y"]));
                let found = shift(&x, &y, 0.95).unwrap();
                let tolerance = case["tolerance"].as_f64().unwrap();
                let ends = numbers(&expected["ci"]);
                close(name, found.low, ends[0], tolerance);
                close(name, found.high, ends[1], tolerance);
                let beyond = statistic(&x, &y, 0.0).abs();
                close(
                    name,
                    2.0 * below(-beyond),
                    expected["p"].as_f64().unwrap(),
                    tolerance,
                );
            }
            "scipy.stats.mannwhitneyu" => {
                let found = statistic(&numbers(&args["x"]), &numbers(&args["y"]), 0.0);
                let tolerance = case["tolerance"].as_f64().unwrap();
                close(
                    name,
                    below(found),
                    expected["p"].as_f64().unwrap(),
                    tolerance,
                );
            }
            "MannWhitneyClassifier.classify" => classification(name, args, expected),
            "WeightedSumScorer.score" => score(name, args, expected),
            "ThresholdScoreClassifier.classify" => {
                let number = |key: &str| args[key].as_f64().unwrap();
                let found = outcome(
                    number("score"),
                    number("pass_threshold"),
                    number("marginal_threshold"),
                );
                let wanted = match expected.as_str().unwrap() {
                    "Pass" => Outcome::Pass,
                    "Marginal" => Outcome::Marginal,
                    _ => Outcome::Fail,
                };
                assert_eq!(found, wanted, "{name}");
            }
            function if function.starts_with("rollback at first index") => {
                let fails = args["fails"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|fail| fail == 1);
                let rule = Flagger {
                    threshold: u32::try_from(args["threshold"].as_u64().unwrap()).unwrap(),
                    ..Flagger::USUAL
                };
                assert_eq!(
                    rule.full_at(fails),
                    expected["rollback_after_check"].as_u64(),
                    "{name}"
                );
            }
            function => panic!("nothing checks {function}"),
        }
    }
}

/// Of the normal distribution.
fn below(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

#[track_caller]
fn close(name: &str, found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{name}: {found}, not {expected}"
    );
}

fn interval(name: &str, args: &Value, expected: &Value) {
    let (x, y) = (numbers(&args["x"]), numbers(&args["y"]));
    let found = shift(&x, &y, args["confidence_level"].as_f64().unwrap()).unwrap();
    let wanted = |key: &str| expected[key].as_f64().unwrap();
    close(name, found.low, wanted("ci_low"), SOLVER);
    close(name, found.high, wanted("ci_high"), SOLVER);
    close(name, found.estimate, wanted("estimate"), SOLVER);
    // The statistic at the ends of the search, less the normal quantile.
    if !expected["f_lower1"].is_null() {
        let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let quantile = 1.959_963_984_540_054;
        let low = statistic(&x, &y, least(&x) - most(&y));
        let high = statistic(&x, &y, most(&x) - least(&y));
        close(name, low - quantile, wanted("f_lower1"), 1e-6);
        close(name, low + quantile, wanted("f_lower2"), 1e-6);
        close(name, high - quantile, wanted("f_upper1"), 1e-6);
        close(name, high + quantile, wanted("f_upper2"), 1e-6);
    }
}

fn classification(name: &str, args: &Value, expected: &Value) {
    let pair = |key: &str| {
        (
            args[key][0].as_f64().unwrap(),
            args[key][1].as_f64().unwrap(),
        )
    };
    let classifier = Classifier {
        tolerance: args["tolerance"].as_f64().unwrap(),
        confidence: args["conf_level"].as_f64().unwrap(),
        direction: match args["direction"].as_str().unwrap() {
            "increase" => Direction::Increase,
            "decrease" => Direction::Decrease,
            _ => Direction::Either,
        },
        effect_size: match args["effect_size_measure"].as_str().unwrap() {
            "cles" => EffectSize::CommonLanguage,
            _ => EffectSize::MeanRatio,
        },
        effect_size_thresholds: pair("effect_size_thresholds"),
        critical_thresholds: pair("critical_thresholds"),
        is_critical: args["is_critical_metric"].as_bool().unwrap(),
    };
    let (control, canary) = (numbers(&args["control"]), numbers(&args["experiment"]));
    let (found, critical) = classifier.classify_critically(&control, &canary);
    assert_eq!(found, named(&expected["classification"]), "{name}");
    if let Some(wanted) = expected["critical"].as_bool() {
        assert_eq!(critical, wanted, "{name}");
    }
    if let Some(wanted) = expected["port_effect_size"].as_f64() {
        close(name, classifier.size(&control, &canary), wanted, 1e-6);
    }
    if let Some(wanted) = expected["port_ci_low"].as_f64() {
        let found = shift(&canary, &control, classifier.confidence).unwrap();
        close(name, found.low, wanted, SOLVER);
        close(
            name,
            found.high,
            expected["port_ci_high"].as_f64().unwrap(),
            SOLVER,
        );
        // With five values a side the statistic is zero on a whole interval, where any
        // point is an estimate.
        let wanted = expected["port_estimate"].as_f64().unwrap();
        let is_as_good = statistic(&canary, &control, wanted) == 0.0;
        if !is_as_good {
            close(name, found.estimate, wanted, SOLVER);
        }
    }
}

fn score(name: &str, args: &Value, expected: &Value) {
    let results: Vec<Result<'_>> = args["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| Result {
            classification: named(&result["classification"]),
            critical: result["critical"].as_bool().unwrap(),
            groups: result["groups"]
                .as_array()
                .unwrap()
                .iter()
                .map(|group| group.as_str().unwrap())
                .collect(),
        })
        .collect();
    let weights: Vec<(&str, f64)> = args["group_weights"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(group, weight)| (group.as_str(), weight.as_f64().unwrap()))
        .collect();
    close(
        name,
        weighted_sum(&results, &weights),
        expected["summary_score"].as_f64().unwrap(),
        0.005,
    );
}

fn named(value: &Value) -> Classification {
    match value.as_str().unwrap() {
        "Pass" => Classification::Pass,
        "High" => Classification::High,
        "Low" => Classification::Low,
        "Nodata" => Classification::Nodata,
        other => panic!("no classification {other}"),
    }
}
