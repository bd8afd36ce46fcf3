//! Numbers of STATISTICS, within tolerances that follow from the number of runs.

use serinus_sim::draw::Draw;
use serinus_sim::races::{Race, column, false_rollbacks};
use serinus_sim::rules::{Asymptotic, Flagger, Label, NaiveZ, Oracle, Rule};
use serinus_sim::summary::Times;
use serinus_sim::worlds::{self, World};

const SEED: u64 = 20_260_401;

fn world(name: &str) -> World {
    worlds::all()
        .into_iter()
        .find(|world| world.name == name)
        .unwrap()
}

fn race(world: &World, rules: &[Box<dyn Rule>], runs: u64) -> Vec<Vec<Option<u64>>> {
    Race { world, rules }.run(SEED, 0..runs)
}

/// 3.9 standard errors of a share around what it should be: a false alarm in 10,000.
#[track_caller]
fn is_about(times: &Times, share: f64) {
    let error = (share * (1.0 - share) / times.runs() as f64).sqrt();
    let found = times.rate();
    assert!(
        (found - share).abs() < 3.9 * error + 0.01,
        "{found}, not {share}"
    );
}

#[test]
fn good_canaries_in_a_calm_world() {
    let rules: [Box<dyn Rule>; 2] = [Box::new(Label::one_process(&[0.05])), Box::new(NaiveZ)];
    let world = world("iid");
    let runs = race(&world, &rules, 200);
    is_about(&false_rollbacks(&runs, 0, world.requests), 0.033);
    is_about(&false_rollbacks(&runs, 1, world.requests), 0.56);
}

#[test]
fn bad_canaries_in_a_calm_world() {
    let rules: [Box<dyn Rule>; 2] = [
        Box::new(Label::one_process(&[0.05, 0.001])),
        Box::new(Oracle { alpha: 0.001 }),
    ];
    for (ratio, medians) in [(5.0, [975.0, 2_175.0]), (2.0, [9_500.0, 22_625.0])] {
        let world = World {
            ratio,
            ..world("iid")
        };
        let runs = race(&world, &rules, 300);
        for (index, median) in medians.into_iter().enumerate() {
            let found = column(&runs, index, 0).quantile(0.5).unwrap();
            // Two thirds of the mean is the spread: 1.25 x 0.7 / sqrt(300) = 5% is one
            // standard error of a median, and the table's grid is not this one.
            assert!(
                (found / median - 1.0).abs() < 0.25,
                "x{ratio}: {found}, not {median}"
            );
        }
        let mean = |index| column(&runs, index, 0).mean(world.requests as f64);
        assert!(mean(2) < mean(1) && mean(1) < 1.35 * mean(2));
    }
}

#[test]
fn users_that_differ_need_to_be_counted_once() {
    let rules: [Box<dyn Rule>; 2] = [
        Box::new(Label::ours(&[0.05])),
        Box::new(Label::each_error(&[0.05])),
    ];
    let world = world("hundred_requests");
    let runs = race(&world, &rules, 150);
    let [once, each] = [0, 1].map(|index| false_rollbacks(&runs, index, world.requests).rate());
    assert!(
        once <= 0.05 + 3.9 * (0.05_f64 * 0.95 / 150.0).sqrt(),
        "{once}"
    );
    assert!(each > 0.15, "{each}");
}

#[test]
fn pooling_over_a_ramp_is_fatal() {
    let rules: [Box<dyn Rule>; 2] = [
        Box::new(Label::ours(&[0.05])),
        Box::new(Asymptotic { either: false }),
    ];
    for name in ["ramp_rising", "simpson"] {
        let world = world(name);
        let runs = race(&world, &rules, 60);
        let [ours, pooled] =
            [0, 1].map(|index| false_rollbacks(&runs, index, world.requests).rate());
        assert!(ours <= 0.16, "{name}: {ours}");
        assert!(pooled > 0.8, "{name}: {pooled}");
    }
}

#[test]
fn fixed_limits_give_up_on_good_canaries() {
    // An hour of checks of exactly 100 requests each: 7.9% of them fail.
    let hour = |run| {
        let mut draw = Draw::new(SEED, "flagger", run);
        let fails = (0..60).map(|_| draw.binomial(100, 0.01) > 2);
        Flagger::USUAL.full_at(fails.collect::<Vec<bool>>())
    };
    let exact = Times::of((0..1_000).map(|run| hour(run).map(|check| check as f64)));
    is_about(&exact, 0.52);
    // Where 100 are only the mean, two errors of 99 requests are too many as well.
    let rules: [Box<dyn Rule>; 1] = [Box::new(Flagger::USUAL)];
    let runs = race(&world("iid"), &rules, 100);
    assert!(false_rollbacks(&runs, 0, 61_000).rate() > 0.9);
}

#[test]
fn settling_repairs_a_control_that_is_late() {
    let rules: [Box<dyn Rule>; 1] = [Box::new(Label::ours(&[0.05]))];
    let [late, settled] = worlds::delayed().map(|world| {
        let runs = race(&world, &rules, 100);
        false_rollbacks(&runs, 0, world.requests).rate()
    });
    assert!(late > 0.5, "{late}");
    assert!(settled < 0.14, "{settled}");
}

#[test]
fn a_run_repeats_with_any_number_of_threads() {
    let rules: [Box<dyn Rule>; 2] = [Box::new(Label::ours(&[0.05])), Box::new(NaiveZ)];
    let world = world("users_differ");
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| race(&world, &rules, 20))
    };
    assert_eq!(with(1), with(3));
    let parts = [0..7, 7..20].map(|part| {
        Race {
            world: &world,
            rules: &rules,
        }
        .run(SEED, part)
    });
    assert_eq!(parts.concat(), with(2));
}
