//! Situations, each a sentence. Counts are made by rule, not by chance, so that a
//! case either always holds or never does.

use super::judge;
use crate::domain::check::tests::{spec, spec_json};
use crate::domain::evidence::NewUsers;
use crate::domain::rollout::{EdgePair, PromotionEdge, Rollout, Thresholds};
use crate::domain::sums::{EpochSums, Outcomes, Trip};
use crate::domain::{Action, Bundle, Metric, Phase, Verdict, evidence};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What one arm did in the current epoch.
#[derive(Clone, Copy)]
struct Arm {
    users: u64,
    requests_a_user: u64,
    /// Of requests, and of users when one request is theirs.
    error_share: f64,
    /// Of answers: above p50, p90, p95, p99, p99.9 and the two slower edges.
    over: [f64; 7],
    /// Of sampled users; `None` without samples.
    mismatch_share: Option<f64>,
}

/// Control's own shares, by the definition of its quantiles. The edges ascend:
/// p50, p50 and a quarter, p90, p95, p95 and a quarter, p99, p99.9.
const OVER: [f64; 7] = [0.5, 0.3, 0.1, 0.05, 0.02, 0.01, 0.001];

const GOOD: Arm = Arm {
    users: 20_000,
    requests_a_user: 2,
    error_share: 0.005,
    over: OVER,
    mismatch_share: Some(0.0),
};

impl Arm {
    fn of(self, users: u64) -> Self {
        Self { users, ..self }
    }
    fn errors(self, error_share: f64) -> Self {
        Self {
            error_share,
            ..self
        }
    }
    fn slower(self, factor: f64) -> Self {
        Self {
            over: self.over.map(|share| (share * factor).min(1.0)),
            ..self
        }
    }
    fn mismatches(self, share: f64) -> Self {
        Self {
            mismatch_share: Some(share),
            ..self
        }
    }
}

struct Situation {
    rollout: Rollout,
    control: Arm,
    canary: Arm,
    seconds_in_step: u64,
    trip: bool,
    new_users: Option<[u64; 2]>,
}

fn thresholds() -> Thresholds {
    Thresholds {
        edges_us: vec![1_000, 1_250, 2_000, 3_000, 3_750, 5_000, 9_000],
        // No slowdown is tolerated here: the situations say what is slower.
        tail: [0, 2, 3, 5, 6]
            .map(|edge| EdgePair {
                control: edge,
                arm: edge,
            })
            .to_vec(),
        promotion: vec![
            PromotionEdge {
                percentile: 50,
                edges: EdgePair { control: 0, arm: 1 },
            },
            PromotionEdge {
                percentile: 95,
                edges: EdgePair { control: 3, arm: 4 },
            },
        ],
    }
}

/// A rollout at its first step, warm, with `control` and `canary` at nine to one.
fn situation(control: Arm, canary: Arm) -> Situation {
    situation_of(&json!({}), control, canary)
}

fn situation_of(changes: &Value, control: Arm, canary: Arm) -> Situation {
    let mut document = spec_json();
    document["arms"] = json!([{"name": "control", "model": "a"}, {"name": "canary", "model": "b"}]);
    for (key, value) in changes.as_object().unwrap() {
        document[key] = value.clone();
    }
    let mut rollout = Rollout::start(spec(&document).unwrap(), BTreeMap::new(), 1, 0).unwrap();
    rollout.learned(thresholds(), 5_000);
    Situation {
        rollout,
        control,
        canary,
        seconds_in_step: 300,
        trip: false,
        new_users: None,
    }
}

