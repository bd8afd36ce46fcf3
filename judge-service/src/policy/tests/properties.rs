//! What holds beyond single situations.

use super::super::judge;
use super::situation::{Arm, GOOD, Situation};
use crate::domain::{Action, Bundle, Metric, Verdict};

fn with_gold(users: u64, arms: [Arm; 2]) -> Verdict {
    let situation = Situation {
        gold: Some((users, arms)),
        ..Situation::default()
    };
    situation.judge()
}

#[test]
fn the_same_bundle_gives_the_same_verdict_through_json() {
    let mut broken = Situation::default();
    broken.canary(|arm| arm.errors(0.05));
    let mut lost = Situation {
        arriving: 0.75,
        not_ready: Some("it is down"),
        ..Situation::default()
    };
    lost.workers.serving = 3;
    for situation in [Situation::default(), broken, lost] {
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

#[test]
fn a_segment_is_judged_by_its_own_weights() {
    let good = with_gold(10_000, [GOOD; 2]);
    assert!(!good.srm.alarm, "half of gold is half of gold");
    // Gold fails twenty times as often, in both arms: pooled, canary would seem to
    // fail three times as often as control.
    let verdict = with_gold(10_000, [GOOD.errors(0.1); 2]);
    let errors = &verdict.metrics[0];
    assert_eq!(errors.metric, Metric::Errors);
    assert!(
        !errors.harmed && verdict.action != Action::RollBack,
        "{verdict:#?}"
    );
    assert!(errors.difference.unwrap().abs() < 1e-3, "{errors:#?}");
}

/// Control's users had their first errors elsewhere, where canary has none: what is left of
/// first errors in gold are canary's, and both fail there alike.
#[test]
fn a_version_that_is_better_elsewhere_is_not_blamed_in_a_segment() {
    let situation = Situation {
        gold: Some((10_000, [GOOD.errors(0.1); 2])),
        ..Situation::default()
    };
    let mut bundle = situation.bundle();
    let gold = bundle.sums.iter_mut().filter(|sums| sums.segment.is_some());
    for sums in gold {
        sums.arms[0].firsts.errors.clear();
    }
    let verdict = judge(&bundle);
    let in_gold = verdict
        .metrics
        .iter()
        .filter(|metric| metric.segment.is_some());
    assert!(in_gold.clone().count() > 0);
    for metric in in_gold {
        assert!(!metric.harmed, "{metric:#?}");
    }
}

#[test]
fn harm_in_a_small_segment_takes_the_rollout_back_and_names_it() {
    let verdict = with_gold(1_000, [GOOD, GOOD.errors(0.1)]);
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
    let without = threshold(&Situation::default().judge());
    let with = threshold(&with_gold(10_000, [GOOD; 2]));
    assert!((with - without - core::f64::consts::LN_2).abs() < 1e-9);
}

/// More time never turns a promotion or a hold into a rollback, unless the spec's
/// deadline says so, and less time never makes a promotion.
#[test]
fn time_only_delays() {
    for change in [
        |_: &mut Situation| {},
        |situation: &mut Situation| situation.canary(|arm| arm.errors(0.05)),
        |situation: &mut Situation| situation.users = 1_000,
    ] {
        let action = |seconds_in_step| {
            let mut situation = Situation {
                seconds_in_step,
                ..Situation::default()
            };
            change(&mut situation);
            situation.judge().action
        };
        let settled = action(3_600);
        for seconds in [0, 1, 59, 60, 61, 80_000] {
            let now = action(seconds);
            let delayed = seconds < 60 && settled == Action::Promote && now == Action::Hold;
            assert!(
                now == settled || delayed,
                "{seconds} s: {now:?}, {settled:?}"
            );
        }
    }
}

/// An arm that fails at once is not taken back for being first to tell: the evidence
/// with requests under way is never above that after they all ended.
#[test]
fn requests_under_way_never_strengthen_the_evidence() {
    let log_e = |under_way: f64, control_errors: f64| {
        let mut situation = Situation::default();
        situation.control(|arm| arm.errors(control_errors).under_way(under_way));
        situation.canary(|arm| arm.errors(0.02));
        situation.judge().metrics[0].harm_log_e.unwrap()
    };
    // All that is under way fails in the end.
    for late in [0.001, 0.01, 0.1] {
        assert!(
            log_e(late, 0.005) <= log_e(0.0, 0.005 + late) + 1e-9,
            "{late}"
        );
        assert!(log_e(late, 0.005) < log_e(0.0, 0.005), "{late}");
    }
}
