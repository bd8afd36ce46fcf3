//! What a ledger counts, freezes and forgets.

use super::*;
use crate::plan::compiled::tests::{compiled, plan_json};
use serde_json::json;

const UNIT: Placement = Placement::Randomised { unit: 42, slot: 5 };

fn finished(error: bool, duration_us: u64) -> Ending {
    Ending::Finished { error, duration_us }
}

fn exposed(
    ledger: &mut Ledger,
    rollout: &std::rc::Rc<CompiledRollout>,
    arm: usize,
    placement: Placement,
) -> Option<Exposure> {
    ledger.exposed(&Decision {
        rollout: std::rc::Rc::clone(rollout),
        segment: None,
        arm,
        placement,
        set_cookie: None,
    })
}

fn read(frozen: &Frozen) -> Report {
    serde_json::from_slice(&frozen.bytes).unwrap()
}

#[test]
fn a_report_has_sums_and_first_events() {
    let plan = compiled(&plan_json()).unwrap();
    let rollout = &plan.rollouts[0];
    let mut ledger = Ledger::new("5e".repeat(16));
    assert_eq!(ledger.report(Some(&plan)), None);
    for (error, duration) in [
        (false, 1500),
        (true, 10),
        (true, 10),
        (false, 2500),
        (false, 1),
    ] {
        let exposure = exposed(&mut ledger, rollout, 1, UNIT).unwrap();
        ledger.ended(rollout, exposure, finished(error, duration), 0);
    }
    assert!(
        exposed(
            &mut ledger,
            rollout,
            0,
            Placement::Fallback(Fallback::NoUnit)
        )
        .is_none()
    );
    let report = read(ledger.report(Some(&plan)).unwrap());
    assert_eq!(report.sequence, 1);
    let sums = &report.rollouts[0];
    assert_eq!(sums.new_units, [NewUnit(42, 1)]);
    assert_eq!(sums.first_outcomes, [FirstOutcome(42, 1, false)]);
    assert_eq!(sums.first_errors, [FirstError(42, 1)]);
    assert_eq!(sums.first_slow, [FirstSlow(42, 1, 1), FirstSlow(42, 1, 2)]);
    assert_eq!(sums.fallbacks, BTreeMap::from([(Fallback::NoUnit, 1)]));
    assert_eq!(sums.arms[0].slots, []);
    assert_eq!(sums.arms[1].slots, [SlotRow(5, 5, 5, 2, 4001, vec![2, 1])]);
    assert_eq!(
        sums.arms[1]
            .histogram
            .iter()
            .map(|(_, count)| count)
            .sum::<u64>(),
        3
    );
}

#[test]
fn bytes_are_frozen_until_acknowledged_and_newer_sums_wait_behind() {
    let plan = compiled(&plan_json()).unwrap();
    let rollout = &plan.rollouts[0];
    let mut ledger = Ledger::new("5e".repeat(16));
    exposed(&mut ledger, rollout, 0, UNIT);
    let first = ledger.report(Some(&plan)).unwrap().clone();
    exposed(&mut ledger, rollout, 0, UNIT);
    assert_eq!(ledger.report(Some(&plan)), Some(&first));
    ledger.acknowledged(7);
    assert_eq!(ledger.report(Some(&plan)), Some(&first));
    ledger.acknowledged(1);
    let second = read(ledger.report(Some(&plan)).unwrap());
    assert_eq!(second.sequence, 2);
    assert_eq!(second.rollouts[0].arms[0].slots[0].1, 1);
    assert!(second.rollouts[0].new_units.is_empty(), "listed once");
    ledger.acknowledged(2);
    assert_eq!(ledger.report(Some(&plan)), None);
}

#[test]
fn an_ending_counts_in_the_epoch_of_its_decision() {
    let old = compiled(&plan_json()).unwrap();
    let mut document = plan_json();
    document["rollouts"][0]["epoch"] = json!(4);
    let new = compiled(&document).unwrap();
    let mut ledger = Ledger::new("5e".repeat(16));
    let exposure = exposed(&mut ledger, &old.rollouts[0], 1, UNIT).unwrap();
    let report = read(ledger.report(Some(&new)).unwrap());
    assert_eq!(report.rollouts[0].epoch, 3);
    ledger.acknowledged(1);
    ledger.ended(&old.rollouts[0], exposure, finished(false, 5), 0);
    let report = read(ledger.report(Some(&new)).unwrap());
    assert_eq!(report.rollouts[0].epoch, 3);
    assert_eq!(
        report.rollouts[0].arms[1].slots,
        [SlotRow(5, 0, 1, 0, 5, vec![])]
    );
    ledger.acknowledged(2);
    assert!(ledger.rollouts.is_empty(), "an old epoch is let go");
}