fn fill(sums: &mut EpochSums, index: usize, arm: Arm) {
    let requests = arm.users * arm.requests_a_user;
    let errors = (requests as f64 * arm.error_share).round() as u64;
    let sums = &mut sums.arms[index];
    // Spread over the slots as evenly as whole numbers go.
    let spread = |slots: &mut Vec<u64>, total: u64| {
        let size = slots.len() as u64;
        for (slot, count) in (0..).zip(slots.iter_mut()) {
            *count = total / size + u64::from(slot < total % size);
        }
    };
    spread(&mut sums.exposures, requests);
    spread(&mut sums.finished, requests);
    spread(&mut sums.errors, errors);
    let answered = (requests - errors) as f64;
    for (edge, share) in arm.over.into_iter().enumerate() {
        spread(&mut sums.over[edge], (answered * share).round() as u64);
        let users = arm.users as f64 * (1.0 - (1.0 - share).powf(arm.requests_a_user as f64));
        sums.firsts.slow[edge] = BTreeMap::from([(0, users.round() as u64)]);
    }
    sums.firsts.new_users = arm.users;
    let failed =
        arm.users as f64 * (1.0 - (1.0 - arm.error_share).powf(arm.requests_a_user as f64));
    sums.firsts.errors = BTreeMap::from([(0, failed.round() as u64)]);
    let bad = (arm.users as f64 * arm.error_share).round() as u64;
    sums.firsts.outcomes = BTreeMap::from([(
        0,
        Outcomes {
            users: arm.users,
            bad,
        },
    )]);
    if let Some(share) = arm.mismatch_share {
        let users = arm.users / 2;
        let bad = (users as f64 * share).round() as u64;
        sums.firsts.samples = BTreeMap::from([(0, Outcomes { users, bad })]);
        sums.firsts.mismatches = BTreeMap::from([(0, bad)]);
    }
}

impl Situation {
    fn bundle(&self) -> Bundle {
        let rollout = self.rollout.clone();
        let epoch = rollout.epoch().unwrap();
        let mut sums = EpochSums::new(epoch.epoch, 2);
        fill(&mut sums, 0, self.control);
        fill(&mut sums, 1, self.canary);
        if self.trip {
            sums.trips.push(Trip {
                arm: "canary".to_owned(),
                finished: 50,
                errors: 30,
            });
        }
        let counts = self
            .new_users
            .unwrap_or([self.control.users, self.canary.users]);
        let new_users = vec![NewUsers {
            epoch: epoch.epoch,
            segment: None,
            weights: epoch.weights.clone(),
            counts: counts.to_vec(),
        }];
        Bundle {
            version: evidence::VERSION,
            now_ms: rollout.step_since_ms + self.seconds_in_step * 1_000,
            sums: vec![sums],
            new_users,
            rollout,
        }
    }

    fn judge(&self) -> Verdict {
        judge(&self.bundle())
    }
}

#[track_caller]
fn expect(sentence: &str, situation: &Situation, action: Action, reason: &str) {
    let verdict = situation.judge();
    assert_eq!(verdict.action, action, "{sentence}: {:#?}", verdict.reasons);
    assert!(
        verdict.reasons.iter().any(|words| words.contains(reason)),
        "{sentence}: no reason says `{reason}`: {:#?}",
        verdict.reasons
    );
}

fn good() -> Situation {
    situation(GOOD.of(90_000), GOOD.of(10_000))
}

#[test]
fn promotes_what_is_surely_good_enough() {
    expect(
        "as good as control",
        &good(),
        Action::Promote,
        "error rate is surely",
    );
    let clean = situation(GOOD.of(18_000).errors(0.0), GOOD.of(2_000).errors(0.0));
    expect(
        "no error at all in either arm",
        &clean,
        Action::Promote,
        "surely under 1%",
    );
    let fewer = situation(GOOD.of(18_000).errors(0.02), GOOD.of(2_000).errors(0.005));
    expect(
        "fewer errors than control",
        &fewer,
        Action::Promote,
        "error rate",
    );
    let faster = situation(GOOD.of(90_000), GOOD.of(10_000).slower(0.1));
    expect(
        "much faster than control",
        &faster,
        Action::Promote,
        "p95 is surely less than",
    );
    let incident = situation(GOOD.of(18_000).errors(0.3), GOOD.of(2_000).errors(0.3));
    expect(
        "both arms fail alike: not the model",
        &incident,
        Action::Promote,
        "surely below 1.5 times control's",
    );
}

#[test]
fn rolls_back_what_is_surely_worse_than_tolerated() {
    let broken = situation(GOOD.of(18_000), GOOD.of(2_000).errors(0.05));
    expect(
        "ten times the errors",
        &broken,
        Action::RollBack,
        "users with an error at this step",
    );
    let outage = situation(GOOD.of(90), GOOD.of(10).errors(1.0));
    expect(
        "a total outage is seen in ten users",
        &outage,
        Action::RollBack,
        "10 of 11 users",
    );
    let slow = situation(GOOD.of(18_000), GOOD.of(2_000).slower(2.0));
    expect(
        "twice as often above every threshold",
        &slow,
        Action::RollBack,
        "users with an answer slower than",
    );
    let wrong = situation(GOOD.of(18_000), GOOD.of(2_000).mismatches(0.5));
    expect(
        "wrong but 200",
        &wrong,
        Action::RollBack,
        "an answer that their version's model file does not give",
    );
    let mut tripped = good();
    tripped.trip = true;
    expect(
        "a worker's breaker opened",
        &tripped,
        Action::RollBack,
        "breaker took canary's users back",
    );
    let mut early = situation(GOOD.of(900), GOOD.of(100).errors(0.5));
    early.seconds_in_step = 1;
    expect(
        "no minimum time delays a rollback",
        &early,
        Action::RollBack,
        "with an error",
    );
}

