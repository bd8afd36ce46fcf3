//! The estimate of the sequence.

use super::{Case, counts};
use serde_json::Value;
use serinus_stats::ratio;
use serinus_stats::ratio::{LabelCounts, RatioGrid};
use serinus_stats::sequence::{ArmSlots, Difference, Margin, SLOTS, Stratum, difference};

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

pub fn clustered_error(case: &Case) {
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

pub fn mantel_haenszel(case: &Case) {
    let found = plain_difference(&epochs(case));
    case.assert_expected("riskratio", found.canary_rate / found.control_rate);
}

pub fn simpson(case: &Case) {
    no_effect_in_any_epoch(case, &epochs(case), case.expected("cmh_riskratio_pooled"));
}

pub fn r_mantel_haenszel(case: &Case) {
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
