use super::*;
use crate::domain::check::tests::{spec, spec_json};

pub(crate) fn rollout() -> Rollout {
    Rollout::start(spec(&spec_json()).unwrap(), BTreeMap::new(), 1, 1_000).unwrap()
}

#[test]
fn a_ramp_ends_in_a_promotion_with_the_new_baseline() {
    let mut rollout = rollout();
    assert_eq!(
        rollout.epoch().unwrap().allocation,
        [(0, 9000, 0), (9000, 10000, 1)]
    );
    for step in 1..4 {
        assert_eq!(
            (rollout.phase, rollout.baseline.as_str()),
            (Phase::Running, "control")
        );
        rollout.enter_step(step, 2_000).unwrap();
    }
    assert_eq!(
        (rollout.phase, rollout.baseline.as_str()),
        (Phase::Promoted, "canary")
    );
    assert_eq!(rollout.epoch().unwrap().epoch, 4);
    assert!(rollout.enter_step(4, 3_000).is_err());
}

#[test]
fn every_holdback_leaves_a_winner() {
    for hundredths in 1..=3_000_u32 {
        let mut rollout = rollout();
        rollout.spec.holdback_percent = f64::from(hundredths) / 100.0;
        rollout.enter_step(3, 2_000).unwrap();
        assert_eq!(rollout.phase, Phase::Promoted, "{hundredths}");
    }
}

#[test]
fn a_segment_has_weights_of_its_own_or_those_of_the_step() {
    let mut document = spec_json();
    let when = serde_json::json!([{"header": "x-card"}]);
    document["segments"] = serde_json::json!([
        {"name": "half", "when": when, "weights": {"canary": 50}},
        {"name": "gold", "when": when, "arm": "control"},
        {"name": "same", "when": when},
    ]);
    let mut rollout = Rollout::start(spec(&document).unwrap(), BTreeMap::new(), 1, 1_000).unwrap();
    let weights = |rollout: &Rollout, segment| {
        let epoch = rollout.epoch().unwrap();
        epoch.weights_of(segment).map(<[u16]>::to_vec)
    };
    for (step, canary) in [(0, 1_000), (1, 2_500)] {
        rollout.enter_step(step, 2_000).unwrap();
        rollout.restart_processes(2_500);
        let of_step = Some(vec![10_000 - canary, canary]);
        assert_eq!(weights(&rollout, None), of_step);
        assert_eq!(weights(&rollout, Some("same")), of_step);
        assert_eq!(weights(&rollout, Some("half")), Some(vec![5_000, 5_000]));
        assert_eq!(weights(&rollout, Some("gold")), None);
    }
    rollout.take_back(Phase::RolledBack, 3_000);
    assert_eq!(weights(&rollout, Some("half")), None, "all are control's");
}

#[test]
fn who_wins_a_part_of_a_layer_is_not_everybodys_baseline() {
    for (percent, baseline) in [(100, "canary"), (30, "control")] {
        let mut document = spec_json();
        document["layer"] = serde_json::json!({"name": "ranking", "percent": percent});
        let spec = spec(&document).unwrap();
        let mut rollout = Rollout::start(spec, BTreeMap::new(), 1, 1_000).unwrap();
        rollout.enter_step(3, 2_000).unwrap();
        assert_eq!(
            (rollout.phase, rollout.baseline.as_str()),
            (Phase::Promoted, baseline)
        );
    }
}

#[test]
fn a_rollback_gives_everything_to_control() {
    let mut rollout = rollout();
    rollout.enter_step(1, 2_000).unwrap();
    rollout.take_back(Phase::RolledBack, 3_000);
    assert_eq!(rollout.epoch().unwrap().allocation, [(0, 10000, 0)]);
    assert_eq!(rollout.phase, Phase::RolledBack);
}

#[test]
fn time_that_nobody_judged_counts_for_nothing() {
    let mut rollout = rollout();
    let begun = rollout.step_since_ms;
    assert!(!rollout.looked_at(begun + 9_999), "seldom written");
    assert!(rollout.looked_at(begun + 10_000));
    // A restart: 50 s are a look.
    assert!(rollout.looked_at(begun + 60_000));
    assert_eq!(rollout.step_lasted_ms(begun + 60_000), 60_000);
    // A day without a judge, or a clock that was set a day forward.
    assert!(rollout.looked_at(begun + 86_460_000));
    assert_eq!(rollout.step_lasted_ms(begun + 86_461_000), 61_000);
    assert_eq!(rollout.phase_lasted_ms(begun + 86_461_000), 61_000);
    // Set right again: nothing is lost.
    assert!(rollout.looked_at(begun + 61_000));
    assert_eq!(rollout.step_lasted_ms(begun + 61_000), 60_000);
    // Further back than it ever was: nothing counts until it has caught up.
    assert!(rollout.looked_at(begun.saturating_sub(100_000)));
    assert_eq!(rollout.step_lasted_ms(begun), 0);
    rollout.enter_step(1, begun + 70_000).unwrap();
    assert_eq!(rollout.step_lasted_ms(begun + 75_000), 5_000);
}