#[test]
fn holds_what_is_not_decided() {
    let few = situation(GOOD.of(900), GOOD.of(100));
    expect("too few users", &few, Action::Hold, "not yet surely");
    let mut early = good();
    early.seconds_in_step = 30;
    expect(
        "before the minimum time",
        &early,
        Action::Hold,
        "30 s of at least 60 s",
    );
    let starved = situation(GOOD.of(18_000), GOOD.of(100));
    expect(
        "an arm without traffic",
        &starved,
        Action::Hold,
        "canary had 200 of at least 500 requests",
    );
    let mut cold = good();
    cold.rollout = Rollout::start(cold.rollout.spec.clone(), BTreeMap::new(), 1, 0).unwrap();
    expect("warming up", &cold, Action::Hold, "warming up");
    let a_bit_slower = situation(
        GOOD.of(18_000),
        Arm {
            over: [0.5, 0.5, 0.1, 0.05, 0.05, 0.01, 0.001],
            ..GOOD.of(2_000)
        },
    );
    expect(
        "just at the latency margin",
        &a_bit_slower,
        Action::Hold,
        "not yet sure that canary's p50 is less than 25% slower",
    );
    let unusable = situation(
        GOOD.of(18_000).mismatches(0.5),
        GOOD.of(2_000).mismatches(0.5),
    );
    expect(
        "control disagrees with its own file",
        &unusable,
        Action::Hold,
        "the reference is unusable",
    );
    let unsampled = situation(
        GOOD.of(18_000),
        Arm {
            mismatch_share: None,
            ..GOOD.of(2_000)
        },
    );
    expect(
        "no sample of canary",
        &unsampled,
        Action::Hold,
        "0 of 0 sampled users",
    );
    let empty = situation(GOOD.of(0), GOOD.of(0));
    expect(
        "nothing happened yet",
        &empty,
        Action::Hold,
        "control had 0 of at least 500",
    );
}

#[test]
fn a_sample_ratio_alarm_blocks_promotion_and_never_a_rollback() {
    let mut lost = good();
    lost.new_users = Some([90_000, 7_500]);
    expect(
        "a quarter of canary's users are missing",
        &lost,
        Action::Hold,
        "planned ratio",
    );
    lost.canary = lost.canary.errors(0.2);
    expect(
        "and canary is broken too",
        &lost,
        Action::RollBack,
        "with an error",
    );
}

#[test]
fn what_is_worse_and_yet_within_its_margin_is_for_a_person() {
    // At two million users a true 1.25 is surely over 1.1 and surely under 1.5.
    let acceptable = situation(
        GOOD.of(1_800_000).errors(0.02),
        GOOD.of(200_000).errors(0.025),
    );
    expect("acceptable", &acceptable, Action::Pause, "ask a person");
}

#[test]
fn a_deadline_does_what_the_spec_says() {
    for (then, action) in [
        ("pause", Action::Pause),
        ("roll_back", Action::RollBack),
        ("proceed", Action::Promote),
    ] {
        let deadline = json!({"deadline": {"seconds": 100, "then": then}});
        let late = situation_of(&deadline, GOOD.of(900), GOOD.of(100));
        expect(then, &late, action, "deadline of 100 s has passed");
    }
}

#[test]
fn phases_limit_what_is_automatic() {
    let mut paused = good();
    paused.rollout.set_phase(Phase::Paused, 0);
    expect(
        "paused and good",
        &paused,
        Action::Hold,
        "only a rollback is automatic",
    );
    paused.canary = paused.canary.errors(0.2);
    expect(
        "paused and broken",
        &paused,
        Action::RollBack,
        "with an error",
    );
    let mut done = good();
    done.rollout.take_back(Phase::RolledBack, 0);
    expect(
        "rolled back",
        &done,
        Action::Hold,
        "the rollout is rolled back",
    );
}

