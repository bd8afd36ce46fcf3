//! Worlds in which the canary is worse: when is it taken back?

use crate::Options;
use crate::progress::Progress;
use crate::rollback::{self, ALPHAS};
use crate::row::Row;
use serinus_sim::races::{Race, column};
use serinus_sim::rules::{Label, Oracle, Rule};
use serinus_sim::worlds;

pub fn run(options: &Options, progress: &Progress) -> Vec<Row> {
    worlds::regressions()
        .into_iter()
        .map(|world| {
            let is_iid = world.name == "iid";
            let mut rules: Vec<Box<dyn Rule>> = vec![
                Box::new(Label::ours(&ALPHAS)),
                Box::new(Label::one_process(&ALPHAS)),
            ];
            if is_iid {
                rules.push(Box::new(Oracle { alpha: 0.001 }));
                rules.extend(rollback::peers());
            }
            let race = Race {
                world: &world,
                rules: &rules,
            };
            let what = format!("{} with {} times the errors", world.name, world.ratio);
            // A mean or a median needs fewer runs than a rare rate.
            let runs = options.runs.div_ceil(if is_iid { 2 } else { 4 });
            let runs = progress.runs(&what, runs, |runs| race.run(options.seed, runs));
            let start = world.start_of(world.from_step);
            let rules = (0..)
                .zip(race.names())
                .map(|(index, name)| (name, column(&runs, index, start)));
            let rules = rules.collect();
            Row { world, rules }
        })
        .collect()
}
