//! How long the judge's policy takes for one rollout: 3 arms, 8 segments, 5 epochs of a
//! step, and the guardrails that each rollout has (errors, latency's tail, p50, p95, with
//! models agreement, and the sample ratio: 6 metrics). One arm is worse: where nothing speaks
//! against an arm its bets need not be worked out. It is the function of the judge, as
//! `make build` builds it.

use serde_json::json;
use serinus_judge::domain::evidence::{self, NewUsers};
use serinus_judge::domain::rollout::{EdgePair, PromotionEdge, Thresholds};
use serinus_judge::domain::sums::{ArmSums, EpochSums, Outcomes};
use serinus_judge::domain::{Bundle, Metric, Rollout, RolloutSpec, check};
use serinus_judge::policy::judge;
use serinus_tests::failure::Result;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

const ARMS: usize = 3;
const SEGMENTS: usize = 8;
const EPOCHS: u64 = 5;
const TIMES: usize = 201;

/// How often whatever is bad happens in each arm, of how often it does in control.
const TIMES_AS_OFTEN: [f64; ARMS] = [1.0, 1.4, 1.0];

pub fn median_ms() -> Result<f64> {
    let bundle = bundle()?;
    let verdict = judge(&bundle);
    // It must be the whole work, and not a verdict that was cut short.
    let whole = |metric| {
        verdict
            .metrics
            .iter()
            .filter(|found| found.metric == metric && found.segment.is_none())
            .count()
    };
    let all = [
        Metric::Errors,
        Metric::Latency,
        Metric::LatencyP50,
        Metric::LatencyP95,
        Metric::Agreement,
    ];
    let worked_out = |arm: &str| {
        let own = verdict.metrics.iter().filter(|found| found.arm == arm);
        own.filter(|found| found.harm_log_e.is_some_and(|log_e| log_e > 0.0))
            .count()
    };
    if worked_out("canary") < SEGMENTS {
        return Err("nothing speaks against the arm that is worse".into());
    }
    let in_segments = verdict
        .metrics
        .iter()
        .filter(|found| found.segment.is_some())
        .count();
    if all.iter().any(|&metric| whole(metric) != ARMS - 1)
        || in_segments != 3 * SEGMENTS * (ARMS - 1)
    {
        return Err(format!("the verdict lacks metrics: {}", verdict.metrics.len()).into());
    }
    let mut milliseconds: Vec<f64> = (0..TIMES)
        .map(|_| {
            let started = Instant::now();
            black_box(judge(black_box(&bundle)));
            started.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    milliseconds.sort_by(f64::total_cmp);
    Ok(milliseconds.get(TIMES / 2).copied().unwrap_or_default())
}

fn bundle() -> Result<Bundle> {
    let segments: Vec<_> = (0..SEGMENTS)
        .map(|index| {
            let header = format!("x-segment-{index}");
            json!({"name": format!("segment-{index}"), "when": [{"header": header}]})
        })
        .collect();
    let spec: RolloutSpec = serde_json::from_value(json!({
        "id": "sim",
        "match": {"path_prefix": "/"},
        "unit": [{"header": "x-user-id"}],
        "arms": [
            {"name": "control", "model": "a"},
            {"name": "canary", "model": "b"},
            {"name": "other", "model": "c"},
        ],
        "steps": [{"weights": {"canary": 10, "other": 10}}, {"weights": {"canary": 25, "other": 25}}],
        "segments": segments,
    }))?;
    let spec = spec.completed();
    check::check(&spec).map_err(|error| error.to_string())?;
    let mut rollout =
        Rollout::start(spec, BTreeMap::new(), 1, 0).map_err(|error| error.to_string())?;
    rollout.learned(thresholds(), 5_000);
    for restart in 2..EPOCHS {
        rollout.restart_processes(60_000 * restart);
    }
    let names =
        std::iter::once(None).chain((0..SEGMENTS).map(|index| Some(format!("segment-{index}"))));
    let (mut sums, mut new_users) = (Vec::new(), Vec::new());
    for epoch in &rollout.epochs {
        for segment in names.clone() {
            let mut own = EpochSums {
                segment: segment.clone(),
                ..EpochSums::new(epoch.epoch, ARMS)
            };
            let weights = epoch
                .weights_of(segment.as_deref())
                .unwrap_or_default()
                .to_vec();
            for ((arm, weight), times) in own.arms.iter_mut().zip(&weights).zip(TIMES_AS_OFTEN) {
                fill(arm, u64::from(*weight), epoch.epoch, times);
            }
            new_users.push(NewUsers {
                epoch: epoch.epoch,
                segment,
                counts: weights.iter().map(|&weight| u64::from(weight)).collect(),
                weights,
            });
            sums.push(own);
        }
    }
    Ok(Bundle {
        version: evidence::VERSION,
        now_ms: 600_000,
        rollout,
        sums,
        new_users,
        not_ready: BTreeMap::new(),
        closed: BTreeMap::new(),
        breached: BTreeMap::new(),
        workers: evidence::Workers {
            serving: 4,
            ..evidence::Workers::default()
        },
    })
}

/// Counts of an arm with 1% errors and durations by the definition of the quantiles, both
/// so many times as often.
fn fill(arm: &mut ArmSums, users: u64, epoch: u64, times: f64) {
    const OVER: [f64; 7] = [0.5, 0.3, 0.1, 0.05, 0.02, 0.01, 0.001];
    let by_epoch = |total: f64| -> BTreeMap<u64, u64> {
        (0..epoch)
            .map(|before| (before, (total / epoch as f64).round() as u64))
            .collect()
    };
    let outcomes = |total: u64, bad: f64| -> BTreeMap<u64, Outcomes> {
        BTreeMap::from([(
            0,
            Outcomes {
                users: total,
                bad: (total as f64 * bad) as u64,
            },
        )])
    };
    let people = users as f64;
    let slots = arm.exposures.len() as u64;
    let spread = |counts: &mut Vec<u64>, total: u64| {
        for (slot, count) in (0..).zip(counts) {
            *count = total / slots + u64::from(slot < total % slots);
        }
    };
    spread(&mut arm.exposures, 2 * users);
    spread(&mut arm.finished, 2 * users);
    spread(&mut arm.errors, (people * 0.02 * times) as u64);
    for ((counts, firsts), share) in arm
        .over
        .iter_mut()
        .zip(&mut arm.firsts.slow)
        .zip(OVER.map(|share| share * times))
    {
        spread(counts, (2.0 * people * share) as u64);
        *firsts = by_epoch(people * share);
    }
    arm.firsts.new_users = users;
    arm.firsts.errors = by_epoch(people * 0.02 * times);
    arm.firsts.mismatches = by_epoch(people * 0.001 * times);
    arm.in_segment.errors = arm.firsts.errors.clone();
    arm.in_segment.slow = arm.firsts.slow.clone();
    arm.in_segment.mismatches = arm.firsts.mismatches.clone();
    arm.firsts.outcomes = outcomes(users, 0.01);
    arm.firsts.samples = outcomes(users / 2, 0.001);
}

fn thresholds() -> Thresholds {
    let same = |edge| EdgePair {
        control: edge,
        arm: edge,
    };
    let promotion = |percentile, control, arm| PromotionEdge {
        percentile,
        edges: EdgePair { control, arm },
    };
    Thresholds {
        edges_us: vec![1_000, 1_250, 2_000, 3_000, 3_750, 5_000, 9_000],
        tail: [0, 2, 3, 5, 6].map(same).to_vec(),
        promotion: vec![promotion(50, 0, 1), promotion(95, 3, 4)],
    }
}