#[test]
fn the_same_bundle_gives_the_same_verdict_through_json() {
    for situation in [
        good(),
        situation(GOOD.of(18_000), GOOD.of(2_000).errors(0.05)),
    ] {
        let bundle = situation.bundle();
        let text = serde_json::to_string(&bundle).unwrap();
        let read: Bundle = serde_json::from_str(&text).unwrap();
        assert_eq!(read, bundle);
        assert_eq!(
            serde_json::to_string(&judge(&read)).unwrap(),
            serde_json::to_string(&judge(&bundle)).unwrap()
        );
    }
}

/// A rollout at 90/10 whose gold segment is split 50/50, with these arms in it.
fn with_gold(control: Arm, canary: Arm) -> Bundle {
    let segments = json!({"segments": [
        {"name": "gold", "when": [{"header": "x-card"}], "weights": {"canary": 50}}]});
    let mut bundle = situation_of(&segments, GOOD.of(90_000), GOOD.of(10_000)).bundle();
    let epoch = bundle.rollout.epoch().unwrap();
    let mut sums = EpochSums {
        segment: Some("gold".to_owned()),
        ..EpochSums::new(epoch.epoch, 2)
    };
    fill(&mut sums, 0, control);
    fill(&mut sums, 1, canary);
    bundle.new_users.push(NewUsers {
        epoch: epoch.epoch,
        segment: Some("gold".to_owned()),
        weights: epoch.weights_of(Some("gold")).unwrap().to_vec(),
        counts: vec![control.users, canary.users],
    });
    bundle.sums.push(sums);
    bundle
}

#[test]
fn a_segment_is_judged_by_its_own_weights() {
    let good = judge(&with_gold(GOOD.of(5_000), GOOD.of(5_000)));
    assert_eq!(good.action, Action::Promote, "{:#?}", good.reasons);
    assert!(!good.srm.alarm, "half of gold is half of gold");
    // Gold fails twenty times as often, in both arms: pooled, canary would seem to
    // fail three times as often as control.
    let hard = GOOD.of(5_000).errors(0.1);
    let verdict = judge(&with_gold(hard, hard));
    let errors = &verdict.metrics[0];
    assert_eq!(errors.metric, Metric::Errors);
    assert!(
        !errors.harmed && verdict.action != Action::RollBack,
        "{verdict:#?}"
    );
    assert!(errors.difference.unwrap().abs() < 1e-3, "{errors:#?}");
}

#[test]
fn harm_in_a_small_segment_takes_the_rollout_back_and_names_it() {
    let verdict = judge(&with_gold(GOOD.of(500), GOOD.of(500).errors(0.1)));
    assert_eq!(verdict.action, Action::RollBack);
    let named = verdict.reasons.iter().any(|words| {
        words.starts_with("in segment gold: ") && words.contains("which has 50% of users")
    });
    assert!(named, "{:#?}", verdict.reasons);
    let segments = verdict
        .metrics
        .iter()
        .filter(|metric| metric.segment.is_some());
    assert!(segments.clone().count() >= 2);
    assert!(
        segments
            .into_iter()
            .all(|metric| metric.within_margin.is_none())
    );
}

#[test]
fn the_whole_has_half_of_alpha_when_there_are_segments() {
    let threshold = |verdict: &Verdict| verdict.metrics[0].harm_threshold.unwrap();
    let without = threshold(&good().judge());
    let with = threshold(&judge(&with_gold(GOOD, GOOD)));
    assert!((with - without - core::f64::consts::LN_2).abs() < 1e-9);
}

#[test]
fn an_arm_without_a_route_of_its_own_is_not_promoted() {
    let bundle = |same_cluster: bool, canary: &str| {
        let mut bundle = good().bundle();
        bundle.rollout.spec.same_cluster = same_cluster;
        for (arm, cluster) in bundle.sums[0].arms.iter_mut().zip(["models-v1", canary]) {
            arm.clusters.insert(cluster.to_owned());
        }
        bundle
    };
    let held = judge(&bundle(false, "models-v1"));
    assert_eq!(held.action, Action::Hold);
    assert!(held.reasons[0].contains("both served by Envoy's cluster `models-v1`"));
    assert_eq!(judge(&bundle(true, "models-v1")).action, Action::Promote);
    assert_eq!(judge(&bundle(false, "models-v2")).action, Action::Promote);
}
