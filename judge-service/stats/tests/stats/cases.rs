//! Values from independent implementations (testdata/stat_cases.json), each at its
//! own tolerance. A case in the file that no arm below checks fails the test.

mod boundary;
mod estimate;
mod familiar;
mod processes;

use boundary::*;
use estimate::*;
use familiar::*;
use processes::*;
use serde_json::Value;

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
