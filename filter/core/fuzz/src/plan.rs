//! A plan: bytes that a judge sent, or somebody in its place.

use serinus_core::json::{read_strict, read_tolerant};
use serinus_core::plan::compiled::{MAX_ARMS, MAX_EDGES, MAX_ROLLOUTS, MAX_SUMS, sums_of};
use serinus_core::plan::{CompiledPlan, Plan, compile};
use serinus_core::settings;

/// A plan that is read is read back from what it is written as, and one that compiles
/// has what the request path relies on.
pub fn plan(data: &[u8]) {
    if let Err(error) = settings::read(Some(data)) {
        assert!(!error.field.is_empty() && !error.problem.is_empty());
    }
    let Ok((plan, ignored)) = read_tolerant::<Plan>(data) else {
        let error = read_strict::<Plan>(data).unwrap_err();
        assert!(!error.field.is_empty() && !error.problem.is_empty());
        return;
    };
    match read_strict::<Plan>(data) {
        Ok(strict) => assert!(ignored.is_empty() && strict == plan),
        Err(error) => assert!(ignored.contains(&error.field), "{error}"),
    }
    let written = serde_json::to_vec(&plan).unwrap();
    let again = read_strict::<Plan>(&written).unwrap();
    assert_eq!(again, plan);
    within_a_configuration(&plan, &written);
    match compile(&plan) {
        Ok(compiled) => {
            check(&compiled);
            assert_eq!(compile(&again), Ok(compiled));
        }
        Err(error) => assert!(!error.field.is_empty() && !error.problem.is_empty()),
    }
}

/// There it is as good as by itself.
fn within_a_configuration(plan: &Plan, written: &[u8]) {
    let before = br#"{"judge": {"cluster": "judge"}, "plan": "#;
    let configuration = [before, written, b"}"].concat();
    match (settings::read(Some(&configuration)), compile(plan)) {
        (Ok(read), Ok(compiled)) => assert_eq!(read.plan, Some(compiled)),
        (Err(within), Err(alone)) => {
            assert_eq!(within.field, format!("plan.{}", alone.field));
            assert_eq!(within.problem, alone.problem);
        }
        (within, alone) => panic!("{within:?} within, and {alone:?} alone"),
    }
}

fn check(plan: &CompiledPlan) {
    assert!(plan.rollouts.len() <= MAX_ROLLOUTS);
    let sums = plan.rollouts.iter();
    let sums = sums.map(|rollout| sums_of(rollout.arms.len(), rollout.segments.len()));
    assert!(sums.sum::<usize>() <= MAX_SUMS);
    for rollout in &plan.rollouts {
        assert!((1..=MAX_ARMS).contains(&rollout.arms.len()));
        assert!(rollout.baseline < rollout.arms.len());
        assert!(rollout.latency_edges_us.len() <= MAX_EDGES);
        let mut end = 0;
        for range in rollout.allocation.ranges() {
            assert!(end <= range.from && range.from < range.to && range.to <= 10_000);
            assert!(range.arm < rollout.arms.len());
            end = range.to;
        }
        for arm in &rollout.arms {
            // It becomes the value of a header.
            assert!(!arm.is_empty() && arm.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