#[test]
fn long_lists_wait_for_the_next_report() {
    let plan = compiled(&plan_json()).unwrap();
    let rollout = &plan.rollouts[0];
    let mut ledger = Ledger::new("5e".repeat(16));
    for unit in 0..LIST_LIMIT as u64 + 10 {
        exposed(
            &mut ledger,
            rollout,
            0,
            Placement::Randomised { unit, slot: 0 },
        );
    }
    let first = read(ledger.report(Some(&plan)).unwrap());
    assert_eq!(first.rollouts[0].new_units.len(), LIST_LIMIT);
    ledger.acknowledged(1);
    let second = read(ledger.report(Some(&plan)).unwrap());
    assert_eq!(second.rollouts[0].new_units.len(), 10);
}

#[test]
fn a_trip_is_reported_once_and_seen_by_decisions() {
    let plan = compiled(&plan_json()).unwrap();
    let rollout = &plan.rollouts[0];
    let mut ledger = Ledger::new("5e".repeat(16));
    let mut trips = 0;
    for unit in 0..40 {
        let placement = Placement::Randomised { unit, slot: 0 };
        let arm = (unit % 2) as usize;
        let exposure = exposed(&mut ledger, rollout, arm, placement).unwrap();
        trips += u32::from(ledger.ended(rollout, exposure, finished(arm == 1, 1), unit));
    }
    assert_eq!(trips, 1);
    assert_eq!(ledger.tripped(rollout), Some(1));
    let report = read(ledger.report(Some(&plan)).unwrap());
    assert_eq!(
        report.rollouts[0].breaker.as_ref().map(|trip| &*trip.arm),
        Some("canary")
    );
}

#[test]
fn which_cluster_serves_an_arm_is_asked_once() {
    let plan = compiled(&plan_json()).unwrap();
    let mut ledger = Ledger::new("5e".repeat(16));
    let mut asked = 0;
    for _ in 0..3 {
        let exposure = exposed(&mut ledger, &plan.rollouts[0], 1, UNIT).unwrap();
        ledger.served_by(&plan.rollouts[0], exposure, || {
            asked += 1;
            Some("models-v2".to_owned())
        });
    }
    assert_eq!(asked, 1);
    let report = read(ledger.report(Some(&plan)).unwrap());
    let clusters = report.rollouts[0].arms.iter();
    let clusters: Vec<_> = clusters.map(|arm| arm.cluster.as_deref()).collect();
    assert_eq!(clusters, [None, Some("models-v2")]);
}

#[test]
fn each_segment_has_a_part_of_its_own_and_a_user_is_first_once() {
    let mut document = plan_json();
    document["rollouts"][0]["segments"] = json!([
        {"name": "gold", "when": [{"header": "x"}], "arm": "canary"}]);
    let plan = compiled(&document).unwrap();
    let mut ledger = Ledger::new("5e".repeat(16));
    for segment in [None, Some(0)] {
        let decision = Decision {
            rollout: std::rc::Rc::clone(&plan.rollouts[0]),
            segment,
            arm: 1,
            placement: UNIT,
            set_cookie: None,
        };
        let exposure = ledger.exposed(&decision).unwrap();
        ledger.ended(&plan.rollouts[0], exposure, finished(true, 5), 0);
        ledger.sampled(&plan.rollouts[0], exposure, true);
    }
    let report = read(ledger.report(Some(&plan)).unwrap());
    let parts: Vec<_> = report
        .rollouts
        .iter()
        .map(|part| {
            let arm = &part.arms[1];
            let firsts = part.new_units.len() + part.first_errors.len();
            (
                part.segment.as_deref(),
                arm.slots[0].3,
                arm.samples_sent,
                firsts,
            )
        })
        .collect();
    assert_eq!(parts, [(None, 1, 1, 2), (Some("gold"), 1, 1, 0)]);
}
