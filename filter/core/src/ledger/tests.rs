//! What a ledger counts, freezes and forgets.

use super::*;
use crate::decision::Fallback;
use crate::plan::compiled::tests::{compiled, plan_json};
use crate::report::{FirstError, FirstOutcome, FirstSlow, LIST_LIMIT, Over, SlotRow};
use serde_json::json;
use std::collections::BTreeMap;

const UNIT: Placement = Placement::Randomised { unit: 42, slot: 5 };

fn finished(error: bool) -> Ending {
    Ending::Finished { error }
}

fn exposed(
    ledger: &mut Ledger,
    rollout: &std::rc::Rc<CompiledRollout>,
    arm: usize,
    placement: Placement,
) -> Option<FlightId> {
    let decision = Decision {
        rollout: std::rc::Rc::clone(rollout),
        segment: None,
        arm,
        placement,
        shadow: false,
        set_cookie: None,
    };
    ledger.begin(&decision, || 0)
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
        ledger.end(exposure, finished(error), duration);
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
    assert_eq!(
        sums.arms[1].slots,
        [SlotRow(5, 5, 5, 2, 4001, Over::from_iter([2, 1]))]
    );
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
    ledger.end(exposure, finished(false), 5);
    ledger.take_tallies(|_, _, _| {});
    let report = read(ledger.report(Some(&new)).unwrap());
    assert_eq!(report.rollouts[0].epoch, 3);
    assert_eq!(
        report.rollouts[0].arms[1].slots,
        [SlotRow(5, 0, 1, 0, 5, Over::default())]
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
        let slot = unit as u8;
        let placement = Placement::Randomised { unit, slot };
        let arm = (unit % 2) as usize;
        let exposure = exposed(&mut ledger, rollout, arm, placement).unwrap();
        let (_, tripped) = ledger.end(exposure, finished(arm == 1), 1).unwrap();
        trips += u32::from(tripped);
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
        let id = exposed(&mut ledger, &plan.rollouts[0], 1, UNIT).unwrap();
        let exposure = ledger.flight(id).unwrap().exposure;
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
fn each_segment_has_a_part_of_its_own_and_first_events_of_its_own() {
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
            shadow: false,
            set_cookie: None,
        };
        let id = ledger.begin(&decision, || 0).unwrap();
        let (flight, _) = ledger.end(id, finished(true), 5).unwrap();
        ledger.sampled(&plan.rollouts[0], flight.exposure, true);
    }
    let report = read(ledger.report(Some(&plan)).unwrap());
    let parts: Vec<_> = report
        .rollouts
        .iter()
        .map(|part| {
            let arm = &part.arms[1];
            let firsts = (part.new_units.len(), part.first_errors.len());
            (
                part.segment.as_deref(),
                arm.slots[0].3,
                arm.samples_sent,
                firsts,
            )
        })
        .collect();
    // A user is new once.
    assert_eq!(parts, [(None, 1, 1, (1, 1)), (Some("gold"), 1, 1, (0, 1))]);
}

#[test]
fn a_request_under_way_is_slow_when_it_passes_an_edge_and_only_once() {
    let plan = compiled(&plan_json()).unwrap();
    let mut ledger = Ledger::new("5e".repeat(16));
    let id = exposed(&mut ledger, &plan.rollouts[0], 1, UNIT).unwrap();
    let slow = |ledger: &mut Ledger| {
        let frozen = ledger.report(Some(&plan)).cloned();
        frozen.map_or_else(Vec::new, |frozen| {
            ledger.acknowledged(frozen.sequence);
            read(&frozen).rollouts[0].first_slow.clone()
        })
    };
    ledger.look_at_flights(1_000);
    assert_eq!(slow(&mut ledger), []);
    ledger.look_at_flights(1_001);
    ledger.look_at_flights(1_002);
    assert_eq!(slow(&mut ledger), [FirstSlow(42, 1, 1)]);
    ledger.look_at_flights(2_001);
    assert_eq!(slow(&mut ledger), [FirstSlow(42, 1, 2)]);
    // It times out: an error, and no second time slow.
    ledger.end(id, finished(true), 9_000);
    let report = read(ledger.report(Some(&plan)).unwrap());
    assert_eq!(report.rollouts[0].first_slow, []);
    assert_eq!(
        report.rollouts[0].arms[1].slots,
        [SlotRow(5, 0, 1, 1, 0, Over::default())],
        "the sums over edges are of answers without error"
    );
    ledger.look_at_flights(10_000);
    assert_eq!(ledger.flight(id).map(|flight| flight.started_us), None);
}

