//! What else a canary can do: be slow, answer otherwise, fail rarely, predict otherwise,
//! lose users.

use crate::Options;
use crate::progress::Progress;
use crate::rollback::ALPHAS;
use rayon::prelude::*;
use serinus_sim::races::{Race, column};
use serinus_sim::rules::{Kayenta, Label, Rule};
use serinus_sim::summary::Times;
use serinus_sim::worlds::{self, World};
use serinus_sim::{drift, latency, split};

pub struct Row {
    pub name: &'static str,
    pub words: &'static str,
    pub rule: String,
    /// Whether catching it is right.
    pub is_worse: bool,
    pub times: Times,
}

impl Row {
    /// Of a world in which the rule with this index gave the alarm, run by run.
    fn of_alarm<const RULES: usize>(
        name: &'static str,
        words: &'static str,
        rule: &str,
        index: usize,
        runs: &[[Option<u64>; RULES]],
    ) -> Self {
        let at = runs.iter().map(|run| run.get(index)?.map(|at| at as f64));
        Self {
            name,
            words,
            rule: rule.to_owned(),
            is_worse: false,
            times: Times::of(at),
        }
    }
}

pub fn run(options: &Options, progress: &Progress) -> Vec<Row> {
    let mut rows = Vec::new();
    let runs_of = |is_worse| {
        if is_worse {
            options.runs.div_ceil(4)
        } else {
            options.runs
        }
    };
    for world in latency::all() {
        let is_worse = world.change != latency::Change::None;
        let runs = progress.runs(world.name, runs_of(is_worse), |runs| {
            runs.into_par_iter()
                .map(|run| world.run(&ALPHAS, options.seed, run))
                .collect()
        });
        rows.extend((0..).zip(ALPHAS).map(|(index, alpha)| Row {
            name: world.name,
            words: world.words,
            rule: format!("ours, five thresholds, alpha {alpha}"),
            is_worse,
            times: column(&runs, index, 0),
        }));
    }
    for worse in worlds::rare() {
        let equal = World {
            ratio: 1.0,
            ..worse.clone()
        };
        for world in [worse, equal] {
            let rules: [Box<dyn Rule>; 2] = [
                Box::new(Label::ours(&ALPHAS)),
                Box::new(Kayenta { every: 1 }),
            ];
            let race = Race {
                world: &world,
                rules: &rules,
            };
            let is_worse = world.ratio > 1.0;
            let runs = progress.runs(world.name, runs_of(is_worse), |runs| {
                race.run(options.seed, runs)
            });
            rows.extend((0..).zip(race.names()).map(|(index, rule)| Row {
                name: world.name,
                words: if is_worse {
                    world.words
                } else {
                    "the same, but the canary as often as control"
                },
                rule,
                is_worse,
                times: column(&runs, index, 0),
            }));
        }
    }
    for world in drift::all() {
        let is_worse = (0..drift::RULES.len()).all(|rule| world.is_to_be_caught_by(rule));
        let runs = progress.runs(world.name, runs_of(is_worse), |runs| {
            runs.into_par_iter()
                .map(|run| world.run(options.seed, run))
                .collect()
        });
        rows.extend((0..).zip(drift::RULES).map(|(index, rule)| Row {
            is_worse: world.is_to_be_caught_by(index),
            ..Row::of_alarm(world.name, world.words, rule, index, &runs)
        }));
    }
    for world in split::all() {
        let runs = progress.runs(world.name, runs_of(world.is_wrong()), |runs| {
            runs.into_par_iter()
                .map(|run| world.run(options.seed, run))
                .collect()
        });
        rows.extend((0..).zip(split::RULES).map(|(index, rule)| Row {
            is_worse: world.is_wrong(),
            ..Row::of_alarm(world.name, world.words, rule, index, &runs)
        }));
    }
    rows
}
