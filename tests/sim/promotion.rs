//! A canary exactly at the margin, and a good one.

use crate::Options;
use crate::progress::Progress;
use rayon::prelude::*;
use serinus_sim::promotion::{self, Promoted, Promotion};
use serinus_sim::summary::Times;

pub struct Row {
    pub promotion: Promotion,
    /// The gated sequence alone, at alpha 0.05.
    pub sequence: Times,
    /// As policy has it.
    pub policy: Times,
    /// All epochs as if they were one.
    pub pooled: Times,
}

impl Row {
    pub fn is_good(&self) -> bool {
        self.promotion.ratio < self.promotion.margin
    }
}

pub fn run(options: &Options, progress: &Progress) -> Vec<Row> {
    let all = promotion::at_the_margin()
        .into_iter()
        .chain(promotion::good());
    all.map(|promotion| {
        let runs = if promotion.ratio >= promotion.margin {
            options.runs
        } else {
            options.runs.div_ceil(4)
        };
        let runs = progress.runs(promotion.name, runs, |runs| {
            runs.into_par_iter()
                .map(|run| promotion.run(options.seed, run))
                .collect::<Vec<Promoted>>()
        });
        let times = |of: fn(&Promoted) -> Option<u64>| {
            Times::of(runs.iter().map(|run| of(run).map(|at| at as f64)))
        };
        Row {
            sequence: times(|run| run.sequence),
            policy: times(|run| run.policy),
            pooled: times(|run| run.pooled),
            promotion,
        }
    })
    .collect()
}
