//! Worlds in which the canary is no worse: who takes it back all the same?

use crate::Options;
use crate::progress::Progress;
use crate::row::Row;
use serinus_sim::races::{Race, false_rollbacks};
use serinus_sim::rules::{Argo, Asymptotic, FixedHorizon, Flagger, Kayenta, Label, NaiveZ, Rule};
use serinus_sim::worlds;

pub const ALPHAS: [f64; 3] = [0.05, 0.01, 0.001];

pub fn peers() -> Vec<Box<dyn Rule>> {
    vec![
        Box::new(NaiveZ),
        Box::new(FixedHorizon),
        Box::new(Asymptotic { either: false }),
        Box::new(Asymptotic { either: true }),
        Box::new(Kayenta { every: 1 }),
        Box::new(Kayenta { every: 10 }),
        Box::new(Flagger::USUAL),
        Box::new(Argo::USUAL),
        Box::new(Argo {
            most_errors: 0.02,
            ..Argo::USUAL
        }),
    ]
}

pub fn run(options: &Options, progress: &Progress) -> Vec<Row> {
    let beside = worlds::peers();
    let [known_alone, _] = worlds::delayed();
    let mut all = worlds::all();
    // Beside the one that shows what repairs it.
    all.push(known_alone);
    all.into_iter()
        .map(|world| {
            let mut rules: Vec<Box<dyn Rule>> = vec![
                Box::new(Label::ours(&ALPHAS)),
                Box::new(Label::tolerant(&[0.05])),
                Box::new(Label::one_process(&[0.05])),
                Box::new(Label::each_error(&[0.05])),
            ];
            if beside.iter().any(|peer| peer.name == world.name) {
                rules.extend(peers());
            }
            let race = Race {
                world: &world,
                rules: &rules,
            };
            let what = format!("{}, {} rules", world.name, race.names().len());
            let runs = progress.runs(&what, options.runs, |runs| race.run(options.seed, runs));
            // Once the canary is worse, taking it back is right.
            let end = if world.ratio > 1.0 {
                world.start_of(world.from_step)
            } else {
                world.requests
            };
            let rules = (0..)
                .zip(race.names())
                .map(|(index, name)| (name, false_rollbacks(&runs, index, end)));
            let rules = rules.collect();
            Row { world, rules }
        })
        .collect()
}