#[test]
fn whoever_gives_up_after_an_edge_found_it_slow() {
    let plan = compiled(&plan_json()).unwrap();
    let mut ledger = Ledger::new("5e".repeat(16));
    let id = exposed(&mut ledger, &plan.rollouts[0], 0, UNIT).unwrap();
    ledger.end(id, Ending::Disconnected, 1_500);
    let report = read(ledger.report(Some(&plan)).unwrap());
    assert_eq!(report.rollouts[0].first_slow, [FirstSlow(42, 0, 1)]);
    assert_eq!(report.rollouts[0].arms[0].disconnects, 1);
}

#[test]
fn a_streamed_answer_is_measured_to_its_first_byte() {
    let mut document = plan_json();
    document["rollouts"][0]["latency_until"] = json!("first_byte");
    let plan = compiled(&document).unwrap();
    let mut ledger = Ledger::new("5e".repeat(16));
    let id = exposed(&mut ledger, &plan.rollouts[0], 0, UNIT).unwrap();
    ledger.flight_mut(id).unwrap().answered(700);
    ledger.look_at_flights(5_000);
    ledger.end(id, finished(false), 60_000_000);
    let report = read(ledger.report(Some(&plan)).unwrap());
    assert_eq!(
        report.rollouts[0].arms[0].slots,
        [SlotRow(5, 1, 1, 0, 700, Over::default())]
    );
    assert_eq!(report.rollouts[0].first_slow, []);
}

#[test]
fn places_of_ended_requests_are_used_again() {
    let plan = compiled(&plan_json()).unwrap();
    let mut ledger = Ledger::new("5e".repeat(16));
    for _ in 0..1_000 {
        let ids = [0, 1].map(|arm| exposed(&mut ledger, &plan.rollouts[0], arm, UNIT).unwrap());
        for id in ids {
            assert!(ledger.end(id, finished(false), 1).is_some());
            assert!(ledger.end(id, finished(false), 1).is_none(), "once");
        }
    }
    assert!(format!("{:?}", ledger.flights).matches("None").count() <= 2);
}

#[test]
fn what_operators_see_does_not_wait_for_the_judge() {
    let plan = compiled(&plan_json()).unwrap();
    let mut ledger = Ledger::new("5e".repeat(16));
    exposed(&mut ledger, &plan.rollouts[0], 1, UNIT);
    // The report is under way and is never acknowledged.
    assert!(ledger.report(Some(&plan)).is_some());
    exposed(&mut ledger, &plan.rollouts[0], 1, UNIT);
    let no_unit = Placement::Fallback(Fallback::NoUnit);
    exposed(&mut ledger, &plan.rollouts[0], 0, no_unit);
    let mut seen = Vec::new();
    ledger.take_tallies(|id, arms, tally| {
        seen.push((
            id.to_owned(),
            arms.to_vec(),
            tally.exposures,
            tally.fallbacks.counted().collect::<Vec<_>>(),
        ));
    });
    let arms = vec!["control".to_owned(), "canary".to_owned()];
    let fallbacks = vec![(Fallback::NoUnit, 1)];
    assert_eq!(seen, [("digits".to_owned(), arms, vec![0, 2], fallbacks)]);
    ledger.take_tallies(|_, _, tally| panic!("{tally:?}"));
}
